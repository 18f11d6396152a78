"""Costs of the primitives on the reference machine: coefficients of `cost_model.cost_terms`.

Fitted by `cost_model.fit_coefficients` to tables of `heclstm calibrate` at N = 8192, 16384 and
32768 with 3, 8 and 20 levels, one thread; seconds.
"""

from __future__ import annotations

REFERENCE_CPU = "AMD EPYC (Zen 4, 2.6 GHz)"
REFERENCE: dict[str, tuple[float, ...]] = {
    "add": (1.141e-05, 7.012e-06, 3.964e-05, 0.0),
    "add_plain": (1.188e-05, 0.0, 2.73e-05, 0.0),
    "encode": (4.529e-06, 0.0, 2.673e-05, 1.907e-05),
    "load": (0.0008306, 0.0, 0.0005552, 0.0),
    "mod_switch": (4.759e-07, 0.0, 2.429e-05, 0.0),
    "multiply": (0.0, 0.0, 0.0002608, 0.0),
    "multiply_plain": (2.83e-06, 0.0, 0.0001223, 0.0),
    "negate": (1.26e-05, 0.0, 2.9e-05, 0.0),
    "relinearise": (0.0, 0.0002757, 9.65e-05, 7.546e-06),
    "rescale": (0.0, 0.0, 0.0, 3.133e-05),
    "rotate": (0.0, 0.0003961, 0.0, 1.37e-05),
    "square": (0.0, 0.0, 0.0002001, 0.0),
    "transfer": (1.258e-05, 0.0, 1.612e-05, 0.0),
    "weighted_sum": (0.0, 0.0, 0.0001878, 0.0),
}
