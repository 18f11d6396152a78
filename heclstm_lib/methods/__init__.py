"""Competing methods and controls, each fitted on the same patients with the same budget."""
