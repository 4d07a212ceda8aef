"""The pinned scene on both render machines: frames per second, the two pipelines, encoding, time of counting."""

import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any, Final

from gossamer.bench_record import Measurement

__all__ = ["pinned_frames"]

_COMMAND: Final = "gossamer render pinned"
_TARGETS: Final = (
    ("rtnerf-edge", "all, per sample, dense", 45), ("rtnerf-edge", "all, per sample", 100),
    ("nerf-1k", "all, per sample, dense", 12), ("nerf-1k", "all, per sample", 45),
    ("nerf-1k", "all, deferred, dense", 45), ("nerf-1k", "all, deferred", 90),
)  # fmt: skip
_LEAST_SHADED, _LEAST_COVERAGE, _LEAST_RATIO, _LEAST_ACCESSES, _SECONDS = 1.5e6, 0.4, 5, 100, 20


def pinned_frames() -> Iterator[Measurement]:
    """The scene `pinned` at 800 x 800 (counts by golden, cycles modelled at an assumed 1 GHz)."""
    from gossamer.render_study import Variant, ablation, simulate_variant
    from gossamer_models.architecture import load_architecture
    from gossamer_models.render.encoded_field import storage
    from gossamer_models.render.frame import count_frame
    from gossamer_models.render.scene import load_scene

    scene = load_scene("pinned")
    machines = {name: load_architecture(name) for name in dict.fromkeys(name for name, _, _ in _TARGETS)}
    edge = machines["rtnerf-edge"]
    runs = ablation(scene)

    begun, worked = time.perf_counter(), time.process_time()
    ended = count_frame(scene.field, scene.camera, scene.settings, edge.render_engine)
    simulate_variant(scene, edge, ended, runs["all, per sample, dense"])
    wall, work = time.perf_counter() - begun, time.process_time() - worked
    yield Measurement(
        "one frame, golden's counts and the simulator",
        f"{work:.1f} s of CPU time on all cores; {wall:.0f} s of wall time at a load of {os.getloadavg()[0]:.1f}",
        f"{_SECONDS} s on 2 cores", "make bench PARTS=render",
    )  # fmt: skip

    share, shaded = ended.total("shaded_pixels") / ended.pixels, ended.total("shaded")
    yield Measurement("pixels with a shaded sample", f"{100 * share:.1f} %", f"{100 * _LEAST_COVERAGE:.0f} %", _COMMAND)
    yield Measurement("shaded samples", f"{shaded / 1e6:.3f} M", f"{_LEAST_SHADED / 1e6} M", _COMMAND)
    stored = storage(scene.field.density) + storage(scene.field.appearance)
    zeros = 100 * min(scene.field.density.sparsity, scene.field.appearance.sparsity)
    yield Measurement(
        f"factors, {zeros:.1f} % zeros: dense fp16 over encoded, headers included",
        f"{stored.dense / stored.hybrid:.2f}x", f"{_LEAST_RATIO}x", _COMMAND,
    )  # fmt: skip
    for name, run, target in _TARGETS:
        cost = simulate_variant(scene, machines[name], ended, runs[run])
        yield Measurement(
            f"{name}, {run}", f"{cost['fps']:.1f} frames/s; {_shares(cost)}", f"{target} frames/s",
            f"{_COMMAND} --arch {name}",
        )  # fmt: skip

    endless = dataclasses.replace(scene.settings, termination=None)
    whole = count_frame(scene.field, scene.camera, endless, edge.render_engine)
    for what, frame in (("rays end early", ended), ("no ray ends early", whole)):
        uniform, cubes = (
            simulate_variant(scene, edge, frame, Variant(sweep=sweep, termination=True, encoded=True))
            for sweep in (False, True)
        )
        for title, name in (
            ("occupancy accesses", "occupancy_accesses"), ("density samples", "samples"), ("DRAM bytes", "dram_bytes"),
            ("cycles", "cycles"),
        ):  # fmt: skip
            yield Measurement(
                f"rtnerf-edge, dense network, {what}: {title}, uniform samples over cubes",
                f"{uniform[name]:,} / {cubes[name]:,} = {uniform[name] / cubes[name]:.2f}",
                f"{_LEAST_ACCESSES}" if name == "occupancy_accesses" else "",
                _COMMAND,
            )


def _shares(cost: dict[str, Any]) -> str:
    """Return the largest parts of a run's ledger."""
    parts = sorted(cost["ledger"].items(), key=lambda part: -part[1])[:3]
    return ", ".join(f"{name} {100 * cycles / cost['cycles']:.0f} %" for name, cycles in parts)
