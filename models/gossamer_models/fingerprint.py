"""What tells two builds apart: every field of an architecture that its hardware is made of, and one number of them all.

A field that the schema gains counts from then on, unless it is named here as one of what lies outside the machine.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import JsonValue

from gossamer_models.architecture import Architecture

__all__ = ["FINGERPRINT_BITS", "built_fields", "fingerprint"]

FINGERPRINT_BITS: Final = 32

_OUTSIDE: Final = frozenset(
    {
        "name", "description", "clock_hz", "energy",
        # What lies behind the port, and the simulator's model of it.
        "memory.latency_cycles", "memory.model", "memory.mapping",
    }
)  # fmt: skip


def built_fields(architecture: Architecture) -> dict[str, JsonValue]:
    """Values of the fields that change bits, cycles, or which Programs are legal, by their YAML paths."""
    return dict(_leaves(architecture.model_dump(mode="json"), ""))


def fingerprint(architecture: Architecture) -> int:
    """Number of :data:`FINGERPRINT_BITS` bits that two builds share only by accident if any of their fields differs.

    The first bytes of the SHA-256 of :func:`built_fields` as JSON, keys sorted, without blanks.
    """
    text = json.dumps(built_fields(architecture), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[: FINGERPRINT_BITS // 8], "big")


def _leaves(section: Mapping[str, JsonValue], prefix: str) -> Iterator[tuple[str, JsonValue]]:
    for name, value in section.items():
        path = prefix + name
        if path in _OUTSIDE:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value
