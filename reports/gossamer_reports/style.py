"""Look of the plots: colours that colour-blind readers tell apart (Okabe and Ito), and settings that leave no trace."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gossamer_models.methods import METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "IDEAL", "LEDGER_COLORS", "MACHINE", "METHOD_COLORS", "RENDER_COLORS", "STAGE_COLORS", "lay_out", "plot_style",
    "shortened", "stage_label",
]  # fmt: skip

_BLACK, _ORANGE, _SKY, _GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
_YELLOW, _BLUE, _VERMILION, _PURPLE, _GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"
_LILAC, _OLIVE, _TAN = "#A79BE8", "#B5B35C", "#C9A27C"

STAGE_COLORS: Final[Mapping[str, str]] = {"ff": _BLUE, "bp": _ORANGE, "wu": _GREEN, "update": _PURPLE}
"""Colour of each stage; others are grey, the total is black."""

LEDGER_COLORS: Final[Mapping[str, str]] = {
    "ideal": _GREEN,
    "padding": _YELLOW,
    "drain": _ORANGE,
    "fill": _SKY,
    "dram": _VERMILION,
    "vector": _BLUE,
    "prune": _PURPLE,
    "sync": _GREY,
    "barrier": _BLACK,
}
"""Colour of each column of the ledger, in the order in which bars are stacked."""

RENDER_COLORS: Final[Mapping[str, str]] = {
    "ideal": _GREEN,
    "sweep": _YELLOW,
    "projector": _PURPLE,
    "sampler": "#882255",
    "fetch": _SKY,
    "tables": "#44AA99",
    "compositor": _BLUE,
    "mlp": _ORANGE,
    "dram": _VERMILION,
    "latency": _GREY,
}
"""Colour of each column of a rendering's ledger, in the order in which bars are stacked."""

METHOD_COLORS: Final[Mapping[str, str]] = dict(
    zip(
        METHODS,
        (_GREY, _SKY, _LILAC, _YELLOW, _ORANGE, _GREEN, _OLIVE, _PURPLE, _TAN, _BLUE, _VERMILION),
        strict=True,
    )
)
"""Colour of each training method."""

IDEAL: Final[Mapping[str, Any]] = {"color": _BLACK, "linewidth": 1.4, "linestyle": "-"}
MACHINE: Final[Mapping[str, Any]] = {"color": _VERMILION, "linewidth": 1.4, "linestyle": (0, (2.0, 1.0))}
"""Line of the ideal ceiling and of the machine ceiling."""

_SETTINGS: Final[dict[str, Any]] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # else every drawing looks for what stands above the axes
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.parse_math": False,  # names may hold what would be a formula
    "svg.fonttype": "none",
    "svg.hashsalt": "gossamer",
}


@contextmanager
def plot_style() -> Iterator[None]:
    """Apply the settings inside a ``with`` only; a letter that the font lacks is drawn as a box, without a word."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def lay_out(figure: "Figure") -> None:
    """Place the axes of a finished figure once, so that no file written of it has to."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    FigureCanvasAgg(figure)
    for axes in figure.axes:
        if not axes.get_xlabel():
            axes.xaxis.set_label_coords(0.5, 0.0)  # nor need a place be found for nothing
    ConstrainedLayoutEngine().execute(figure)


def shortened(name: str, most: int = 30) -> str:
    """Return a name as a title has room for: on one line, its end left out if it is long."""
    line = " ".join(name.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def stage_label(stage: str) -> str:
    """Return a stage as a person writes it: FF, BP, WU, update."""
    return stage.upper() if len(stage) == 2 else stage
