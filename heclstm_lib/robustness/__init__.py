"""Faults put in on purpose, and whether they are noticed: the runs behind reports/robustness."""
