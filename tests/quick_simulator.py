"""Makes Amaranth's simulator faster: the processes that it generates hold their signals, and update those that change.

A process of the simulator is a Python function that looks for a signal in a list wherever it reads one, and that calls
``update`` for every signal that it drives, some thousand per cycle of a large module, few of which change. Here the
signals are arguments of the function, bound once, and what ``update`` does stands in its place, behind the question
whether there is anything to do. Text of another form, as another version may write, stays as it is.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from amaranth.sim import _pyrtl

__all__ = ["make_quick", "quick"]

_PROCESS: Final = "def run():"
_SLOT: Final = re.compile(r"\bslots\[(\d+)\]")
_UPDATE: Final = re.compile(r"^( +)(slot_\d+)\.update\((next_\d+), (-?\d+)\)$", re.M)


def _update(found: re.Match[str]) -> str:
    indent, slot, following, mask = found.groups()
    merged = f"({slot}.next & ~{mask}) | ({following} & {mask})"
    changes = f"{slot}.next != {following} and (merged := {merged}) != {slot}.next"
    return f"{indent}if {changes}: {slot}.next = merged; pend({slot})"


def quick(text: str) -> str:
    """Return the text of a generated process, quicker; other text as it is."""
    slots = sorted(set(_SLOT.findall(text)), key=int)
    if not text.startswith(_PROCESS) or not slots:
        return text
    bound = ", ".join([*(f"slot_{slot}=slots[{slot}]" for slot in slots), f"pend=slots[{slots[0]}].pending.add"])
    body = _SLOT.sub(r"slot_\1", text.removeprefix(_PROCESS))
    return f"def run({bound}):{_UPDATE.sub(_update, body)}"


def make_quick() -> None:
    """Let all simulators of this Python process be quick."""
    emitter: Any = _pyrtl._PythonEmitter
    flush: Callable[..., str] = emitter.flush

    def flush_quick(self: Any, *arguments: Any, **more: Any) -> str:
        return quick(flush(self, *arguments, **more))

    emitter.flush = flush_quick
