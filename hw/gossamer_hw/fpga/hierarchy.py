"""Modules of emitted Verilog: which there are, what they are made of, which of them are the same.

Amaranth writes a submodule out every time it occurs; synthesis need not do the same work every time.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Hierarchy", "VerilogModule", "escaped"]

_MODULE = re.compile(r"^module (\\\S+ |\w+)(.*?)^endmodule\n", re.MULTILINE | re.DOTALL)
# An instance: its module, its parameters if there are any, its name.
_INSTANCE = re.compile(r"^  (\\\S+|\w+) +(?:#\(\n((?:    \..*\n)*?)  \) )?(\\\S+ |\w+) ?\($", re.MULTILINE)
_PARAMETER = re.compile(r"\.(\w+)\(\d+'[ds](\d+)\)")
_NUMBERED = re.compile(r"\\\S*\$\d+\S*")
# A port for a value without a name is called by its place in the whole netlist.
_NAMELESS = re.compile(r"\\port\$\d+\$\d+(?= )")
_WHOLE_INSTANCE = re.compile(
    r"^  (\\\S+|\w+) +(?:#\(\n(?:    \..*\n)*?  \) )?(?:\\\S+ |\w+) ?\(\n(?:    \..*\n)*?  \);\n", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class VerilogModule:
    """One module.

    Members
    -------
    name : without the backslash of an escaped one.
    text : its source.
    instances : instances by module and their numerical parameters, sorted by name.
    children : module of each instance by the instance's name.
    """

    name: str
    text: str
    instances: Mapping[tuple[str, tuple[tuple[str, int], ...]], int] = field(default_factory=dict)
    children: Mapping[str, str] = field(default_factory=dict)


class Hierarchy:
    """The modules below a top, each text once.

    Two modules are the same if their texts are but for the numbers of the writer's own names, their ports have the same
    names, and their submodules are the same.

    Parameters
    ----------
    verilog
        Source text, one or more modules.

    Attributes
    ----------
    modules : by name, in order of the text; of modules that are the same only the first.

    Raises
    ------
    ValueError
        Two modules have one name.
    """

    def __init__(self, verilog: str) -> None:
        found = [_parsed(match) for match in _MODULE.finditer(_steady(verilog))]
        self._all = {module.name: module for module in found}
        if len(self._all) < len(found):
            raise ValueError("`verilog` must have modules of different names")
        self._same: dict[str, str] = {}
        self._known: dict[str, str] = {}
        for name in self._all:
            self._representative(name)
        self.modules = {name: self._renamed(module) for name, module in self._all.items() if self._same[name] == name}

    def below(self, top: str) -> tuple[VerilogModule, ...]:
        """Return module `top` and all that it is made of.

        Raises
        ------
        KeyError
            There is no such module.
        """
        pending, found = [self._same[top]], dict[str, VerilogModule]()
        while pending:
            name = pending.pop()
            if name not in found:
                found[name] = self.modules[name]
                pending += [child for child in found[name].children.values() if child in self.modules]
        return tuple(found.values())

    def instances(self, top: str) -> Counter[tuple[str, tuple[tuple[str, int], ...]]]:
        """Return how often each module occurs in all of `top`, by module and parameters; `top` itself once."""
        total: Counter[tuple[str, tuple[tuple[str, int], ...]]] = Counter({(self._same[top], ()): 1})
        for (child, parameters), count in self.modules[self._same[top]].instances.items():
            if child in self.modules and not parameters:
                total.update({key: count * times for key, times in self.instances(child).items()})
            else:
                total[child, parameters] += count
        return total

    def _representative(self, name: str) -> str:
        """Return the first module that is the same as `name`."""
        if name not in self._same:
            module = self._all[name]
            for child in module.children.values():
                if child in self._all:
                    self._representative(child)
            self._same[name] = self._known.setdefault(_shape(self._renamed(module)), name)
        return self._same[name]

    def _renamed(self, module: VerilogModule) -> VerilogModule:
        """Return the module with the first of each kind for its submodules."""
        text = _INSTANCE.sub(lambda match: match[0].replace(match[1], self._chosen(match[1]), 1), module.text)
        instances = Counter[tuple[str, tuple[tuple[str, int], ...]]]()
        for (child, parameters), count in module.instances.items():
            instances[self._same.get(child, child), parameters] += count
        children = {instance: self._same.get(child, child) for instance, child in module.children.items()}
        return VerilogModule(module.name, text, instances, children)

    def _chosen(self, name: str) -> str:
        plain = name.removeprefix("\\")
        return escaped(self._same.get(plain, plain))


def escaped(name: str) -> str:
    """Return a name as Verilog has it, without the space behind."""
    return name if re.fullmatch(r"\w+", name) else f"\\{name}"


def _steady(verilog: str) -> str:
    """Number ports without names by their order in their own module: a change elsewhere leaves them as they are."""
    names: dict[str, dict[str, str]] = {}
    for match in _MODULE.finditer(verilog):
        ports = _NAMELESS.findall(match[2].partition(";")[0])
        names[match[1].strip()] = {port: f"\\port${number}" for number, port in enumerate(ports)}

    def connected(match: re.Match[str]) -> str:
        known = names.get(match[1], {})
        return re.sub(r"(?<=^    \.)(\S+)", lambda port: known.get(port[1], port[1]), match[0], flags=re.MULTILINE)

    def renamed(match: re.Match[str]) -> str:
        own = names[match[1].strip()]
        return _NAMELESS.sub(lambda port: own.get(port[0], port[0]), _WHOLE_INSTANCE.sub(connected, match[0]))

    return _MODULE.sub(renamed, verilog)


def _parsed(match: re.Match[str]) -> VerilogModule:
    instances, children = Counter[tuple[str, tuple[tuple[str, int], ...]]](), dict[str, str]()
    for module, parameters, instance in _INSTANCE.findall(match[2]):
        name = module.removeprefix("\\")
        values = {parameter: int(value) for parameter, value in _PARAMETER.findall(parameters)}
        instances[name, tuple(sorted(values.items()))] += 1
        children[instance.strip().removeprefix("\\")] = name
    return VerilogModule(match[1].strip().removeprefix("\\"), match[0], instances, children)


def _shape(module: VerilogModule) -> str:
    """Return the names of the ports, and the text but for its own name, names with numbers counted as they occur."""
    names: dict[str, str] = {}

    def counted(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"${len(names)}")

    _, _, text = module.text.partition("(")
    return text.partition(";")[0] + _NUMBERED.sub(counted, text)
