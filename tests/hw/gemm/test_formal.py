"""Proofs: the stages of the address generator offer a tile, a word until it is taken."""

from pathlib import Path

import pytest
from amaranth.hdl import Module

from gossamer_hw.gemm.records import Places
from gossamer_hw.gemm.tiles import TileGenerator
from gossamer_hw.gemm.words import WordGenerator
from tests.hw.formal_proof import SOLVER, Claims, keeps, prove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOLVER.exists(), reason="needs the package z3-solver"),
]

PLACES = Places(a_bits=6, b_bits=6, accumulator_bits=6)


def tiles_wait(m: Module, part: TileGenerator) -> None:
    tiles = part.tiles
    keeps(m, tiles.valid, tiles.ready, tiles.payload.as_value(), name="tiles")


def words_wait(m: Module, part: WordGenerator) -> None:
    words = part.words
    keeps(m, words.valid, words.ready, words.payload.as_value(), name="words")


def test_tiles(tmp_path: Path) -> None:
    """For ever, by induction."""
    prove(Claims(TileGenerator(PLACES, rows=4, slots=4), tiles_wait), tmp_path, mode="prove", depth=1)


def test_words(tmp_path: Path) -> None:
    """For ever, by induction."""
    prove(Claims(WordGenerator(PLACES), words_wait), tmp_path, mode="prove", depth=1)
