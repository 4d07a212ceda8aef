"""Verilog from components, with modules that occur many times written once.

Amaranth writes a submodule out every time it occurs. Here a component that asks for it becomes an instance
of a module that is emitted once; Amaranth's own simulator, which cannot run an instance, gets the real submodule.
"""

import re
from collections.abc import Mapping
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring

from gossamer_models.collection import collection_paused

__all__ = ["VerilogTarget", "add_shared", "emit_verilog", "tidied"]

# The writer declares values of no width, which nothing uses; Verilog would give them two bits.
_NO_WIDTH = re.compile(r"^  wire \[-1:0\] \S+ ?;\n", re.MULTILINE)
_CLEARING = re.compile(r"^  initial begin\n(?:    \S+ ?\[\d+\] = \d+'h0+;\n)+  end\n", re.MULTILINE)


class VerilogTarget:
    """Platform that collects the modules to be emitted once.

    Members
    -------
    modules
        Component to emit by module name; the first of each name stands for all.
    texts
        Verilog of modules that are not made from components, by name.
    clear
        What resets the instances beside their domain's reset: a ``ResetInserter`` around them does not reach them. Only
        for those of the top's own text.
    """

    def __init__(self) -> None:
        self.modules: dict[str, wiring.Component] = {}
        self.texts: dict[str, str] = {}
        self.clear: Value | None = None

    def instance(self, component: wiring.Component, module: str) -> Instance:
        """Return an instance of `module` wired to the members of `component`."""
        self.modules.setdefault(module, component)
        # Only the first of a name is elaborated; of the others Amaranth would say that they were forgotten.
        component._MustUse__used = True
        ports = {
            f"{'i' if member.flow is wiring.In else 'o'}_{'__'.join(map(str, path))}": value
            for path, member, value in component.signature.flatten(component)
        }
        reset: Value = ResetSignal() if self.clear is None else ResetSignal() | self.clear
        return Instance(module, i_clk=ClockSignal(), i_rst=reset, **ports)


def add_shared(m: Module, platform: Any, component: wiring.Component, *, name: str, module: str) -> None:
    """Add `component` to `m`, as an instance of `module` where `platform` is a :class:`VerilogTarget`.

    All components given the same `module` must be built with the same parameters, and use clock and reset.
    """
    m.submodules[name] = platform.instance(component, module) if isinstance(platform, VerilogTarget) else component


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
            texts.append(_convert(target.modules[module], module, target))
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


def _convert(component: wiring.Component, name: str, target: VerilogTarget) -> str:
    return verilog.convert(component, name=name, platform=target, emit_src=False, strip_internal_attrs=True)
