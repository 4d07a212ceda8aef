"""The render engine: a unit of the vector engine that executes the operations RENDER_...

The shell holds what outlives an instruction and hands it to the parts that execute one operation each, as
:mod:`gossamer_hw.render.operation` says. To plug one in, add its class to `OPERATIONS`.
"""

from collections.abc import Mapping
from typing import Any, Final

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring

from gossamer_hw.numerics.convert import canonical
from gossamer_hw.numerics.integers import from_integer
from gossamer_hw.render.colours_operation import ColoursOperation
from gossamer_hw.render.compositor import Compositor
from gossamer_hw.render.finish_operation import FinishOperation
from gossamer_hw.render.inputs_operation import InputsOperation
from gossamer_hw.render.lines_operation import LinesOperation
from gossamer_hw.render.operation import AXES, composing
from gossamer_hw.render.pixels_operation import PixelsOperation
from gossamer_hw.render.products_operation import ProductsOperation
from gossamer_hw.render.sums_operation import SumsOperation
from gossamer_hw.render.sweep import SweepLane, Task
from gossamer_hw.render.sweep_operation import SweepOperation
from gossamer_hw.render.tables import Tables
from gossamer_hw.render.texel_fetch import COORDINATE_BITS
from gossamer_hw.render.tile_operation import TileOperation
from gossamer_hw.render.view_operation import ViewOperation
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.vector.ports import unit_members
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import VectorOp
from gossamer_models.registers import Fault
from gossamer_models.render_engine import RenderEngine

__all__ = ["NEEDS", "OPERATIONS", "RenderUnit", "lane_of"]

_RAY_BITS = 32 * AXES

OPERATIONS: Final[Mapping[VectorOp, type[Any]]] = {
    VectorOp.RENDER_VIEW: ViewOperation,
    VectorOp.RENDER_LINES: LinesOperation,
    VectorOp.RENDER_TILE: TileOperation,
    VectorOp.RENDER_SWEEP: SweepOperation,
    VectorOp.RENDER_PRODUCTS: ProductsOperation,
    VectorOp.RENDER_INPUTS: InputsOperation,
    VectorOp.RENDER_COLOURS: ColoursOperation,
    VectorOp.RENDER_FINISH: FinishOperation,
    VectorOp.RENDER_SUMS: SumsOperation,
    VectorOp.RENDER_PIXELS: PixelsOperation,
}
"""What executes which operation; one that is not here is illegal."""

_HELD: Final = {
    VectorOp.RENDER_VIEW: "view",
    VectorOp.RENDER_LINES: "lines",
    VectorOp.RENDER_TILE: "tile",
    VectorOp.RENDER_SWEEP: "job",
}

NEEDS: Final[dict[VectorOp, tuple[str, ...]]] = {
    VectorOp.RENDER_VIEW: (),
    VectorOp.RENDER_LINES: ("view",),
    VectorOp.RENDER_TILE: ("view",),
    VectorOp.RENDER_SWEEP: ("view", "lines", "tile"),
    VectorOp.RENDER_PRODUCTS: ("view", "lines", "job"),
    VectorOp.RENDER_INPUTS: ("view", "tile"),
    VectorOp.RENDER_COLOURS: ("view", "tile"),
    VectorOp.RENDER_FINISH: ("view", "tile"),
    VectorOp.RENDER_SUMS: ("view", "tile"),
    VectorOp.RENDER_PIXELS: ("view", "tile"),
}
"""What must have been taken before an operation: by RENDER_VIEW, _LINES, _TILE, and samples by RENDER_SWEEP."""


def lane_of(engine: RenderEngine) -> SweepLane:
    """Return a sweep lane of an engine's sizes."""
    return SweepLane(
        pixels=engine.tile**2,
        components=engine.components[0],
        patch=(engine.patch,) * AXES,
        grid=(engine.grid,) * AXES,
    )


class RenderUnit(wiring.Component):
    """Executes its operations; an instruction whose needs nothing has taken is illegal.

    Takes :func:`gossamer_models.timing.vector_render.render_cycles` from ``start`` to ``done``.

    Parameters
    ----------
    architecture
        With a render engine of one lane of each kind.
    operations
        What executes which operation, those of view and tile among them; without a sweep there is no sweep lane, its
        compositor alone.

    Members
    -------
    See :func:`~gossamer_hw.vector.ports.unit_members`.
    """

    def __init__(self, architecture: Architecture, *, operations: Mapping[VectorOp, type[Any]] = OPERATIONS) -> None:
        self._architecture = architecture
        self._parts = {op: part(architecture) for op, part in operations.items()}
        self._tables = Tables(architecture)
        super().__init__(unit_members(architecture))

    def elaborate(self, platform: Any) -> Elaboratable:
        """Start the part of the operation, and give it the buffers and what is held."""
        m = Module()
        chosen = {op: self.command.op == op for op in self._parts}
        legal = self._held(m)
        refused = Signal()
        m.d.sync += refused.eq(self.start & ~legal)
        with m.If(refused):
            m.d.comb += [self.done.eq(1), self.fault.eq(Fault.ILLEGAL)]
        for op, part in self._parts.items():
            m.submodules[op.name.removeprefix("RENDER_").lower()] = part
            m.d.comb += [
                part.start.eq(self.start & legal & chosen[op]),
                part.command.eq(self.command),
                part.view.eq(self._parts[VectorOp.RENDER_VIEW].held),
                part.tile.eq(self._parts[VectorOp.RENDER_TILE].held),
            ]
            with m.If(part.done):
                m.d.comb += [self.done.eq(1), self.fault.eq(part.fault)]
        self._share(m, "vin", self.vin, chosen)
        self._share(m, "vout", self.vout, chosen)
        self._read_tables(m, chosen)
        self._compose(m, chosen)
        self._rays(m, chosen)
        self._sums(m)
        if VectorOp.RENDER_SWEEP in self._parts:
            self._kept(m, chosen)
        return m

    def _held(self, m: Module) -> Value:
        """Remember what has been taken; return whether that is all that the instruction needs."""
        held = {name: Signal(name=f"{name}_held") for name in _HELD.values()}
        for op, name in _HELD.items():
            with m.If(self.done & (self.command.op == op)):
                m.d.sync += held[name].eq(self.fault == Fault.NONE)
                if op is VectorOp.RENDER_VIEW:
                    m.d.sync += [held["lines"].eq(0), held["tile"].eq(0)]
        # A tile's first pixels bring where it lies; its others need that.
        begun = (self.command.op != VectorOp.RENDER_TILE) | (self.command.parameter == 0) | held["tile"]
        needs = ((self.command.op == op) & Cat(held[name] for name in NEEDS[op]).all() for op in self._parts)
        return begun & Cat(needs).any()

    def _share(self, m: Module, name: str, ours: Any, chosen: dict[VectorOp, Value]) -> None:
        """Give a port to the part at work, if it has one of the name."""
        for op, part in self._parts.items():
            if name in part.signature.members:
                port = getattr(part, name)
                for member, shape in port.signature.members.items():
                    outside, inside = getattr(ours, member), getattr(port, member)
                    if shape.flow is wiring.In and len(Value.cast(inside)) > 1:
                        m.d.comb += inside.eq(outside)
                    elif shape.flow is wiring.In:
                        # What ends is the business of the part at work alone.
                        m.d.comb += inside.eq(outside & chosen[op])
                    else:
                        with m.If(chosen[op]):
                            m.d.comb += outside.eq(inside)

    def _compose(self, m: Module, chosen: dict[VectorOp, Value]) -> None:
        """Put the compositor, at the end of the sweep lane if there is one, behind the part at work."""
        engine = self._architecture.render_engine
        items = composing(engine).create()
        self._share(m, "composing", items, chosen)
        if VectorOp.RENDER_SWEEP in self._parts:
            lane: Any = self._lane(m, items.valid)
            valid = self._parts[VectorOp.RENDER_SWEEP].ray_valid | self._tables.texel.density | items.valid
        else:
            m.submodules.compositor = lane = Compositor(pixels=engine.tile**2)
            valid = items.valid
        view = self._parts[VectorOp.RENDER_VIEW].held
        m.d.comb += [
            lane.valid.eq(valid),
            *(getattr(lane, name).eq(getattr(items, name)) for name in ("item", "pixel", "amount", "colour")),
            *(getattr(lane, name).eq(getattr(view, name)) for name in ("cut", "threshold")),
            items.ready.eq(lane.ready),
            items.found.eq(lane.found & lane.finished),
            items.result.eq(lane.result),
        ]

    def _lane(self, m: Module, composes: Value) -> SweepLane:
        """Give the sweep lane rays, and texels of density."""
        engine = self._architecture.render_engine
        m.submodules.lane = lane = lane_of(engine)
        sweep, texel = self._parts[VectorOp.RENDER_SWEEP], self._tables.texel
        self._settings(m, lane)
        m.d.comb += [
            lane.pair.eq(sweep.ray.pair),
            lane.cube.eq(sweep.ray.cube),
            lane.final.eq(sweep.ray.final),
            lane.axes.eq(texel.axes),
            lane.column.eq(texel.column),
            lane.row.eq(texel.row),
            *(ours.eq(theirs) for ours, theirs in zip(lane.numbers, texel.numbers, strict=False)),
            sweep.ray_ready.eq(lane.ready),
            sweep.lane_idle.eq(lane.idle),
            sweep.lane_outside.eq(lane.outside),
            sweep.sample.found.eq(lane.found & ~lane.finished),
            sweep.sample.pixel.eq(lane.found_pixel),
            sweep.sample.shaded.eq(lane.shaded),
            sweep.sample.ended.eq(lane.ended),
            sweep.sample.weight.eq(lane.result[0]),
            sweep.sample.point.eq(lane.point),
        ]
        with m.If(composes):
            m.d.comb += lane.task.eq(Task.PIXEL)
        with m.Elif(texel.density):
            m.d.comb += lane.task.eq(Mux(texel.line, Task.LINE, Task.PLANE))
        with m.Else():
            m.d.comb += lane.task.eq(Task.RAY)
        return lane

    def _settings(self, m: Module, lane: SweepLane) -> None:
        """Give the lane the picture's constants."""
        view, record = self._parts[VectorOp.RENDER_VIEW].held, self._parts[VectorOp.RENDER_SWEEP].record
        m.d.comb += [
            lane.step_length.eq(view.step),
            *(getattr(lane, name).eq(getattr(view, name)) for name in ("origin", "shift", "thickness")),
        ]
        for axis in range(AXES):
            texels = Signal(COORDINATE_BITS, name=f"texels_{axis}")
            m.d.comb += [
                texels.eq(view.grid[axis] - 1),
                lane.spans[axis].eq(canonical(m, from_integer(m, texels))),
                lane.cubes[axis].eq(canonical(m, from_integer(m, view.cubes[axis][:COORDINATE_BITS]))),
                lane.highest[axis].eq(view.grid[axis] - 2),
                lane.bases[axis].eq(record.first[axis]),
                lane.lasts[axis].eq(record.last[axis]),
            ]

    def _read_tables(self, m: Module, chosen: dict[VectorOp, Value]) -> None:
        """Let the part at work ask for tables; all parts see the texels."""
        m.submodules.tables = tables = self._tables
        self._share(m, "tables", tables.request, chosen)
        m.d.comb += tables.vin.data.eq(self.vin.data)
        with m.If(tables.vin.enable):
            m.d.comb += [self.vin.enable.eq(1), self.vin.address.eq(tables.vin.address)]
        for part in self._parts.values():
            if "texel" in part.signature.members:
                m.d.comb += part.texel.eq(tables.texel)

    def _kept(self, m: Module, chosen: dict[VectorOp, Value]) -> None:
        """Let parts read the samples that the sweep has kept, and tell it which pixels begin."""
        sweep, tile = self._parts[VectorOp.RENDER_SWEEP], self._parts[VectorOp.RENDER_TILE]
        m.d.comb += [sweep.begins.eq(tile.ray_write), sweep.begun_pixel.eq(tile.ray_pixel)]
        self._share(m, "kept", sweep.kept_samples, chosen)
        for part in self._parts.values():
            if "kept" in part.signature.members:
                m.d.comb += part.kept_count.eq(sweep.kept_count)

    def _rays(self, m: Module, chosen: dict[VectorOp, Value]) -> None:
        """Keep the rays of the tile's pixels."""
        tile = self._parts[VectorOp.RENDER_TILE]
        for number, name in enumerate(("directions", "views")):
            m.submodules[name] = memory = RowMemory(unit_bits=_RAY_BITS, depth=self._architecture.render_engine.tile**2)
            m.d.comb += [
                memory.write_mask.eq(tile.ray_write),
                memory.write_address.eq(tile.ray_pixel),
                memory.write_data.eq(tile.ray[number].as_value()),
            ]
            for op, part in self._parts.items():
                if name in part.signature.members:
                    port = getattr(part, name)
                    m.d.comb += port.data.as_value().eq(memory.read_data)
                    with m.If(chosen[op]):
                        m.d.comb += [memory.read_enable.eq(port.enable), memory.read_address.eq(port.address)]

    def _sums(self, m: Module) -> None:
        """Tell who keeps sums of features which pixels begin, and let them be read."""
        tile, sums, pixels = (
            self._parts.get(op) for op in (VectorOp.RENDER_TILE, VectorOp.RENDER_SUMS, VectorOp.RENDER_PIXELS)
        )
        if tile and sums and pixels:
            m.d.comb += [sums.begins.eq(tile.ray_write), sums.begun_pixel.eq(tile.ray_pixel)]
            wiring.connect(m, pixels.sums, sums.held)
