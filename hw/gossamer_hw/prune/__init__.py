"""Prune engine: the N largest of every M as entries."""
