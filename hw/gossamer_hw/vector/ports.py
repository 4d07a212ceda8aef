"""What the vector engine and its units are wired to: buffers, the instruction, the sticky flags."""

from typing import Any

from amaranth.hdl import ShapeLike, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.layouts import operand_layout
from gossamer_hw.vector.stream_lane import Lent, Operands
from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import Buffer

__all__ = [
    "LINE_WORD_BYTES", "PRM_READS", "borrower_members", "buffer_members", "read_port", "unit_members", "write_port",
]  # fmt: skip

LINE_WORD_BYTES = 4
"""Bytes per lane in a line of VIN, VOUT or PRM: one fp32 or two fp16."""

PRM_READS = 3
"""Lines of PRM that can be read at once: as many vectors of parameters as GRADIENT takes."""

_WORD_BITS = 8 * LINE_WORD_BYTES


def read_port(lines: int, shape: ShapeLike, *, halves: bool = False) -> wiring.Signature:
    """Signature of a read port, seen from the reader.

    Members
    -------
    enable : read.
    half : of the buffer, if it has any and ``halves`` says so.
    address : number of the line.
    data : the line, one cycle after ``enable``; later it may be anything.
    """
    members = {"enable": Out(1), "address": Out(range(lines)), "data": In(shape)}
    return wiring.Signature(members | ({"half": Out(1)} if halves else {}))


def write_port(lines: int, shape: ShapeLike, mask_bits: int, *, halves: bool = False) -> wiring.Signature:
    """Signature of a write port, seen from the writer.

    Members
    -------
    enable : write; the line is in the buffer one cycle later.
    half : of the buffer, if it has any and ``halves`` says so.
    address : number of the line.
    data : the line.
    mask : its parts (bytes of VOUT, words of PRM) that are written.
    """
    members = {"enable": Out(1), "address": Out(range(lines)), "data": Out(shape), "mask": Out(mask_bits)}
    return wiring.Signature(members | ({"half": Out(1)} if halves else {}))


def buffer_members(architecture: Architecture, *, halves: bool) -> dict[str, Any]:
    """Ports to the buffers, with L lanes and C columns.

    Members
    -------
    vin : reads lines of 4 L bytes.
    vout : writes lines of 4 L bytes, a mask bit per byte.
    prm : :data:`PRM_READS` ports that read lines of L words.
    prm_write : writes lines of L words, a mask bit per word.
    acc : reads accumulator words of C results, the flat elements C word .. C word + C - 1.
    a : writes lines of 4 L bytes, a mask bit per byte; only where the architecture has ``vector.feeds_array``.
    """
    lanes, buffers = architecture.vector.lanes, architecture.buffers
    line_bytes = LINE_WORD_BYTES * lanes
    parameters = data.ArrayLayout(unsigned(_WORD_BITS), lanes)
    sums = data.ArrayLayout(unsigned(_WORD_BITS), architecture.array.columns)
    bits = unsigned(8 * line_bytes)
    prm_lines = -(-buffers.parameter_words // lanes)
    vin_lines, vout_lines = (-(-size // line_bytes) for size in (buffers.vector_in_bytes, buffers.vector_out_bytes))
    members = {
        "vin": Out(read_port(vin_lines, bits, halves=halves)),
        "vout": Out(write_port(vout_lines, bits, line_bytes, halves=halves)),
        "prm": Out(read_port(prm_lines, parameters)).array(PRM_READS),
        "prm_write": Out(write_port(prm_lines, parameters, lanes)),
        "acc": Out(read_port(buffers.accumulator_words, sums, halves=halves)),
    }
    if not architecture.vector.feeds_array:
        return members
    a_lines = -(-buffer_bytes(architecture)[Buffer.A] // line_bytes)
    return members | {"a": Out(write_port(a_lines, bits, line_bytes, halves=halves))}


def borrower_members(lanes: int) -> dict[str, Any]:
    """Members of a unit that borrows the first multipliers and adders of streaming lanes.

    Members
    -------
    operands : per lane, any while another unit is at work.
    lent : per lane: product and sum of the operands :data:`~gossamer_hw.vector.stream_lane.LENT_LATENCY` cycles before.
    """
    return {"operands": Out(data.ArrayLayout(Operands, lanes)), "lent": In(data.ArrayLayout(Lent, lanes))}


def unit_members(architecture: Architecture) -> dict[str, Any]:
    """Members of every unit of the engine. The engine adds the halves.

    A unit that is not at work keeps all ``enable`` at 0; it then may drive anything else.

    Members
    -------
    start : a pulse; begin.
    command : constant from ``start`` to ``done``.
    rewind : a pulse between stages, never from ``start`` to ``done``.
    obeyed : the instruction's sticky flag as ``start`` found it, constant from the cycle behind ``start`` to ``done``.
    done : a pulse, not before the cycle of the last write's ``enable``; the next ``start`` comes later.
    fault : together with ``done``: a code of :class:`gossamer_models.registers.Fault`, 0 for none.
    set : from ``start`` to ``done``: a result that ``found_mode`` looks at is not finite.
    """
    return {
        "start": In(1),
        "command": In(operand_layout(Vector)),
        "rewind": In(1),
        "obeyed": In(1),
        "done": Out(1),
        "fault": Out(4),
        "set": Out(1),
        **buffer_members(architecture, halves=False),
    }
