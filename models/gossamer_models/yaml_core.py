"""Parse the JSON-like core of YAML: mappings with text keys, lists, text, booleans, numbers and null.

Plain scalars follow the core schema of YAML 1.2. So ``2:8`` and ``no`` are text, ``1e-3`` is a number, and anchors,
aliases, tags and merge keys do not exist. Depth is bounded, so that no file can exhaust the stack.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import yaml

from gossamer_models.errors import InputError

__all__ = ["MAX_DEPTH", "parse_yaml"]

MAX_DEPTH: Final = 32
MAX_NUMBER_CHARS: Final = 40

# The C parser is about ten times faster, but not part of every PyYAML build.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def parse_yaml(text: str, source: str) -> object:
    """Return the value of the only document in `text`.

    Parameters
    ----------
    text : str
        The YAML text.
    source : str
        Name of the file, for messages.

    Raises
    ------
    InputError
        For a syntax error, a duplicate key, or anything outside the accepted core; `path` is the line.
    """
    try:
        events = yaml.parse(text, Loader=_LOADER)
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            raise InputError("the file is empty", "a YAML mapping", source)
        value = _Builder(events, source).value(next(events), depth=0)
        next(events)
        if not isinstance(event := next(events), yaml.StreamEndEvent):
            raise InputError("more than one YAML document", "exactly one", source, _line(event.start_mark))
        return value
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(f"{error.problem or error}", "valid YAML", source, _line(mark)) from None
    except yaml.YAMLError as error:
        raise InputError(f"{error}"[:200], "valid YAML", source) from None


def _line(mark: Any) -> str | None:
    return None if mark is None else f"line {mark.line + 1}"


class _Builder:
    """Turns the events of one document into a value."""

    def __init__(self, events: Iterator[yaml.Event], source: str) -> None:
        self._events = events
        self._source = source

    def value(self, event: yaml.Event, depth: int) -> object:
        """Return the value that starts with `event`; `depth` counts the containers around it."""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._fail(event, "anchors and aliases are not supported", "the value written out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._fail(event, f"the tag {tag!r:.60} is not supported", "a value without a tag")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event) if event.implicit[0] else event.value
        if depth == MAX_DEPTH:
            self._fail(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return [self.value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        return self._mapping(depth)

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _mapping(self, depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self.value(event, depth + 1)
            if not isinstance(key, str):
                self._fail(event, f"keys must be text, not {key!r:.40}")
            if key in result:
                self._fail(event, f"duplicate key {key!r:.60}", "every key once")
            result[key] = self.value(next(self._events), depth + 1)
        return result

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        text: str = event.value
        if text in _WORDS:
            return _WORDS[text]
        is_integer = _INTEGER.fullmatch(text) or _HEXADECIMAL.fullmatch(text)
        if (is_integer or _FLOAT.fullmatch(text)) and len(text) > MAX_NUMBER_CHARS:
            self._fail(event, f"a number of {len(text)} characters", f"at most {MAX_NUMBER_CHARS}")
        if is_integer:
            return int(text, 16 if text.startswith("0x") else 10)
        if _FLOAT.fullmatch(text):
            return float(text)
        return float(text.replace(".", "")) if _SPECIAL_FLOAT.fullmatch(text) else text

    def _fail(self, event: yaml.Event, what: str, expected: str | None = None) -> NoReturn:
        raise InputError(what, expected, self._source, _line(event.start_mark))
