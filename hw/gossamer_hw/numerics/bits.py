"""Combinational building blocks of floating-point arithmetic."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["delayed", "delayed_flags", "leading_zeros", "register", "shift_right_sticky"]


def register(m: Module, value: Any, *, when: bool, name: str) -> Any:
    """Return ``value`` behind a register without reset, or as it is where ``when`` is false."""
    if not when:
        return value
    registered = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += registered.eq(value)
    return registered


def delayed(m: Module, value: Any, cycles: int, *, name: str) -> Any:
    """Return ``value`` as it was ``cycles`` ago, by registers without reset: shift registers where an FPGA has them."""
    for n in range(cycles):
        value = register(m, value, when=True, name=f"{name}_{n}")
    return value


def delayed_flags(m: Module, flags: Any, cycles: int, *, name: str) -> Any:
    """Return bits as they were ``cycles`` ago, by registers that a reset clears."""
    for n in range(cycles):
        late = Signal(len(flags), name=f"{name}_{n}")
        m.d.sync += late.eq(flags)
        flags = late
    return flags


def leading_zeros(m: Module, value: Value) -> tuple[Value, Value]:
    """Count the zeros above the highest one of ``value`` by a binary tree.

    Parameters
    ----------
    m
        Module that receives the tree's nodes.
    value
        Unsigned, any width of at least 2.

    Returns
    -------
    zero
        1 bit: no bit of ``value`` is set.
    count
        Number of leading zeros; meaningless when ``zero`` is set.
    """
    width = 1 << (len(value) - 1).bit_length()
    padded = Cat(Const(0, width - len(value)), value) if width > len(value) else value
    nodes: list[tuple[Value, Value]] = [(~padded[i], Const(0, 0)) for i in range(width)]
    while len(nodes) > 1:
        merged = []
        for (low_zero, low_count), (high_zero, high_count) in zip(nodes[0::2], nodes[1::2], strict=True):
            zero = Signal(name="lzc_zero")
            count = Signal(len(low_count) + 1, name="lzc_count")
            m.d.comb += [
                zero.eq(low_zero & high_zero),
                count.eq(Cat(Mux(high_zero, low_count, high_count), high_zero)),
            ]
            merged.append((zero, count))
        nodes = merged
    return nodes[0]


def shift_right_sticky(m: Module, value: Value, amount: Value, levels: slice = slice(None)) -> Value:
    """Shift right by the bits ``levels`` of ``amount`` and keep whether a one was lost in the lowest bit.

    One level of two-way choices per bit of ``amount``, the highest first.
    """
    for level in reversed(range(len(amount))[levels]):
        step = 1 << level
        lost = value[: step + 1].any()
        shifted = Signal(len(value), name=f"aligned_{step}")
        m.d.comb += shifted.eq(Mux(amount[level], Cat(lost, value[step + 1 :]), value))
        value = shifted
    return value
