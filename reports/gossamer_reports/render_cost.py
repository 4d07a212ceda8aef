"""What a picture costs on the render engine: frames per second, energy and power, as ``result.json`` has them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture
from gossamer_models.banks import memory_banks, render_banks
from gossamer_models.energy import EnergyTable, Figure, load_energy
from gossamer_models.render.fetches import Fetches
from gossamer_models.render.frame import Frame
from gossamer_models.timing.render import EXPONENTIALS, PRODUCTS
from gossamer_models.timing.shade import ShadeTiming
from gossamer_sim.render import RenderRun

__all__ = ["ASSUMED", "LEFT_OUT", "render_cost"]

_PICO: Final = 1e-12
_SCAN, _TEST, _COMPOSE = (7, 5), (3, 3), (5, 4)  # fp32 multiplications and additions
_HALF_BITS: Final = 16
_SINGLE_BITS: Final = 32
_SIGMOIDS: Final = 6
"""Look-ups of three colours: an exponential and a reciprocal each."""
ASSUMED: Final = (
    "every element of the array costs a multiply-add in every step that is issued, idle columns included",
    "a look-up of sine or logarithm costs as much as one of an exponential",
    "fp32 multiplications, additions: 7, 5 per pixel of a rectangle, 3, 3 per tested sample, 5, 4 per composed one",
    "rows are read from the patch buffer once per sample that reads them, by uniform sampling as by the sweep",
    "patches and lines are read without conflicts between samples of one cycle",
)
LEFT_OUT: Final = (
    "leakage, clock tree, control, address generators",
    "search units: population counts and comparisons",
    "square roots, registers of the lanes, the memory of light and colour",
    "on-chip copies of lines, weights as they are loaded",
)


def render_cost(
    architecture: Architecture,
    run: RenderRun,
    frame: Frame,
    shade: ShadeTiming,
    *,
    scanned: int,
    tests: int,
    samples: int,
    encoded: bool,
) -> dict[str, Any]:
    """Return cycles, frames per second, traffic, energy and ledger of a picture.

    Parameters
    ----------
    scanned, tests : pixels of rectangles, and samples whose cube or occupancy was looked at
    samples : whose density was computed
    encoded : rows lie in the patch buffer as they are encoded, else as plain fp16
    """
    seconds = run.cycles / architecture.clock_hz
    joules = _energy(architecture, run, frame, shade, scanned, tests, samples, encoded=encoded)
    total = None if joules is None else sum(joules.values())
    return {
        "fps": 1 / seconds,
        "cycles": run.cycles,
        "seconds": seconds,
        "cycles_per_density_sample": run.cycles / samples if samples else None,
        "cycles_per_shaded_sample": run.cycles / run.shaded if run.shaded else None,
        "dram_bytes": run.burst_bytes,
        "patch_bytes": run.load_bytes,
        "image_bytes": run.store_bytes,
        "energy_joules": total,
        "energy_components": joules,
        "power_watts": None if total is None else total / seconds,
        "ledger": run.ledger,
        "busy_cycles": run.busy | {f"render.{name}": cycles for name, cycles in run.unit_busy.items()},
    }


def _energy(
    architecture: Architecture,
    run: RenderRun,
    frame: Frame,
    shade: ShadeTiming,
    scanned: int,
    tests: int,
    samples: int,
    *,
    encoded: bool,
) -> dict[str, float] | None:
    """Return joules by part; None without a table that has all figures."""
    if architecture.energy is None:
        return None
    table = load_energy(architecture.energy)
    operations = table.operations
    figures = (operations.mac, operations.exponential, operations.multiplication, operations.addition)
    dram = table.dram.get(architecture.memory.model)
    costs = [None if figure is None else _picojoules(table, figure) for figure in figures]
    if dram is None or not table.sram or None in costs:
        return None
    mac, lookup, multiplication, addition = (float(cost or 0) for cost in costs)
    products = PRODUCTS * (samples * frame.density_components + run.shaded * frame.appearance_components)
    waves = run.network * shade.waves_per_sample
    geometry = [scanned * _SCAN[kind] + tests * _TEST[kind] + samples * _COMPOSE[kind] for kind in range(2)]
    memories = {**memory_banks(architecture), **render_banks(architecture.render_engine)}
    # Each feature of a sample is multiplied by its weight and added to a sum, which the network reads once at the end.
    features, late = shade.shader.basis.shape[0], run.network if run.summed else 0
    sum_read, sum_write = table.bank_picojoules_per_bit(memories["feature"].bytes) or (0.0, 0.0)
    work = _array_actions(run, shade)
    patch_read, patch_write = table.bank_picojoules_per_bit(memories["patch"].bytes) or (0.0, 0.0)
    picojoules: Mapping[str, float] = {
        "array": (work.macs + work.null_macs) * mac,
        "operand_memories": sum(
            getattr(work, f"{name}_read_bits") * read + getattr(work, f"{name}_write_bits") * write
            for name in ("a", "b", "accumulator")
            for read, write in (table.bank_picojoules_per_bit(memories[name].bytes) or (0.0, 0.0),)
        ),
        "interpolation_lanes": products * mac,
        "table_units": (EXPONENTIALS * samples + waves + _SIGMOIDS * run.network) * lookup,
        "feature_sums": features * (run.summed * (multiplication + addition))
        + _SINGLE_BITS * features * ((run.summed + late) * sum_read + run.summed * sum_write),
        "projector_and_compositor": geometry[0] * multiplication + geometry[1] * addition,
        "patch_memory": 8 * (_row_bytes(frame, encoded=encoded) * patch_read + run.load_bytes * patch_write),
        "dram": 8 * (run.burst_bytes - run.written_bytes) * dram.read_picojoules_per_bit
        + 8 * run.written_bytes * dram.write_picojoules_per_bit,
    }
    return {name: cost * _PICO for name, cost in picojoules.items()}


def _array_actions(run: RenderRun, shade: ShadeTiming) -> Actions:
    """Return what the array does for all batches, and the bits of operands that are written for them."""
    batches = ((run.basis_batches, True), (run.network_batches, False))
    counted = Actions.total(
        (shade.actions(samples, basis=basis), times)
        for sizes, basis in batches
        for samples, times in sizes.items()
    )  # fmt: skip
    _, *layers = shade.shader.matrices
    written = run.shaded * shade.shader.basis.shape[1] + run.network * sum(layer.shape[1] for layer in layers)
    return dataclasses.replace(counted, a_write_bits=_HALF_BITS * written)


def _row_bytes(frame: Frame, *, encoded: bool) -> int:
    """Return the bytes of the rows that samples read."""

    def size(found: Fetches) -> int:
        return found.bitmap_bytes + found.coordinate_bytes if encoded else found.dense_bytes

    return sum(size(tile.density) + size(tile.appearance) for tile in frame.tiles)


def _picojoules(table: EnergyTable, figure: Figure) -> float:
    return figure.picojoules * table.scale(figure)
