"""Verilated simulations driven by cocotb, their builds cached."""

from gossamer_hw.cosim.build import Build, BuildError, build
from gossamer_hw.cosim.run import SimulationError, run

__all__ = ["Build", "BuildError", "SimulationError", "build", "run"]
