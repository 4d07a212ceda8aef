"""What a field keeps on chip, by hand, at its bounds."""

import re

import pytest

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.render_fit import Matrix, check_lines, check_shading

FULL, TWO = Pattern(8, 8), Pattern(2, 8)


def machine(**buffers: int) -> Architecture:
    base = load_architecture("nerf-1k")  # 32 rows, 32 columns, words of 8
    return base.model_copy(update={"buffers": base.buffers.model_copy(update=buffers)})


def network(pattern: Pattern) -> list[Matrix]:
    return [Matrix(27, 144, pattern), Matrix(128, 150, pattern), Matrix(128, 128, pattern), Matrix(3, 128, pattern)]


# 144 + 4 * 152 + 4 * 128 + 128 entries per column, a quarter of it at 2:8.
@pytest.mark.parametrize(("pattern", "entries"), [(FULL, 1392), (TWO, 348)])
def test_weights_stay_in_one_half_of_their_buffer(pattern: Pattern, entries: int) -> None:
    check_shading(machine(b_entries=entries), network(pattern))
    with pytest.raises(DoesNotFitError, match=f"weights' buffer of nerf-1k: needs {entries} entries per column"):
        check_shading(machine(b_entries=entries - 1), network(pattern))


def test_two_batches_and_the_widest_layer_are_held() -> None:
    """1,024 samples are 32 words per row and number of a word: 2 * 18 words of products, 19 in and 16 out."""
    words = 32 * (2 * 18 + 19 + 16)
    check_shading(machine(a_words=words // 2), network(FULL))
    with pytest.raises(DoesNotFitError, match=re.escape("batches of 1024 samples do not fit")) as caught:
        check_shading(machine(a_words=words // 2 - 1), network(FULL))
    assert caught.value.demand == words


def test_lines_have_a_memory() -> None:
    base = machine()
    check_lines(base, base.render_engine.line_bytes)
    with pytest.raises(DoesNotFitError, match="lines do not fit"):
        check_lines(base, base.render_engine.line_bytes + 1)
