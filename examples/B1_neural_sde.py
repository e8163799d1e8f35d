"""A neural SDE learns the moments of 10,000 trajectories of a spiral with noise.

du = A u³ dt + 0.2 u dW, after the tutorial of DiffEqFlux.jl: drift and diffusion are networks, and what is fitted are
means and variances at 30 times. What comes out is compared with the sampling error of the data.
"""

import math
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from tqdm import tqdm

import pydiffeqflux as de

ITERATIONS = 400
BATCH = 400
TRAJECTORIES = 10_000
A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
U0 = torch.tensor([2.0, 0.0])
TIMES = torch.linspace(0.0, 1.0, 30)
DT = 1.0 / 58.0


class Cube(nn.Module):
    """The cube of every element."""

    def forward(self, u: Tensor) -> Tensor:
        return u**3


def moments(u: Tensor) -> tuple[Tensor, Tensor]:
    """Means and variances over the trajectories, `(T, 2)` each."""
    return u.mean(dim=1), u.var(dim=1)


def main() -> None:
    """Make the data, train, compare, draw."""
    torch.manual_seed(0)
    many = U0.expand(TRAJECTORIES, 2)
    truth = de.SDEProblem(lambda u, p, t: u**3 @ A, lambda u, p, t: 0.2 * u, many, (0.0, 1.0), seed=1)
    data = de.solve(truth, de.SOSRI(), dt=DT, adaptive=False, saveat=TIMES).u
    mean, var = moments(data)

    drift = nn.Sequential(Cube(), nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
    for part in drift:
        if isinstance(part, nn.Linear):  # u³ is up to 8: start small
            nn.init.normal_(part.weight, std=0.1)
            nn.init.zeros_(part.bias)
    diffusion = nn.Linear(2, 2)
    layer = de.NeuralDSDE(drift, diffusion, (0.0, 1.0), de.EM(), dt=DT, saveat=TIMES)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ITERATIONS)
    losses: list[float] = []
    start = time.perf_counter()
    with tqdm(range(ITERATIONS), desc="neural SDE", unit="step", mininterval=0.5) as bar:
        for _ in bar:
            optimizer.zero_grad()
            fitted_mean, fitted_var = moments(layer(U0.expand(BATCH, 2)).u)
            loss = (fitted_mean - mean).square().mean() + (fitted_var - var).square().mean()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    seconds = time.perf_counter() - start
    with torch.no_grad():
        fitted_mean, fitted_var = moments(layer(many, seed=2).u)
    print(f"loss {losses[0]:.4f} before, {losses[-1]:.5f} after {ITERATIONS} iterations", end=" ")
    print(f"({1e3 * seconds / ITERATIONS:.0f} ms each)")
    sampling = (var / BATCH).sqrt().max().item()
    print(f"largest error of a mean: {(fitted_mean - mean).abs().max().item():.3f}", end=", ")
    print(f"the sampling error of one of a batch of {BATCH} being up to {sampling:.3f}")
    spread = math.sqrt(2.0 / BATCH) * var.max().item()
    print(
        f"largest error of a variance: {(fitted_var - var).abs().max().item():.3f}, that of a batch up to {spread:.3f}"
    )
    print(f"figure: {plot(mean, var, fitted_mean, fitted_var)}")


def plot(mean: Tensor, var: Tensor, fitted_mean: Tensor, fitted_var: Tensor) -> Path:
    """Means with one standard deviation, of the data and of the fit."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharex=True)
    for i, ax in enumerate(axes):
        ax.errorbar(TIMES, mean[:, i], var[:, i].sqrt(), fmt="o", ms=3, color="black", label="data: mean ± deviation")
        deviation = fitted_var[:, i].sqrt()
        ax.plot(TIMES, fitted_mean[:, i], color="tab:red", label="neural SDE")
        ax.fill_between(TIMES, fitted_mean[:, i] - deviation, fitted_mean[:, i] + deviation, color="tab:red", alpha=0.2)
        ax.set(xlabel="t", ylabel=f"u{'₁₂'[i]}")
        ax.grid(alpha=0.25)
    axes[0].legend()
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/neural_sde_moments.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
