"""Memory in HDL, for benches: two models of time, and a checker of the protocol."""
