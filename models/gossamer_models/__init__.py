"""What there is to run and what is true about it: networks, methods, numerics, programs, timing."""
