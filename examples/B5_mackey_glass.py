"""A neural delay equation that learns the Mackey-Glass equation from its values, the delay included.

u' = a u(t - 17) / (1 + u(t - 17)^10) - b u is chaotic. A network of (u, u(t - τ)) and τ itself are trained to continue
pieces of a record from what was recorded before; then the network runs alone.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from tqdm import tqdm

import pydiffeqflux as de

DELAY = 17.0
RECORDED, SHOWN = 300.0, 60.0
"""So long is the record that is learned, and so long the time after it that is shown."""

HORIZON, PIECES = 10.0, 32
GUESS = 14.0
METHOD = de.MethodOfSteps(de.Tsit5())
ENGINE = "embedded"
"""Equations with delays are there on this engine only."""


def truth() -> de.Solution:
    """The record, after what comes before the attractor."""

    def mackey_glass(u: Tensor, h: Callable[..., Tensor], p: None, t: Tensor) -> Tensor:
        delayed = h(p, t - DELAY)
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * u

    start = torch.tensor([1.2], dtype=torch.float64)
    prob = de.DDEProblem(mackey_glass, start, start, (-100.0, RECORDED + SHOWN))
    return de.solve(prob, METHOD, abstol=1e-8, reltol=1e-8, engine=ENGINE)


class Learned(nn.Module):
    """u' = network(u, u(t - τ)), with τ between 5 and 25 to be learned."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))
        share = torch.tensor((GUESS - 5.0) / 20.0)
        self.raw = nn.Parameter(torch.log(share / (1.0 - share)))
        self.double()

    @property
    def lag(self) -> Tensor:
        """The delay."""
        return 5.0 + 20.0 * torch.sigmoid(self.raw)

    def forward(self, u: Tensor, h: Callable[..., Tensor], p: None, t: Tensor) -> Tensor:
        """The derivative."""
        return 0.1 * self.network(torch.cat([u, h(p, t - self.lag)], dim=-1))


def pieces_error(model: Learned, record: de.SampledHistory, starts: Tensor) -> Tensor:
    """The mean square error of continuations from many times at once, each from its own past."""

    def past(p: None, s: Tensor) -> Tensor:
        return record_at(record, starts + s)

    prob = de.DDEProblem(model, past(None, torch.zeros(())), past, (0.0, HORIZON), constant_lags=[model.lag])
    sol = de.solve(prob, METHOD, saveat=2.0, abstol=1e-4, reltol=1e-4, engine=ENGINE)
    wanted = torch.stack([record_at(record, starts + float(t)) for t in sol.t])
    return (sol.u - wanted).square().mean()


def record_at(record: de.SampledHistory, t: Tensor) -> Tensor:
    """The record at many times, linear between samples that are close; connected to the times."""
    samples = record.tensors
    spacing = float(record.t[1] - record.t[0])
    place = (t - float(record.t[0])) / spacing
    i = place.detach().floor().long().clamp(0, len(samples) - 2)
    return torch.lerp(samples[i], samples[i + 1], (place - i).unsqueeze(-1))


def train(model: Learned, record: de.SampledHistory, iterations: int) -> tuple[list[float], list[float]]:
    """The losses and the delays on the way."""
    rates = [{"params": model.network.parameters(), "lr": 0.02}, {"params": [model.raw], "lr": 0.05}]
    optimizer = torch.optim.Adam(rates)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=5e-4)
    losses, lags = [], []
    with tqdm(range(iterations), desc="   Adam", unit="step", mininterval=0.5) as bar:
        for _ in bar:
            starts = torch.rand(PIECES, dtype=torch.float64) * (RECORDED - HORIZON)
            optimizer.zero_grad()
            loss = pieces_error(model, record, starts)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            lags.append(model.lag.item())
            bar.set_postfix(loss=f"{loss.item():.1e}", lag=f"{lags[-1]:.2f}", refresh=False)
    return losses, lags


def learn(iterations: int) -> Path:
    """Train, run alone, draw."""
    solution = truth()
    times = torch.arange(-60.0, RECORDED + 1e-9, 0.25, dtype=torch.float64)
    record = de.SampledHistory(times, solution(times).detach())
    model = Learned()
    start = time.perf_counter()
    losses, lags = train(model, record, iterations)
    each = 1e3 * (time.perf_counter() - start) / iterations
    print(
        f"   The square error of pieces of length {HORIZON:.0f} goes from {losses[0]:.4f} to {losses[-1]:.5f}", end=" "
    )
    print(f"in {iterations} gradients of {each:.0f} ms.")
    print(f"   The delay is {GUESS} at first and {lags[-1]:.2f} at last; that of the record is {DELAY}.")
    with torch.no_grad():
        prob = de.DDEProblem(model, solution(RECORDED), record, (RECORDED, RECORDED + SHOWN))
        alone = de.solve(prob, METHOD, abstol=1e-6, reltol=1e-6, saveat=0.5, engine=ENGINE)
        error = (alone.u - solution(alone.t)).abs()[:, 0]
    means = [error[alone.t <= RECORDED + ahead].mean().item() for ahead in (DELAY, SHOWN)]
    print(
        f"   After the record its mean error is {means[0]:.3f} over one delay, {means[1]:.3f} over {SHOWN:.0f}", end=" "
    )
    print("time units; u lies between 0.2 and 1.3.")
    return plot(solution, alone, lags)


def main() -> None:
    """Learn in full."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=300)
    iterations = parser.parse_args().iterations
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the tensors are small: more threads cost more than they bring
    print(f"figure: {learn(iterations)}")


def plot(solution: de.Solution, alone: de.Solution, lags: list[float]) -> Path:
    """The forecast beside the truth, and the delay on its way."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=[2, 1])
    t = torch.arange(RECORDED - 60.0, RECORDED + SHOWN, 0.5, dtype=torch.float64)
    left.plot(t, solution(t)[:, 0], color="black", lw=1, label="Mackey-Glass")
    left.plot(alone.t, alone.u[:, 0], color="C1", label="network alone")
    left.axvline(RECORDED, color="grey", ls=":", label="end of the record")
    left.set(xlabel="t", ylabel="u")
    left.legend(loc="lower left")
    right.plot(lags, color="C1")
    right.axhline(DELAY, color="black", ls=":")
    right.set(xlabel="iteration", ylabel="delay")
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/mackey_glass.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
