"""The render engine's units: rows of sparse factors, encoded and decoded."""
