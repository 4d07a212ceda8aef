import pytest

from gossamer_models.methods import METHODS
from gossamer_models.sparsity import Pattern


def test_every_method_has_a_source() -> None:
    assert all(method.source and method.name == name for name, method in METHODS.items())


@pytest.mark.parametrize(
    ("method", "sparsity", "ceiling"),
    [
        ("dense", "2:8", 1.0),
        ("sdwp", "2:4", 1.20),
        ("sr-ste", "2:8", 4 / 3),
        ("bdwp", "2:4", 1.50),
        ("bdwp", "2:8", 2.00),
        ("bdwp-mvue", "2:4", 2.00),
        ("bdwp-mvue", "2:8", 4.00),
    ],
)
def test_stage_ceilings(method: str, sparsity: str, ceiling: float) -> None:
    assert METHODS[method].stage_ceiling(Pattern.parse(sparsity)) == pytest.approx(ceiling)
