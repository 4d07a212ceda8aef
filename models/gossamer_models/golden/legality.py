"""What the machine refuses beyond the rules of an operation: places off its lines, neighbours off its lanes."""

from collections.abc import Iterator

from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.instructions import Format, Instruction, Load, Prune, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.timing.dma import misaligned
from gossamer_models.timing.vector_pool import POOL_OPERATIONS
from gossamer_models.timing.vector_stream import summed_elements

__all__ = ["check_legal"]

_PARAMETER_WORDS = 8
_ROW = 8
_PER_CHANNEL = frozenset({VectorOp.NORM_FORWARD, VectorOp.NORM_BACKWARD, VectorOp.LOSS_SCALE})
_FROM_ACCUMULATORS = frozenset({VectorOp.DRAIN, VectorOp.SOFTMAX, VectorOp.SOFTMAX_GRADIENT})
_BY_ROW = frozenset({VectorOp.LAYER_NORM, VectorOp.LAYER_NORM_GRADIENT})
_NO_SAMPLES = frozenset({VectorOp.FILL, VectorOp.SOFTMAX_CROSS_ENTROPY, *_PER_CHANNEL})


def check_legal(architecture: Architecture, instruction: Instruction) -> None:
    """Check a concrete instruction against the machine's lines and lanes.

    Operands of a Vector in VIN, VOUT and A start at multiples of ``vector.line_bytes``; in PRM at multiples of 8 words,
    as does every further vector of ``channels``; operations RENDER_... have none there. Neighbours on the lanes have
    neighbouring channels and one sample period; an operation that sums has them in the blocks that its sums take at a
    time.
    A Prune has blocks, its source starts at whole rows of the lanes, values and metadata at whole words of entries.
    Transfers of a machine with one port obey :func:`gossamer_models.timing.dma.misaligned`; for several ports no rule
    exists.

    Raises
    ------
    ExecutionError
        A rule is broken; the message names the field.
    """
    if isinstance(instruction, Vector):
        wrong = next(_wrong(architecture, instruction), None)
    elif isinstance(instruction, Prune):
        wrong = next(_wrong_prune(architecture, instruction), None)
    elif isinstance(instruction, Load | Store) and instruction.format not in set(Format):
        wrong = f"`format` must be one of {', '.join(str(int(one)) for one in Format)}, not {instruction.format}"
    elif isinstance(instruction, Load | Store) and architecture.memory.ports == 1:
        wrong = misaligned(instruction, architecture.memory.port_bits // 8)
    else:
        wrong = None
    if wrong is not None:
        raise ExecutionError(wrong)


def _wrong(architecture: Architecture, v: Vector) -> Iterator[str]:
    """Sentences on all that is wrong."""
    lanes = architecture.vector.lanes
    words = {"parameter": v.parameter, "channels": v.channels}
    lines = {f"target{n}": getattr(v, f"target{n}") for n in range(3)}
    sources = {f"source{n}": getattr(v, f"source{n}") for n in range(3)}
    if v.op in _FROM_ACCUMULATORS:
        del sources["source0"]
    if v.op == VectorOp.DRAIN:
        words |= {name: lines.pop(name) for name in ("target1", "target2")}
    (words if v.op in _PER_CHANNEL else lines).update(sources)
    if v.op in RENDER_OPERATIONS:  # its parameter and its channels are no places, and it has two places of each kind
        words = {}
        lines = {name: lines[name] for name in ("source0", "source1", "target0", "target1")}
    for unit, places in ((_PARAMETER_WORDS, words), (architecture.vector.line_bytes, lines)):
        for name, place in places.items():
            if place % unit:
                yield f"`{name}` must be a multiple of {unit}, not {place}"
    if v.flags & VectorFlag.TO_A and not architecture.vector.feeds_array:
        yield "TO_A needs an architecture with `vector.feeds_array`"
    if v.op == VectorOp.APPLY and v.flags & VectorFlag.SECOND_OUTPUT and not v.flags & VectorFlag.TO_A:
        yield "SECOND_OUTPUT of APPLY needs TO_A"
    if v.op == VectorOp.FILL and v.format == Format.BYTE:
        yield f"`format` of FILL must be {int(Format.FP16)} or {int(Format.FP32)}, not {v.format}"
    sums = v.op == VectorOp.REDUCE or bool(v.flags & VectorFlag.STATISTICS)
    if (v.flags & VectorFlag.AFFINE and v.op not in _BY_ROW) or sums:
        yield from _wrong_channels(architecture, v)
    most = architecture.buffers.parameter_words // 2
    if sums and v.channels > most:
        yield f"`channels` of {VectorOp(v.op).name} must be at most {most}, not {v.channels}"
    if v.samples and v.op not in _NO_SAMPLES:
        unit = _slab(v) if v.op in POOL_OPERATIONS else lanes
        if v.sample_period % max(unit, 1) and v.sample_period < v.count:
            yield f"`sample_period` must be a multiple of {unit} or reach the end, not {v.sample_period}"


def _wrong_channels(architecture: Architecture, v: Vector) -> Iterator[str]:
    lanes, columns = architecture.vector.lanes, architecture.array.columns
    unit, what, low = lanes, f"{lanes} lanes", None
    if v.op == VectorOp.REDUCE:
        low = _ROW
    elif v.flags & VectorFlag.STATISTICS:
        low, unit = columns, summed_elements(lanes, columns)
        what = f"the {unit} elements that are summed together"
        if v.count % unit:
            yield f"`count` must be a multiple of {what}, not {v.count}"
    if v.channel_low != low if low else v.channel_low & (v.channel_low - 1):
        yield f"`channel_low` must be {low or 'a power of two'}, not {v.channel_low}"
    together = min(v.channel_low, lanes)
    for name in ("parameter", "channels"):
        if getattr(v, name) % max(together, 1):
            yield f"`{name}` must be a multiple of the {together} channels that lie together, not {getattr(v, name)}"
    for name in ("channel_mid_period", "channel_high_period"):
        period = getattr(v, name)
        if period % unit and period < v.count:
            yield f"`{name}` must be a multiple of {what} or reach the end, not {period}"


def _wrong_prune(architecture: Architecture, p: Prune) -> Iterator[str]:
    units = {"source": 2 * _ROW * architecture.vector.prune_lanes, "values": 2 * _ROW, "metadata": _ROW}
    for name, unit in units.items():
        if getattr(p, name) % unit:
            yield f"`{name}` must be a multiple of {unit}, not {getattr(p, name)}"
    for name in ("n2", "n1", "n0"):
        if not getattr(p, name):
            yield f"`{name}` must be at least 1, not 0"


def _slab(v: Vector) -> int:
    """Elements of one slab of a pooling's result."""
    pixels = v.height * v.width
    if v.op in (VectorOp.MAX_POOL, VectorOp.AVG_POOL):
        stride = max(v.stride, 1)
        rows, columns = v.height + 2 * v.padding - v.kernel, v.width + 2 * v.padding - v.kernel_x
        pixels = (rows // stride + 1) * (columns // stride + 1)
    return pixels * v.channels * _ROW
