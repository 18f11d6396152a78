"""Polynomial activations in the forms that CKKS evaluates cheaply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from heclstm_lib.config import ModelConfig
from heclstm_lib.errors import ConfigError

CURVATURE_FLOOR = 0.03  # |c2| of degree 2: the square is completed, which divides by c2
GATES = ("i", "f", "g", "o")
SRU_GATES = ("f", "o")
GATE_RANGE = 4.0  # of exact gates: beyond it sigmoid and tanh are flat, polynomials are not
CUBIC_FLOOR = 0.003  # |c3| of degree 3: its cube root stretches the argument


class Ranged(nn.Module):
    """Base of activations with an interval [low, high] their arguments should stay in.

    Each call records the mean squared excess beyond it; `take_records` hands the records over.
    """

    interval: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("interval", torch.tensor([-GATE_RANGE, GATE_RANGE]))
        self._records: list[tuple[Tensor, Tensor]] = []

    def record(self, x: Tensor) -> None:
        """Note how far x of any shape leaves the interval."""
        low, high = self.interval
        excess = torch.relu(low - x) + torch.relu(x - high)
        self._records.append((excess.square().mean(), (excess > 0).to(x.dtype).mean()))

    def take_records(self) -> list[tuple[Tensor, Tensor]]:
        """(range penalty, fraction outside) of each call since last asked; forgets them.

        They are handed over, not kept: a module that holds graph tensors cannot be copied.
        """
        records, self._records = self._records, []
        return records


class ExactGate(Ranged):
    """A sigmoid or tanh whose arguments are kept where a polynomial can follow it later."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate on x of any shape; the result has the same shape."""
        self.record(x)
        result: Tensor = self.function(x)
        return result


class Polynomial(Ranged):
    """A learned polynomial of degree 2 or 3 with the interval it was fitted on.

    degree 2: p(x) = c0 + c1 x + c2 x^2 with |c2| >= 0.03, because the encrypted evaluation
    completes the square, c2 (x + c1 / 2 c2)^2 + c0 - c1^2 / 4 c2: one level.
    degree 3: p(x) = c0 + x (c1 + c3 x^2) with |c3| >= 0.003 and no quadratic term: two levels.

    `coefficients` are ascending, c0..cd. `interval` [low, high] is where the fit holds.
    Raises ConfigError for another degree.
    """

    def __init__(self, degree: int) -> None:
        super().__init__()
        if degree not in (2, 3):
            raise ConfigError(
                f"Polynomial: degree {degree!r} is not supported. Use gate_degree 2 or 3."
            )
        self.degree = degree
        start = [0.0, 1.0, CURVATURE_FLOOR] if degree == 2 else [0.0, 1.0, 0.0, CUBIC_FLOOR]
        self.coefficients = nn.Parameter(torch.tensor(start))

    def initialise(self, coefficients: Sequence[float], interval: tuple[float, float]) -> None:
        """Set the coefficients (ascending) and the interval (low, high) of a fit."""
        with torch.no_grad():
            self.coefficients.copy_(torch.as_tensor(coefficients))
            self.interval.copy_(torch.as_tensor(interval))

    def effective_coefficients(self) -> Tensor:
        """Coefficients [degree + 1] as evaluated: the leading one is held off zero, sign kept.

        The floor passes the gradient straight through, or a coefficient under it would be stuck.
        """
        c = self.coefficients
        floor = CURVATURE_FLOOR if self.degree == 2 else CUBIC_FLOOR
        lead = c[-1]
        sign = torch.where(lead < 0, -1.0, 1.0).to(lead.dtype)
        held = lead + (sign * lead.abs().clamp(min=floor) - lead).detach()
        middle = c[1:2] if self.degree == 2 else torch.stack([c[1], torch.zeros_like(lead)])
        return torch.cat([c[0:1], middle, held[None]])

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate on x of any shape; the result has the same shape."""
        self.record(x)
        c = self.effective_coefficients()
        if self.degree == 2:
            return c[0] + x * (c[1] + x * c[2])
        return c[0] + x * (c[1] + c[3] * x * x)

    def extra_repr(self) -> str:
        """Degree and interval for printing the model."""
        low, high = self.interval.tolist()
        return f"degree={self.degree}, interval=[{low:.2f}, {high:.2f}]"


class Square(nn.Module):
    """x^2, as in CryptoNets (Gilad-Bachrach et al. 2016): nothing is fitted, nothing learned."""

    def forward(self, x: Tensor) -> Tensor:
        """Squares of x of any shape."""
        return x * x

    def effective_coefficients(self) -> Tensor:
        """Coefficients [3], ascending."""
        return torch.tensor([0.0, 0.0, 1.0])


class Share(Polynomial):
    """A learned polynomial whose values are shares: in [0, 1] wherever on the interval.

    The range it takes there together with [0, 1] is mapped onto [0, 1] linearly; nothing changes
    as long as it stays inside. So a product of any number of such values is bounded.
    """

    def effective_coefficients(self) -> Tensor:
        """Coefficients [degree + 1] as evaluated: floored as in Polynomial, then mapped."""
        c = super().effective_coefficients()
        values = torch.stack([torch.sum(c * x ** torch.arange(len(c))) for x in self._extremes(c)])
        lowest, highest = values.min().clamp(max=0.0), values.max().clamp(min=1.0)
        return torch.cat([c[:1] - lowest, c[1:]]) / (highest - lowest)

    def _extremes(self, c: Tensor) -> Tensor:
        """Where extremes can be: the interval's ends and, inside it, a derivative of 0 (so that
        no gradient needs to flow through these places)."""
        c, (low, high) = c.detach(), self.interval
        if self.degree == 2:
            inner = -c[1:2] / (2 * c[2])
        else:
            root = (-c[1] / (3 * c[3])).clamp(min=0.0).sqrt()
            inner = torch.stack([-root, root])
        return torch.cat([self.interval, inner.clamp(low, high)])


def range_records(model: nn.Module, like: Tensor) -> tuple[Tensor, Tensor]:
    """Range penalty summed over the ranged activations of a model, and mean fraction outside.

    Of one called several times (a gate, once a frame) the mean over its calls counts.
    Both are zero, of the type of `like`, for a model without any.
    """
    taken = [m.take_records() for m in model.modules() if isinstance(m, Ranged)]
    means = [torch.stack([torch.stack(call) for call in calls]).mean(0) for calls in taken if calls]
    if not means:
        return like.new_zeros(()), like.new_zeros(())
    table = torch.stack(means)  # [polynomials, 2]
    return table[:, 0].sum(), table[:, 1].mean().detach()


def make_activations(
    kind: str, config: ModelConfig
) -> tuple[Callable[[], nn.Module], dict[str, nn.Module], nn.Module]:
    """Maker of the blocks' activations, the gates of a recurrence and the cell's activation.

    "exact": ReLU; sigmoid, tanh in g; tanh. "polynomial": degree 2; `gate_degree`; identity. With
    activation "square" blocks have a Square in either. Gates are i, f, g, o of the LSTM, or f, o
    of the SRU, whose polynomial f is a Share. Raises ConfigError for another kind.
    """
    names = SRU_GATES if config.recurrence == "sru" else GATES
    squared = config.activation == "square"
    if kind == "exact":
        exact: dict[str, nn.Module] = {
            name: ExactGate(nn.Tanh() if name == "g" else nn.Sigmoid()) for name in names
        }
        return Square if squared else nn.ReLU, exact, nn.Tanh()
    if kind == "polynomial":
        gates: dict[str, nn.Module] = {name: Polynomial(config.gate_degree) for name in names}
        if config.recurrence == "sru":
            gates["f"] = Share(config.gate_degree)
        fitted: Callable[[], nn.Module] = partial(Polynomial, 2)
        return Square if squared else fitted, gates, nn.Identity()
    raise ConfigError(f"ConvLSTM: activation '{kind}' is unknown. Use 'exact' or 'polynomial'.")
