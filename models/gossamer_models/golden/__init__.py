"""The golden executor: every bit of every output tensor, in numpy, without time."""
