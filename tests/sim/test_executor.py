"""Whole Programs: ledger, memo, monotonicity, trace."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import simpy

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import (
    Dim,
    EndLoop,
    Format,
    Gemm,
    Instruction,
    Load,
    Loop,
    Prune,
    PruneMode,
    Store,
    Vector,
    VectorOp,
)
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.sequencer import DEAL_CYCLES
from gossamer_sim import Simulator, simulate
from gossamer_sim.stage import StageRun, run_stage
from gossamer_sim.trace import trace_events, write_trace
from gossamer_sim.work import cost_book

S = Semaphore
ARCHITECTURE = load_architecture("small-8x8")
GEMM = Gemm(log2_li=2, entries=8, chunk_words=64, r0=20, i0=3, li_last=4, wait=S.A_FULL, signal=S.A_FREE)


def transfer(cls: type[Load | Store], size: int, **fields: object) -> Load | Store:
    dims = (Dim(count=size, mem_stride=2, axis=3), Dim(count=4, mem_stride=1 << 16, axis=3))
    return cls(dims=dims, **fields)  # type: ignore[arg-type]


def stage(name: str, *, base: int = 0, macs: int = 0, count: int = 20) -> StageProgram:
    move = (step(Load, "mem_base", 0, 4096),)
    instructions: list[Instruction] = [
        Loop(level=0, count=count),
        transfer(Load, 3000, wait=S.A_FREE, signal=S.A_FULL, mem_base=base, modifiers=move),
        GEMM,
        transfer(Load, 100, wait=S.VIN_FREE, signal=S.VIN_FULL),
        Vector(op=12, count=4000, wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.WEIGHT_FULL | S.VOUT_FULL),
        Prune(keep=2, of=8, n0=50, wait=S.WEIGHT_FULL),
        transfer(Store, 2000, wait=S.VOUT_FULL, signal=S.VOUT_FREE, mem_base=base),
        EndLoop(level=0),
    ]
    tokens = ((S.A_FREE, 2), (S.VIN_FREE, 2), (S.VOUT_FREE, 2))
    return StageProgram(name, "ff", tuple(instructions), tokens, macs=macs)


def program(*stages: StageProgram) -> Program:
    return Program("test", ARCHITECTURE.name, stages, MemoryImage())


@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
def test_ledger_accounts_for_every_cycle(memory: str) -> None:
    cost = gemm_cycles(ARCHITECTURE.array, GEMM)
    macs = 20 * (cost.issue * 64 - 1000)
    found = simulate(program(stage("a", macs=macs), stage("b", count=3)), ARCHITECTURE, memory=memory, trace=True)
    for timing in found.stages:
        assert timing.ledger.total == timing.cycles == max(span.end for span in timing.spans)
        assert min(timing.ledger.as_dict().values()) >= 0
        assert timing.busy_cycles[Engine.GEMM] == timing.executed[Engine.GEMM] * cost.total
    ledger = found.stages[0].ledger
    assert ledger.ideal == -(-macs // 64)
    assert ledger.ideal + ledger.padding == 20 * cost.issue
    assert (ledger.drain, ledger.fill) == (20 * cost.drain, 20 * cost.overhead)
    assert found.cycles == found.ledger.total
    assert found.stages[1].start == found.stages[0].cycles


def test_ledger_without_gemm() -> None:
    lone = StageProgram("v", "update", (Vector(op=1, count=64 * 100), Prune(keep=2, of=8, n0=1000)))
    ledger = simulate(program(lone), ARCHITECTURE, memory="ideal").stages[0].ledger
    assert ledger.dram == ledger.ideal == 0
    assert ledger.sync == DEAL_CYCLES
    assert ledger.vector > 0
    assert ledger.prune > 0


def test_traffic() -> None:
    found = simulate(program(stage("a")), ARCHITECTURE, memory="ideal").stages[0]
    assert (found.bytes_read, found.bytes_written) == (20 * (24000 + 800), 20 * 16000)
    assert found.executed[Engine.LOAD] == 40


def test_impossible_macs_are_refused() -> None:
    with pytest.raises(GossamerError, match=r"stage a\.ff claims"):
        simulate(program(stage("a", macs=1 << 40)), ARCHITECTURE)


def test_equal_stages_are_walked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: list[str] = []

    def watched(stage: StageProgram, *arguments: Any, **named: Any) -> StageRun:
        walked.append(stage.layer)
        return run_stage(stage, *arguments, **named)

    monkeypatch.setattr("gossamer_sim.executor.run_stage", watched)
    simulator = Simulator(ARCHITECTURE)
    found = simulator.run(program(stage("a"), stage("b", base=1 << 30), stage("c", count=21)))
    simulator.run(program(stage("d")))
    assert walked == ["a", "c"]
    assert [timing.layer for timing in found.stages] == ["a", "b", "c"]
    assert found.stages[0].cycles == found.stages[1].cycles != found.stages[2].cycles


def test_a_simulator_keeps_its_costs_when_others_are_forgotten() -> None:
    """Instructions are numbered as they come, so that other ones have the same numbers in a book begun anew."""
    first = stage("a")
    loop, load, *others = first.instructions
    longer = transfer(Load, 6000, wait=S.A_FREE, signal=S.A_FULL, modifiers=load.modifiers)
    second = dataclasses.replace(first, instructions=(loop, longer, *others))
    expected = simulate(program(second), ARCHITECTURE).cycles
    cost_book.cache_clear()
    simulator = Simulator(ARCHITECTURE)
    shorter = simulator.run(program(first)).cycles
    cost_book.cache_clear()
    assert simulator.run(program(second)).cycles == expected > shorter


def test_more_ports_never_slow_a_program() -> None:
    cycles = []
    for ports in (1, 2, 4, 8):
        raw = ARCHITECTURE.model_dump(mode="python")
        raw["memory"] |= {"ports": ports}
        cycles.append(simulate(program(stage("a")), Architecture.model_validate(raw), memory="ideal").cycles)
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > cycles[-1]


DMA = {Engine.SEQUENCER, Engine.LOAD, Engine.STORE}


@pytest.mark.parametrize(
    ("section", "changes", "memory", "modelled"),
    [
        ("memory", {}, "ideal", set()),
        ("memory", {}, "scripted", set()),
        ("memory", {}, "ddr4", DMA),
        ("memory", {"ports": 2}, "ideal", DMA),
        ("memory", {"port_bits": 64}, "ideal", DMA),
        ("array", {"group": 16}, "ideal", {Engine.LOAD, Engine.STORE, Engine.PRUNE, Engine.VECTOR}),
        ("array", {"dataflows": ("os", "ws")}, "ideal", set()),
        ("vector", {"lanes": 6}, "ideal", {Engine.VECTOR}),
        ("vector", {"lanes": 128}, "ideal", {Engine.VECTOR}),
        ("buffers", {"vector_in_bytes": 1 << 30}, "ideal", set(Engine) - {Engine.SEQUENCER}),
    ],
)
def test_timing_status(section: str, changes: dict[str, object], memory: str, modelled: set[Engine]) -> None:
    part = getattr(ARCHITECTURE, section).model_copy(update=changes)
    status = simulate(program(), ARCHITECTURE.model_copy(update={section: part}), memory=memory).timing_status
    assert status == {engine: "modelled" if engine in modelled else "RTL-verified" for engine in Engine}


def test_unbiased_pruning_is_modelled() -> None:
    part = StageProgram("a", "prune", (Prune(keep=2, of=8, valid=8, mode=PruneMode.UNBIASED),))
    assert simulate(program(part), ARCHITECTURE, memory="ideal").timing_status[Engine.PRUNE] == "modelled"


def test_timing_of_operations_without_rtl_is_modelled() -> None:
    work = [Vector(op=op, format=Format.FP16, count=64) for op in (VectorOp.FILL, VectorOp.GELU)]
    for number, status in enumerate(("RTL-verified", "modelled")):
        found = simulate(program(StageProgram("a", "ff", (work[number],))), ARCHITECTURE)
        assert found.timing_status[Engine.VECTOR] == status


def test_trace_file(tmp_path: Path) -> None:
    found = simulate(program(stage("a"), stage("b", count=300)), ARCHITECTURE, trace=True)
    write_trace(found, tmp_path / "trace.json")
    document = json.loads((tmp_path / "trace.json").read_text())
    events = document["traceEvents"]
    tracks = {event["args"]["name"]: event["tid"] for event in events if event["name"] == "thread_name"}
    assert set(tracks) == {
        "stages", "repetitions", *(f"{name} (RTL-verified)" for name in ("load", "store", "gemm", "prune", "vector")),
    }  # fmt: skip
    slices = [event for event in events if event["ph"] == "X"]
    assert max(event["ts"] + event["dur"] for event in slices) == pytest.approx(found.seconds * 1e6)
    for track in tracks.values():
        on_track = sorted((e["ts"], e["ts"] + e["dur"]) for e in slices if e["tid"] == track and e["name"] != "barrier")
        for (_, end), (start, _) in pairwise(on_track):
            assert start >= end - 1e-6


def test_trace_is_bounded() -> None:
    found = simulate(program(stage("a"), stage("b", count=300)), ARCHITECTURE, trace=True)
    events, untold = trace_events(found, max_events=len(found.stages[0].spans) + len(found.stages[0].skips))
    assert untold == 1
    assert sum(event["ph"] == "X" for event in events) <= 4 + len(found.stages[0].spans) + len(found.stages[0].skips)


def test_what_is_wrong_with_a_stage_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only disorder is left to the long way; any other error of the short one would else pass as mere slowness."""
    malformed = StageProgram("odd", "ff", (EndLoop(level=0),))
    monkeypatch.setattr(simpy, "Environment", lambda: pytest.fail("no clock is needed to see that"))
    with pytest.raises(GossamerError, match=r"^stage odd\.ff: "):
        simulate(Program("p", ARCHITECTURE.name, (malformed,), MemoryImage()), ARCHITECTURE, memory="ideal")
