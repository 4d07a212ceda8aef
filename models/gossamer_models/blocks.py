"""The schema of a network file, and the expansion of its blocks into a plain list of wired layers."""

import json
from collections.abc import Iterator
from typing import Annotated, Final, Literal, NoReturn

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.faults import describe, format_path
from gossamer_models.layers import Layer, LayerName, OneName
from gossamer_models.schema import Count, Schema

__all__ = ["MAX_LAYERS", "Block", "BlockUse", "InputShape", "NetworkFile", "expand"]

MAX_LAYERS: Final = 10_000
NETWORK_INPUT: Final = "input"
BLOCK_INPUT: Final = "$input"
_ENDS: Final = ("softmax_cross_entropy", "boundary")

Path = tuple[int | str, ...]
Tagged = Annotated[Layer, Field(discriminator="type")]
_LAYER: Final[TypeAdapter[Layer]] = TypeAdapter(Tagged)


class InputShape(Schema):
    """Shape of one input sample."""

    channels: Count
    height: Count
    width: Count


class Block(Schema):
    """A template of layers whose values may be ``$parameter``."""

    parameters: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = ()
    layers: Annotated[tuple[dict[str, JsonValue], ...], Field(min_length=1)]


class BlockUse(Schema):
    """One block in the list of layers, or a chain of `repeat` equal ones numbered from `start`."""

    name: LayerName
    type: Literal["block"]
    inputs: OneName = ()
    block: str
    arguments: Annotated[dict[str, int], Field(alias="with", default_factory=dict)]
    repeat: Annotated[int, Field(ge=1, le=MAX_LAYERS)] | None = None
    start: Annotated[int, Field(ge=0, le=MAX_LAYERS)] = 0

    @property
    def names(self) -> list[str]:
        """Names of the instances."""
        if self.repeat is None:
            return [self.name]
        return [f"{self.name}.{number}" for number in range(self.start, self.start + self.repeat)]


class NetworkFile(Schema):
    """A network file as written; `classes` are those of a softmax_cross_entropy."""

    name: LayerName
    description: str = ""
    input: InputShape
    classes: Count | None = None
    blocks: Annotated[dict[str, Block], Field(default_factory=dict)]
    layers: Annotated[tuple[Annotated[Layer | BlockUse, Field(discriminator="type")], ...], Field(min_length=1)]


def expand(file: NetworkFile, source: str) -> tuple[Layer, ...]:
    """Return the layers of `file` in order, blocks expanded, `inputs` naming expanded layers or ``input``.

    Parameters
    ----------
    file : NetworkFile
        The validated file.
    source : str
        Its name, for messages.

    Raises
    ------
    InputError
        For an unknown block, parameter or input, a duplicate name, an output nobody reads, a loss or boundary that is
        not the last layer, or more than `MAX_LAYERS` layers; the number is checked before anything is expanded.
    """
    return _Expansion(file, source).run()


class _Expansion:
    """One pass over a file; `_outputs` maps every visible name to the layer that makes it."""

    def __init__(self, file: NetworkFile, source: str) -> None:
        self._file = file
        self._source = source
        self._outputs: dict[str, str] = {NETWORK_INPUT: NETWORK_INPUT}
        self._previous = NETWORK_INPUT
        self._layers: list[Layer] = []
        self._unread: dict[str, Path] = {}

    def run(self) -> tuple[Layer, ...]:
        self._check_size()
        for index, item in enumerate(self._file.layers):
            path = ("layers", index)
            if isinstance(item, BlockUse):
                self._add_block(item, path)
            else:
                inputs = [self._lookup(name, self._outputs, path) for name in item.inputs]
                self._add_layer(item, item.name, inputs, path)
        self._check_end()
        return tuple(self._layers)

    def _check_size(self) -> None:
        total = 0
        for index, item in enumerate(self._file.layers):
            total += len(self._block(item, index).layers) * (item.repeat or 1) if isinstance(item, BlockUse) else 1
        if total > MAX_LAYERS:
            raise InputError(f"expands to {total} layers", f"at most {MAX_LAYERS}", self._source, "layers")
        used = {item.block for item in self._file.layers if isinstance(item, BlockUse)}
        for name in self._file.blocks.keys() - used:
            raise InputError(
                "the block is never used", "a layer of type block that names it", self._source, f"blocks.{name}"
            )

    def _block(self, use: BlockUse, index: int) -> Block:
        block = self._file.blocks.get(use.block)
        if block is None:
            known = ", ".join(sorted(self._file.blocks)) or "(there are no blocks)"
            what = f"unknown block {use.block!r:.60}{did_you_mean(use.block, self._file.blocks)}"
            raise InputError(what, f"one of {known}", self._source, f"layers[{index}].block")
        if use.arguments.keys() != set(block.parameters):
            given, wanted = (", ".join(sorted(names)) or "nothing" for names in (use.arguments, block.parameters))
            raise InputError(f"gives {given}", wanted, self._source, f"layers[{index}].with")
        return block

    def _add_block(self, use: BlockUse, path: Path) -> None:
        layers = list(self._instantiate(use))
        entry = self._lookup(use.inputs[0], self._outputs, path) if use.inputs else self._previous
        for prefix in use.names:
            scope = {BLOCK_INPUT: entry}
            self._previous = entry
            for index, layer in enumerate(layers):
                layer_path = ("blocks", use.block, "layers", index)
                if layer.name in scope:
                    self._fail(layer_path, f"duplicate layer name {layer.name!r}", "every name once")
                inputs = [self._lookup(name, scope, layer_path) for name in layer.inputs]
                full_name = f"{prefix}.{layer.name}"
                self._add_layer(layer, full_name, inputs, layer_path)
                scope[layer.name] = full_name
            entry = self._previous
        if use.name in self._outputs:
            self._fail(path, f"duplicate layer name {use.name!r}", "every name once")
        self._outputs[use.name] = entry

    def _instantiate(self, use: BlockUse) -> Iterator[Layer]:
        for index, template in enumerate(self._file.blocks[use.block].layers):
            path = ("blocks", use.block, "layers", index)
            data = {key: self._substitute(value, use, path) for key, value in template.items()}
            try:
                yield _LAYER.validate_json(json.dumps(data))
            except ValidationError as error:
                raise describe(error, Tagged, data, self._source, path) from None

    def _substitute(self, value: JsonValue, use: BlockUse, path: Path) -> JsonValue:
        if isinstance(value, list):
            return [self._substitute(item, use, path) for item in value]
        if not isinstance(value, str) or not value.startswith("$") or value == BLOCK_INPUT:
            return value
        if value[1:] not in use.arguments:
            known = [f"${name}" for name in use.arguments]
            self._fail(
                path, f"unknown parameter {value!r:.60}{did_you_mean(value, known)}", f"one of {', '.join(known)}"
            )
        return use.arguments[value[1:]]

    def _add_layer(self, layer: Layer, name: str, inputs: list[str], path: Path) -> None:
        if name in self._outputs:
            self._fail(path, f"duplicate layer name {name!r}", "every name once")
        if self._layers and self._layers[-1].type in _ENDS:
            end = self._layers[-1].type
            self._fail(path, f"a layer after {end}", f"{end} as the last layer")
        inputs = inputs or [self._previous]
        for read in inputs:
            self._unread.pop(read, None)
        self._layers.append(layer.model_copy(update={"name": name, "inputs": tuple(inputs)}))
        self._outputs[name] = self._previous = name
        self._unread[name] = path

    def _check_end(self) -> None:
        last = self._layers[-1]
        if last.type not in _ENDS:
            ends = " or ".join(_ENDS)
            self._fail(("layers",), f"ends with {last.type} {last.name!r}", f"{ends} as the last layer")
        if last.type == "softmax_cross_entropy" and self._file.classes is None:
            self._fail(("classes",), "the key is missing", "the number of classes of softmax_cross_entropy")
        for name, path in self._unread.items():
            if name != last.name:
                self._fail(path, f"the output of {name!r} is never read", "a later layer that reads it")

    def _lookup(self, name: str, scope: dict[str, str], path: Path) -> str:
        if name not in scope:
            what = f"input {name!r:.60} is no earlier layer{did_you_mean(name, scope)}"
            self._fail(path, what, "the name of a layer above it")
        return scope[name]

    def _fail(self, path: Path, what: str, expected: str) -> NoReturn:
        raise InputError(what, expected, self._source, format_path(path))
