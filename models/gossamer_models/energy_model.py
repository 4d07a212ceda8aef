"""What actions cost on one machine: picojoules of the architecture's table, component by component."""

from dataclasses import dataclass
from typing import Any, Final

from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture
from gossamer_models.banks import memory_banks, memory_component
from gossamer_models.energy import EnergyTable, Figure, load_energy
from gossamer_models.memories import REFERENCE_SUFFIX

__all__ = ["EnergyModel", "Rate", "energy_model"]

_PICO: Final = 1e-12
_OPERATIONS: Final = (
    ("mac", "array", ("macs", "null_macs")),
    ("register_bit", "array_registers", ("word_bits", "chain_bits")),
    ("multiplication", "vector_lanes", ("multiplications",)),
    ("addition", "vector_lanes", ("additions",)),
    ("comparison", "prune_engine", ("comparisons",)),
)
_ASSUMED: Final = (
    "null steps and invalid products cost as much as valid ones",
    "a register bit costs the same whether it changes or not",
    "a bank costs as the smallest sourced memory that holds it, in proportion to the width read",
    "banks of 64 bits behind the vector lanes",
)
_NEVER_COUNTED: Final = (
    "unused bytes of external memory's bursts",
    "leakage, clock tree, address generators, sequencer and instruction fetch",
    "comparisons, fixed-point sums, format conversion and control of the vector lanes",
)


@dataclass(frozen=True, slots=True)
class Rate:
    """Energy of one action.

    Members
    -------
    action : name of a count of :class:`~gossamer_models.actions.Actions`.
    component : part of the machine that spends it.
    """

    action: str
    component: str
    picojoules: float
    source: str


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """What every action of one machine costs.

    Members
    -------
    table : where the figures come from.
    rates : one per action that has a figure.
    assumptions : what must be granted, in words: the table's, and those of counting.
    left_out : what is part of no sum, in words.
    """

    table: EnergyTable
    rates: tuple[Rate, ...]
    assumptions: tuple[str, ...]
    left_out: tuple[str, ...]

    def components(self, actions: Actions) -> dict[str, float]:
        """Joules of each component."""
        counts = actions.as_dict()
        sums = dict.fromkeys((rate.component for rate in self.rates), 0.0)
        for rate in self.rates:
            sums[rate.component] += counts[rate.action] * rate.picojoules * _PICO
        return sums

    @property
    def note(self) -> str:
        """One sentence that must stand beside every figure."""
        return (
            f"energy by table {self.table.name} ({self.table.description}); "
            f"assumed: {'; '.join(self.assumptions)}; left out: {'; '.join(self.left_out)}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all that the figures rest on, as JSON holds it."""
        return {
            "table": self.table.name,
            "description": self.table.description,
            "node_nm": self.table.node_nm,
            "volts": self.table.volts,
            "rates": {
                rate.action: {"component": rate.component, "picojoules": rate.picojoules, "source": rate.source}
                for rate in self.rates
            },
            "assumptions": list(self.assumptions),
            "left_out": list(self.left_out),
        }


def energy_model(architecture: Architecture, memory_model: str) -> EnergyModel | None:
    """Return what actions cost on a machine; None if it names no table.

    Parameters
    ----------
    architecture : names the table and gives the sizes of the memories.
    memory_model : of the run; chooses the row of the external memory.

    Raises
    ------
    InputError
        The table cannot be loaded.
    """
    if architecture.energy is None:
        return None
    table = load_energy(architecture.energy)
    rates, missing = _operation_rates(table)
    for more_rates, more_missing in (_memory_rates(table, architecture), _dram_rates(table, memory_model)):
        rates += more_rates
        missing += more_missing
    return EnergyModel(table, tuple(rates), (*table.assumptions, *_ASSUMED), (*missing, *_NEVER_COUNTED))


def _operation_rates(table: EnergyTable) -> tuple[list[Rate], list[str]]:
    rates: list[Rate] = []
    missing: list[str] = []
    for name, component, actions in _OPERATIONS:
        figure: Figure | None = getattr(table.operations, name)
        if figure is None:
            missing.append(f"{component.replace('_', ' ')}: the table has no `operations.{name}`")
            continue
        picojoules = figure.picojoules * table.scale(figure)
        rates += [Rate(action, component, picojoules, table.origin(figure)) for action in actions]
    return rates, missing


def _memory_rates(table: EnergyTable, architecture: Architecture) -> tuple[list[Rate], list[str]]:
    rates: list[Rate] = []
    for memory, banks in memory_banks(architecture).items():
        size = banks.bytes
        row, cost = table.sram_row(size), table.bank_picojoules_per_bit(size)
        if row is None or cost is None:
            return [], ["on-chip memories: the table has no `sram` rows"]
        component = memory_component(memory)
        source = f"{table.origin(row)}; {row.bytes} bytes for a bank of {size}, in proportion to the width"
        rates += [
            Rate(f"{memory}_{action}_bits", component, picojoules, source)
            for action, picojoules in zip(("read", "write"), cost, strict=True)
        ]
    return rates, []


def _dram_rates(table: EnergyTable, memory_model: str) -> tuple[list[Rate], list[str]]:
    row = table.dram.get(memory_model.removesuffix(REFERENCE_SUFFIX))
    if row is None:
        return [], [f"external memory: the table has no `dram.{memory_model}`"]
    source = f"{row.source}; {row.covers}"
    rates = [
        Rate("dram_read_bits", "dram", row.read_picojoules_per_bit, source),
        Rate("dram_write_bits", "dram", row.write_picojoules_per_bit, source),
    ]
    return rates, [row.left_out] if row.left_out else []
