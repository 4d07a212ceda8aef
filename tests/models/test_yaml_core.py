import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.errors import InputError
from gossamer_models.yaml_core import MAX_DEPTH, MAX_NUMBER_CHARS, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2:8", "2:8"),
        ("1:30:00", "1:30:00"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("010", 10),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1e-3", 1e-3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("'12'", "12"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("[1, [2, x]]", [1, [2, "x"]]),
        ("{a: {b: [1]}}", {"a": {"b": [1]}}),
        ("a:\n- 1\n- b: 2\n", {"a": [1, {"b": 2}]}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
    ],
)
def test_values_follow_the_core_schema(text: str, value: object) -> None:
    result = parse_yaml(text, "f")
    assert result == value
    assert type(result) is type(value)


def test_not_a_number() -> None:
    result = parse_yaml(".nan", "f")
    assert isinstance(result, float)
    assert math.isnan(result)


SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text("abc xyz:0-1'\"#", max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_read_as_json(value: object) -> None:
    assert parse_yaml(json.dumps(value), "f") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f: the file is empty"),
        ("# only a comment\n", "f: the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "f: line 3: duplicate key 'a'"),
        ("x:\n  a: 1\n  a: 1\n", "f: line 3: duplicate key 'a'"),
        ("1: 2", "f: line 1: keys must be text, not 1"),
        ("true: 2", "f: line 1: keys must be text, not True"),
        ("? [1]\n: 2\n", "f: line 1: keys must be text, not [1]"),
        ("a: &x 1\nb: *x\n", "f: line 1: anchors and aliases are not supported"),
        ("a: &x [1]\n", "f: line 1: anchors and aliases are not supported"),
        ("a: *x\n", "f: line 1: anchors and aliases are not supported"),
        ("a: !!python/object/apply:os.system [ls]", "f: line 1: the tag"),
        ("a: !!int '3'", "f: line 1: the tag"),
        ("a: 1\n---\nb: 2\n", "f: line 2: more than one YAML document"),
        ("a: [1, 2", "f: line "),
        ("a: b: c", "f: line 1: "),
        ("a: '", "f: line 1: "),
        ("\ta: 1", "f: line 1: "),
        ("a: \x01", "f: "),
        ('a: "\\ud800"', "f: line 1: "),
        ("a: " + "9" * (MAX_NUMBER_CHARS + 1), "f: line 1: a number of 41 characters"),
        ("[" * (MAX_DEPTH + 1), "f: line 1: nested deeper than 32 levels"),
        ("{a: " * (MAX_DEPTH + 1), "f: line 1: nested deeper than 32 levels"),
        ("a: " + "[" * 500, "f: line 1: nested deeper than 32 levels"),
        # Some releases of PyYAML refuse this before it is looked at.
        ("a: " + "[" * 500_000, "f: line 1: "),
    ],
)
def test_everything_else_is_one_typed_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_deepest_allowed_nesting_is_read() -> None:
    result = parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f")
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(result, list)
        (result,) = result
    assert result == []


@given(st.text(max_size=60))
def test_any_text_gives_a_value_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        parse_yaml(text, "f")
