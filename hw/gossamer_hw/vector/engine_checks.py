"""Which instructions the vector engine refuses."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value

from gossamer_hw.vector.ports import LINE_WORD_BYTES
from gossamer_hw.vector.reduce import most_channels
from gossamer_hw.vector.stream_channels import BLOCK, ROW, channel_misaligned
from gossamer_models.architecture import Architecture
from gossamer_models.golden.vector import FLAGS, FOUND_MODES
from gossamer_models.isa.instructions import MODELLED_OPERATIONS, Format, FoundMode, VectorFlag, VectorOp
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.registers import Fault
from gossamer_models.timing.vector_stream import summed_elements

__all__ = ["broken_rules", "fault_code"]

_PARAMETER_WORDS = 8
_OP_BITS = 6
_NORMALISATIONS = (VectorOp.NORM_FORWARD, VectorOp.NORM_BACKWARD)
_PER_CHANNEL = (*_NORMALISATIONS, VectorOp.LOSS_SCALE)
_LARGEST_EXPONENT = 253
_SECOND = (VectorFlag.SECOND_OUTPUT, VectorFlag.TO_A)


def broken_rules(command: Any, architecture: Architecture) -> Value:
    """Return a bit per kind of rule that an instruction breaks, for :func:`fault_code`.

    Operands must lie at whole lines of VIN, VOUT and A, those of PRM at multiples of eight words; only operands that
    the operation has are looked at. Bounds of buffers are not checked, but there must be sums for all channels.
    """
    lanes, columns = architecture.vector.lanes, architecture.array.columns
    formula = _bad_formula(command, columns)
    illegal = Cat(
        _foreign(command, architecture), _bad_format(command), formula, _bad_sparsity(command), _bad_factors(command)
    ).any()
    misaligned = Cat(_lines(command, lanes), _words(command), _channels(command, lanes, columns)).any()
    many = _sums(command) & (command.channels > most_channels(architecture))
    return Cat(illegal, misaligned, many)


def fault_code(m: Module, broken: Value) -> Signal:
    """Return the code of :class:`~gossamer_models.registers.Fault` that :func:`broken_rules` earn, 0 for none."""
    fault = Signal(4, name="fault_code")
    for rule, code in reversed(list(zip(broken, (Fault.ILLEGAL, Fault.ALIGNMENT, Fault.BUFFER), strict=True))):
        with m.If(rule):
            m.d.comb += fault.eq(code)
    return fault


def _of(command: Any, *operations: VectorOp) -> Value:
    return Cat(command.op == op for op in operations).any()


def _with(command: Any, flag: VectorFlag) -> Value:
    return command.flags[int(flag).bit_length() - 1]


def _drain_sums(command: Any) -> Value:
    return _of(command, VectorOp.DRAIN) & _with(command, VectorFlag.STATISTICS)


def _sums(command: Any) -> Value:
    return _of(command, VectorOp.REDUCE) | _drain_sums(command)


def _foreign(command: Any, architecture: Architecture) -> Value:
    """The operation is unknown, exists in models only, or does not have one of the options."""
    known = set(VectorOp) - MODELLED_OPERATIONS
    if architecture.render is None:
        known -= RENDER_OPERATIONS
    places = range(1 << _OP_BITS)
    flags = Array(Const(_flags(op) if op in known else 0, len(command.flags)) for op in places)
    modes = Array(Const(_modes(op) if op in known else 0, 4) for op in places)
    to_a = _with(command, VectorFlag.TO_A)
    apart = _of(command, VectorOp.APPLY) & _with(command, VectorFlag.SECOND_OUTPUT) & ~to_a
    feeds = apart if architecture.vector.feeds_array else apart | to_a
    return (command.flags & ~flags[command.op]).any() | ~modes[command.op].bit_select(command.found_mode, 1) | feeds


def _flags(op: int) -> int:
    return int(FLAGS.get(VectorOp(op), VectorFlag(0)))


def _modes(op: int) -> int:
    """Mask of the legal ``found_mode``; none for an operation that is unknown."""
    return sum(1 << int(mode) for mode in FOUND_MODES.get(VectorOp(op), {FoundMode.NONE}))


def _bad_format(command: Any) -> Value:
    unknown = _of(command, VectorOp.FILL, VectorOp.DRAIN) & (command.format > Format.FP32)
    return unknown | (_drain_sums(command) & (command.format != Format.FP16))


def _bad_formula(command: Any, columns: int) -> Value:
    """A period or count of the formulas for channels and samples is zero, or channels are not those that are summed."""
    parts = ("channel_low", "channel_mid_period", "channel_mid_count", "channel_high_period")
    by_channel = _with(command, VectorFlag.AFFINE) | _sums(command)
    by_sample = (command.samples != 0) & ~_of(command, VectorOp.FILL, VectorOp.SOFTMAX_CROSS_ENTROPY, *_PER_CHANNEL)
    zero = by_channel & Cat(command[part] == 0 for part in parts).any()
    wide = _of(command, VectorOp.REDUCE) & (command.channel_low != ROW)
    other = _drain_sums(command) & (command.channel_low != columns)
    return zero | wide | other | (by_sample & (command.sample_period == 0))


def _bad_sparsity(command: Any) -> Value:
    """SR-STE's N:M is none, or elements do not fill blocks."""
    pattern = Cat(command.of == size for size in (1, 2, 4, 8)).any() & (command.keep != 0)
    bad = ~pattern | (command.keep > command.of) | (command.count & (BLOCK - 1)).any()
    return _of(command, VectorOp.UPDATE) & _with(command, VectorFlag.SR_STE) & bad


def _bad_factors(command: Any) -> Value:
    """Growth or backoff of the loss scale is no power of two, or has no reciprocal that is normal."""
    factors = [command.scalar0, command.scalar1]
    bad = [(f & 0x807FFFFF).any() | (f[23:31] == 0) | (f[23:31] > _LARGEST_EXPONENT) for f in factors]
    return _of(command, VectorOp.LOSS_SCALE) & Cat(bad).any()


def _lines(command: Any, lanes: int) -> Value:
    """An operand in VIN, VOUT or A does not start at a whole line."""
    op = VectorOp
    updates, softmax = _of(command, op.UPDATE), _of(command, op.SOFTMAX_CROSS_ENTROPY)
    gradient = _of(command, op.GRADIENT) & _with(command, VectorFlag.AFFINE)
    second = _with(command, VectorFlag.RESIDUAL) | _with(command, VectorFlag.PRODUCT) | gradient
    to_a_alone = _with(command, VectorFlag.TO_A) & ~_with(command, VectorFlag.SECOND_OUTPUT)
    used = {
        "source0": ~_of(command, op.FILL, op.DRAIN, *_PER_CHANNEL),
        "source1": second | updates | softmax | _of(command, op.MAX_POOL_GRADIENT, *RENDER_OPERATIONS),
        "source2": _with(command, VectorFlag.MASK) | updates,
        "target0": ~(_of(command, op.REDUCE, *_PER_CHANNEL) | to_a_alone),
        "target1": Cat(_with(command, flag) for flag in _SECOND).any()
        | updates
        | softmax
        | _of(command, *RENDER_OPERATIONS),
        "target2": updates,
    }
    mask = LINE_WORD_BYTES * lanes - 1
    return Cat(uses & (command[name] & mask).any() for name, uses in used.items()).any()


def _words(command: Any) -> Value:
    """An operand in PRM, or a vector of channels, is no multiple of eight words."""
    norm, drain = _of(command, *_NORMALISATIONS), _drain_sums(command)
    sources, targets = command.source0 | command.source1, command.target1 | command.target2
    address = command.channels | Mux(drain, targets, command.parameter) | Mux(norm, sources, 0)
    scales = _of(command, VectorOp.LOSS_SCALE)
    vectors = (norm | scales | _sums(command)) & (address & (_PARAMETER_WORDS - 1)).any()
    return vectors | (_with(command, VectorFlag.SCALED) & (command.parameter & (_PARAMETER_WORDS - 1)).any())


def _channels(command: Any, lanes: int, columns: int) -> Value:
    """Parameters of neighbours do not lie beside each other, or what is summed is no whole blocks."""
    by_channel = _with(command, VectorFlag.AFFINE) | _sums(command)
    samples = (command.samples != 0) & ~_of(command, VectorOp.FILL)
    ragged = samples & (command.sample_period & (lanes - 1)).any() & (command.sample_period < command.count)
    block = summed_elements(lanes, columns)
    together = Mux(_drain_sums(command), block, lanes)
    part = _drain_sums(command) & (command.count & (block - 1)).any()
    return (by_channel & channel_misaligned(command, lanes, together)) | ragged | part
