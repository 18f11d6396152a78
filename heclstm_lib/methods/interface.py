"""What every competing method offers: a name, its source, and a fit on training patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget

Array = NDArray[np.float64]
Kind = Literal["sequence", "image", "classical", "control"]


class Fitted(Protocol):
    """A fitted method. It has seen training and validation patients only."""

    @property
    def notes(self) -> dict[str, Any]:
        """What was chosen on validation patients and how large it is: plain values."""

    def scores(self, sequences: SequenceSet) -> Array:
        """Logits [n], larger for disease; margins or log odds where a method has no logit."""


@dataclass(frozen=True)
class Method:
    """One row of the methods table; `fit` takes the sets "train" and "val" and a budget."""

    name: str
    kind: Kind
    encrypted: bool  # can be evaluated under CKKS as it is: polynomials only
    source: str  # the published method, or what a control shows
    fit: Callable[[dict[str, SequenceSet], MethodBudget], Fitted]
    scaled: str = ""  # what was made smaller or left out
    pretrained: bool = False  # published with pretrained weights; here only from a local file
