"""Cycle simulator: when everything happens when a Program runs, and what each cycle went into."""

from gossamer_sim.executor import Simulator, simulate

__all__ = ["Simulator", "simulate"]
