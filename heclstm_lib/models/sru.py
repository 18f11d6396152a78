"""A recurrence whose gates do not read the hidden state: short circuits for long sequences.

    f_t = forget(W_f a_t + b_f)      f_0 = 0: at the first frame there is nothing to keep
    o_t = output(W_o a_t + b_o)
    g_t = W_g a_t + b_g              the candidate is linear
    c_t = f_t * c_{t-1} + (1 - f_t) * g_t
    h_t = o_t * c_t

These are the coupled gates and the linear candidate of SRU (Lei et al. 2018, arXiv:1709.02755,
without its peephole weights; the weighted unit takes the place of its highway connection) and the
output gate of QRNN's fo-pooling (Bradbury et al. 2017, arXiv:1611.01576). c is linear in itself, so
encrypted, a prefix scan reaches every frame in log2(T) levels, where an LSTM needs four a frame.

c_t is a weighted mean of g_0 .. g_t as long as f is in [0, 1]; no number of frames makes it grow. A
polynomial f is there by construction wherever on its interval (models.polynomial.Share), and the
range penalty keeps the arguments on the interval. Where they leave it and f strays by d, |c_t|
exceeds the largest |g| at most by the factor (1 + 2 d)^t.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SRU(nn.Module):
    """One layer; rows of `input` in the order f, o, g; gates f and o are replaceable."""

    def __init__(self, features: int, hidden: int, gates: dict[str, nn.Module]) -> None:
        super().__init__()
        self.input = nn.Linear(features, 3 * hidden)
        with torch.no_grad():
            self.input.bias[:hidden] += 1.0  # remember at first, as in the LSTM
        self.gates = nn.ModuleDict(gates)

    def forward(self, a: Tensor) -> Tensor:
        """States h [B, T, H] of features a [B, T, F]."""
        f, o, g = self.input(a).chunk(3, dim=-1)  # [B, T, F] -> 3 x [B, T, H]
        f, o = self.gates["f"](f), self.gates["o"](o)
        cells = [g[:, 0]]  # [B, H]
        for t in range(1, a.shape[1]):
            cells.append(g[:, t] + f[:, t] * (cells[-1] - g[:, t]))
        return o * torch.stack(cells, dim=1)  # [B, T, H]
