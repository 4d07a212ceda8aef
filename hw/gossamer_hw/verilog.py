"""Verilog from components, with modules that occur many times written once.

Amaranth writes a submodule out every time it occurs. Here a component becomes an instance of a module that is emitted
once, where its parent (:func:`add_shared`) or its own class (:func:`written_once`) asks for it; Amaranth's own
simulator, which cannot run an instance, gets the real submodule.
"""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import (
    ClockSignal,
    Elaboratable,
    EnableInserter,
    Fragment,
    Instance,
    Module,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import wiring

from gossamer_models.collection import collection_paused

__all__ = ["Held", "VerilogTarget", "add_shared", "emit_verilog", "tidied", "written_once"]

# The writer declares values of no width, which nothing uses; Verilog would give them two bits.
_NO_WIDTH = re.compile(r"^  wire \[-1:0\] \S+ ?;\n", re.MULTILINE)
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_CLEARING = re.compile(r"^  initial begin\n(?:    \S+ ?\[\d+\] = \d+'h0+;\n)+  end\n", re.MULTILINE)

_Elaborate = Callable[[Any, Any], Elaboratable]


class VerilogTarget:
    """Platform that collects the modules to be emitted once.

    Members
    -------
    modules
        Component to emit by module name, and whether it is held; the first of each name stands for all.
    writes
        The component that is being emitted itself.
    texts
        Verilog of modules that are not made from components, by name.
    clear
        What resets the instances beside their domain's reset: a ``ResetInserter`` around them does not reach them. Only
        for those of the top's own text.
    enable
        Where the instances are held, what lets them go on.
    """

    def __init__(self) -> None:
        self.modules: dict[str, tuple[wiring.Component, bool]] = {}
        self.writes: wiring.Component | None = None
        self.texts: dict[str, str] = {}
        self.clear: Value | None = None
        self.enable: Value | None = None

    def instance(self, component: wiring.Component, module: str) -> Instance:
        """Return an instance of `module` wired to the members of `component`."""
        held = {} if self.enable is None else {"i_enable": self.enable}
        module += "_held" if held else ""
        self.modules.setdefault(module, (component, bool(held)))
        # Only the first of a name is elaborated; of the others Amaranth would say that they were forgotten.
        component._MustUse__used = True
        ports = {
            f"{'i' if member.flow is wiring.In else 'o'}_{'__'.join(map(str, path))}": value
            for path, member, value in component.signature.flatten(component)
        }
        reset: Value = ResetSignal() if self.clear is None else ResetSignal() | self.clear
        return Instance(module, i_clk=ClockSignal(), i_rst=reset, **held, **ports)


class Held(Elaboratable):
    """A part whose registers move where `enable` is set, also those of instances in it.

    A memory that Verilog has as an instance, :class:`~gossamer_hw.row_memory.RowMemory`, is held by its own enables.
    """

    def __init__(self, enable: Value, part: Elaboratable) -> None:
        self._enable = enable
        self._part = EnableInserter(enable)(part)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Insert the enable, and tell instances of it."""
        if not isinstance(platform, VerilogTarget):
            return self._part
        before = platform.enable
        platform.enable = self._enable if before is None else before & self._enable
        fragment = Fragment.get(self._part, platform)
        platform.enable = before
        return fragment


def add_shared(m: Module, platform: Any, component: wiring.Component, *, name: str, module: str) -> None:
    """Add `component` to `m`, as an instance of `module` where `platform` is a :class:`VerilogTarget`.

    All components given the same `module` must be built with the same parameters, and use clock and reset.
    """
    m.submodules[name] = platform.instance(component, module) if isinstance(platform, VerilogTarget) else component


def written_once(*parameters: str) -> Callable[[_Elaborate], _Elaborate]:
    """Decorate the ``elaborate`` of a class whose components of like parameters are written once, wherever they occur.

    They have a `latency`; one of 0 is written out, since it has no clock that could be wired.

    Parameters
    ----------
    parameters
        Attributes on which, with the class, all that ``elaborate`` makes depends; they name the module.
    """

    def decorate(elaborate: _Elaborate) -> _Elaborate:
        @wraps(elaborate)
        def wrapper(self: Any, platform: Any) -> Elaboratable:
            if not isinstance(platform, VerilogTarget) or platform.writes is self or not self.latency:
                return elaborate(self, platform)
            values = (str(int(getattr(self, name))) for name in parameters)
            own = _CAPITAL.sub("_", type(self).__name__).lower()
            return platform.instance(self, "_".join(["gossamer", own, *values]))

        return wrapper

    return decorate


def emit_verilog(component: wiring.Component, *, name: str, pragmas: Mapping[str, str] | None = None) -> str:
    """Return Verilog of `component` and of every shared module below it.

    Parameters
    ----------
    component
        Top of the design.
    name
        Its module name.
    pragmas
        Comment to place in the body of a module, by module name, such as ``verilator no_inline_module``.

    Raises
    ------
    ValueError
        A pragma names a module that the design does not have.
    """
    target = VerilogTarget()
    # A whole machine is millions of objects: looking for garbage among them would take nearly half of the time.
    with collection_paused():
        texts = [_convert(component, name, target)]
        target.clear = None
        emitted: set[str] = set()
        while pending := target.modules.keys() - emitted:
            module = min(pending)
            repeated, held = target.modules[module]
            texts.append(_convert(repeated, module, target, held=held))
            emitted.add(module)
    text = "\n".join([*texts, *target.texts.values()])
    for module, pragma in (pragmas or {}).items():
        text, count = re.subn(rf"^(module {re.escape(module)}\(.*?\);)$", rf"\1\n  /*{pragma}*/", text, flags=re.M)
        if count != 1:
            raise ValueError(f"`pragmas` must name modules of the design, not {module!r}")
    return text


def tidied(text: str) -> str:
    """Take out of emitted Verilog what only makes it longer: cleared memories, values of no width."""
    return _NO_WIDTH.sub("", _CLEARING.sub("", text))


def _convert(component: wiring.Component, name: str, target: VerilogTarget, *, held: bool = False) -> str:
    target.writes = component
    top: Elaboratable = component
    ports = None
    if held:
        enable = Signal()
        top = Held(enable, component)
        ports = [enable, *(Value.cast(value) for _, _, value in component.signature.flatten(component))]
    return verilog.convert(top, name=name, platform=target, ports=ports, emit_src=False, strip_internal_attrs=True)
