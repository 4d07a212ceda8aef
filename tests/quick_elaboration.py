"""Makes Amaranth's elaboration faster, which is most of a short test's time; what it builds stays the same.

- A value keeps its shape and a signal its key, instead of working them out anew from all that a value consists of.
- For a simulator, values that a transformation leaves as they are, as those without a clock or reset of their own, are
  not built again. Verilog writes such values once each, and would be another text.
- Whether something is a value is asked of its class alone: nothing is registered as a value without being one.
- Of a netlist's values it is not asked net by net whether each is one.
"""

from abc import ABCMeta
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

from amaranth.hdl import _ast, _nir, _xfrm
from amaranth.sim import Simulator

__all__ = ["make_quick", "values_kept"]

_SHAPED: Final = (_ast.Const, _ast.Signal, _ast.Operator, _ast.Slice, _ast.Part, _ast.Concat, _ast.SwitchValue)


class _ValueMeta(ABCMeta):
    """Metaclass of values; as that of all abstract classes, but for the registered ones."""


def _kept(shape: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @wraps(shape)
    def keep(self: Any) -> Any:
        try:
            return self._kept_shape
        except AttributeError:
            self._kept_shape = found = shape(self)
            return found

    return keep


def _key(signal: Any) -> Any:
    """Return the key of a signal; that of a clock or reset is as short-lived as these are."""
    if type(signal) is not _ast.Signal:
        return _ast.SignalKey(signal)
    try:
        return signal._kept_key
    except AttributeError:
        signal._kept_key = key = _ast.SignalKey(signal)
        return key


def _same(before: Any, after: Any) -> bool:
    return all(old is new for old, new in zip(before, after, strict=True))


class _Transformer:
    """Methods of ``ValueTransformer``; where no part is another one, neither is the whole."""

    def on_Operator(self: Any, value: Any) -> Any:  # noqa: N802
        operands = [self.on_value(operand) for operand in value.operands]
        return value if _same(value.operands, operands) else _ast.Operator(value.operator, operands)

    def on_Slice(self: Any, value: Any) -> Any:  # noqa: N802
        inner = self.on_value(value.value)
        return value if inner is value.value else _ast.Slice(inner, value.start, value.stop)

    def on_Part(self: Any, value: Any) -> Any:  # noqa: N802
        inner, offset = self.on_value(value.value), self.on_value(value.offset)
        if inner is value.value and offset is value.offset:
            return value
        return _ast.Part(inner, offset, value.width, value.stride)

    def on_Concat(self: Any, value: Any) -> Any:  # noqa: N802
        parts = [self.on_value(part) for part in value.parts]
        return value if _same(value.parts, parts) else _ast.Concat(parts)

    def on_SwitchValue(self: Any, value: Any) -> Any:  # noqa: N802
        test = self.on_value(value.test)
        chosen = [self.on_value(choice) for _, choice in value.cases]
        if test is value.test and _same([choice for _, choice in value.cases], chosen):
            return value
        patterns = [pattern for pattern, _ in value.cases]
        return _ast.SwitchValue(test, list(zip(patterns, chosen, strict=True)))


_PARTWISE: Final = {name: method for name, method in vars(_Transformer).items() if name.startswith("on_")}


@contextmanager
def values_kept() -> Iterator[None]:
    """Let transformations keep what they need not change."""
    transformer: Any = _xfrm.ValueTransformer
    before = {name: getattr(transformer, name) for name in _PARTWISE}
    for name, method in _PARTWISE.items():
        setattr(transformer, name, method)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(transformer, name, method)


def _nets(cls: type, nets: Any = ()) -> Any:
    """Return a netlist's value."""
    return tuple.__new__(cls, (nets,) if isinstance(nets, _nir.Net) else nets)


def _part(self: Any, index: Any) -> Any:
    """Return nets of a netlist's value as another one, or one net."""
    found = tuple.__getitem__(self, index)
    return tuple.__new__(type(self), found) if isinstance(index, slice) else found


def make_quick() -> None:
    """Let all elaborations of this Python process be quick."""
    shaped: Any
    for shaped in _SHAPED:
        shaped.shape = _kept(shaped.shape)
    _ast.SignalDict._map_key = staticmethod(_key)
    _ast.SignalSet._map_key = staticmethod(_key)
    netlist: Any = _nir.Value
    netlist.__new__, netlist.__getitem__ = _nets, _part
    simulator: Any = Simulator
    simulator.__init__ = values_kept()(simulator.__init__)
    value: Any = _ast.Value
    value.__class__ = _ValueMeta
    meta: Any
    for meta in (_ValueMeta, _ast._ConstMeta, _ast._SignalMeta):
        meta.__instancecheck__ = type.__instancecheck__
