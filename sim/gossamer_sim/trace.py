"""Timeline of a run in the Chrome trace event format, which Perfetto opens."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gossamer_models.timeline import SimResult, StageTiming
from gossamer_sim.engines import ENGINES

__all__ = ["MAX_EVENTS", "trace_events", "write_trace"]

MAX_EVENTS = 200_000
"""Slices of instructions and repetitions in a file (some 25 MB)."""

_PROCESS = 1
_STAGES, _REPEATS = 1, 2
_FIRST_ENGINE = 3

_TRACKS = {engine: (_FIRST_ENGINE + place, engine.name.lower()) for place, engine in enumerate(ENGINES)}

Event = dict[str, Any]


def write_trace(result: SimResult, path: Path) -> None:
    """Write ``trace.json``: a track for stages, one for skipped repetitions and one per engine; times in microseconds.

    All stages are kept. Instructions are kept stage by stage, in order, as long as the file then holds no more than
    ``MAX_EVENTS`` slices of them; ``otherData`` tells how many stages are shown without theirs. Instructions are
    there only if the run was traced.

    Parameters
    ----------
    result : a run, traced or not.
    path : file to write.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write('{"traceEvents":[')
        separator, untold = "", 0
        for events in _parts(result, MAX_EVENTS):
            untold += events is None
            if events:
                # Dumped part by part: the encoder is fast only for whole objects, and a whole trace would be large.
                file.write(separator + json.dumps(events, separators=(",", ":"))[1:-1])
                separator = ","
        about = {
            "program": result.program,
            "architecture": result.architecture,
            "memory_model": result.memory_model,
            "clock_hz": result.clock_hz,
            "stages_without_instructions": untold,
        }
        file.write(f'],"displayTimeUnit":"ns","otherData":{json.dumps(about)}}}')


def trace_events(result: SimResult, max_events: int = MAX_EVENTS) -> tuple[list[Event], int]:
    """Events of a run, and the number of stages whose instructions were left out for the bound."""
    parts = list(_parts(result, max_events))
    return [event for part in parts for event in part or ()], sum(part is None for part in parts)


def _parts(result: SimResult, max_events: int) -> Iterator[list[Event] | None]:
    """Events in order, some of them at a time; None in place of the instructions of a stage that are left out."""
    microseconds = 1e6 / result.clock_hz
    yield list(_names(result))
    left = max_events
    for stage in result.stages:
        yield list(_stage(stage, microseconds))
        size = len(stage.spans) + len(stage.skips)
        if size > left:
            left = 0
            yield None
            continue
        left -= size
        yield list(_details(stage, microseconds))


def _names(result: SimResult) -> Iterator[Event]:
    yield _meta("process_name", 0, f"{result.program} on {result.architecture}")
    yield _meta("thread_name", _STAGES, "stages")
    yield _meta("thread_name", _REPEATS, "repetitions")
    for place, engine in enumerate(ENGINES):
        yield _meta("thread_name", _FIRST_ENGINE + place, f"{engine.name.lower()} ({result.timing_status[engine]})")


def _meta(name: str, track: int, text: str) -> Event:
    return {"ph": "M", "name": name, "pid": _PROCESS, "tid": track, "args": {"name": text}}


def _slice(track: int, name: str, start: int, end: int, microseconds: float) -> Event:
    return {
        "ph": "X",
        "pid": _PROCESS,
        "tid": track,
        "name": name,
        "ts": start * microseconds,
        "dur": (end - start) * microseconds,
    }


def _stage(stage: StageTiming, microseconds: float) -> Iterator[Event]:
    end = stage.start + stage.cycles
    event = _slice(_STAGES, f"{stage.layer}.{stage.stage}", stage.start, end, microseconds)
    event["args"] = {
        "cycles": stage.cycles,
        "bytes_read": stage.bytes_read,
        "bytes_written": stage.bytes_written,
        **stage.ledger.as_dict(),
    }
    yield event
    yield _slice(_STAGES, "barrier", stage.start, stage.start + stage.ledger.barrier, microseconds)


def _details(stage: StageTiming, microseconds: float) -> Iterator[Event]:
    for skip in stage.skips:
        name = f"{skip.iterations} iterations of loop {skip.level} repeat"
        yield _slice(_REPEATS, name, stage.start + skip.start, stage.start + skip.end, microseconds)
    for span in stage.spans:
        track, engine = _TRACKS[span.engine]
        name = f"{engine} {span.instruction}"
        yield _slice(track, name, stage.start + span.start, stage.start + span.end, microseconds)
