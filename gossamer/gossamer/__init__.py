"""Front door: the command line and a small Python API."""
