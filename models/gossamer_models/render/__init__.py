"""Sparse radiance fields: what they are, how they are stored, scenes to fit them to, and golden renderers."""
