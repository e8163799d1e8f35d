"""The lynx and hare record of the Hudson's Bay Company, and models of it, for `demo.py`.

Models live in the logarithms of the populations: they stay positive, and errors count in per cent.

The numbers are those of Howard 2009, *Modeling Basics*, after Odum 1953, *Fundamentals of Ecology*. The other published
fit that the demo quotes is Carpenter 2018, *Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan*.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import pydiffeqflux as de

CSV = Path(__file__).with_name("hudson_bay.csv")
TOLERANCE = 1e-5
"""Of the solves: far below the errors of the models, so that they stay fast."""


@dataclass(frozen=True)
class Record:
    """Pelts of a span of years.

    Attributes:
        years: years since 1900, shape `(T,)`.
        log_pelts: logarithms of thousands of pelts, hare and lynx, shape `(T, 2)`.
    """

    years: Tensor
    log_pelts: Tensor

    def __len__(self) -> int:
        return len(self.years)

    def first(self, count: int) -> "Record":
        """The first `count` years."""
        return Record(self.years[:count], self.log_pelts[:count])

    @classmethod
    def load(cls) -> "Record":
        """The whole record, 1900 to 1920."""
        table = np.loadtxt(CSV, delimiter=",", comments="#", skiprows=2)
        return cls(torch.from_numpy(table[:, 0] - 1900.0), torch.from_numpy(np.log(table[:, 1:])))


class LotkaVolterra(nn.Module):
    """The predator-prey model hare' = a hare - b hare lynx, lynx' = -c lynx + d hare lynx.

    For x = log hare and z = log lynx it reads x' = a - b exp z, z' = -c + d exp x. The rates are positive, so their
    logarithms are the parameters.
    """

    def __init__(self, a: float, b: float, c: float, d: float) -> None:
        super().__init__()
        self.log_rates = nn.Parameter(torch.tensor([a, b, c, d], dtype=torch.float64).log())

    def rates(self) -> list[float]:
        """The rates a and c in 1/year, b and d in 1/(year · thousand pelts)."""
        return self.log_rates.detach().exp().tolist()

    def forward(self, u: Tensor, p: None, t: Tensor) -> Tensor:
        a, b, c, d = self.log_rates.exp()
        hare, lynx = u.exp().unbind(-1)
        return torch.stack([a - b * lynx, d * hare - c], dim=-1)


class UniversalLotkaVolterra(nn.Module):
    """Lotka-Volterra plus what a small network makes of both populations: a universal differential equation.

    The network starts at zero, so that training starts from the mechanistic model.
    """

    def __init__(self, mechanism: LotkaVolterra, record: Record, width: int = 8) -> None:
        super().__init__()
        self.mechanism = LotkaVolterra(*mechanism.rates())
        self.hidden = nn.Linear(2, width, dtype=torch.float64)
        self.last = nn.Linear(width, 2, dtype=torch.float64)
        self.center, self.scale = record.log_pelts.mean(0), record.log_pelts.std(0)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def penalty(self) -> Tensor:
        """Sum of the squared weights of the network."""
        return (self.hidden.weight**2).sum() + (self.last.weight**2).sum()

    def forward(self, u: Tensor, p: None, t: Tensor) -> Tensor:
        standard = (u - self.center) / self.scale
        return self.mechanism(u, p, t) + self.last(torch.tanh(self.hidden(standard)))


@dataclass
class Model:
    """Dynamics together with the populations that they start from, both to be fitted."""

    dynamics: nn.Module
    log_start: Tensor

    def __post_init__(self) -> None:
        self.log_start = self.log_start.detach().clone().requires_grad_()

    def parameters(self) -> list[Tensor]:
        """Everything that a fit may change."""
        return [self.log_start, *self.dynamics.parameters()]

    def problem(self, end: float) -> de.ODEProblem:
        """The initial value problem from 1900 to `end` years later."""
        return de.ODEProblem(self.dynamics, self.log_start, (0.0, end))

    def loss(self, record: Record) -> Tensor:
        """Mean squared error of the log populations in the years of `record`, which start in 1900."""
        end = float(record.years[-1])
        sol = de.solve(self.problem(end), saveat=record.years, abstol=TOLERANCE, reltol=TOLERANCE)
        return log_error(sol, record)

    @torch.no_grad()
    def predict(self, times: Tensor) -> Tensor:
        """Thousands of pelts at `times`, years since 1900."""
        sol = de.solve(self.problem(float(times[-1])), saveat=times, abstol=TOLERANCE, reltol=TOLERANCE)
        return sol.raise_for_status().u.exp()


def log_error(sol: de.Solution, record: Record) -> Tensor:
    """Mean squared error of the log populations."""
    return ((sol.raise_for_status().u - record.log_pelts) ** 2).mean()


def adam(model: Model, record: Record, iterations: int, lr: float, weight: float = 0.0) -> Iterator[float]:
    """Fit with Adam; yields the loss, without the penalty, of every iteration.

    Arguments:
        model: the model, fitted in place.
        record: what to fit it to.
        iterations: how many steps.
        lr: learning rate; it falls to zero along a cosine.
        weight: of the penalty of the dynamics, if they have one.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    for _ in range(iterations):
        optimizer.zero_grad()
        loss = model.loss(record)
        penalised = loss
        if isinstance(model.dynamics, UniversalLotkaVolterra):
            penalised = loss + weight * model.dynamics.penalty()
        penalised.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


def lbfgs(model: Model, record: Record, iterations: int) -> list[float]:
    """Polish a fit with LBFGS; returns the loss of every evaluation."""
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=iterations, line_search_fn="strong_wolfe")
    losses: list[float] = []

    def evaluate() -> float:
        optimizer.zero_grad()
        loss = model.loss(record)
        loss.backward()
        losses.append(loss.item())
        return losses[-1]

    optimizer.step(evaluate)
    return losses
