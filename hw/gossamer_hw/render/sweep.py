"""The sweep lane: samples of rays in cubes, what they leave of the light, and what becomes of a tile's pixels."""

from enum import IntEnum
from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed
from gossamer_hw.render.compositor import Compositor, Item
from gossamer_hw.render.opacity import OpacityUnit
from gossamer_hw.render.sampler import Sampler
from gossamer_hw.render.texel_fetch import Texels
from gossamer_hw.verilog import Held
from gossamer_models.render.lattice import INDEX_BITS
from gossamer_models.timing.render_units import COMPOSITOR_CYCLES, LATTICE_CYCLES

__all__ = ["SweepLane", "Task"]

_TEXEL = ("axes", "column", "row", "numbers")
_FIELD = ("spans", "highest", "bases", "lasts", "shift", "thickness")
_RAY = ("pair", "cube", "final")
_LATTICE = ("step_length", "origin", "cubes")
_PIXEL = ("item", "pixel", "amount", "colour")
_LIGHT = ("cut", "threshold")
_RESULTS = ("found_pixel", "finished", "shaded", "ended", "result")


class Task(IntEnum):
    """What enters a sweep lane."""

    RAY = 0
    """A ray that meets a cube's ball."""
    PLANE = 1
    """A texel of a plane."""
    LINE = 2
    """A texel of a line."""
    PIXEL = 3
    """An item of the compositor that is no sample."""


class SweepLane(wiring.Component):
    """Takes a job's samples as :func:`gossamer_models.render.engine.job.run_job` does.

    A :class:`~gossamer_hw.render.sampler.Sampler`, an :class:`~gossamer_hw.render.opacity.OpacityUnit` and a
    :class:`~gossamer_hw.render.compositor.Compositor`, one behind the other. Both first ones stand still while a sample
    waits for another one of its pixel: :func:`gossamer_models.timing.render_units.sampler_turns` says when samples are
    taken up, :func:`gossamer_models.timing.render.compositor_entries` how long they wait. Texels and pixels wait until
    all samples have reached the compositor, so that whatever enters is done in order.

    Parameters
    ----------
    pixels
        Pixels of a tile, at least 2.
    components, patch, grid
        See :class:`~gossamer_hw.render.opacity.OpacityUnit`.

    Members
    -------
    valid, ready, task : something enters; no texel or pixel between the rays of a cube.
    pair, cube, final : of a ray, see :class:`~gossamer_hw.render.sampler.Sampler`.
    axes, column, row, numbers : of a texel: see :class:`~gossamer_hw.render.opacity.OpacityUnit`.
    item, pixel, amount, colour : of a pixel, see :class:`~gossamer_hw.render.compositor.Compositor`.
    step_length, origin, cubes, spans, highest, bases, lasts, shift, thickness, cut, threshold
        See these three; constant while anything is inside.
    step : everything moves on; whoever holds the unit by an enable clears it as well, for its memories.
    found : a result of the compositor: a sample of a pixel that had not ended, or a finished pixel; then
    found_pixel, finished, shaded, ended, result : see there.
    index, point : of a sample: its place on the ray and in the box.
    outside : texels that some sample on its way needs are not held; its result is meaningless.
    idle : all samples have reached the compositor, whose latency later they have left.

    Raises
    ------
    ValueError
        A size is out of range.
    """

    def __init__(
        self, *, pixels: int, components: int, patch: tuple[int, int, int], grid: tuple[int, int, int]
    ) -> None:
        self._sampler = Sampler(pixels=pixels)
        self._opacity = OpacityUnit(components=components, patch=patch, grid=grid)
        self._compositor = Compositor(pixels=pixels)
        sampler, opacity, compositor = (
            unit.signature.members for unit in (self._sampler, self._opacity, self._compositor)
        )
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "task": In(Task),
                **{name: sampler[name] for name in (*_RAY, *_LATTICE)},
                **{name: opacity[name] for name in (*_TEXEL, *_FIELD)},
                **{name: compositor[name] for name in (*_PIXEL, *_LIGHT, "found", *_RESULTS)},
                "step": In(1, init=1),
                "index": Out(INDEX_BITS),
                "point": Out(sampler["point"].shape),
                "outside": Out(1),
                "idle": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a ray to the result of its first sample, if nothing is in its way."""
        return LATTICE_CYCLES + self._opacity.latency + COMPOSITOR_CYCLES

    def elaborate(self, platform: Any) -> Elaboratable:
        """Hold sampler and opacity while the compositor makes a sample wait."""
        m = Module()
        moves, held = Signal(), Module()
        held.submodules.sampler, held.submodules.opacity = sampler, opacity = self._sampler, self._opacity
        m.submodules.compositor = compositor = self._compositor
        ray, texel, pixel = self._enters(m, sampler, moves)
        sample = Signal(
            data.StructLayout({name: getattr(sampler, name).shape() for name in ("pixel", "index", "point")})
        )
        m.d.comb += [
            *(getattr(sample, name).eq(getattr(sampler, name)) for name in ("pixel", "index", "point")),
            sampler.valid.eq(ray),
            sampler.step.eq(moves & self.step),
            *(getattr(sampler, name).eq(getattr(self, name)) for name in (*_RAY, *_LATTICE)),
            opacity.valid.eq(sampler.found | texel),
            opacity.item.eq(Mux(texel, Mux(self.task == Task.PLANE, Texels.PLANE, Texels.LINE), Texels.POINT)),
            opacity.point.eq(sampler.point),
            opacity.step.eq(moves & self.step),
            *(getattr(opacity, name).eq(getattr(self, name)) for name in (*_TEXEL, *_FIELD)),
        ]
        leaving = delayed(held, sample, opacity.latency, name="sample")
        m.submodules.held = Held(moves, held)
        m.d.comb += moves.eq(~opacity.found | compositor.ready)
        self._compose(m, leaving, pixel)
        then = delayed(m, leaving, compositor.latency, name="then")
        m.d.comb += [
            self.index.eq(Mux(self.finished, 0, then.index)),
            self.point.eq(Mux(self.finished, 0, then.point.as_value())),
        ]
        return m

    def _enters(self, m: Module, sampler: Sampler, moves: Signal) -> tuple[Value, Value, Value]:
        """Let one thing in at a time; return whether it is a ray, a texel or a pixel."""
        most = LATTICE_CYCLES + self._opacity.latency
        # Cycles since the sampler had something to take up: behind so many all samples have reached the compositor.
        idle, since = Signal(), Signal(range(most + 1), init=most)
        is_ray, is_pixel = self.task == Task.RAY, self.task == Task.PIXEL
        ray = self.valid & is_ray & sampler.ready
        others = idle & (~is_pixel | self._compositor.ready)
        m.d.comb += [
            idle.eq((since == most) & sampler.ready),
            self.idle.eq(idle),
            self.ready.eq(Mux(is_ray, sampler.ready & moves, others)),
        ]
        with m.If(ray | ~sampler.ready):
            m.d.sync += since.eq(0)
        with m.Elif(moves & ~idle):
            m.d.sync += since.eq(since + 1)
        other = self.valid & idle & ~is_ray
        return self.valid & is_ray, other & ~is_pixel, other & is_pixel

    def _compose(self, m: Module, sample: Any, pixel: Value) -> None:
        """Give the compositor samples, or pixels while there are none."""
        compositor, opacity = self._compositor, self._opacity
        found = opacity.found
        m.d.comb += [
            compositor.valid.eq(found | pixel),
            compositor.item.eq(Mux(found, Item.SAMPLE, self.item)),
            compositor.pixel.eq(Mux(found, sample.pixel, self.pixel)),
            compositor.amount.as_value().eq(Mux(found, opacity.left.as_value(), self.amount.as_value())),
            compositor.colour.eq(self.colour),
            compositor.step.eq(self.step),
            *(getattr(compositor, name).eq(getattr(self, name)) for name in _LIGHT),
            self.found.eq(compositor.found),
            self.outside.eq(opacity.outside),
            *(getattr(self, name).eq(getattr(compositor, name)) for name in _RESULTS),
        ]
