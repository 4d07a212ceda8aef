"""Energy tables: picojoules per action and areas, every figure with its source.

Ready tables lie in ``energy/*.yaml``. A figure of another node or voltage is scaled to the table's
(:mod:`gossamer_models.scaling`), and a user's own table needs nothing but sourced rows, or the energy reference table
that Accelergy wrote (:mod:`gossamer_models.accelergy`).
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from gossamer_models.accelergy import with_reference_table
from gossamer_models.errors import did_you_mean
from gossamer_models.loading import load_yaml, resolve, validate
from gossamer_models.memories import MEMORY_MODELS, REFERENCE_SUFFIX
from gossamer_models.scaling import area_scaling, energy_scaling
from gossamer_models.schema import Schema

__all__ = [
    "AreaFigure", "Areas", "DramRow", "EnergyTable", "Figure", "Operations", "SramRow", "load_energy", "locate_energy",
]  # fmt: skip

Picojoules = Annotated[float, Field(gt=0, le=1e6)]
Text = Annotated[str, Field(min_length=1)]
SquareMicrometres = Annotated[float, Field(gt=0, le=1e12)]
Node = Annotated[float, Field(ge=7, le=130)]
Volts = Annotated[float, Field(ge=0.5, le=1.4)]


class _Sourced(Schema):
    """A row: its source, and its node where that is not the table's."""

    source: Text
    node_nm: Node | None = None
    volts: Volts | None = None

    @model_validator(mode="after")
    def _check_node(self) -> Self:
        if (self.node_nm is None) != (self.volts is None):
            raise ValueError("`node_nm` and `volts` must stand together or not at all")
        return self


class Figure(_Sourced):
    """Energy of one action."""

    picojoules: Picojoules


class Operations(Schema):
    """Energy of the arithmetic; what is missing is left out of every sum, and named.

    Members
    -------
    mac : fp16 multiplication and fp32 accumulation in an array, operand and accumulator registers included.
    register_bit : writing one bit of a register.
    multiplication, addition : fp32.
    comparison : of two numbers of at most 32 bits.
    exponential : one look-up of a table unit.
    """

    mac: Figure | None = None
    register_bit: Figure | None = None
    multiplication: Figure | None = None
    addition: Figure | None = None
    comparison: Figure | None = None
    exponential: Figure | None = None


class AreaFigure(Schema):
    """Area of one unit, and its node where that is not the table's."""

    square_micrometres: SquareMicrometres
    source: Text
    node_nm: Node | None = None


class Areas(Schema):
    """Areas of logic; what is missing is left out of every sum, and named.

    Members
    -------
    processing_element : fp16 multiplication and fp32 accumulation in an array, registers included.
    exponential : one table unit.
    """

    processing_element: AreaFigure | None = None
    exponential: AreaFigure | None = None


class SramRow(_Sourced):
    """Energy of one access to a memory of ``bytes`` through a port of ``port_bits``, and the memory's area."""

    bytes: Annotated[int, Field(gt=0)]
    port_bits: Annotated[int, Field(gt=0)]
    read_picojoules: Picojoules
    write_picojoules: Picojoules
    square_micrometres: SquareMicrometres | None = None


class DramRow(Schema):
    """Energy of one transferred bit; external memory is not scaled.

    Members
    -------
    covers, left_out : what the figure holds and what it does not, in a few words.
    """

    read_picojoules_per_bit: Picojoules
    write_picojoules_per_bit: Picojoules
    covers: Text
    left_out: Text | None = None
    source: Text


class EnergyTable(Schema):
    """Energy per action, and areas, at one node and voltage.

    Members
    -------
    name, description : as printed beside every figure.
    operations, areas, sram, dram : rows; `sram` by ascending size, `dram` by memory model; a reference
        takes the row of its memory.
    assumptions : what a reader must grant to use these rows for this machine.
    """

    name: Text
    description: Text
    node_nm: Node
    volts: Volts
    operations: Operations = Operations()
    areas: Areas = Areas()
    sram: Annotated[tuple[SramRow, ...], Field(max_length=64)] = ()
    dram: Annotated[dict[str, DramRow], Field(default_factory=dict)]
    assumptions: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if any(lower.bytes >= upper.bytes for lower, upper in pairwise(self.sram)):
            raise ValueError("`sram` must have ascending `bytes`")
        return self

    @model_validator(mode="after")
    def _check_memories(self) -> Self:
        known = [name for name in MEMORY_MODELS if not name.endswith(REFERENCE_SUFFIX)]
        for name in self.dram:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ValueError(f"`dram` has a row {name!r:.60}{hint} (expected memory models: {', '.join(known)})")
        return self

    @model_validator(mode="after")
    def _check_area_nodes(self) -> Self:
        figures = [
            self.areas.processing_element,
            self.areas.exponential,
            *(row for row in self.sram if row.square_micrometres is not None),
        ]
        for figure in figures:
            if figure is not None:
                self.area_scale(figure)
        return self

    def area_scale(self, row: AreaFigure | SramRow) -> float:
        """Return the factor of area from a row's node to the table's; 1 where the row names none."""
        return 1.0 if row.node_nm is None else area_scaling(row.node_nm, self.node_nm)

    def scale(self, row: Figure | SramRow) -> float:
        """Return the factor from a row's node and voltage to the table's; 1 where the row names none."""
        if row.node_nm is None or row.volts is None:
            return 1.0
        return energy_scaling((row.node_nm, row.volts), (self.node_nm, self.volts))

    def origin(self, row: Figure | SramRow) -> str:
        """Return a row's source, and how it was scaled if it was."""
        if row.node_nm is None or row.volts is None:
            return row.source
        return f"{row.source}; scaled by {self.scale(row):.3f} from {row.node_nm:g} nm, {row.volts:g} V"

    def sram_row(self, size_bytes: int) -> SramRow | None:
        """Return the smallest row that holds a memory, the largest if none does, None if there are no rows."""
        return next((row for row in self.sram if row.bytes >= size_bytes), self.sram[-1] if self.sram else None)

    def bank_picojoules_per_bit(self, size_bytes: int) -> tuple[float, float] | None:
        """Return picojoules per bit read and written of a bank, proportional to the width; None without rows.

        A bank larger than all rows is taken for several of the largest, of which one is accessed.
        """
        row = self.sram_row(size_bytes)
        if row is None:
            return None
        factor = self.scale(row) / row.port_bits
        return row.read_picojoules * factor, row.write_picojoules * factor


def load_energy(source: str | Path, relative_to: Path | None = None) -> EnergyTable:
    """Load a ready table by name, or one from a YAML file.

    Raises
    ------
    InputError
        The name is unknown, the file is missing, malformed or has a row without a source, or so is the energy
        reference table that it names.
    """
    path = resolve(source, kind="energy", relative_to=relative_to)
    return validate(EnergyTable, with_reference_table(load_yaml(path), path), str(path))


def locate_energy(source: str, relative_to: Path) -> str:
    """Return the name of a table that can be loaded from anywhere, checked: paths become absolute.

    Parameters
    ----------
    source : a ready table's name, or a path.
    relative_to : file that names it.

    Raises
    ------
    InputError
        As :func:`load_energy`.
    """
    path = resolve(source, kind="energy", relative_to=relative_to)
    load_energy(path)
    is_ready = path.name == f"{source}.yaml"  # a path resolves to a file of its own name
    return source if is_ready else str(path.resolve())
