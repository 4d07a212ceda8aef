"""Area of a machine: counted units times the sourced areas of the architecture's table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gossamer_models.architecture import Architecture
from gossamer_models.banks import memory_banks, memory_component, render_banks
from gossamer_models.energy import AreaFigure, EnergyTable, load_energy

__all__ = ["Area", "AreaModel", "area_line", "area_model"]

_MILLI: Final = 1e-6
_ASSUMED: Final = ("a bank takes its share, by bytes, of the smallest sourced memory that holds it, or of the largest",)
_NEVER_COUNTED: Final = (
    "vector lanes, prune engine, load and store, sequencer and registers",
    "wires, clock tree, pads and the external memory's interface",
)
_RENDER_NEVER_COUNTED: Final = ("projector, sampler, search units and compositor",)


@dataclass(frozen=True, slots=True)
class Area:
    """One part of the machine, in square millimetres."""

    square_millimetres: float
    source: str


@dataclass(frozen=True, slots=True)
class AreaModel:
    """Area of one machine.

    Members
    -------
    table : where the figures come from.
    components : by part of the machine, those that have a figure.
    left_out : what is part of no sum, in words.
    """

    table: EnergyTable
    components: Mapping[str, Area]
    left_out: tuple[str, ...]

    @property
    def square_millimetres(self) -> float:
        """Sum of all components."""
        return sum(area.square_millimetres for area in self.components.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the areas and all that they rest on, as JSON holds it."""
        return {
            "table": self.table.name,
            "node_nm": self.table.node_nm,
            "square_millimetres": self.square_millimetres,
            "components": {
                name: {"square_millimetres": area.square_millimetres, "source": area.source}
                for name, area in self.components.items()
            },
            "assumptions": list(_ASSUMED),
            "left_out": list(self.left_out),
        }


def area_model(architecture: Architecture) -> AreaModel | None:
    """Return the area of a machine; None if it names no table or the table has no area.

    Raises
    ------
    InputError
        The table cannot be loaded.
    """
    if architecture.energy is None:
        return None
    table = load_energy(architecture.energy)
    components: dict[str, Area] = {}
    missing: list[str] = []
    for name, figure, count, what in _logic(architecture, table):
        if figure is None:
            missing.append(f"{name.replace('_', ' ')}: the table has no `areas.{what}`")
            continue
        size = count * figure.square_micrometres * table.area_scale(figure) * _MILLI
        components[name] = Area(size, f"{figure.source}; {count:,} elements{_scaled(figure.node_nm, table)}")
    memories = memory_banks(architecture)
    if architecture.render:
        memories = {**memories, **render_banks(architecture.render)}
    for memory, banks in memories.items():
        row = table.sram_row(banks.bytes)
        if row is None or row.square_micrometres is None:
            missing.append(f"{memory_component(memory).replace('_', ' ')}: the table has no `sram` row with its area")
            continue
        each = row.square_micrometres * table.area_scale(row) * banks.bytes / row.bytes
        source = f"{row.source}; {banks.count} banks of {banks.bytes:,} bytes by that of {row.bytes:,}"
        components[memory_component(memory)] = Area(banks.count * each * _MILLI, source + _scaled(row.node_nm, table))
    left_out = (*missing, *_NEVER_COUNTED, *(_RENDER_NEVER_COUNTED if architecture.render else ()))
    return AreaModel(table, components, left_out) if components else None


def _logic(architecture: Architecture, table: EnergyTable) -> list[tuple[str, AreaFigure | None, int, str]]:
    """Return parts made of equal elements: name, figure, how many, name of the figure."""
    element, lookup = table.areas.processing_element, table.areas.exponential
    parts = [("array", element, architecture.array.rows * architecture.array.columns, "processing_element")]
    engine = architecture.render
    if engine:
        parts.append(("interpolation_lanes", element, engine.interpolation_lanes, "processing_element"))
        parts.append(("table_units", lookup, engine.exp_units + engine.sine_units, "exponential"))
    return parts


def _scaled(node_nm: float | None, table: EnergyTable) -> str:
    """How a row's area came to the table's node, if it did."""
    return "" if node_nm in (None, table.node_nm) else f"; scaled from {node_nm:g} to {table.node_nm:g} nm"


def area_line(result: Mapping[str, Any]) -> str | None:
    """Return one line of a simulation's result: square millimetres and where they lie; None without a figure."""
    area = result["area"]
    if area is None:
        return None
    total = area["square_millimetres"]
    sizes = {name.replace("_", " "): part["square_millimetres"] for name, part in area["components"].items()}
    large = {name: size for name, size in sizes.items() if size >= 0.01 * total}
    parts = sorted(large.items(), key=lambda item: -item[1])
    if len(large) < len(sizes):
        parts.append(("others", total - sum(large.values())))
    shares = ", ".join(f"{name} {size:.3g}" for name, size in parts)
    return f"area {total:.3g} mm2 at {area['node_nm']:g} nm without {'; '.join(area['left_out'])}: {shares}"
