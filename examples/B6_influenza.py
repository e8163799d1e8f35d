"""An epidemic with a delay, fitted to a record: influenza in an English boarding school, 1978.

C(t) boys have fallen ill until the time t, and each stays in bed for the time τ: C(t) - C(t - τ) are in bed now. They
infect the others: C' = β (1 - C / N) (C - C(t - τ)). Before the record begins C has grown exponentially, at the rate g
for which this equation holds, g = β (1 - exp(-g τ)). The record is the number of boys in bed on fourteen days (British
Medical Journal, 4 March 1978, p. 587); β, τ and the size of the outbreak at its start are fitted.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor

import pydiffeqflux as de

BOYS = 763.0
IN_BED = (3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4)
"""From 22 January on, one number a day."""

GUESS = (2.0, 2.0, 5.0)
"""The rate β in 1/d, the time in bed τ in d, and those who have been ill at the start."""

DAYS = torch.arange(len(IN_BED), dtype=torch.float64)


def epidemic(u: Tensor, h: Callable[..., Tensor], p: Tensor, t: Tensor) -> Tensor:
    """How fast boys fall ill."""
    rate, lag = p[:2]
    return rate * (1.0 - u / BOYS) * (u - h(p, t - lag))


def growth(p: Tensor) -> Tensor:
    """The rate at which an outbreak begins to grow, by iteration of its equation."""
    g = p[0]
    for _ in range(50):
        g = p[0] * (1.0 - torch.exp(-g * p[1]))
    return g


def early(p: Tensor, s: Tensor) -> Tensor:
    """Those who have been ill before the record begins."""
    return (p[2] * torch.exp(growth(p) * s)).reshape(1)


def solve(p: Tensor) -> de.Solution:
    """All who have been ill, from the first day to the last."""
    prob = de.DDEProblem(epidemic, early(p, torch.zeros_like(p[0])), early, (0.0, float(DAYS[-1])), p)
    return de.solve(prob, de.MethodOfSteps(de.Tsit5()), abstol=1e-6, reltol=1e-6)


def in_bed(sol: de.Solution, p: Tensor, t: Tensor) -> Tensor:
    """Those who have fallen ill in the last days."""
    start = t - p[1]
    earlier = torch.where(start < 0.0, p[2] * torch.exp(growth(p) * start), sol(start.clamp(min=0.0))[:, 0])
    return sol(t)[:, 0] - earlier


def main() -> None:
    """Fit, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=60)
    iterations = parser.parse_args().iterations
    record = torch.tensor(IN_BED, dtype=torch.float64)
    log_p = torch.tensor(GUESS, dtype=torch.float64).log().requires_grad_()
    optimizer = torch.optim.LBFGS([log_p], max_iter=iterations, line_search_fn="strong_wolfe")
    losses: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        p = log_p.exp()
        loss = (in_bed(solve(p), p, DAYS) - record).square().mean()
        loss.backward()
        losses.append(loss.item())
        return loss

    start = time.perf_counter()
    optimizer.step(closure)
    seconds = time.perf_counter() - start
    rate, lag, ill = log_p.detach().exp().tolist()
    print(f"{len(losses)} gradients, {1e3 * seconds / len(losses):.0f} ms each")
    print(f"root mean square error {losses[0] ** 0.5:.1f} boys at first, {min(losses) ** 0.5:.1f} at last")
    print(f"   each boy in bed infects {rate:.2f} others a day at first, for {lag:.2f} days; R₀ = {rate * lag:.2f}")
    print(f"   {ill:.1f} boys had fallen ill at the start")
    print(f"figure: {plot(log_p.detach().exp(), record)}")


def plot(p: Tensor, record: Tensor) -> Path:
    """The record and the fit."""
    sol = solve(p)
    t = torch.linspace(0.0, len(IN_BED) - 1.0, 300, dtype=torch.float64)
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    ax.plot(t, in_bed(sol, p, t), label="in bed, by the equation")
    ax.plot(t, sol(t)[:, 0], label="have been ill", color="C2", lw=1)
    ax.plot(torch.arange(len(record)), record, "o", color="black", label="in bed, recorded")
    ax.set(xlabel="days since 22 January 1978", ylabel="boys")
    ax.legend()
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/influenza.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
