"""How busy the array is in RTL, and how fast the Verilated engine runs."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossamer.bench_record import Measurement

if TYPE_CHECKING:
    from gossamer_hw.cosim.executor import GemmCase
    from gossamer_models.architecture import Architecture, Array
    from gossamer_models.sparsity import Pattern

__all__ = ["product", "speed", "speeds", "utilisation", "utilisations"]

Number = TypeVar("Number", bound=np.generic)

_SEED: Final = 64
_TILES: Final = 64
_COLUMNS: Final = (8, 64)
# Entries of a reduction in units of R.
_REDUCTIONS: Final = {"small-8x8": (2,), "wide-4x4": (2, 4)}
_SPARSITIES: Final = {"dense": "1:1", "2:8": "2:8"}
_TARGET: Final = 0.98
# How often a reduction reads its words, on each machine.
_REPEATS: Final = {"wide-4x4": 512, "small-8x8": 512}


def product(
    array: "Array", pattern: "Pattern", interleave: tuple[int, int], tiles: tuple[int, int], words: int, repeat: int = 1
) -> "GemmCase":
    """Return one instruction on random operands that fill its tiles, with what it reads.

    Parameters
    ----------
    interleave : Li, Lj.
    tiles : along i, along j.
    words : words of a reduction.
    repeat : times a reduction reads these words.
    """
    from gossamer_hw.cosim.executor import GemmCase
    from gossamer_models.isa.instructions import Gemm
    from gossamer_models.sparsity import compress

    (li, lj), (i, j), per_word = interleave, tiles, pattern.entries_per_word(array.group)
    rng = np.random.default_rng(_SEED)
    a = rng.standard_normal((i * li * words, array.rows, array.group)).astype(np.float16)
    b = rng.standard_normal((j, lj, array.columns, words * array.group)).astype(np.float16)
    entries = compress(b, pattern, array.group, axis=-1)
    metadata = entries.index | entries.valid.astype(np.uint8) << np.uint8(7)
    instruction = Gemm(
        log2_li=li.bit_length() - 1,
        log2_lj=lj.bit_length() - 1,
        entries=per_word,
        entries_last=per_word,
        chunk_words=4096 // array.group,
        i0=i,
        j=j,
        r1=repeat,
        r0=words,
        li_last=li,
        a_i0=li * words,
        a_li=words,
        a_r0=1,
        b_j=words * per_word * lj,
        b_r0=per_word * lj,
    )
    return GemmCase(instruction, a, _bank(entries.values), _bank(metadata))


def _bank(part: NDArray[Number]) -> NDArray[Number]:
    """Bring (tile, lj, column, word, entry) into the order of a bank, (tile, word, entry, lj) x column."""
    return part.transpose(0, 3, 4, 1, 2).reshape(-1, part.shape[2])


def utilisation(architecture: "Architecture", pattern: "Pattern", columns: int, entries: int) -> tuple[float, float]:
    """Measure multiply-adds per element and cycle of a product in 64 tiles.

    Parameters
    ----------
    columns : of the product.
    entries : of a reduction.

    Returns
    -------
    tuple of float
        From the instruction's acceptance to its end; and while steps are issued, from the cycles that the second half
        of the tiles adds to the first.
    """
    from gossamer_hw.cosim.executor import run_gemms

    array = architecture.array
    lj = min(2, columns // array.columns)
    j, words = columns // (array.columns * lj), entries // pattern.entries_per_word(array.group)
    half, full = (product(array, pattern, (4 // lj, lj), (tiles // j, j), words) for tiles in (_TILES // 2, _TILES))
    half_cycles, cycles = (run.cycles for run in run_gemms(architecture, [half, full]))
    steps = _TILES * 4 * entries
    return steps / cycles, steps / 2 / (cycles - half_cycles)


def utilisations() -> Iterator[Measurement]:
    """Measure both machines, dense and 2:8, one tile and many along j."""
    from gossamer_models.architecture import load_architecture
    from gossamer_models.sparsity import Pattern

    for name, reductions in _REDUCTIONS.items():
        architecture = load_architecture(name)
        for factor in reductions:
            entries = factor * architecture.array.rows
            for columns in _COLUMNS:
                for sparsity, pattern in _SPARSITIES.items():
                    whole, steady = utilisation(architecture, Pattern.parse(pattern), columns, entries)
                    yield Measurement(
                        f"RTL utilisation, {name}, {sparsity}, {columns} columns, {_TILES} tiles, "
                        f"{factor} R = {entries} entries per reduction",
                        f"{whole:.2%} from acceptance to end, {steady:.2%} from first to last step",
                        f"{_TARGET:.0%}",
                    )


def speeds() -> Iterator[Measurement]:
    """Measure cycles per second of the Verilated engine: a long instruction less a short one on the same operands."""
    for name, repeats in _REPEATS.items():
        yield speed(name, repeats)


def speed(name: str, repeats: int) -> Measurement:
    """Measure one machine.

    Parameters
    ----------
    repeats : how often a reduction reads its words, in the long instruction.
    """
    from gossamer_hw.cosim.executor import build_machine, run_gemms
    from gossamer_models.architecture import load_architecture
    from gossamer_models.sparsity import Pattern

    architecture = load_architecture(name)
    build_machine(architecture)
    cycles, seconds = 0, 0.0
    for repeat, sign in ((repeats, 1), (1, -1)):
        case = product(architecture.array, Pattern.parse("1:1"), (2, 2), (1, 1), 64, repeat)
        start = time.monotonic()
        (run,) = run_gemms(architecture, [case])
        cycles, seconds = cycles + sign * run.cycles, seconds + sign * (time.monotonic() - start)
    return Measurement(
        f"speed of the Verilated engine, {name}, loaded buffers, {cycles / 1e6:.2f} M cycles",
        f"{cycles / seconds / 1e3:.1f} k cycles/s",
    )
