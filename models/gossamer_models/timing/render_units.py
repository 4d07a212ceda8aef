"""Latencies of the render engine's units; each of them takes one item per cycle."""

from collections.abc import Iterator, Sequence
from typing import Final

__all__ = [
    "ADD_CYCLES", "BALL_CYCLES", "COLOUR_CYCLES", "COMPOSITOR_CYCLES", "EXPONENTIAL_CYCLES", "FETCH_CYCLES",
    "LATTICE_CYCLES", "LIGHT_CYCLES", "LOGARITHM_CYCLES", "MULTIPLY_CYCLES", "PIPELINE_ADD_CYCLES",
    "PIPELINE_MULTIPLY_CYCLES", "PROJECTION_CYCLES", "RECIPROCAL_CYCLES", "ROUND_CYCLES", "SCAN_CYCLES",
    "SEARCH_CYCLES", "SIGMOID_CYCLES", "SOFTPLUS_CYCLES", "WAVE_CYCLES", "decoder_cycles", "encoded_factor_cycles",
    "encoded_row_cycles", "encoder_cycles",
    "factor_cycles", "interpolation_cycles", "list_search_cycles", "meeting_cycles", "move_cycles", "move_levels",
    "opacity_cycles", "projector_cycles", "sample_path_cycles", "sampler_cycles", "sampler_turns", "tree_cycles",
]  # fmt: skip

SEARCH_CYCLES: Final = 2
"""Search unit: population counts of bytes of the bitmap, then of what lies below each byte."""

WAVE_CYCLES: Final = 7
"""Sine and cosine: product 1, shift 1, quadrant 1, table 1, interpolation 1, normalisation 1, rounding 1."""

MULTIPLY_CYCLES: Final = 2
"""A product of fp16 numbers in an interpolation lane."""

ADD_CYCLES: Final = 4
"""A sum of fp32 numbers in an interpolation lane or a tree."""

LIGHT_CYCLES: Final = 5
"""From a sample's entry to its weight: memory 1, difference 2 (the loop through the memory is shorter), product 2."""

COLOUR_CYCLES: Final = 5
"""From a sample's weight and colour to its pixel's sums: product 3, sum 2 (the loop through the memory is shorter)."""

COMPOSITOR_CYCLES: Final = 1 + COLOUR_CYCLES
"""From an item to its result: the light that is left 1, which falls on the background; a weight waits as long."""

PIPELINE_MULTIPLY_CYCLES: Final = 4
"""A product of fp32 numbers in a pipeline of operations."""

PIPELINE_ADD_CYCLES: Final = 4
"""A sum of fp32 numbers in a pipeline of operations."""

ROUND_CYCLES: Final = 3
"""Normalise, shift, round: a number with an exponent of any size becomes fp32."""

EXPONENTIAL_CYCLES: Final = 1 + 5 * PIPELINE_MULTIPLY_CYCLES + 8 * PIPELINE_ADD_CYCLES + ROUND_CYCLES
"""Power of e: clamping 1, five products and eight sums that wait for each other, scaling."""

LOGARITHM_CYCLES: Final = 2 + 4 * PIPELINE_MULTIPLY_CYCLES + 7 * PIPELINE_ADD_CYCLES
"""Natural logarithm: significand and table 1, four products and seven sums that wait for each other, ends 1."""

SOFTPLUS_CYCLES: Final = EXPONENTIAL_CYCLES + PIPELINE_ADD_CYCLES + LOGARITHM_CYCLES + 1
"""log(1 + exp(x)): exponential, sum, logarithm, choice of x itself 1."""

RECIPROCAL_CYCLES: Final = 1 + 4 * PIPELINE_MULTIPLY_CYCLES + 5 * PIPELINE_ADD_CYCLES + ROUND_CYCLES
"""Reciprocal: significand and table 1, four products and five sums that wait for each other, scaling."""

SIGMOID_CYCLES: Final = EXPONENTIAL_CYCLES + PIPELINE_ADD_CYCLES + RECIPROCAL_CYCLES
"""1 / (1 + exp(-x)): exponential, sum, reciprocal."""

SCAN_CYCLES: Final = 1
"""From the start of a block's walk to its first cube; from then on one comes per cycle."""

PROJECTION_CYCLES: Final = 3 + 4 * PIPELINE_MULTIPLY_CYCLES + 5 * PIPELINE_ADD_CYCLES + RECIPROCAL_CYCLES
"""From a cube to its rectangle: numbers 1, a product and three sums, z + r, a product, reciprocal, two products, a sum,
pixels 1, clipping 1."""

BALL_CYCLES: Final = 4 + 5 * PIPELINE_MULTIPLY_CYCLES + 9 * PIPELINE_ADD_CYCLES
"""From a cube and a ray to its samples: numbers 1, five products and nine sums that wait for each other, root 1,
samples 1, comparison 1."""

LATTICE_CYCLES: Final = 1 + 3 * PIPELINE_MULTIPLY_CYCLES + PIPELINE_ADD_CYCLES + 1
"""From a sample's index to its place and cube: index as a number 1, t, t d, sum with the origin, cell, comparison 1."""

FETCH_CYCLES: Final = 2 * PIPELINE_MULTIPLY_CYCLES + 2 * PIPELINE_ADD_CYCLES + 3
"""Texels and weights of a point: x, texel 1, as a number 1, f, 1 - f, product, rounding 1; rows come with the last."""

_LEVELS_PER_CYCLE: Final = 2


def move_levels(components: int) -> int:
    """Return the levels of the network between the places of a row and its list of numbers: ceil(log2(components))."""
    return (components - 1).bit_length()


def move_cycles(components: int) -> int:
    """Return the cycles of that network, two levels each."""
    return -(-move_levels(components) // _LEVELS_PER_CYCLE)


def decoder_cycles(components: int) -> int:
    """Return the cycles from an encoded row to its numbers: format 1, search, network."""
    return 1 + SEARCH_CYCLES + move_cycles(components)


def encoder_cycles(components: int) -> int:
    """Return the cycles from a row's numbers to its bytes: bitmap 1, search, network, format 1."""
    return 1 + SEARCH_CYCLES + move_cycles(components) + 1


def interpolation_cycles() -> int:
    """Return the cycles of an interpolation lane: product, three sums, rounding 1, product."""
    return 2 * MULTIPLY_CYCLES + 3 * ADD_CYCLES + 1


def factor_cycles() -> int:
    """Return the cycles from a point to the products of a plane and a line: fetch and interpolation."""
    return FETCH_CYCLES + interpolation_cycles()


def encoded_row_cycles(components: int) -> int:
    """Return the cycles from a row's place in a bank to its numbers: header 1, span 1, payload 1, turns 2, decoder."""
    return 5 + decoder_cycles(components)


def encoded_factor_cycles(components: int) -> int:
    """Return the same as `factor_cycles` where texels are encoded: a row is found 1 and decoded instead of read 1."""
    return factor_cycles() + encoded_row_cycles(components)


def tree_cycles(terms: int) -> int:
    """Return the cycles of a tree of sums: a sum per level."""
    return (terms - 1).bit_length() * ADD_CYCLES


def list_search_cycles(slots: int) -> int:
    """Return the cycles of a search in a list of coordinates: a comparison that halves it per cycle, the last one 1."""
    return (slots - 1).bit_length() + 1


def sampler_cycles(lengths: Sequence[int]) -> int:
    """Return the cycles of a cube's rays in the sampler, if they come one per cycle.

    One per sample, and one more for every turn after which only its last ray goes on: a ray's next sample is taken up
    two cycles behind its last one at the earliest.

    Parameters
    ----------
    lengths : samples of every ray, at least 1, in the order in which they come
    """
    return max((cycle + 1 for cycle, _, _ in sampler_turns(lengths)), default=0)


def sampler_turns(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield cycle, ray and turn of every sample of a cube as the sampler takes it up; see :func:`sampler_cycles`."""
    cycle = turn = 0
    going = list(range(len(lengths)))
    while going:
        for ray in going:
            yield cycle, ray, turn
            cycle += 1
        turn += 1
        last, going = going[-1], [ray for ray in going if lengths[ray] > turn]
        cycle += going == [last]


def opacity_cycles(components: int) -> int:
    """Return the cycles from a point to what it leaves of the light.

    Factors, a tree of sums per axis pair, two sums of these, the shift; softplus, a product, an exponential.
    """
    sums = tree_cycles(components) + 3 * PIPELINE_ADD_CYCLES
    return factor_cycles() + sums + SOFTPLUS_CYCLES + PIPELINE_MULTIPLY_CYCLES + EXPONENTIAL_CYCLES


def projector_cycles(pixels: Sequence[int]) -> int:
    """Return the cycles of cubes in the projector: one per candidate pixel, and one for a cube without any.

    Parameters
    ----------
    pixels : candidates of every cube
    """
    return sum(max(1, number) for number in pixels)


def meeting_cycles(met: Sequence[bool]) -> list[int]:
    """Return the cycles behind the first candidate of a cube in which those that meet its ball leave the test.

    Each leaves `BALL_CYCLES` behind the next one that does, or behind the cube's last candidate; if it is that itself,
    a cycle later.

    Parameters
    ----------
    met : of every candidate, in the order in which they come, one per cycle
    """
    places = [place for place, meets in enumerate(met) if meets]
    after = [*places, len(met) - 1][1:]
    return [BALL_CYCLES + max(then, place + 1) for place, then in zip(places, after, strict=True)]


def sample_path_cycles(components: int) -> int:
    """Return the cycles from a cube in the projector to the result of its first sample, without a wait.

    Projection, ball, lattice, opacity with a row that is found and decoded, compositor.

    Parameters
    ----------
    components : of density, per axis pair
    """
    ball = meeting_cycles([True])[0]
    opacity = opacity_cycles(components) + encoded_row_cycles(components)
    return PROJECTION_CYCLES + ball + LATTICE_CYCLES + opacity + COMPOSITOR_CYCLES
