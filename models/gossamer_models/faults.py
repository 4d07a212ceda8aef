"""Turn pydantic's list of faults into one line that names YAML paths and says what would be right."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from gossamer_models.errors import InputError, did_you_mean

__all__ = ["describe", "format_path"]

_MAX_FAULTS: Final = 3
_MAX_VALUE_CHARS: Final = 40
Location = tuple[int | str, ...]


def describe(error: ValidationError, cls: Any, data: object, source: str, prefix: Location = ()) -> InputError:
    """Return the `InputError` of a failed validation of `data` as `cls`.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    cls : type
        The model or annotation that was validated; its field names serve unknown keys.
    data : object
        The value that was validated.
    source : str
        File that holds `data`.
    prefix : tuple of int or str
        Where `data` lies in that file.
    """
    lines: dict[str, str] = {}
    faults = error.errors(include_url=False)
    for fault in faults:
        if fault["type"] == "too_short" and any(_lies_in(other, fault) for other in faults):
            continue  # the elements are there, but faulty
        where = format_path((*prefix, *_data_path(fault, data)))
        lines.setdefault(where, _explain(fault, cls))
    (first_where, first_what), *others = lines.items()
    shown = [f"{where}: {what}" if where else what for where, what in others[: _MAX_FAULTS - 1]]
    if len(others) >= _MAX_FAULTS:
        shown.append(f"and {len(others) - _MAX_FAULTS + 1} more")
    return InputError("; ".join([first_what, *shown]), source=source, path=first_where or None)


def format_path(location: Location) -> str:
    """Return a location as a YAML path, as in ``layers[2].kernel[0]``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _lies_in(inner: ErrorDetails, outer: ErrorDetails) -> bool:
    depth = len(outer["loc"])
    return len(inner["loc"]) > depth and inner["loc"][:depth] == outer["loc"]


def _data_path(fault: ErrorDetails, data: object) -> Location:
    """Drop the parts of pydantic's location that name a branch of a union instead of a place in the data."""
    path: list[int | str] = []
    location = fault["loc"]
    is_tagged = False
    for position, part in enumerate(location):
        if isinstance(data, dict) and not is_tagged and part == data.get("type"):
            is_tagged = True  # the tag of a union comes first, also when a key has its name
            continue
        is_tagged = False
        is_missing_key = fault["type"] == "missing" and position == len(location) - 1
        if isinstance(data, dict) and (part in data or is_missing_key):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            path.append(part)
            data = data[part] if part < len(data) else None
        elif isinstance(part, int):
            path.append(part)
    return tuple(path)


def _explain(fault: ErrorDetails, cls: Any) -> str:
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    match kind:
        case "missing":
            return "the element is missing" if isinstance(fault["loc"][-1], int) else "the key is missing"
        case "extra_forbidden":
            keys = sorted({key for model in _models_at(cls, fault["loc"][:-1]) for key in _keys(model)})
            return f"unknown key{_choice(str(fault['loc'][-1]), keys)}"
        case "union_tag_invalid":
            tags = [tag.strip("'") for tag in context["expected_tags"].split(", ")]
            return f"unknown type {str(context['tag'])!r:.60}{_choice(str(context['tag']), tags)}"
        case "union_tag_not_found":
            return "the key `type` is missing"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            options = [option.strip("'") for option in context["expected"].replace(" or ", ", ").split(", ")]
            return f"must be {context['expected']}, not {_show(value)}" + did_you_mean(str(value), options)
        case "too_short" | "too_long":
            bound = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
            return f"must have {bound} element(s), not {context['actual_length']}"
        case "string_too_short":
            return f"must have at least {context['min_length']} character(s), not {_show(value)}"
        case "string_pattern_mismatch":
            return f"must match {context['pattern']}, not {_show(value)}"
        case "json_invalid" if "recursion" in str(context["error"]):
            return "is nested too deeply"
        case "json_invalid":
            return f"holds a character that is not allowed ({context['error']})"
    message = fault["msg"].replace("Input should be ", "must be ").replace("Input should have ", "must have ")
    for json_name, yaml_name in (("an object", "a mapping"), ("a valid array", "a list"), ("a valid ", "a ")):
        message = message.replace(json_name, yaml_name)
    message = message.replace("a integer", "an integer")
    return f"{message}, not {_show(value)}"


def _choice(value: str, options: list[str]) -> str:
    return f"{did_you_mean(value, options)} (expected one of {', '.join(options)})"


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}..."


def _keys(model: type[BaseModel]) -> Iterator[str]:
    return (field.alias or name for name, field in model.model_fields.items())


def _models_at(annotation: Any, location: Location) -> Iterator[type[BaseModel]]:
    """Yield the models that `annotation` allows at pydantic's `location`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not location:
            yield annotation
            return
        for name, field in annotation.model_fields.items():
            if (field.alias or name) == location[0]:
                yield from _models_at(field.annotation, location[1:])
        if location[0] in _tags(annotation):
            yield from _models_at(annotation, location[1:])
        return
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        is_branch = any(isinstance(item, Tag) and item.tag == next(iter(location), None) for item in metadata)
        yield from _models_at(inner, location[1:] if is_branch else location)
        return
    is_container = get_origin(annotation) in (tuple, list, dict)
    for argument in get_args(annotation):
        yield from _models_at(argument, location[1:] if is_container else location)


def _tags(model: type[BaseModel]) -> tuple[object, ...]:
    field = model.model_fields.get("type")
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()
