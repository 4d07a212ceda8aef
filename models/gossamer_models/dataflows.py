"""Names of what stays in the array, for command lines and schemas."""

from typing import Final, Literal, get_args

__all__ = ["DATAFLOWS", "DataflowName"]

DataflowName = Literal["os", "ws"]
"""Output-stationary, weight-stationary."""

DATAFLOWS: Final = (*get_args(DataflowName), "auto")
"""What a run may be limited to; ``auto`` is no limit."""
