"""Alignment that the machine asks of operands, because it reads and writes whole lines."""

from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.instructions import Instruction, Load, Store, Vector, VectorOp
from gossamer_models.timing.dma import misaligned

__all__ = ["check_alignment"]

_PARAMETER_WORDS = 8
_PER_CHANNEL = frozenset({VectorOp.NORM_FORWARD, VectorOp.NORM_BACKWARD})


def check_alignment(architecture: Architecture, instruction: Instruction) -> None:
    """Check the operands of a concrete instruction.

    Operands of a Vector in VIN and VOUT start at multiples of ``vector.line_bytes``; in PRM at multiples of 8 words, as
    does every further vector of ``channels``. Transfers of a machine with one port obey
    :func:`gossamer_models.timing.dma.misaligned`; for several ports no rule exists.

    Raises
    ------
    ExecutionError
        An operand starts elsewhere; the message names the field.
    """
    if isinstance(instruction, Vector):
        _check_vector(architecture.vector.line_bytes, instruction)
    elif isinstance(instruction, Load | Store) and architecture.memory.ports == 1:
        wrong = misaligned(instruction, architecture.memory.port_bits // 8)
        if wrong is not None:
            raise ExecutionError(wrong)


def _check_vector(line_bytes: int, v: Vector) -> None:
    words = {"parameter": v.parameter, "channels": v.channels}
    lines = {f"target{n}": getattr(v, f"target{n}") for n in range(3)}
    sources = {f"source{n}": getattr(v, f"source{n}") for n in range(3)}
    if v.op == VectorOp.DRAIN:
        del sources["source0"]
    (words if v.op in _PER_CHANNEL else lines).update(sources)
    for unit, places in ((_PARAMETER_WORDS, words), (line_bytes, lines)):
        for name, place in places.items():
            if place % unit:
                raise ExecutionError(f"`{name}` must be a multiple of {unit}, not {place}")
