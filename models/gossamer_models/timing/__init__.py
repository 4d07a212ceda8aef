"""Closed-form latency of every instruction on every engine, from the architecture alone."""
