"""Makes Amaranth's simulator faster, whose processes are Python functions that it generates; all values stay the same.

- A combinational process assigns in the order in which its signals depend on each other, and goes on with the values
  that it has just found. As generated it reads what all signals were before, and so runs anew for every step of the
  longest chain within it. Signals in a loop, as words whose bits depend on other bits, stay as they are.
- A process is given its signals once, instead of a look into a list wherever it reads one; so those of components that
  are alike have one text, which is compiled once.
- A signal that wakes nobody looks for nobody to wake, as most signals within a combinational process then do.
- ``update``, called for some thousand signals per cycle of a large module, of which few change, makes room for what it
  does, behind the question whether there is anything to do.

Text of another form, as another version of Amaranth may write, stays as it is.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any, Final

from amaranth.hdl import _ast, _xfrm
from amaranth.sim import _pyrtl, pysim

__all__ = ["make_quick", "quick"]

_PROCESS: Final = "def run():"
_NAME: Final = re.compile(r"\b(slots\[|next_)(\d+)\b\]?")
_UPDATE: Final = re.compile(r"^( +)(slot_\d+)\.update\((next_\d+), (-?\d+)\)$", re.M)


def _update(found: re.Match[str]) -> str:
    indent, slot, following, mask = found.groups()
    merged = f"({slot}.next & ~{mask}) | ({following} & {mask})"
    changes = f"{slot}.next != {following} and (merged := {merged}) != {slot}.next"
    return f"{indent}if {changes}: {slot}.next = merged; pend({slot})"


def quick(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the text of a generated process, quicker, and which of the signals it takes as its arguments.

    The same for all components that are alike. Other text stays as it is and takes none.
    """
    places: dict[str, int] = {}

    def name(found: re.Match[str]) -> str:
        place = places.setdefault(found[2], len(places))
        return f"slot_{place}" if found[1] == "slots[" else f"next_{place}"

    body = _NAME.sub(name, text.removeprefix(_PROCESS))
    if not text.startswith(_PROCESS) or not places:
        return text, ()
    arguments = ", ".join([*(f"slot_{place}" for place in range(len(places))), "pend"])
    return f"def run({arguments}):{_UPDATE.sub(_update, body)}", tuple(map(int, places))


@cache
def _function(text: str) -> FunctionType:
    """Return the function of a text; components that are alike share its code."""
    names: dict[str, Any] = _pyrtl._ValueCompiler.helpers | _pyrtl._StatementCompiler.helpers
    exec(compile(text, "<process>", "exec"), names)
    function: FunctionType = names["run"]
    return function


def _bound(text: str, slots: Sequence[Any], taken: Sequence[int]) -> FunctionType:
    """Return a function that is given its signals."""
    function = _function(text)
    signals = [slots[place] for place in taken]
    return FunctionType(function.__code__, function.__globals__, "run", (*signals, signals[0].pending.add))


def _process(text: str) -> str:
    """Return text that makes a quick process of a generated one."""
    changed, taken = quick(text)
    return f"run = quick_process({changed!r}, slots, {taken})\n" if taken else text


def _driver_groups(statements: Sequence[Any]) -> tuple[list[list[int]], Any]:
    """Return statements by what they drive, no signal in two groups, and the group of each signal."""
    group_of = list(range(len(statements)))
    members = [[number] for number in group_of]
    driver = _ast.SignalDict()
    for number, statement in enumerate(statements):
        for signal in statement._lhs_signals():
            kept, gone = group_of[driver.setdefault(signal, number)], group_of[number]
            if kept != gone:
                members[kept] = sorted(members[kept] + members[gone])
                for member in members[gone]:
                    group_of[member] = kept
                members[gone] = []
    for signal, number in driver.items():
        driver[signal] = group_of[number]
    return members, driver


def in_order(statements: Sequence[Any]) -> list[list[Any]]:
    """Return groups of statements that drive no signal of another group, behind the groups that they read.

    Of groups that read each other any may come first.
    """
    members, driver = _driver_groups(statements)
    read: list[list[int]] = []
    for group in members:
        signals = (signal for number in group for signal in statements[number]._rhs_signals())
        read.append(list({driver[signal]: None for signal in signals if signal in driver}))
    found: list[list[Any]] = []
    seen = {place for place, group in enumerate(members) if not group}
    for first in range(len(members)):
        path = [first] if first not in seen else []
        seen.add(first)
        while path:
            place = path[-1]
            following = next((other for other in read[place] if other not in seen), None)
            if following is not None:
                seen.add(following)
                path.append(following)
                continue
            found.append([statements[number] for number in members[path.pop()]])
    return found


def _whole(statements: Sequence[Any]) -> list[Any]:
    """Return the signals all of whose bits statements drive."""
    masks = _xfrm.LHSMaskCollector()
    masks.visit_stmt(statements)
    return [signal for signal, mask in masks.masks() if mask == (1 << len(signal)) - 1]


def _compile_in_order(compiler: Any, statements: Sequence[Any], plainly: Callable[[Any, Any], None]) -> None:
    """Let a compiler of a combinational process read what it has found already."""
    reader = compiler.rhs
    if reader.inputs is None or hasattr(reader, "found"):
        plainly(compiler, statements)
        return
    reader.found = _ast.SignalSet()
    for group in in_order(list(statements)):
        plainly(compiler, group)
        reader.found.update(_whole(group))
    del reader.found


def make_quick() -> None:
    """Let all simulators of this Python process be quick."""
    emitter: Any = _pyrtl._PythonEmitter
    flush: Callable[[Any], str] = emitter.flush
    emitter.flush = lambda self: _process(flush(self))
    _pyrtl._ValueCompiler.helpers["quick_process"] = _bound

    compiler: Any = _pyrtl._StatementCompiler
    plainly: Callable[[Any, Any], None] = compiler.on_statements
    compiler.on_statements = lambda self, statements: _compile_in_order(self, statements, plainly)

    reader: Any = _pyrtl._RHSValueCompiler
    plain_signal: Callable[[Any, Any], str] = reader.on_Signal

    def on_signal(self: Any, value: Any) -> str:
        if value in getattr(self, "found", ()):
            return f"next_{self.state.get_signal(value)}"
        return plain_signal(self, value)

    reader.on_Signal = on_signal

    signal: Any = pysim._PySignalState
    with_wakers: Callable[[Any], bool] = signal.commit

    def commit(self: Any) -> bool:
        if self.wakers:
            return with_wakers(self)
        changed: bool = self.curr != self.next
        self.curr = self.next
        return changed

    signal.commit = commit
