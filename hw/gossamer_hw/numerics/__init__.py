"""Floating-point components of fixed latency and the layouts that pass between them."""
