"""What a pooling instruction comes to: numbers of pixels, steps and bounds, found before the first element."""

from dataclasses import dataclass
from typing import Any, Self

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.layouts import operand_layout
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Vector
from gossamer_models.registers import Fault
from gossamer_models.timing.vector_pool import pool_elements

__all__ = ["PoolPlan", "PoolShape", "plan_layout", "walk_layout"]

_BLOCK = 64
_ROW_BITS = 3
_HALF_BYTES = 2
_LINE_WORD_BYTES = 4
_DIVIDEND_BITS = 17
_FIELD_BITS = 16
_SMALL_BITS = 8


@dataclass(frozen=True, slots=True)
class PoolShape:
    """Sizes of a pooling unit. A *part* is the P elements of one pixel that it takes at a time.

    Members
    -------
    elements : P.
    parts_per_line : parts in a line of VIN or VOUT.
    pixels : most pixels of a map: a pixel has at least 64 elements.
    vin_parts, vout_parts : parts in a half of a buffer.
    """

    elements: int
    parts_per_line: int
    pixels: int
    vin_parts: int
    vout_parts: int

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """Sizes for an architecture."""
        lanes, buffers = architecture.vector.lanes, architecture.buffers
        elements = pool_elements(lanes)
        vin, vout = buffers.vector_in_bytes, buffers.vector_out_bytes
        return cls(
            elements=elements,
            parts_per_line=_LINE_WORD_BYTES * lanes // (_HALF_BYTES * elements),
            pixels=max(vin, vout) // (_HALF_BYTES * _BLOCK),
            vin_parts=vin // (_HALF_BYTES * elements),
            vout_parts=vout // (_HALF_BYTES * elements),
        )

    @property
    def pixel_bits(self) -> int:
        """Width of the number of a pixel."""
        return max((self.pixels - 1).bit_length(), 1)

    @property
    def part_bits(self) -> int:
        """Width of a number of parts, from 0 to all."""
        return max(self.vin_parts, self.vout_parts).bit_length()

    @property
    def coordinate_bits(self) -> int:
        """Width of a signed coordinate, padding and window included."""
        return max(self.pixel_bits, _SMALL_BITS) + 3


def walk_layout(shape: PoolShape) -> data.StructLayout:
    """Layout of how results are walked through, and for each of them the places that it is made from.

    Forward a result is a window and its places are pixels of the map; backward a result is a pixel of the map and its
    places are windows. A place counts if its coordinates lie in the bounds and `phase` + `reach` is below the window's
    size; forward the latter are 0.

    Members
    -------
    last_y, last_x : results down and across, less one.
    last_place_y, last_place_x : places per result, less one.
    size_y, size_x : bounds of places' coordinates, from 0 on.
    row : places from one row to the next.
    first : number of the first result's first place, modulo the pixels.
    y, x : its coordinates.
    phase : the first result's phase.
    period : results from one step of the coordinates to the next.
    step, step_row : size of that step, and places that it takes downwards.
    reach_y, reach_x : reach of the first place.
    fall : what reach loses per place.
    window_y, window_x : size of a window.
    """
    coordinate, pixel = signed(shape.coordinate_bits), unsigned(shape.pixel_bits)
    extent = unsigned(shape.coordinate_bits - 1)
    return data.StructLayout(
        {
            "last_y": extent, "last_x": extent, "last_place_y": 8, "last_place_x": 8,
            "size_y": extent, "size_x": extent,
            "row": pixel, "first": pixel, "y": coordinate, "x": coordinate, "phase": 8, "period": 8,
            "step": 8, "step_row": pixel, "reach_y": 8, "reach_x": 8, "fall": 8,
            "window_y": 8, "window_x": 8,
        }
    )  # fmt: skip


def plan_layout(shape: PoolShape) -> data.StructLayout:
    """Layout of a plan.

    Members
    -------
    forward, backward : walks through the windows and through the pixels.
    parts : of a pixel.
    map_parts, window_parts : of one slab of the map, and of the pooled one.
    fault : why there is no plan, or 0.
    """
    return data.StructLayout(
        {
            "forward": walk_layout(shape),
            "backward": walk_layout(shape),
            "parts": shape.part_bits,
            "map_parts": shape.part_bits,
            "window_parts": shape.part_bits,
            "fault": 4,
        }
    )


class PoolPlan(wiring.Component):
    """Finds quotients by restoring division, five side by side, and then products, one per cycle.

    Parameters
    ----------
    shape
        Sizes of the unit.

    Members
    -------
    start : begin.
    command : constant while at work.
    plan : valid from :attr:`latency` cycles after ``start`` on.
    """

    def __init__(self, shape: PoolShape) -> None:
        self._shape = shape
        super().__init__({"start": In(1), "command": In(operand_layout(Vector)), "plan": Out(plan_layout(shape))})

    @property
    def latency(self) -> int:
        """Cycles from the start to the plan."""
        return _DIVIDEND_BITS + _PRODUCTS + 5

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count the cycles and place divisions and products in them."""
        m = Module()
        step = Signal(range(self.latency + 1))
        with m.If(self.start):
            m.d.sync += step.eq(1)
        with m.Elif(step == self.latency):
            m.d.sync += step.eq(0)
        with m.Elif(step != 0):
            m.d.sync += step.eq(step + 1)
        self._divide(m)
        self._multiply(m, step)
        # Assigned as a whole: a constant part assigned alone becomes a Verilog process that nothing ever triggers.
        m.d.comb += self.plan.eq(Cat(*self._walks(m), self._judge(m)))
        return m

    def _divide(self, m: Module) -> None:
        """Pooled rows and columns, windows over an element, and the place of the first element in its windows."""
        v = self.command
        dividends = {
            "rows": v.height + 2 * v.padding - v.kernel,
            "columns": v.width + 2 * v.padding - v.kernel_x,
            "kernel": v.kernel - 1,
            "kernel_x": v.kernel_x - 1,
            "padding": v.padding,
        }
        self._quotient: dict[str, Signal] = {}
        self._rest: dict[str, Signal] = {}
        for name, dividend in dividends.items():
            quotient = Signal(_DIVIDEND_BITS, name=f"{name}_quotient")
            rest = Signal(_SMALL_BITS + 1, name=f"{name}_rest")
            running = Signal(range(_DIVIDEND_BITS + 1), name=f"{name}_running")
            shifted = Cat(quotient[-1], rest[:_SMALL_BITS])
            fits = shifted >= v.stride
            with m.If(self.start):
                m.d.sync += [quotient.eq(dividend), rest.eq(0), running.eq(_DIVIDEND_BITS)]
            with m.Elif(running != 0):
                m.d.sync += [
                    quotient.eq(Cat(fits, quotient[:-1])),
                    rest.eq(Mux(fits, shifted - v.stride, shifted)),
                    running.eq(running - 1),
                ]
            self._quotient[name], self._rest[name] = quotient, rest

    def _multiply(self, m: Module, step: Value) -> None:
        """One product after the other: operands, product and place each take a cycle."""
        v, shape, q = self.command, self._shape, self._quotient
        wide = max(shape.part_bits + 1, _DIVIDEND_BITS + 1)
        self._rows, self._columns = Signal(_DIVIDEND_BITS + 1), Signal(_DIVIDEND_BITS + 1)
        self._parts = Signal(wide)
        all_parts = v.channels << _ROW_BITS >> _log2(shape.elements)
        m.d.sync += [
            self._rows.eq(q["rows"] + 1),
            self._columns.eq(q["columns"] + 1),
            # More parts than a buffer has are as bad as any number of them.
            self._parts.eq(Mux(all_parts >> wide - 1, 1 << wide - 1, all_parts)),
        ]
        self._product = {name: Signal(2 * wide, name=name) for name in ("map", "windows", "map_parts", "window_parts")}
        narrow = ("padding_row", "step_row", "first_row")
        self._product |= {name: Signal(shape.pixel_bits, name=name) for name in narrow}
        first = Signal(signed(wide))
        m.d.sync += first.eq(q["padding"] - q["kernel"])
        factors = [
            ("map", v.height, v.width),
            ("windows", self._rows, self._columns),
            ("padding_row", v.padding, v.width),
            ("step_row", v.stride, v.width),
            ("first_row", first.as_unsigned(), self._columns),
            ("map_parts", self._product["map"][:wide], self._parts),
            ("window_parts", self._product["windows"][:wide], self._parts),
        ]
        a, b, product = Signal(wide), Signal(wide), Signal(2 * wide)
        number = Signal(range(len(factors) + 1))
        begin = _DIVIDEND_BITS + 3
        with m.If(step >= begin):
            m.d.sync += number.eq(number + 1)
        with m.If(self.start):
            m.d.sync += number.eq(0)
        m.d.comb += [a.eq(Array(f[1][:wide] for f in factors)[number]), b.eq(Array(f[2] for f in factors)[number])]
        m.d.sync += product.eq(a * b)
        for n, (name, _, _) in enumerate(factors):
            with m.If(step == begin + n + 1):
                m.d.sync += self._product[name].eq(product)

    def _walks(self, m: Module) -> list[Value]:
        """Put the walks together; return all fields of the plan but the last."""
        v, q, product = self.command, self._quotient, self._product
        fields = {
            "last_y": (q["rows"], v.height - 1), "last_x": (q["columns"], v.width - 1),
            "last_place_y": (v.kernel - 1, q["kernel"]), "last_place_x": (v.kernel_x - 1, q["kernel_x"]),
            "size_y": (v.height, self._rows), "size_x": (v.width, self._columns),
            "row": (v.width, self._columns),
            "first": (
                -(product["padding_row"] + v.padding), product["first_row"] + q["padding"] - q["kernel_x"]
            ),
            "y": (-v.padding, q["padding"] - q["kernel"]), "x": (-v.padding, q["padding"] - q["kernel_x"]),
            "phase": (Const(0), self._rest["padding"]), "period": (Const(1), v.stride),
            "step": (v.stride, Const(1)), "step_row": (product["step_row"], self._columns),
            "reach_y": (Const(0), v.kernel - 1 - self._rest["kernel"]),
            "reach_x": (Const(0), v.kernel_x - 1 - self._rest["kernel_x"]), "fall": (Const(0), v.stride),
            "window_y": (v.kernel, v.kernel), "window_x": (v.kernel_x, v.kernel_x),
        }  # fmt: skip
        found: list[Value] = []
        for side, direction in enumerate(("forward", "backward")):
            for name, field in walk_layout(self._shape):
                part = Signal(field.shape, name=f"{direction}_{name}")
                m.d.comb += part.eq(fields[name][side])
                found.append(part)
        for name, value in (("parts", self._parts), *((name, product[name]) for name in ("map_parts", "window_parts"))):
            part = Signal(self._shape.part_bits, name=f"all_{name}")
            m.d.comb += part.eq(value)
            found.append(part)
        return found

    def _judge(self, m: Module) -> Value:
        """Return a register for what is wrong with the instruction."""
        fault = Signal(4)
        v, shape, product = self.command, self._shape, self._product
        padded = [(v.height, v.kernel), (v.width, v.kernel_x)]
        illegal = Cat(
            v.stride == 0,
            *(size == 0 for size, _ in padded),
            *(v.padding >= kernel for _, kernel in padded),
            *(size + 2 * v.padding < kernel for size, kernel in padded),
            (v.samples != 0) & (v.sample_period == 0),
        )
        most = max(shape.vin_parts, shape.vout_parts)
        large = Cat(
            *(product[name] > shape.pixels for name in ("map", "windows")),
            *(product[name] > most for name in ("map_parts", "window_parts")),
            self._parts > most,
        )
        m.d.sync += fault.eq(Fault.NONE)
        with m.If(illegal.any()):
            m.d.sync += fault.eq(Fault.ILLEGAL)
        with m.Elif((v.channels[:3] != 0) | (v.channels == 0)):
            m.d.sync += fault.eq(Fault.ALIGNMENT)
        with m.Elif(large.any()):
            m.d.sync += fault.eq(Fault.BUFFER)
        return fault


_PRODUCTS = 7


def _log2(value: int) -> int:
    return value.bit_length() - 1
