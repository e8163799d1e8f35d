"""Lotka-Volterra's equations with noise in proportion to the populations, by an adaptive method of order 1.5.

du = f(u) dt + 0.1 u dW, the stochastic example of Rackauckas et al. 2019 (DiffEqFlux.jl). A batch of populations is one
problem, in which every one has motions of its own.
"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor

import pydiffeqflux as de

POPULATIONS = 500
TIMES = torch.linspace(0.0, 10.0, 101, dtype=torch.float64)
P = torch.tensor([1.5, 1.0, 3.0, 1.0], dtype=torch.float64)


def drift(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    """Lotka-Volterra's derivative."""
    x, y = u.unbind(-1)
    return torch.stack([p[0] * x - p[1] * x * y, -p[2] * y + p[3] * x * y], dim=-1)


def diffusion(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    """Noise of a tenth of the population."""
    return 0.1 * u


def main() -> None:
    """Solve with and without noise, and draw both."""
    u0 = torch.ones(POPULATIONS, 2, dtype=torch.float64)
    prob = de.SDEProblem(drift, diffusion, u0, (0.0, 10.0), P, seed=1)
    sol = de.solve(prob, de.SOSRI(), abstol=1e-2, reltol=1e-2, saveat=TIMES).raise_for_status()
    without = de.solve(de.ODEProblem(drift, u0[0], (0.0, 10.0), P), de.Tsit5(), saveat=TIMES)
    print(f"{sol.stats.naccept} steps, {sol.stats.nreject} rejected, {sol.stats.nf} drifts, {sol.stats.nf2} diffusions")
    prey = sol.u[-1, :, 0]
    print(f"prey at t = 10: {prey.mean():.2f} ± {prey.std():.2f}, without noise {without.u[-1, 0]:.2f}")
    figure, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
    for i, (ax, name) in enumerate(zip(axes, ("prey", "predators"), strict=True)):
        low, middle, high = torch.quantile(sol.u[..., i], torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64), dim=1)
        ax.fill_between(TIMES, low, high, color="tab:blue", alpha=0.2, label="5 % to 95 %")
        ax.plot(TIMES, sol.u[:, :3, i], color="tab:blue", lw=0.8)
        ax.plot(TIMES, middle, color="tab:blue", lw=2, label="median")
        ax.plot(TIMES, without.u[:, i], color="black", ls="--", label="without noise")
        ax.set(ylabel=name)
        ax.grid(alpha=0.25)
    axes[0].legend(loc="upper right")
    axes[1].set_xlabel("t")
    Path("figures").mkdir(exist_ok=True)
    figure.savefig("figures/stochastic_lotka_volterra.png", dpi=150)
    print("figure: figures/stochastic_lotka_volterra.png")


if __name__ == "__main__":
    main()
