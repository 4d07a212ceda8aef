"""Fields that units of a random Program share: tokens, flags, samples, parameters."""

import math
import struct
from collections.abc import Sequence
from typing import Any

from gossamer_models.isa.instructions import FoundMode
from gossamer_models.isa.tokens import Buffer, Semaphore
from tests.system.random_stage import Region, StageWriter

__all__ = [
    "BLOCK", "FLAGS", "Fields", "finish", "flag_of", "line_bytes", "load_parameters", "random_number",
    "real_of", "tokens_of",
]  # fmt: skip

S = Semaphore

FLAGS = (0, 4095)
"""Sticky flags in use."""

BLOCK = 64
_SPECIAL_SHARE = 1 / 12

Fields = dict[str, Any]


def line_bytes(w: StageWriter) -> int:
    """Of what begins there both the lanes' operands and a transfer's pieces are aligned."""
    return max(w.architecture.vector.line_bytes, w.architecture.memory.port_bits // 8)


def random_number(w: StageWriter) -> int:
    """Bit pattern of an fp32 scalar, now and then a special one."""
    value = w.rng.gauss(0, 1)
    if w.rng.random() < _SPECIAL_SHARE:
        value = w.rng.choice((0.0, -0.0, 1.0, math.inf, -math.inf, math.nan))
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def flag_of(w: StageWriter, *modes: FoundMode) -> Fields:
    """What happens to a sticky flag; only one that the Program has cleared says anything."""
    number = w.rng.choice(FLAGS)
    legal = [mode for mode in modes if mode is FoundMode.CLEAR_AND_SET or number in w.cleared]
    mode = w.rng.choice((FoundMode.NONE, *legal, *legal))
    if mode is FoundMode.CLEAR_AND_SET:
        w.cleared.add(number)
    return {"found": number, "found_mode": mode}


def real_of(w: StageWriter, count: int, slab: int = BLOCK) -> Fields:
    """All samples are real, or only the first ones of blocks of eight; a block has whole slabs."""
    if w.rng.random() < 0.6 or count < slab:
        return {}
    period = slab * w.rng.randint(1, count // slab)
    return {"samples": w.rng.randint(1, 8 * -(-count // period)), "sample_period": period}


def tokens_of(w: StageWriter, reads: Sequence[Buffer], writes: Sequence[Buffer], **further: Any) -> Fields:
    """Tokens of an instruction that takes whole halves over and hands them on."""
    wait = sum(w.way(buffer).full for buffer in reads) | sum(w.way(buffer).free for buffer in writes)
    signal = sum(w.way(buffer).free for buffer in reads) | sum(w.way(buffer).full for buffer in writes)
    return {"wait": wait, "signal": signal, "advance": w.half(*reads, *writes), **further}


def load_parameters(w: StageWriter, words: int) -> int:
    """Load PRM, if an earlier unit has let go of it; give the word address."""
    region = w.regions(Buffer.PRM, [4 * words], 32)[0]
    w.loads([region], wait=S.STORED if w.stores_parameters else 0)
    return region.address // 4


def finish(w: StageWriter, regions: Sequence[Region], *, used_parameters: bool) -> None:
    """Store what a unit made; the last store of a unit with parameters says that they may change."""
    w.stores(regions, signal=S.STORED if used_parameters and w.stores_parameters else 0)
