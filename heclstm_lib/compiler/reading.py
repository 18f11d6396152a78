"""In which order an LSTM reads the frames, as lanes and rotations.

Frame t lives in its own lanes whoever reads it. Forward, step k reads frame k, and a state moves on
to the lanes of the next one; backward, step k reads frame T - 1 - k and a state moves back. So both
halves of a Bi-LSTM share the frames' features, and neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

State = TypeVar("State")


@dataclass(frozen=True)
class Reading:
    """The order of T = `frames` frames whose lanes hold `sequences` slots each."""

    frames: int
    sequences: int
    backward: bool = False

    def frame(self, step: int) -> int:
        """The frame that a step reads."""
        return self.frames - 1 - step if self.backward else step

    @property
    def onward(self) -> int:
        """Rotation that moves a state to the lanes of the frame read next."""
        return self.sequences if self.backward else -self.sequences

    @property
    def layer(self) -> str:
        """Name of the steps' layer."""
        return "backward_lstm" if self.backward else "lstm"

    def by_frame(self, states: Sequence[State]) -> list[State]:
        """States of the steps in the order of the frames."""
        return [states[self.frame(step)] for step in range(self.frames)]
