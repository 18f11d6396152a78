"""Whether decrypted outputs can be what a model meant, or are noise of another key.

What was encrypted under another key than the server's evaluation keys decrypts to a polynomial that
is uniform modulo q, the modulus left. Of its slots only magnitude tells: even copies of an output
agree, since the last sums over slots run under the right key. At least q / scale times sqrt(2 / 12)
is their standard deviation, and nothing above q / (2 scale) decrypts at all; a value above a 16th
of q / scale is therefore taken for noise. With q / scale = 2^10 one such output in about 8 still
passes: noise is likely to be noticed, a notice is no proof, and silence is none either.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from heclstm_lib.errors import ImplausibleWarning
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import CkksParameters

SHARE = 16


def plausible_limit(ciphertext: Any, params: CkksParameters) -> float:
    """The largest magnitude that an output of a result ciphertext is believed to have."""
    modulus = math.prod(params.primes[: ciphertext.coeff_modulus_size()])
    return modulus / ciphertext.scale / SHARE


def warn_implausible(outputs: Vector, limit: float) -> None:
    """Issue an ImplausibleWarning when outputs [n, K] are beyond the limit or not finite."""
    beyond = ~(np.abs(outputs) <= limit)
    if beyond.any():
        warnings.warn(
            f"{int(beyond.any(axis=1).sum())} of {len(outputs)} sequence(s) have outputs up to "
            f"{np.abs(outputs).max():.3g}, at most {limit:.3g} is plausible: most likely noise. "
            "Were the request and the public bundle made with the same secret bundle?",
            ImplausibleWarning,
            stacklevel=3,
        )
