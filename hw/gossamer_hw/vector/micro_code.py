"""Microinstructions of the vector engine's small processor, and its programs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from amaranth.lib import data

from gossamer_models.isa.instructions import VectorOp
from gossamer_models.numerics.special import EXP_MIN, STEP_HIGH, STEP_LOW, STEPS_PER_UNIT

__all__ = [
    "CONSTANTS", "ENTRIES", "PROGRAM", "REGISTERS", "SCALARS", "Base", "Micro", "Next", "Operation", "micro_layout",
]  # fmt: skip

REGISTERS = 16


class Operation(IntEnum):
    """What a microinstruction does with its operands a and b; results go to its register d.

    Those that start and take a quotient must be four microinstructions apart.
    """

    NONE = 0  # nothing
    MOVE = 1  # b
    MOVE_CHOSEN = 2  # b, only where the last CHOOSE found a = b
    ADD = 3  # a + b
    MULTIPLY = 4  # a b
    MAXIMUM = 5  # the larger; NaN if one is
    RECTIFY = 6  # a > 0 or NaN ? a : +0
    CHOOSE = 7  # a = b ? -1 : -0
    SIGNIFICAND = 8  # m in [1, 4) with |a| = m 4**n; 1 for zero, infinity and NaN
    HEAD = 9  # first 6 bits of that
    ROOT_TABLE = 10  # table's value for 1 / sqrt(m)
    EXP_HIGH = 11  # table's value for step a
    EXP_LOW = 12  # table's value for step a
    SCALE_EXP = 13  # a 2**(step b div 32)
    SCALE_ROOT = 14  # a / 2**n of b; what 1 / sqrt is for zero, infinity, NaN and below zero
    DIVIDE = 15  # start a / b, 0 <= a, 1 <= b
    QUOTIENT = 16  # take it
    LOAD_PARAMETER = 17  # word of PRM
    LOAD_HALF = 18  # fp16 of VIN, the thread's row of the class
    LOAD_SINGLE = 19  # fp32 of VIN, of the thread
    STORE_PARAMETER = 20  # a to PRM
    STORE_FOUND = 21  # a to PRM; sets the flag if it is not finite
    STORE_HALF = 22  # fp16(a) to VOUT, the thread's row of the class; +0 if sample or class is not real
    STORE_SINGLE = 23  # a to VOUT, of the thread; +0 if the sample is not real


class Next(IntEnum):
    """Where the program goes on. A loop's body begins at the microinstruction's `target`.

    Classes are counted from 0. CLASS and PADDED leave the count at 0, and so does REAL if no class is padded; CHUNK
    leaves it alone.
    """

    FORWARD = 0  # the next microinstruction
    CLASS = 1  # next class up to `size`
    CHUNK = 2  # next class up to the end of its chunk of 4096 or `size`
    REAL = 3  # next class up to `size`; then the next microinstruction with the first padded class, or the one after
    PADDED = 4  # next class up to `channels`
    BLOCK = 5  # next eight channels or samples, or the end


class Base(IntEnum):
    """Field of the instruction that a parameter's address counts from."""

    SOURCE0 = 0
    SOURCE1 = 1
    PARAMETER = 2


SCALARS = ("scalar0", "scalar1", "scalar2", "scalar3")

CONSTANTS: dict[str, float] = {
    "zero": 0.0,
    "one": 1.0,
    "half": 0.5,
    "three_eighths": 3 / 8,
    "five_sixteenths": 5 / 16,
    "sixth": 1 / 6,
    "exp_min": float(EXP_MIN),
    "steps_per_unit": float(STEPS_PER_UNIT),
    "step_high": float(STEP_HIGH),
    "step_low": float(STEP_LOW),
    # Added to a small number it leaves the nearest integer in the mantissa.
    "integer": 1.5 * 2.0**23,
    "infinity": float(np.inf),
    **dict.fromkeys(SCALARS, 0.0),
}
"""Constants by name; the last ones are the instruction's."""

_CONSTANT_NUMBERS = {name: number for number, name in enumerate(CONSTANTS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Micro:
    """One microinstruction. A minus before an operand's name negates it; b may be a constant's name.

    Members
    -------
    operation, d, a, b : see :class:`Operation`; registers by name.
    base, part : vector of parameters, for loads and stores of PRM.
    following, target : see :class:`Next`.
    """

    operation: Operation
    d: str = ""
    a: str = ""
    b: str = ""
    base: Base = Base.PARAMETER
    part: int = 0
    following: Next = Next.FORWARD
    target: int = 0

    def encode(self, registers: dict[str, int]) -> dict[str, object]:
        """Return the fields in :func:`micro_layout`, numbering registers as they appear."""

        def number(name: str) -> int:
            return registers.setdefault(name, len(registers)) if name else 0

        a, b = self.a.removeprefix("-"), self.b.removeprefix("-")
        constant = b in _CONSTANT_NUMBERS
        return {
            "operation": self.operation, "writes": bool(self.d), "d": number(self.d), "a": number(a),
            "b": _CONSTANT_NUMBERS[b] if constant else number(b), "constant": constant,
            "minus_a": self.a.startswith("-"), "minus_b": self.b.startswith("-"), "base": self.base,
            "part": self.part, "following": self.following, "target": self.target,
        }  # fmt: skip


def micro_layout() -> data.StructLayout:
    """Layout of a microinstruction; `a`, `b` and `d` are numbers of registers, `b` that of a constant if so."""
    return data.StructLayout(
        {
            "operation": Operation, "writes": 1, "d": 4, "a": 4, "b": 4, "constant": 1, "minus_a": 1, "minus_b": 1,
            "base": Base, "part": 3, "following": Next, "target": 8,
        }
    )  # fmt: skip


def _micro(operation: Operation) -> Callable[..., Micro]:
    """Return a short form: destination, a, b."""

    def build(d: str = "", a: str = "", b: str = "") -> Micro:
        return Micro(operation=operation, d=d, a=a, b=b)

    return build


_O = Operation
_add, _multiply = _micro(_O.ADD), _micro(_O.MULTIPLY)


def _load(d: str, base: Base, part: int) -> Micro:
    return Micro(operation=_O.LOAD_PARAMETER, d=d, base=base, part=part)


def _store(a: str, part: int, *, found: bool = False) -> Micro:
    return Micro(operation=_O.STORE_FOUND if found else _O.STORE_PARAMETER, a=a, part=part)


def _loop(micro: Micro, following: Next, target: int) -> Micro:
    return replace(micro, following=following, target=target)


def _reciprocal_root(d: str, x: str) -> list[Micro]:
    """Reciprocal root of x, operation for operation as :func:`gossamer_models.numerics.special.rsqrt`."""
    return [
        _micro(_O.SIGNIFICAND)("m", x),
        _micro(_O.HEAD)("h", x),
        _micro(_O.ROOT_TABLE)("t", x),
        _add("m", "m", "-h"),
        _multiply("w", "t", "t"),
        _multiply("h", "h", "w"),
        _add("h", "-h", "one"),
        _multiply("m", "m", "w"),
        _add("e", "h", "-m"),
        _multiply("w", "e", "five_sixteenths"),
        _add("w", "w", "three_eighths"),
        _multiply("w", "e", "w"),
        _add("w", "w", "half"),
        _multiply("w", "e", "w"),
        _multiply("w", "t", "w"),
        _add("w", "t", "w"),
        _micro(_O.SCALE_ROOT)(d, "w", x),
    ]


def _exponential(d: str, x: str) -> list[Micro]:
    """Power x <= 0 of e, operation for operation as :func:`gossamer_models.numerics.special.exp`."""
    return [
        _micro(_O.MAXIMUM)("r", x, "exp_min"),
        _multiply("k", "r", "steps_per_unit"),
        _add("k", "k", "integer"),
        _add("n", "k", "-integer"),
        _multiply("p", "n", "step_high"),
        _add("r", "r", "-p"),
        _multiply("p", "n", "step_low"),
        _add("r", "r", "-p"),
        _multiply("p", "r", "sixth"),
        _add("p", "p", "half"),
        _multiply("n", "r", "r"),
        _multiply("p", "n", "p"),
        _add("p", "p", "r"),
        _micro(_O.EXP_HIGH)("n", "k"),
        _multiply("p", "n", "p"),
        _micro(_O.EXP_LOW)("r", "k"),
        _add("p", "r", "p"),
        _add("p", "n", "p"),
        _micro(_O.SCALE_EXP)(d, "p", "k"),
    ]


def _norm_forward() -> list[Micro]:
    """Factors of eight channels at a time, one per thread."""
    return [
        _load("total", Base.SOURCE0, 0),
        _load("squares", Base.SOURCE0, 1),
        _load("gamma", Base.SOURCE1, 0),
        _load("beta", Base.SOURCE1, 1),
        _multiply("mean", "total", "scalar0"),
        _multiply("w", "squares", "scalar0"),
        _multiply("h", "mean", "mean"),
        _add("w", "w", "-h"),
        _micro(_O.RECTIFY)("w", "w"),
        _add("total", "w", "scalar1"),
        *_reciprocal_root("rstd", "total"),
        _multiply("gamma", "gamma", "rstd"),
        _multiply("h", "mean", "gamma"),
        _add("beta", "beta", "-h"),
        _store("gamma", 0),
        _store("beta", 1),
        _store("mean", 2),
        _loop(_store("rstd", 3), Next.BLOCK, 0),
    ]


def _norm_backward() -> list[Micro]:
    """Gradients and factors of eight channels at a time, one per thread."""
    return [
        _load("total", Base.SOURCE0, 0),
        _load("product", Base.SOURCE0, 1),
        _load("gamma", Base.SOURCE1, 0),
        _load("mean", Base.SOURCE1, 2),
        _load("rstd", Base.SOURCE1, 3),
        _multiply("h", "mean", "total"),
        _add("h", "product", "-h"),
        _multiply("product", "h", "rstd"),
        _multiply("h", "gamma", "rstd"),
        _multiply("h", "h", "product"),
        _multiply("h", "-h", "scalar0"),
        _multiply("w", "gamma", "total"),
        _multiply("w", "w", "scalar0"),
        _multiply("t", "h", "mean"),
        _add("w", "-w", "-t"),
        _store("gamma", 0),
        _store("h", 1),
        _store("w", 2),
        _store("product", 3, found=True),
        _loop(_store("total", 4, found=True), Next.BLOCK, 0),
    ]


def _softmax() -> list[Micro]:
    """Eight samples at a time, one per thread: largest logit, sum of exponentials, then class by class again."""
    load, move = _micro(_O.LOAD_HALF)("x"), _micro(_O.MOVE)
    shifted = [load, _add("x", "x", "-largest"), *_exponential("e", "x")]
    code = [move("largest", b="-infinity")]
    code += [load, _loop(_micro(_O.MAXIMUM)("largest", "largest", "x"), Next.CLASS, len(code))]
    code += [move("sum", b="zero"), move("chunk", b="zero")]
    exponentials = len(code)
    code += [*shifted, _loop(_add("chunk", "chunk", "e"), Next.CHUNK, exponentials)]
    code += [_add("sum", "chunk", "sum"), _loop(move("chunk", b="zero"), Next.CLASS, exponentials)]
    code += [_micro(_O.LOAD_SINGLE)("label"), move("class", b="zero"), move("chosen", b="zero")]
    gradients = len(code)
    code += [
        *shifted,
        _micro(_O.DIVIDE)("", "e", "sum"),
        _micro(_O.CHOOSE)("onehot", "label", "class"),
        _add("class", "class", "one"),
        _micro(_O.NONE)(),
        _micro(_O.QUOTIENT)("q"),
        _micro(_O.MOVE_CHOSEN)("chosen", b="q"),
        _add("q", "q", "onehot"),
        _multiply("q", "q", "scalar0"),
        _loop(_micro(_O.STORE_HALF)("", "q"), Next.REAL, gradients),
    ]
    code += [_loop(_micro(_O.STORE_HALF)("", "q"), Next.PADDED, len(code))]
    return [*code, _loop(_micro(_O.STORE_SINGLE)("", "chosen"), Next.BLOCK, 0)]


def _loss_scale() -> list[Micro]:
    """Eight copies of a loss scale's state; scalar0 .. scalar3 are the factor, the steps due, 1 / factor, the bound."""
    move, choose, chosen = _micro(_O.MOVE), _micro(_O.CHOOSE), _micro(_O.MOVE_CHOSEN)
    largest = _micro(_O.MAXIMUM)
    return [
        _load("scale", Base.PARAMETER, 0),
        _load("by_batch", Base.PARAMETER, 1),
        _load("inverse", Base.PARAMETER, 2),
        _load("good", Base.PARAMETER, 3),
        _add("good", "good", "one"),
        largest("w", "good", "scalar1"),
        move("f", b="one"),
        move("over_f", b="one"),
        choose("", "w", "good"),
        chosen("f", b="scalar0"),
        chosen("over_f", b="scalar2"),
        chosen("good", b="zero"),
        _multiply("s", "scale", "f"),
        _multiply("r", "inverse", "over_f"),
        _multiply("a", "by_batch", "f"),
        largest("w", "s", "r"),
        largest("w", "w", "scalar3"),
        choose("", "w", "scalar3"),
        chosen("scale", b="s"),
        chosen("by_batch", b="a"),
        chosen("inverse", b="r"),
        _store("scale", 0),
        _store("by_batch", 1),
        _store("inverse", 2),
        _loop(_store("good", 3), Next.BLOCK, 0),
    ]


_PROGRAMS: dict[VectorOp, list[Micro]] = {
    VectorOp.NORM_FORWARD: _norm_forward(),
    VectorOp.NORM_BACKWARD: _norm_backward(),
    VectorOp.SOFTMAX_CROSS_ENTROPY: _softmax(),
    VectorOp.LOSS_SCALE: _loss_scale(),
}


def _link() -> tuple[dict[VectorOp, int], list[dict[str, object]]]:
    """Put the programs one behind the other; each numbers its registers for itself."""
    entries: dict[VectorOp, int] = {}
    words: list[dict[str, object]] = []
    for op, code in _PROGRAMS.items():
        entries[op] = len(words)
        registers: dict[str, int] = {}
        placed = [replace(micro, target=micro.target + entries[op]) for micro in code]
        words += [micro.encode(registers) for micro in placed]
    return entries, words


ENTRIES, PROGRAM = _link()
