import pytest

from gossamer_models.methods import METHODS
from gossamer_models.sparsity import Pattern


def test_every_method_has_a_source() -> None:
    assert all(method.source and method.name == name for name, method in METHODS.items())


@pytest.mark.parametrize(
    ("method", "sparsity", "ceiling"),
    [
        ("dense", "2:8", 1.0),
        ("sdgp", "2:8", 4 / 3),
        ("sdwp", "2:4", 1.20),
        ("sr-ste", "2:8", 4 / 3),
        ("bdwp", "2:4", 1.50),
        ("bdwp", "2:8", 2.00),
        ("bdwp-mvue", "2:4", 2.00),
        ("bdwp-mvue", "2:8", 4.00),
        ("transposable", "2:4", 1.50),
        ("bi-mask", "2:8", 2.00),
        ("mdgf", "2:8", 3 / (0.5 * 3 + 0.5 * 2.25)),
        ("sdgf", "2:8", 3 / (2 + (7 / 8 + 4 / 8 + 2 / 8) / 3)),
    ],
)
def test_stage_ceilings(method: str, sparsity: str, ceiling: float) -> None:
    assert METHODS[method].stage_ceiling(Pattern.parse(sparsity)) == pytest.approx(ceiling)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("sparsity", ["1:2", "2:4", "3:4", "1:8", "2:8", "7:8"])
def test_phases_are_a_whole_run_that_ends_at_the_pattern(name: str, sparsity: str) -> None:
    phases = METHODS[name].phases(Pattern.parse(sparsity))
    assert sum(phase.share for phase in phases) == 1
    assert (str(phases[-1].pattern), phases[-1].factor) == (sparsity, 0)
    kept = [phase.pattern.n for phase in phases]
    assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize(
    ("sparsity", "kept"), [("2:8", [7, 4, 2]), ("1:8", [7, 4, 2, 1]), ("2:4", [3, 2]), ("7:8", [7])]
)
def test_frames_of_structure_decay(sparsity: str, kept: list[int]) -> None:
    assert [phase.pattern.n for phase in METHODS["sdgf"].phases(Pattern.parse(sparsity))] == kept


def test_transposable_masks_are_two_of_four() -> None:
    assert [str(p) for p in map(Pattern.parse, ("2:4", "2:8", "1:4")) if METHODS["transposable"].takes(p)] == ["2:4"]
