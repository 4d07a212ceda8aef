"""Area and clock of the hardware's parts, by Yosys and nextpnr, out of context."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from gossamer.bench_rates import rates
from gossamer.bench_record import Measurement

if TYPE_CHECKING:
    from gossamer_hw.fpga.parts import Use
    from gossamer_hw.fpga.resources import Family

__all__ = ["element", "engines", "render_operations", "synthesised_area", "units"]

_MACHINE: Final = "wide-4x4"
_SEEDS: Final = (1, 2, 3)
_FAMILIES: Final[dict["Family", str]] = {"xilinx": "UltraScale+", "ecp5": "ECP5"}
_UNITS: Final = (
    ("sparse-encoder", 16), ("sparse-encoder", 48), ("sparse-decoder", 16), ("sparse-decoder", 48),
    ("prune", 1), ("pe", 1),
    ("exponential", 1), ("softplus", 1), ("reciprocal", 1), ("sigmoid", 1), ("waves", 1),
    ("compositor", 1), ("compositor-lanes", 1), ("projector", 1),
    ("ball-test", 1), ("sampler", 1), ("factor-lane", 1), ("encoded-lane", 2),
)  # fmt: skip
_TREES: Final = "make bench PARTS=trees"
_OPERATIONS: Final = "make bench PARTS=operations"
_TARGETS: Final[dict["Family", str]] = {"xilinx": "650 LUT, at most 4 DSP", "ecp5": ""}


def element() -> Iterator[Measurement]:
    """Measure the processing element: area on both families, clock on ECP5."""
    from gossamer_hw.array.element import ElementParameters, ProcessingElement
    from gossamer_hw.fpga.resources import ecp5_clock_hz
    from gossamer_hw.verilog import emit_verilog
    from gossamer_models.architecture import load_architecture

    array = load_architecture(_MACHINE).array
    parameters = ElementParameters(
        group=array.group,
        slots=array.slots,
        multiply_latency=array.multiply_latency_cycles,
        add_latency=array.add_latency_cycles,
    )
    verilog = emit_verilog(ProcessingElement(parameters), name="element")
    what = f"processing element (accumulate loop of {array.add_latency_cycles} cycles)"
    for family, target in _TARGETS.items():
        yield Measurement(f"{what}, {_FAMILIES[family]}", synthesised_area(verilog, "element", family), target)
    clocks = [ecp5_clock_hz(verilog, top="element", seed=seed) for seed in _SEEDS]
    yield Measurement(
        f"{what}, clock on ECP5 (LFE5UM5G-85, speed 8), placement seeds {', '.join(map(str, _SEEDS))}",
        f"{', '.join(f'{clock / 1e6:.0f}' for clock in clocks)} MHz",
        "100 MHz",
    )


def engines() -> Iterator[Measurement]:
    """Measure the array with its accumulators, and the prune engine, on UltraScale+."""
    from gossamer_hw.array.array import SystolicArray
    from gossamer_hw.prune.engine import PruneEngine
    from gossamer_hw.verilog import emit_verilog
    from gossamer_models.architecture import load_architecture

    machine = load_architecture(_MACHINE)
    array = machine.array
    array_with_accumulators = SystolicArray(
        rows=array.rows,
        columns=array.columns,
        group=array.group,
        slots=array.slots,
        drain_ports=array.drain_ports,
        multiply_latency=array.multiply_latency_cycles,
        add_latency=array.add_latency_cycles,
        accumulator_words=machine.buffers.accumulator_words,
    )
    parts = {
        f"array of {array.rows} x {array.columns} with accumulators": array_with_accumulators,
        f"prune engine, {machine.vector.prune_lanes} words per cycle": PruneEngine(machine),
    }
    for what, component in parts.items():
        yield Measurement(
            f"{what}, UltraScale+", synthesised_area(emit_verilog(component, name="part"), "part", "xilinx")
        )


def units() -> Iterator[Measurement]:
    """Measure the units of the render engine, and those that can be had alone, on both families."""
    from gossamer_hw.render.encoded_bank import EncodedBank
    from gossamer_hw.render.interpolation import InterpolationLane
    from gossamer_hw.render.light import LightUnit
    from gossamer_hw.render.search import SearchUnit
    from gossamer_hw.units.catalogue import ROW_UNITS, unit_text
    from gossamer_hw.verilog import emit_verilog
    from gossamer_models.architecture import load_architecture

    array = load_architecture(_MACHINE).array
    for name, components in _UNITS:
        text = unit_text(name, array, components=components)
        has_rows = name in ROW_UNITS
        what = f"{name} of {components} components" if has_rows else name
        command = f"gossamer generate --unit {name}{f' --components {components}' if has_rows else ''} --synth"
        for family, title in _FAMILIES.items():
            area = synthesised_area(text.verilog, text.module, family)
            yield Measurement(f"unit {what}, {title}", area, command=f"{command} {family}")
    parts: dict[str, Any] = {
        "encoded bank of 16 components, 256 rows in 8 KiB": EncodedBank(components=16, rows=256, payload_bytes=1 << 13),
        "search unit of 16 components": SearchUnit(width=16),
        "search unit of 48 components": SearchUnit(width=48),
        "interpolation lane, one component": InterpolationLane(components=1),
        "light of 6,400 pixels": LightUnit(pixels=6400),
    }
    for what, component in parts.items():
        verilog = emit_verilog(component, name="part")
        for family, title in _FAMILIES.items():
            yield Measurement(f"{what}, {title}", synthesised_area(verilog, "part", family))
    yield from rates()


def trees() -> Iterator[Measurement]:
    """Measure the tree for sums and searches beside two trees that do one thing each, on both families."""
    from gossamer_hw.fpga.resources import synthesise
    from gossamer_hw.render.trees import DualTree, ListSearch, SumTree
    from gossamer_hw.verilog import emit_verilog

    parts = {
        "tree of sums of 16 terms": SumTree(terms=16),
        "search in 16 coordinates of 6 bits": ListSearch(slots=16, bits=6),
        "tree for both, 16 terms or coordinates of 6 bits": DualTree(terms=16, bits=6),
    }
    texts = {what: emit_verilog(component, name="part") for what, component in parts.items()}
    for family, title in _FAMILIES.items():
        found = {what: synthesise(text, top="part", family=family) for what, text in texts.items()}
        for what, area in found.items():
            figure = _listed({"LUT": area.luts, "FF": area.flip_flops})
            yield Measurement(f"{what}, {title}", figure, command=_TREES)
        sums, search, both = (area.luts for area in found.values())
        yield Measurement(
            f"LUTs that one tree saves over two, {title}",
            f"{sums:,} + {search:,} - {both:,} = {sums + search - both:,}",
            "more than 0",
            _TREES,
        )


def render_operations() -> Iterator[Measurement]:
    """Measure what executes the operations of `render-8x8`, and what they share; modules are not flattened."""
    from gossamer_hw.fpga.parts import LFE5U_85F, VU9P, Use, module_use
    from gossamer_hw.render.engine import OPERATIONS, lane_of
    from gossamer_hw.render.tables import Tables
    from gossamer_hw.verilog import emit_verilog
    from gossamer_models.architecture import load_architecture

    machine = load_architecture("render-8x8")
    executed = {op.name: executes(machine) for op, executes in OPERATIONS.items()}
    shared = {"the sweep's lane of samples": lane_of(machine.render_engine), "reader of tables": Tables(machine)}
    total = {part: Use() for part in (VU9P, LFE5U_85F)}
    for name, module in (executed | shared).items():
        verilog = emit_verilog(module, name="part")
        for part in total:
            use = module_use(verilog, part, top="part")
            total[part] += use
            yield Measurement(f"{name}, {_FAMILIES[part.family]}", _used(use), "", _OPERATIONS)
    for part, use in total.items():
        what = "sum of these: the engine but for rays of a tile and the choice between operations"
        yield Measurement(f"{what}, {_FAMILIES[part.family]}", _used(use), "", _OPERATIONS)


def _used(use: "Use") -> str:
    counts = {"LUT": use.luts, "FF": use.flip_flops, "DSP": use.dsps, "block RAM": use.block_rams}
    return _listed(counts | {"UltraRAM": use.ultra_rams})


def synthesised_area(verilog: str, top: str, family: "Family") -> str:
    """What a module takes, as text."""
    from gossamer_hw.fpga.resources import synthesise

    found = synthesise(verilog, top=top, family=family)
    return _listed({"LUT": found.luts, "FF": found.flip_flops, "DSP": found.dsps, "block RAM": found.block_rams})


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{f'{count:,.1f}'.removesuffix('.0')} {name}" for name, count in counts.items() if count)
