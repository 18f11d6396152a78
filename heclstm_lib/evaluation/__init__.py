"""Metrics with intervals, agreement of encrypted and clear scores, cost of encrypted runs."""
