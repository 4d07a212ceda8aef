"""Vector engine: the closed list of operations on fp32 lanes."""
