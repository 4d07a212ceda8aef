"""The scratchpads: who writes and who reads what, and how wide."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.engine import GemmEngine
from gossamer_hw.prune.engine import PruneEngine
from gossamer_hw.scratchpads.bytes import ByteBuffer
from gossamer_hw.scratchpads.pieces import fitted, log2, spread
from gossamer_hw.scratchpads.words import WordBuffer
from gossamer_hw.vector.ports import LINE_WORD_BYTES, PRM_READS, buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.isa.tokens import Buffer
from gossamer_models.rtl_limits import require_rtl

__all__ = ["ADDRESS_BITS", "Scratchpads", "load_write_layout", "store_read_layout"]

ADDRESS_BITS = 24
_INDEX_BITS = 3
_VALUE_BYTES = 2
_WORD_BYTES = {Buffer.PRN: 16, Buffer.PRN_META: 8}


def load_write_layout(beat_bytes: int) -> data.StructLayout:
    """Layout of the load engine's write port.

    Members
    -------
    enable : write.
    buffer, half, address : where; the byte address is a multiple of `beat_bytes`.
    data, mask : the piece, and which bytes of it are written.
    indexed : the piece is of B, and its entries' metadata are written too: ``valid`` and ``index``.
    """
    return data.StructLayout(
        {
            **store_read_layout().members,
            "data": unsigned(8 * beat_bytes),
            "mask": unsigned(beat_bytes),
            "indexed": 1,
            "valid": 1,
            "index": unsigned(_INDEX_BITS),
        }
    )


def store_read_layout() -> data.StructLayout:
    """Layout of what the store engine reads: ``enable``, ``buffer``, ``half``, ``address`` of a beat in bytes."""
    return data.StructLayout({"enable": 1, "buffer": unsigned(4), "half": 1, "address": unsigned(ADDRESS_BITS)})


class Scratchpads(wiring.Component):
    """VIN, VOUT, PRM and PRN, and the way to the gemm engine's own buffers.

    What is written can be read from the next cycle on, what is read is there one cycle later. A half belongs to one
    writer or to its readers at a time, by tokens; PRM, which has no halves, and A, which has one port, to one writer
    at a time: load and vector engine must not write them in the same cycle. Nothing is ever arbitrated. Fixed latency,
    no flow control.

    Parameters
    ----------
    architecture
        Its memory must have one port, not wider than a word of every row of the array.
    gemm, prune
        The engines that have the other end of these ports.

    Members
    -------
    load : see :func:`load_write_layout`.
    store, store_data : see :func:`store_read_layout`; the beat.
    vector_vin, vector_vout, vector_prm, vector_prm_write, vector_a
        The vector engine's ports, see :func:`~gossamer_hw.vector.ports.buffer_members`.
    prune_read, prune_data : rows of VOUT.
    prune_values, prune_metadata : what the prune engine's banks write.
    gemm_a, gemm_values, gemm_tags : fill the gemm engine's buffers.

    Raises
    ------
    ValueError
        The memory's ports are several or too wide.
    """

    def __init__(self, architecture: Architecture, gemm: GemmEngine, prune: PruneEngine) -> None:
        array, vector, memory = architecture.array, architecture.vector, architecture.memory
        require_rtl(architecture, "memory.ports", "memory.port_bits")
        self._beat_bytes = memory.port_bits // 8
        self._sizes = buffer_bytes(architecture)
        self._group = array.group
        self._line_bytes = LINE_WORD_BYTES * vector.lanes
        self._prune_bytes = 16 * vector.prune_lanes
        self._prune_lanes = vector.prune_lanes
        ports = buffer_members(architecture, halves=True)
        ours = [name for name in ("vin", "vout", "prm", "prm_write", "a") if name in ports]
        self._feeds_array = vector.feeds_array
        theirs = prune.signature.members
        super().__init__(
            {
                "load": In(load_write_layout(self._beat_bytes)),
                "store": In(store_read_layout()),
                "store_data": Out(unsigned(8 * self._beat_bytes)),
                **{f"vector_{name}": ports[name].flip() for name in ours},
                **{f"prune_{name}": theirs[f"source_{name}"].flip() for name in ("enable", "address", "words")},
                **{f"prune_{name}": theirs[f"write_{name}"].flip() for name in ("values", "metadata")},
                **{f"gemm_{name}": gemm.signature.members[f"write_{name}"].flip() for name in ("a", "values", "tags")},
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire every buffer to its writers and readers."""
        m = Module()
        found = {
            Buffer.VOUT: self._output(m),
            Buffer.PRM: self._parameters(m),
            Buffer.PRN: self._pruned(m, Buffer.PRN, self.prune_values),
            Buffer.PRN_META: self._pruned(m, Buffer.PRN_META, self.prune_metadata),
        }
        self._input(m)
        self._operands(m)
        # A bit per buffer: behind block RAM there is no time to look at its number.
        asked = Signal(len(found))
        m.d.sync += asked.eq(Cat(self.store.buffer == buffer for buffer in found))
        beats = (beat & bit.replicate(len(beat)) for bit, beat in zip(asked, found.values(), strict=True))
        m.d.comb += self.store_data.eq(reduce(or_, beats))
        return m

    def _input(self, m: Module) -> None:
        """VIN: from the load engine by beats, to the vector engine by lines."""
        m.submodules.vin = vin = ByteBuffer(
            size_bytes=self._sizes[Buffer.VIN],
            halves=2,
            write_bytes=[self._beat_bytes],
            read_bytes=[self._line_bytes],
        )
        self._load(m, Buffer.VIN, vin.write_0)
        m.d.comb += [_asks(vin.read_0, self.vector_vin), self.vector_vin.data.eq(vin.data_0)]

    def _output(self, m: Module) -> Value:
        """VOUT: from the vector engine by lines, to the prune engine by rows and the store engine by beats."""
        m.submodules.vout = vout = ByteBuffer(
            size_bytes=self._sizes[Buffer.VOUT],
            halves=2,
            write_bytes=[self._line_bytes],
            read_bytes=[self._beat_bytes, self._prune_bytes],
        )
        vector = self.vector_vout
        self._store(m, Buffer.VOUT, vout.read_0)
        m.d.comb += [
            _asks(vout.write_0, vector),
            vout.write_0.data.eq(vector.data),
            vout.write_0.mask.eq(vector.mask),
            vout.read_1.enable.eq(self.prune_enable),
            vout.read_1.address.eq(self.prune_address[:-1]),
            vout.read_1.half.eq(self.prune_address[-1]),
            self.prune_words.eq(vout.data_1),
        ]
        return vout.data_0

    def _parameters(self, m: Module) -> Value:
        """PRM: from the load engine by beats and the vector engine by lines, to the store engine and the latter."""
        m.submodules.prm = prm = ByteBuffer(
            size_bytes=self._sizes[Buffer.PRM],
            halves=1,
            write_bytes=[self._beat_bytes, self._line_bytes],
            read_bytes=[self._beat_bytes, *[self._line_bytes] * PRM_READS],
        )
        self._load(m, Buffer.PRM, prm.write_0)
        self._store(m, Buffer.PRM, prm.read_0)
        vector = self.vector_prm_write
        m.d.comb += [
            prm.write_1.enable.eq(vector.enable),
            prm.write_1.address.eq(vector.address),
            prm.write_1.data.eq(vector.data),
            prm.write_1.mask.eq(Cat(word.replicate(LINE_WORD_BYTES) for word in vector.mask)),
        ]
        for n, port in enumerate(self.vector_prm, start=1):
            read = getattr(prm, f"read_{n}")
            m.d.comb += [
                read.enable.eq(port.enable),
                read.address.eq(port.address),
                port.data.eq(getattr(prm, f"data_{n}")),
            ]
        return prm.data_0

    def _pruned(self, m: Module, buffer: Buffer, banks: Any) -> Value:
        """PRN or PRN_META: from the prune engine word by word, to the store engine by beats."""
        words = WordBuffer(
            size_bytes=self._sizes[buffer],
            word_bytes=_WORD_BYTES[buffer],
            lanes=self._prune_lanes,
            read_bytes=self._beat_bytes,
            address_bits=len(banks[0].address),
        )
        m.submodules[buffer.name.lower()] = words
        m.d.comb += words.write.as_value().eq(banks.as_value())
        self._store(m, buffer, words.read)
        return words.data

    def _operands(self, m: Module) -> None:
        """A, values and tags of B: beats become parts of the gemm engine's rows."""
        load = self.load
        to_a, to_b, to_tags = (load.enable & (load.buffer == buffer) for buffer in (Buffer.A, Buffer.B, Buffer.B_META))
        for port, enable in ((self.gemm_a, to_a), (self.gemm_values, to_b)):
            row, mask = self._row(port, load.data, load.mask, load.address >> log2(self._beat_bytes))
            m.d.comb += [port.data.eq(row), port.mask.eq(Mux(enable, mask, 0))]
            m.d.comb += port.address.eq(self._address(port, load.address >> log2(len(port.mask))))
        if self._feeds_array:
            self._lines_of_a(m)

        # A beat of B has half as many entries as one of B_META.
        tags, port = self._beat_bytes // _VALUE_BYTES, self.gemm_tags
        index_bits = log2(self._group)
        loaded = [load.data.word_select(n, 8) for n in range(self._beat_bytes)]
        by_beat = self._row(
            port,
            Cat(Cat(tag[:index_bits], tag[7]) for tag in loaded),
            load.mask,
            load.address >> log2(self._beat_bytes),
        )
        made = Cat(fitted(load.index, index_bits), load.valid)
        by_index = self._row(
            port,
            made.replicate(tags),
            Cat(load.mask[_VALUE_BYTES * n] for n in range(tags)),
            load.address >> log2(self._beat_bytes),
        )
        entry = Mux(to_tags, load.address, load.address >> log2(_VALUE_BYTES))
        m.d.comb += [
            port.data.eq(Mux(to_tags, by_beat[0], by_index[0])),
            port.mask.eq(Mux(to_tags, by_beat[1], Mux(to_b & load.indexed, by_index[1], 0))),
            port.address.eq(self._address(port, entry >> log2(len(port.mask)))),
        ]

    def _lines_of_a(self, m: Module) -> None:
        """A: lines from the vector engine too."""
        vector, port = self.vector_a, self.gemm_a
        pieces = len(port.mask) // self._line_bytes
        row, mask = spread(vector.data, vector.mask, vector.address, pieces=pieces)
        with m.If(vector.enable):
            m.d.comb += [
                port.data.eq(row),
                port.mask.eq(mask),
                port.address.eq(Cat(fitted(vector.address >> log2(pieces), len(port.address) - 1), vector.half)),
            ]

    def _row(self, port: Any, piece: Value, mask: Value, number: Value) -> tuple[Value, Value]:
        """Place a piece in a row of the gemm engine."""
        return spread(piece, mask, number, pieces=len(port.mask) // len(mask))

    def _address(self, port: Any, row: Value) -> Value:
        """Address of a row in the half that is loaded."""
        return Cat(fitted(row, len(port.address) - 1), self.load.half)

    def _load(self, m: Module, buffer: Buffer, write: Any) -> None:
        """Let the load engine write a buffer."""
        load = self.load
        m.d.comb += [
            write.enable.eq(load.enable & (load.buffer == buffer)),
            write.half.eq(load.half),
            write.address.eq(load.address >> log2(self._beat_bytes)),
            write.data.eq(load.data),
            write.mask.eq(load.mask),
        ]

    def _store(self, m: Module, buffer: Buffer, read: Any) -> None:
        """Let the store engine read a buffer."""
        m.d.comb += [
            read.enable.eq(self.store.enable & (self.store.buffer == buffer)),
            read.half.eq(self.store.half),
            read.address.eq(self.store.address >> log2(self._beat_bytes)),
        ]


def _asks(command: Any, port: Any) -> list[Any]:
    """Pass on where a port reads or writes."""
    return [getattr(command, name).eq(getattr(port, name)) for name in ("enable", "half", "address")]
