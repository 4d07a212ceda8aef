"""From a block of cubes to the rays that meet their balls."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed, delayed_flags
from gossamer_hw.render.ball import BallTest
from gossamer_hw.render.block_scan import BlockScan
from gossamer_hw.render.operation import AXES, ray_port, tile_layout, view_layout
from gossamer_hw.render.projector import Projector
from gossamer_hw.render.sampler import CUBE_BITS, pair_layout
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.vector.ports import read_port
from gossamer_models.render_engine import RenderEngine
from gossamer_models.timing.render_sweep import CANDIDATE_CYCLES, FLUSH_CYCLES, MOST_WAITING, WAITING_RAYS

__all__ = ["SweepFront", "ray_layout"]


def ray_layout(pixels: int) -> data.StructLayout:
    """Layout of what a sweep lane takes of a ray."""
    cube = data.ArrayLayout(CUBE_BITS, AXES)
    return data.StructLayout({"pair": pair_layout(pixels), "cube": cube, "final": 1})


class SweepFront(wiring.Component):
    """Walks a block; projector and ball test give the rays, which wait in a queue.

    Nothing leaves the projector while more than `MOST_WAITING` rays wait: the queue has room for what is under way.
    Cycles: :func:`gossamer_models.timing.render_sweep.flow_cycles`.

    Parameters
    ----------
    engine
        Sizes of tile and block count.

    Members
    -------
    start : a pulse.
    place, occupied : of the block, a bit per cube.
    view, tile : see :mod:`~gossamer_hw.render.operation`.
    directions : read port of the tile's rays.
    alive : read port: whether a pixel's ray goes on.
    valid, ready, ray : a ray, see :func:`ray_layout`.
    ended : no ray will come; from a while behind the last one up to the next start.
    """

    def __init__(self, engine: RenderEngine) -> None:
        self._block, self._pixels = engine.block, engine.tile**2
        super().__init__(
            {
                "start": In(1),
                "place": In(data.ArrayLayout(CUBE_BITS, AXES)),
                "occupied": In(engine.block**AXES),
                "view": In(view_layout()),
                "tile": In(tile_layout()),
                "directions": Out(ray_port(engine)),
                "alive": Out(read_port(self._pixels, 1)),
                "valid": Out(1),
                "ready": In(1),
                "ray": Out(ray_layout(self._pixels)),
                "ended": Out(1, init=1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the walk, the projector, the ball test and the queue."""
        m = Module()
        m.submodules.scan = scan = BlockScan(block=self._block)
        m.submodules.projector = projector = Projector()
        hold = Signal()
        view = self.view
        m.d.comb += [
            scan.start.eq(self.start),
            scan.place.eq(self.place),
            *(ours.eq(theirs) for ours, theirs in zip(scan.eye, view.eye, strict=True)),
            *(ours.eq(theirs) for ours, theirs in zip(scan.axes, view.axes, strict=True)),
            projector.valid.eq(scan.walking & self.occupied.bit_select(scan.number, 1)),
            projector.cube.eq(scan.cube),
            projector.hold.eq(hold),
            scan.advance.eq(scan.walking & projector.ready),
        ]
        self._picture(m, projector)
        waiting = self._queue(m, self._meet(m, projector))
        m.d.comb += hold.eq(waiting > MOST_WAITING)
        # What has entered last leaves when so many more have moved up behind it.
        moves = Signal(range(Projector.latency + 1))
        flushed = Signal(range(FLUSH_CYCLES + 1))
        with m.If(self.start):
            m.d.sync += [moves.eq(0), flushed.eq(0), self.ended.eq(0)]
        with m.Elif(~scan.walking & (moves != Projector.latency)):
            m.d.sync += moves.eq(moves + projector.ready)
        with m.Elif(~scan.walking & ~self.ended):
            m.d.sync += [flushed.eq(flushed + 1), self.ended.eq(flushed == FLUSH_CYCLES - 1)]
        return m

    def _picture(self, m: Module, projector: Projector) -> None:
        picture, view, tile = projector.picture, self.view, self.tile
        m.d.comb += [
            picture.origin.eq(view.place),
            picture.sides.eq(view.sides),
            *(getattr(picture, name).eq(getattr(view, name)) for name in ("radius", "focal", "low", "high")),
            picture.first[0].eq(tile.left),
            picture.first[1].eq(tile.top),
            picture.last[0].eq(tile.left + tile.width - 1),
            picture.last[1].eq(tile.top + tile.height - 1),
        ]

    def _meet(self, m: Module, projector: Projector) -> BallTest:
        """Give the ball test the candidates, their rays read from the tile."""
        m.submodules.test = test = BallTest(pixels=self._pixels)
        pixel = Signal(range(self._pixels))
        m.d.sync += pixel.eq(projector.pixel[1] * self.tile.width + projector.pixel[0])
        flags = delayed_flags(m, Cat(projector.found, projector.found & projector.final), 1, name="candidate")
        for port in (self.directions, self.alive):
            m.d.comb += [port.enable.eq(flags[0]), port.address.eq(pixel)]
        flags = delayed_flags(m, flags, CANDIDATE_CYCLES - 1, name="read")
        view, balls = self.view, test.balls
        names = {"origin": "way", "sides": "cube"}
        m.d.comb += [
            test.valid.eq(flags[0]),
            test.last.eq(flags[1]),
            test.cube.eq(delayed(m, projector.candidate_cube, CANDIDATE_CYCLES, name="cube")),
            test.pixel.eq(delayed(m, pixel, 1, name="pixel")),
            test.direction.eq(self.directions.data),
            test.alive.eq(self.alive.data),
            *(
                getattr(balls, name).eq(getattr(view, names.get(name, name)))
                for name in ("origin", "sides", "extent", "square", "per_step", "below", "above")
            ),
        ]
        return test

    def _queue(self, m: Module, test: BallTest) -> Value:
        """Let rays wait; return how many do beside the one that is offered."""
        layout = ray_layout(self._pixels)
        m.submodules.queue = queue = RowMemory(unit_bits=layout.size, depth=WAITING_RAYS)
        head, tail, waiting = Signal(range(WAITING_RAYS)), Signal(range(WAITING_RAYS)), Signal(range(WAITING_RAYS + 1))
        entering, reads = Signal(layout), Signal()
        m.d.comb += [
            entering.pair.eq(test.pair),
            entering.cube.eq(test.found_cube),
            entering.final.eq(test.final),
            reads.eq((waiting != 0) & (~self.valid | self.ready)),
            queue.write_address.eq(tail),
            queue.write_data.eq(entering),
            queue.write_mask.eq(test.found),
            queue.read_address.eq(head),
            queue.read_enable.eq(reads),
            self.ray.eq(queue.read_data),
        ]
        m.d.sync += [
            self.valid.eq(reads | (self.valid & ~self.ready)),
            tail.eq(tail + test.found),
            head.eq(head + reads),
            waiting.eq(waiting + test.found - reads),
        ]
        return waiting
