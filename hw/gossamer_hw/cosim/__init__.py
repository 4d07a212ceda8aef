"""Verilated simulations driven by cocotb, their builds cached."""

from gossamer_hw.cosim.benches import SimulationError, run
from gossamer_hw.cosim.builds import Build, BuildError, build

__all__ = ["Build", "BuildError", "SimulationError", "build", "run"]
