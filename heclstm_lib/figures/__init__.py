"""Figures of the reports; every function returns a matplotlib Figure with units and a title."""
