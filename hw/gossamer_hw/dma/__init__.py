"""Load and store engines: strided transfers between DRAM and the scratchpads."""
