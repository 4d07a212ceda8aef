"""Schema of an accelerator: array, buffers, vector lanes, memory ports and pipeline depths.

Everything that timing, compiler, simulator and Verilog generation know of a machine comes from one
:class:`Architecture`; ready ones lie in ``architectures/*.yaml``.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gossamer_models.dataflows import DATAFLOWS, DataflowName
from gossamer_models.energy import locate_energy
from gossamer_models.errors import InputError, UnsupportedError
from gossamer_models.isa.instructions import MAX_STAGE_INSTRUCTIONS, Dataflow
from gossamer_models.loading import load_model, resolve
from gossamer_models.memories import MemoryModelName
from gossamer_models.render_engine import RenderEngine
from gossamer_models.rtl_limits import LEAST_RENDER_LANES, RTL_LANES, PortBits, RtlGap, rtl_gaps
from gossamer_models.schema import Schema

__all__ = [
    "AddressMapping", "Architecture", "Array", "Buffers", "Interleave", "Memory", "Vector",
    "load_architecture", "point_window",
]  # fmt: skip

LEAST_DEALT_BITS = 128
"""Fewest bits of an instruction that are dealt at a time."""

Positive = Annotated[int, Field(gt=0, lt=1 << 24)]
Interleave = tuple[int, int]
AddressDigit = Literal["group", "column", "bank"]


def _require_power_of_two(name: str, value: int) -> None:
    if value & (value - 1):
        raise ValueError(f"`{name}` must be a power of two, not {value}")


class Array(Schema):
    """The array of processing elements.

    Members
    -------
    rows, columns : R and C, powers of two.
    group : elements of the reduced dimension in one word, and the largest M of an N:M pattern.
    slots : S, accumulator slots of a processing element.
    drain_ports : shadow-register chains per column; divides ``rows``.
    multiply_latency_cycles : pipeline registers of the operand select and the multiplier.
    add_latency_cycles : length of the accumulate loop; at most ``slots``.
    chunks : most chunks of a product's sum that run side by side (Lr), a power of two; at most ``slots``, and half of
        the rows that a drain port serves.
    dataflows : ``os`` always; ``ws`` if the array can also keep weights in its elements.
    chain_slots : most Li x Lj of a weight-stationary tile, whose unfinished sums lie in memories below the columns.
    """

    rows: Annotated[int, Field(ge=2, le=256)]
    columns: Annotated[int, Field(ge=2, le=256)]
    group: Literal[8, 16] = 8
    slots: Annotated[int, Field(ge=1, le=16)] = 4
    drain_ports: Annotated[int, Field(ge=1, le=256)] = 1
    multiply_latency_cycles: Annotated[int, Field(ge=2, le=8)] = 3
    add_latency_cycles: Annotated[int, Field(ge=2, le=7)] = 4
    chunks: Annotated[int, Field(ge=1, le=8)] = 1
    dataflows: Annotated[tuple[DataflowName, ...], Field(min_length=1)] = ("os",)
    chain_slots: Annotated[int, Field(ge=1, le=16)] = 16

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.dataflows not in (("os",), ("os", "ws")):
            raise ValueError(f"`dataflows` must be [os] or [os, ws], not [{', '.join(self.dataflows)}]")
        for name in ("rows", "columns", "slots", "drain_ports", "chunks", "chain_slots"):
            _require_power_of_two(name, getattr(self, name))
        if self.drain_ports > self.rows:
            raise ValueError(f"`drain_ports` must be at most `rows` ({self.rows}), not {self.drain_ports}")
        if self.add_latency_cycles > self.slots:
            raise ValueError(
                f"`add_latency_cycles` must be at most `slots` ({self.slots}), not {self.add_latency_cycles}"
            )
        most_chunks = min(self.slots, max(1, self.rows // self.drain_ports // 2))
        if self.chunks > most_chunks:
            raise ValueError(
                f"`chunks` must be at most {most_chunks} (`slots`, rows / drain_ports / 2), not {self.chunks}"
            )
        drain_cycles = min(li * lj for li, lj in self.interleaves) * self.rows // self.drain_ports
        if drain_cycles <= self.add_latency_cycles:
            raise ValueError(
                f"`drain_ports` {self.drain_ports} drains a chunk in {drain_cycles} cycles, which must exceed"
                f" `add_latency_cycles` ({self.add_latency_cycles})"
            )
        return self

    def __hash__(self) -> int:
        """Hash of what mostly tells arrays apart."""
        return hash((self.rows, self.columns, self.group, self.slots, self.dataflows))

    @property
    def interleaves(self) -> tuple[Interleave, ...]:
        """Every legal (Li, Lj): powers of two with add latency <= Li * Lj <= S."""
        powers = [1 << n for n in range(self.slots.bit_length())]
        return tuple((li, lj) for li in powers for lj in powers if self.add_latency_cycles <= li * lj <= self.slots)

    @property
    def chunk_interleaves(self) -> tuple[tuple[int, int, int], ...]:
        """Every legal (Li, Lj, Lr) with more than one chunk side by side."""
        powers = [1 << n for n in range(self.slots.bit_length())]
        fits = range(self.add_latency_cycles, self.slots + 1)
        return tuple(
            (li, lj, lr)
            for lr in powers[1 : self.chunks.bit_length()]
            for li in powers
            for lj in powers
            if li * lj * lr in fits
        )

    @property
    def schedules(self) -> tuple[tuple[Dataflow, int, int], ...]:
        """Every dataflow with every (Li, Lj) that it can run: weight-stationary powers of two up to ``chain_slots``."""
        found = [(Dataflow.OS, li, lj) for li, lj in self.interleaves] if "os" in self.dataflows else []
        if "ws" in self.dataflows:
            powers = [1 << n for n in range(self.chain_slots.bit_length())]
            found += [(Dataflow.WS, li, lj) for li in powers for lj in powers if li * lj <= self.chain_slots]
        return tuple(found)

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-adds that the array can do in one cycle."""
        return self.rows * self.columns


class Buffers(Schema):
    """Sizes of one half of each double-buffered scratchpad.

    Members
    -------
    a_words : words of ``group`` fp16 per row bank.
    b_entries : entries (fp16 value, index, valid) per column bank.
    accumulator_words : fp32 results per column bank.
    vector_in_bytes, vector_out_bytes : vector engine's input and output.
    prune_entries : entries that the prune engine writes.
    parameter_words : fp32 per-channel parameters and sums of the vector engine (not doubled).
    """

    a_words: Positive
    b_entries: Positive
    accumulator_words: Positive
    vector_in_bytes: Positive
    vector_out_bytes: Positive
    prune_entries: Positive
    parameter_words: Positive = 32768


class Vector(Schema):
    """Vector and prune engines: lanes work on one element (one word) per cycle each; ``prune_lanes`` a power of two.

    Members
    -------
    feeds_array : the vector engine also writes buffer A, so that a layer reads what its input's normalisation is made
        of; a line of the lanes is no longer than a word of every row then.
    """

    lanes: Annotated[int, Field(ge=1, le=1024)] = 64
    prune_lanes: Positive = 32
    feeds_array: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_power_of_two("lanes", self.lanes)
        _require_power_of_two("prune_lanes", self.prune_lanes)
        return self

    @property
    def line_bytes(self) -> int:
        """Bytes that all lanes read or write in a cycle; operands in VIN and VOUT start at whole lines."""
        return 4 * self.lanes

    def align(self, size_bytes: int) -> int:
        """Round a size up to whole lines."""
        return -(-size_bytes // self.line_bytes) * self.line_bytes


class AddressMapping(Schema):
    """Where an address lies in DRAM: in which channel, bank group, bank and column; the row is what is left.

    Members
    -------
    interleave_bytes : bytes of one channel before the next one follows.
    channel_fold : the channel is the XOR of all address bits from there up, taken in groups; else the lowest group.
    order : digits of the address within a channel above a burst, lowest first; the row lies above them.
    bank_fold : bank and group are XORed with the row's Gray code, taken in groups of one bit more.
    """

    interleave_bytes: Annotated[int, Field(ge=64, le=1 << 20)] = 1024
    channel_fold: bool = True
    order: tuple[AddressDigit, AddressDigit, AddressDigit] = ("group", "column", "bank")
    bank_fold: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_power_of_two("interleave_bytes", self.interleave_bytes)
        if len(set(self.order)) != len(self.order):
            raise ValueError(f"`order` must name group, column and bank once each, not {', '.join(self.order)}")
        return self


class Memory(Schema):
    """External memory: AXI ports of ``port_bits``, a channel behind each, and their behaviour.

    ``latency_cycles`` is of ``ideal``; the other models take theirs from the DRAM's timing and obey ``mapping``.
    """

    ports: Annotated[int, Field(ge=1, le=16)] = 1
    port_bits: PortBits = 512
    latency_cycles: Annotated[int, Field(ge=1, le=10_000)] = 64
    model: MemoryModelName = "ddr4"
    mapping: AddressMapping = AddressMapping()

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_power_of_two("ports", self.ports)
        return self

    @property
    def bytes_per_cycle(self) -> int:
        """Peak bytes per cycle and direction over all ports."""
        return self.ports * self.port_bits // 8


class Architecture(Schema):
    """A machine that Gossamer can compile for, simulate and generate.

    Members
    -------
    clock_hz : clock used to turn cycles into seconds. An assumption until placed and routed.
    queue_depth : instructions an engine's queue holds.
    stage_instructions : instructions that a stage has at most, all of which lie on chip; a power of two.
    serial_dealing : instructions are read and dealt a word of a memory port at a time, not whole: fewer wires, a few
        more cycles each. Needs a `queue_depth` of 1 and ports of at least 128 bits.
    render : the render engine; without one no scene can be timed. RTL has engines of one lane of each kind; of
        others cycles are modelled.
    energy : energy table, ready or a path beside this file; without one no energy is reported.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    description: str = ""
    clock_hz: Annotated[int, Field(ge=1_000, le=10_000_000_000)]
    array: Array
    buffers: Buffers
    vector: Vector = Vector()
    memory: Memory = Memory()
    queue_depth: Annotated[int, Field(ge=1, le=64)] = 8
    stage_instructions: Annotated[int, Field(ge=16, le=MAX_STAGE_INSTRUCTIONS)] = MAX_STAGE_INSTRUCTIONS
    serial_dealing: bool = False
    render: RenderEngine | None = None
    energy: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.buffers.accumulator_words % self.array.rows:
            raise ValueError(
                f"`buffers.accumulator_words` must be a multiple of `array.rows` ({self.array.rows}),"
                f" not {self.buffers.accumulator_words}"
            )
        _require_power_of_two("stage_instructions", self.stage_instructions)
        row_bytes = 2 * self.array.group * self.array.rows
        if self.vector.feeds_array and self.vector.line_bytes > row_bytes:
            raise ValueError(
                f"`vector.feeds_array` needs lines of at most the {row_bytes} bytes of a word of every row, not"
                f" {self.vector.line_bytes} (4 per lane)"
            )
        if self.serial_dealing and self.queue_depth != 1:
            raise ValueError(f"`serial_dealing` needs a `queue_depth` of 1, not {self.queue_depth}")
        if self.serial_dealing and self.memory.port_bits < LEAST_DEALT_BITS:
            raise ValueError(
                f"`serial_dealing` needs `memory.port_bits` of at least {LEAST_DEALT_BITS}, not {self.memory.port_bits}"
            )
        executes = self.render is not None and self.render.in_rtl
        if executes and not LEAST_RENDER_LANES <= self.vector.lanes <= RTL_LANES:
            raise ValueError(
                f"`vector.lanes` must be {LEAST_RENDER_LANES}..{RTL_LANES} beside a render engine that executes"
                f" Programs (one lane of each kind), not {self.vector.lanes}"
            )
        return self

    def __hash__(self) -> int:
        """Hash of what mostly tells machines apart; they are looked up thousands of times per run."""
        return hash((self.name, self.clock_hz, self.array, self.vector.lanes, self.memory.port_bits))

    @property
    def whole_in_rtl(self) -> bool:
        """Whether the whole machine exists in RTL; of others only the gemm and prune engines do."""
        return not self.rtl_gaps

    @property
    def rtl_gaps(self) -> tuple[RtlGap, ...]:
        """What would have to be otherwise for the whole machine to exist in RTL."""
        return rtl_gaps(self)

    @property
    def render_engine(self) -> RenderEngine:
        """The render engine.

        Raises
        ------
        InputError
            The architecture has none.
        """
        if self.render is None:
            raise InputError(f"architecture {self.name} has no render engine", "one with a section `render`")
        return self.render

    def limited_to(self, dataflow: str) -> Self:
        """The machine with one dataflow alone, or as it is (``auto``).

        Raises
        ------
        InputError
            The name is none.
        UnsupportedError
            The machine is built without it.
        """
        if dataflow not in DATAFLOWS:
            raise InputError(f"dataflow must be one of {', '.join(DATAFLOWS)}, not {dataflow!r:.60}")
        if dataflow == "auto":
            return self
        if dataflow not in self.array.dataflows:
            raise UnsupportedError(
                f"architecture {self.name!r} is built without dataflow ws (weight-stationary)",
                "array.dataflows: [os, ws] in the architecture, or --dataflow os or auto",
            )
        return self.model_copy(update={"array": self.array.model_copy(update={"dataflows": (dataflow,)})})

    def on_chip_bytes(self) -> dict[str, int]:
        """Bytes of each scratchpad, both halves together, metadata bits rounded up to bytes.

        ``stationary``: sums between sets of weights below the columns, and words of A beside the rows.
        """
        array, buffers = self.array, self.buffers
        entry_bits = 16 + (array.group - 1).bit_length() + 1
        return {
            "a": 2 * array.rows * buffers.a_words * array.group * 2,
            "b": -(-2 * array.columns * buffers.b_entries * entry_bits // 8),
            "accumulator": 2 * array.columns * buffers.accumulator_words * 4,
            "vector_in": 2 * buffers.vector_in_bytes,
            "vector_out": 2 * buffers.vector_out_bytes,
            "prune": 2 * 3 * buffers.prune_entries,
            "parameter": 4 * buffers.parameter_words,
            **({"stationary": self._stationary_bytes()} if "ws" in array.dataflows else {}),
            **(self.render.on_chip_bytes() if self.render else {}),
        }

    def _stationary_bytes(self) -> int:
        array = self.array
        sums = array.columns * array.chain_slots * array.rows * 4
        return sums + array.rows * point_window(array.rows, array.add_latency_cycles) * array.group * 2


def point_window(rows: int, add_latency_cycles: int) -> int:
    """Points whose words lie beside the rows of a weight-stationary array.

    The last row takes a point (R - 1) x add latency cycles behind the first; R points stream, and R more are written.
    """
    return (rows - 1) * add_latency_cycles + 2 * rows - 1


def load_architecture(source: str | Path, relative_to: Path | None = None) -> Architecture:
    """Load a ready architecture by name, or one from a YAML file.

    Raises
    ------
    InputError
        The name is unknown, or the file or the energy table it names is missing, malformed or out of bounds.
    """
    architecture = load_model(Architecture, source, kind="architectures", relative_to=relative_to)
    if architecture.energy is None:
        return architecture
    path = resolve(source, kind="architectures", relative_to=relative_to)
    try:
        energy = locate_energy(architecture.energy, relative_to=path)
    except InputError as error:
        if error.source is None:  # a name that is unknown stands here, all other faults in the table
            error.source, error.path = str(path), "energy"
        raise
    return architecture.model_copy(update={"energy": energy})
