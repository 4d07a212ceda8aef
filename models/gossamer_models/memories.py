"""Names of the memory models."""

from typing import Final, Literal, get_args

__all__ = ["HDL_MEMORIES", "MEMORY_MODELS", "REFERENCE_SUFFIX", "MemoryModelName"]

MemoryModelName = Literal["ideal", "ddr4", "lpddr4", "hbm2", "ddr4-bank"]
"""Models for machines of any number of ports, which architectures and workloads may name."""

MEMORY_MODELS: Final = (*get_args(MemoryModelName), "scripted")

HDL_MEMORIES: Final = ("ideal", "scripted")
"""Models that stand beside a machine in HDL too."""

REFERENCE_SUFFIX: Final = "-bank"
"""Marks the reference of a memory: the same devices, command by command."""
