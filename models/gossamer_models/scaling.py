"""Energy and area of a circuit taken from one technology node to another.

After Stillmaker and Baas (Integration 58, 2017, doi 10.1016/j.vlsi.2017.02.002).
"""

from itertools import pairwise
from typing import Final

__all__ = ["AREA_NODES", "area_scaling", "energy_scaling"]

# (node in nm, a, b, c): switching energy is a V^2 + b V + c, relative to one node and voltage for all.
_COEFFICIENTS: Final = (
    (130, 7.171, -6.709, 2.904),
    (90, 4.762, -4.781, 2.092),
    (65, 3.755, -4.398, 1.975),
    (45, 1.103, -0.362, 0.2767),
    (32, 0.9559, -0.7823, 0.471),
    (20, 0.373, -0.1582, 0.04104),
    (16, 0.2958, -0.1241, 0.03024),
    (14, 0.2363, -0.09675, 0.02239),
    (10, 0.2068, -0.09311, 0.02375),
    (7, 0.1776, -0.09097, 0.02447),
)

# Relative to 45 nm.
_AREAS: Final = {45.0: 1.0, 28.0: 0.377, 16.0: 0.19, 7.0: 0.059}

AREA_NODES: Final = tuple(_AREAS)
"""Nodes, in nm, between which areas are scaled."""


def energy_scaling(origin: tuple[float, float], target: tuple[float, float]) -> float:
    """Factor of switching energy from one (node in nm, volts) to another.

    Between the nodes of the model the energy is interpolated linearly.

    Raises
    ------
    ValueError
        A node lies outside 7 to 130 nm.
    """
    return _switching(*target) / _switching(*origin)


def _switching(node_nm: float, volts: float) -> float:
    for upper, lower in pairwise(_COEFFICIENTS):
        if lower[0] <= node_nm <= upper[0]:
            share = (node_nm - lower[0]) / (upper[0] - lower[0])
            high, low = ((a * volts + b) * volts + c for _, a, b, c in (upper, lower))
            return share * high + (1 - share) * low
    raise ValueError(f"the node must lie in 7..130 nm, not {node_nm:g}")


def area_scaling(origin_nm: float, target_nm: float) -> float:
    """Factor of area from one node to another, the same for logic and memory.

    Raises
    ------
    ValueError
        A node is none of `AREA_NODES`; one node needs no factor.
    """
    if origin_nm == target_nm:
        return 1.0
    for node in (origin_nm, target_nm):
        if node not in _AREAS:
            known = ", ".join(f"{known:g}" for known in AREA_NODES)
            raise ValueError(f"areas are scaled between {known} nm, not {node:g}")
    return _AREAS[target_nm] / _AREAS[origin_nm]
