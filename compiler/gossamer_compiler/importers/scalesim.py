"""SCALE-Sim topologies: rows of convolutions or matrix products, each a part of a network that stands alone.

A row says nothing of what is in front of it or behind it. So its input is given (the first row's is the network's own)
and so is the gradient of its output: FF, BP, WU and update of the layer are there, normalisations and pools are not.
Maps hold their padding, as SCALE-Sim's do, and are enlarged to whole windows where SCALE-Sim rounds the output up.
"""

import csv
import io
import re
from pathlib import Path
from typing import Final, NoReturn

from gossamer_models.blocks import MAX_LAYERS
from gossamer_models.errors import InputError
from gossamer_models.layers import Boundary, Conv2d, Given, NetworkLayer
from gossamer_models.loading import read_text
from gossamer_models.network import Network
from gossamer_models.shapes import Shape, infer

__all__ = ["import_topology"]

_CONVOLUTION: Final = (
    "IFMAP height", "IFMAP width", "filter height", "filter width", "channels", "filters", "stride",
)  # fmt: skip
_PRODUCT: Final = ("M", "N", "K")
_TITLES: Final = tuple(
    re.compile(title)
    for title in (
        "ifmap (height|width)",  # some of SCALE-Sim's own files call both widths
        "ifmap width", "filter height", "filter width", "channels?", "(num )?filters?", "strides?",
    )
)  # fmt: skip
_DEPTHWISE: Final = "DP"
_DENSE: Final = ("", "1", "1:1")
_SIZE: Final = re.compile(r"[0-9]{1,9}")
_NAME_LENGTH: Final = 80


def import_topology(path: Path) -> Network:
    """Read a topology: the form of its rows, convolutions or products M x K by K x N, follows from its header.

    A product is a 1x1 convolution of M pixels, K channels and N filters. Rows with "DP" in their names are depthwise,
    as SCALE-Sim takes them. Layers bear the names of their rows.

    Raises
    ------
    InputError
        With the line, what is wrong in it and what would be right.
    """
    return _Topology(path).run()


class _Topology:
    """One pass over a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 1
        self._layers: list[NetworkLayer] = []
        self._names: set[str] = {"input"}
        self._numbers: dict[str, int] = {}
        self._first: Shape | None = None

    def run(self) -> Network:
        reader = csv.reader(io.StringIO(read_text(self._path, "a SCALE-Sim topology"), newline=""))
        try:
            columns = self._columns(next(reader, []))
            for cells in reader:
                self._line = reader.line_num
                if any(cell.strip() for cell in cells):
                    self._row([cell.strip() for cell in cells], columns)
        except csv.Error as error:
            self._line = reader.line_num
            self._fail(f"is no row of a table ({error})", "cells between commas")
        if self._first is None:
            self._fail("the file has no rows", "a header and a row per layer")
        network = Network(self._clean(self._path.stem), str(self._path), self._first, 1, tuple(self._layers))
        infer(network)
        return network

    def _columns(self, header: list[str]) -> tuple[str, ...]:
        """Which form the rows have. Without titles the first row would be lost, with others sizes would be mixed up."""
        titles = [" ".join(title.lower().split()) for title in header]
        if titles[1:4] == ["m", "n", "k"]:
            return _PRODUCT
        found = titles[1 : 1 + len(_TITLES)]
        if len(found) < len(_TITLES) or not all(map(re.Pattern.fullmatch, _TITLES, found)):
            wanted = "; ".join(", ".join(("layer name", *form)) for form in (_CONVOLUTION, _PRODUCT))
            self._fail(f"the header has the columns {', '.join(titles) or '(none)'}"[:120], f"one of: {wanted}")
        return _CONVOLUTION

    def _row(self, cells: list[str], columns: tuple[str, ...]) -> None:
        given = len(cells) if cells[-1] else len(cells) - 1  # rows end in a comma
        if given <= len(columns):
            self._fail(f"has {given} columns", f"layer name, {', '.join(columns)}")
        sizes = [self._size(name, cell) for name, cell in zip(columns, cells[1:], strict=False)]
        more = [cell for cell in cells[len(columns) + 1 :] if cell not in _DENSE]
        if more:
            self._fail(f"{more[0]!r:.40} stands behind the sizes", "nothing: sparsity and batch are the workload's")
        name = self._name(cells[0])
        if columns is _PRODUCT:
            rows, filters, depth = sizes
            self._add(name, (depth, 1, rows), (1, 1), filters, 1, 1)
            return
        height, width, kernel, kernel_x, channels, filters, stride = sizes
        if kernel > height or kernel_x > width:
            self._fail(f"the filter {kernel} x {kernel_x} exceeds the map {height} x {width}", "a smaller filter")
        shape = (channels, _whole(height, kernel, stride), _whole(width, kernel_x, stride))
        groups = channels if _DEPTHWISE in cells[0] else 1
        self._add(name, shape, (kernel, kernel_x), filters * groups, stride, groups)

    def _add(self, name: str, shape: Shape, kernel: tuple[int, int], filters: int, stride: int, groups: int) -> None:
        if len(self._layers) >= MAX_LAYERS:
            self._fail(f"is one of more than {MAX_LAYERS // 3} layers", "fewer rows")
        source = "input"
        if self._first is None:
            self._first = shape
        else:
            source = f"{name}.input"
            channels, height, width = shape
            self._layers.append(Given(name=source, type="given", channels=channels, height=height, width=width))
        self._layers += [
            Conv2d(
                name=name, type="conv2d", inputs=(source,), out_channels=filters, kernel=kernel,
                stride=(stride, stride), groups=groups,
            ),
            Boundary(name=f"{name}.end", type="boundary", inputs=(name,)),
        ]  # fmt: skip

    def _size(self, name: str, cell: str) -> int:
        if not _SIZE.fullmatch(cell) or not int(cell):
            self._fail(f"{name} is {cell!r:.40}", "a positive integer of at most 9 digits")
        return int(cell)

    def _name(self, cell: str) -> str:
        """The row's name in letters that layers may have; numbered where it is taken."""
        if not cell:
            self._fail("the layer has no name", "a name in the first column")
        base = name = self._clean(cell)
        while name in self._names:
            self._numbers[base] = number = self._numbers.get(base, 1) + 1
            name = f"{base}_{number}"
        self._names.add(name)
        return name

    def _clean(self, text: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:_NAME_LENGTH]
        return name if re.match(r"[A-Za-z_]", name) else f"layer_{name}"

    def _fail(self, what: str, expected: str) -> NoReturn:
        raise InputError(what, expected, str(self._path), f"line {self._line}")


def _whole(size: int, kernel: int, stride: int) -> int:
    """Return the size of a map of whole windows: SCALE-Sim's output is ceil((size - kernel) / stride) + 1."""
    return -(-(size - kernel) // stride) * stride + kernel
