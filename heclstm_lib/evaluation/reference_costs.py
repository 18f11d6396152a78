"""Costs of the primitives on the reference machine: coefficients of `cost_model.cost_terms`.

Fitted by `cost_model.fit_coefficients` to what `heclstm calibrate --poly-degree N` measures at
N = 8192, 16384 and 32768 (3, 9 and 21 levels), one thread; seconds.
"""

from __future__ import annotations

REFERENCE_CPU = "AMD EPYC (Zen 4, 2.6 GHz)"
REFERENCE: dict[str, tuple[float, ...]] = {
    "add": (1.523e-05, 0.0, 3.891e-05, 0.0),
    "add_plain": (1.475e-05, 0.0, 2.546e-05, 0.0),
    "encode": (0.0, 0.0, 2.62e-05, 1.828e-05),
    "load": (0.0, 0.0006471, 0.0006192, 0.0),
    "mod_switch": (5.414e-06, 0.0, 2.323e-05, 0.0),
    "multiply": (0.0, 0.0, 0.0002496, 0.0),
    "multiply_plain": (5.292e-06, 0.0, 0.0001158, 0.0),
    "negate": (1.414e-05, 0.0, 2.766e-05, 0.0),
    "relinearise": (0.0, 0.0001826, 8.009e-05, 8.742e-06),
    "rescale": (0.0, 0.0, 0.0, 3.003e-05),
    "rotate": (0.0, 0.0002057, 9.56e-05, 7.831e-06),
    "square": (0.0, 0.0, 0.0001939, 0.0),
    "transfer": (1.257e-05, 0.0, 1.543e-05, 0.0),
    "weighted_sum": (3.012e-06, 0.0, 1.835e-05, 0.0),
}
