"""Makes Amaranth's simulator faster: signals that keep their value are not updated.

A process of the simulator calls ``update`` for every signal that it drives, some thousand per cycle of a large module,
and few of them change. Where the next value is what the signal holds already, the call changes nothing, whatever its
mask: the text that Amaranth generates asks first. Text of another form, as another version may write, stays as it is.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from amaranth.sim import _pyrtl

__all__ = ["ask_before_updates", "asking"]

_UPDATE: Final = re.compile(r"(slots\[\d+\])\.update\((next_\d+)(, \S+)?\)")


def asking(line: str) -> str:
    """Return a line of a generated process; an update asks first whether it would change anything."""
    found = _UPDATE.fullmatch(line)
    return line if found is None else f"if {found[1]}.next != {found[2]}: {line}"


def ask_before_updates() -> None:
    """Let all simulators of this Python process ask."""
    emitter: Any = _pyrtl._PythonEmitter
    append: Callable[[Any, str], None] = emitter.append

    def append_asking(self: Any, code: str) -> None:
        append(self, asking(code))

    emitter.append = append_asking
