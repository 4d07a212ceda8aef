"""Scratchpads between the engines."""
