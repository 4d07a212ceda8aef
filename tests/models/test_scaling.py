"""Scaling between technology nodes against published factors."""

import pytest

from gossamer_models.scaling import AREA_NODES, area_scaling, energy_scaling


@pytest.mark.parametrize(
    ("node", "volts", "factor"), [(28, 0.8, 0.421), (16, 0.8, 0.142), (7, 0.7, 0.057), (45, 0.9, 1.0)]
)
def test_energy_from_45_nm(node: float, volts: float, factor: float) -> None:
    assert energy_scaling((45, 0.9), (node, volts)) == pytest.approx(factor, abs=5e-4)
    assert energy_scaling((node, volts), (45, 0.9)) == pytest.approx(1 / energy_scaling((45, 0.9), (node, volts)))


def test_energy_interpolates_between_nodes() -> None:
    # 40 nm lies 5/13 of the way from 45 to 32 nm.
    at_45, at_32 = 1.0, energy_scaling((45, 0.9), (32, 0.9))
    assert energy_scaling((45, 0.9), (40, 0.9)) == pytest.approx(at_45 + 5 / 13 * (at_32 - at_45))


@pytest.mark.parametrize("node", [6.9, 131, 0])
def test_energy_knows_its_range(node: float) -> None:
    with pytest.raises(ValueError, match=r"7\.\.130 nm"):
        energy_scaling((45, 0.9), (node, 0.9))


@pytest.mark.parametrize(("node", "factor"), [(45, 1.0), (28, 0.377), (16, 0.19), (7, 0.059)])
def test_area_from_45_nm(node: float, factor: float) -> None:
    assert area_scaling(45, node) == factor
    assert area_scaling(node, 45) == pytest.approx(1 / factor)
    assert area_scaling(28, node) == pytest.approx(factor / 0.377)


def test_area_knows_its_nodes() -> None:
    assert area_scaling(40, 40) == 1.0
    assert AREA_NODES == (45, 28, 16, 7)
    for pair in ((40, 28), (28, 40)):
        with pytest.raises(ValueError, match="45, 28, 16, 7 nm, not 40"):
            area_scaling(*pair)
