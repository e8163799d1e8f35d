"""Delay Lotka-Volterra equations, steered to where nothing changes any more.

The first example with a delay of the DiffEqFlux paper: prey x grows by what it was a while ago,
x' = (a - b y) x(t - τ), y' = (d x - c) y, and the parameters are trained until both stay close to 1. Here the delay is
trained with them.
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
from tqdm import tqdm

import pydiffeqflux as de

TSPAN = (0.0, 10.0)
GUESS = (2.2, 1.0, 2.0, 0.4, 0.1)
"""a, b, d, c and the delay τ, as in the paper."""


def delay_lotka_volterra(u: Tensor, h: Callable[..., Tensor], p: Tensor, t: Tensor) -> Tensor:
    """Growth by the prey of a while ago."""
    a, b, d, c, lag = p
    x, y = u
    return torch.stack([(a - b * y) * h(p, t - lag)[0], (d * x - c) * y])


def solve(p: Tensor) -> de.Solution:
    """From (1, 1), where it has been all the time before."""
    ones = torch.ones(2, dtype=torch.float64)
    prob = de.DDEProblem(delay_lotka_volterra, ones, ones, TSPAN, p)
    return de.solve(prob, de.MethodOfSteps(de.Tsit5()), saveat=0.1, abstol=1e-6, reltol=1e-6)


def main() -> None:
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=150)
    iterations = parser.parse_args().iterations
    log_p = torch.tensor(GUESS, dtype=torch.float64).log().requires_grad_()
    optimizer = torch.optim.Adam([log_p], lr=0.03)
    losses = []
    start = time.perf_counter()
    before = solve(log_p.detach().exp())
    for _ in tqdm(range(iterations), desc="training", unit="step", mininterval=0.5):
        optimizer.zero_grad()
        loss = (solve(log_p.exp()).u - 1.0).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    after = solve(log_p.detach().exp())
    seconds = time.perf_counter() - start
    print(f"loss {losses[0]:.1f} before, {(after.u - 1.0).square().sum().item():.4f} after {iterations} iterations")
    print(f"({1e3 * seconds / iterations:.0f} ms each)")
    for name, old, new in zip(("a", "b", "d", "c", "τ"), GUESS, log_p.detach().exp().tolist(), strict=True):
        print(f"   {name} = {old:.3f} before, {new:.4f} after")
    print(f"figure: {plot(before, after, losses)}")


def plot(before: de.Solution, after: de.Solution, losses: list[float]) -> Path:
    """Both solutions, and the way from one to the other."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for ax, sol, title in zip(axes, (before, after), ("before", "after"), strict=False):
        ax.plot(sol.t, sol.u[:, 0], label="prey")
        ax.plot(sol.t, sol.u[:, 1], label="predator")
        ax.set(title=title, xlabel="t")
        ax.legend()
    axes[2].semilogy(losses)
    axes[2].set(title="loss", xlabel="iteration")
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/delay_lotka_volterra.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
