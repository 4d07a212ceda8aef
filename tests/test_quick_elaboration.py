"""Quicker elaboration: values have the shapes and signals the keys that they had, and transformations miss nothing."""

from abc import ABCMeta
from typing import Any

import pytest
from amaranth.hdl import (
    Array,
    Cat,
    ClockSignal,
    Const,
    DomainRenamer,
    Elaboratable,
    Fragment,
    Module,
    Mux,
    ResetSignal,
    Shape,
    Signal,
    Value,
    signed,
)
from amaranth.hdl._ast import SignalDict, SignalKey, SignalSet
from amaranth.hdl._nir import Net
from amaranth.hdl._nir import Value as Nets
from amaranth.hdl._xfrm import ValueTransformer
from amaranth.sim import Simulator

from tests.quick_elaboration import values_kept

A, B, S = Signal(5, name="a"), Signal(3, name="b"), Signal(signed(4), name="s")
COUNT = Signal(2, name="count")
VALUES: list[Value] = [
    A, S, Const(5, 3), Const(-1, signed(4)), A + S, A - B, -A, ~S, A * S, A // B, A % B, A << B, A >> B, A == B, A & S,
    A.any(), S.as_unsigned(), A.as_signed(), A[1:4], S[-2:], A.bit_select(B, 2), A.word_select(COUNT, 2), Cat(A, S, 1),
    Mux(A[0], S, B), Mux(B, A + S, Const(0)), Value.cast(Array([A, B, S])[COUNT]), Cat(), A[2:2],
]  # fmt: skip


def plain(value: Value) -> Shape:
    """Shape by what Amaranth itself has."""
    shape: Any = type(value).shape
    found = shape.__wrapped__(value)
    assert isinstance(found, Shape)
    return found


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_keeps_its_shape(value: Value) -> None:
    first = value.shape()
    assert value.shape() is first
    assert (first.width, first.signed) == (plain(value).width, plain(value).signed)
    assert len(value) == first.width


class Renamed(ValueTransformer):
    """Puts another signal for A."""

    def __init__(self, other: Signal) -> None:
        self.other = other

    def on_Signal(self, value: Signal) -> Signal:  # noqa: N802
        return self.other if value is A else value


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_only_what_changes_is_built_again(value: Value) -> None:
    """In the same form, also where the other signal is a wider one."""
    other = Signal(9, name="other")
    with values_kept():
        assert ValueTransformer()(value) is value
        found = Renamed(other)(value)
    has_a = A in value._rhs_signals()
    assert (found is not value) == has_a
    assert repr(found) == repr(value).replace("(sig a)", "(sig other)")
    assert (other in found._rhs_signals()) == has_a
    assert found.shape().width == plain(found).width


def test_only_simulators_keep_values() -> None:
    """Of Verilog the text would be another one, in which equal parts are shared."""
    changed = A[1:]
    assert ValueTransformer()(changed) is not changed
    seen: list[bool] = []

    class Watched(Elaboratable):
        def elaborate(self, platform: Any) -> Module:
            seen.append(ValueTransformer()(changed) is changed)
            return Module()

    Simulator(Watched())
    assert seen == [True]
    assert ValueTransformer()(changed) is not changed


def test_clocks_of_another_domain() -> None:
    module, stopped = Module(), Signal()
    module.d.sync += stopped.eq(Cat(ResetSignal(), A).any() & ~ClockSignal("sync"))
    with values_kept():
        fragment = DomainRenamer("other")(Fragment.get(module, None))
    assert list(fragment.statements) == ["other"]
    text = repr(fragment.statements["other"])
    assert "(rst other)" in text
    assert "(clk other)" in text
    assert "sync" not in text


def test_signals_are_found_by_keys_of_any_kind() -> None:
    held: Any = SignalDict([(A, 1), (ClockSignal("sync"), 2)])
    assert (held[A], held[ClockSignal("sync")]) == (1, 2)
    assert B not in held
    assert ClockSignal("other") not in held
    assert list(SignalSet([B, A, B])) == [B, A]
    assert held._map_key(A) is held._map_key(A)
    assert held._map_key(A) == SignalKey(A)
    assert hash(held._map_key(A)) == hash(SignalKey(A))
    with pytest.raises(TypeError, match="is not an Amaranth signal"):
        held._map_key(A + 1)


def test_values_of_a_netlist_are_what_they_were() -> None:
    nets = [Net.from_cell(3, bit) for bit in range(4)]
    whole = Nets(net for net in nets)
    for value, expected in ((whole, nets), (whole[1:3], nets[1:3]), (Nets(nets[2]), nets[2:3]), (Nets(), [])):
        assert type(value) is Nets
        assert list(value) == expected
    assert whole[2] is nets[2]
    assert whole[-1] is nets[3]


def test_classes_of_values_are_what_they_were() -> None:
    things: list[Any] = [*VALUES, ClockSignal(), 1, "a", None, Shape(1), Array([A]), Array([A, B])[COUNT], Module()]
    classes: list[Any] = [Value, Signal, Const, *{type(value) for value in VALUES}]
    for kind in classes:
        for thing in things:
            assert isinstance(thing, kind) == ABCMeta.__instancecheck__(kind, thing)
