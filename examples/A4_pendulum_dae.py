"""A pendulum in Cartesian coordinates, as an implicit equation of index 1, and its length from a record of its swing.

A mass at (x, y) hangs on a rod of length l. That x² + y² = l² determines the force of the rod only after two
derivatives (the index of that form is 3, which is refused); with the second one in its place the index is 1.
"""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor

import pydiffeqflux as de

GRAVITY = 9.81
LENGTH, ANGLE = 1.3, 1.0
TSPAN = (0.0, 6.0)


def motion(du: Tensor, u: Tensor, p: None, t: Tensor) -> list[Tensor]:
    """Newton's equations, with the force of the rod."""
    x, y, vx, vy, force = u
    return [du[0] - vx, du[1] - vy, du[2] + force * x, du[3] + force * y + GRAVITY]


def pendulum(du: Tensor, u: Tensor, p: None, t: Tensor) -> Tensor:
    """The acceleration along the rod is that of a circle."""
    x, y, vx, vy, force = u
    return torch.stack([*motion(du, u, p, t), vx * vx + vy * vy - force * (x * x + y * y) - GRAVITY * y])


def of_index_3(du: Tensor, u: Tensor, p: None, t: Tensor) -> Tensor:
    """The same, with the length itself as the constraint."""
    return torch.stack([*motion(du, u, p, t), u[0] ** 2 + u[1] ** 2 - LENGTH**2])


def problem(length: Tensor) -> de.DAEProblem:
    """Let go at an angle; the force of the rod and the accelerations are found."""
    zero = torch.zeros_like(length)
    start = torch.stack([length * math.sin(ANGLE), -length * math.cos(ANGLE), zero, zero, zero])
    return de.DAEProblem(pendulum, torch.zeros(5, dtype=torch.float64), start, TSPAN)


def solve(length: Tensor, **options: Any) -> de.Solution:
    """With initial values that fulfil the equations."""
    return de.solve(
        problem(length), de.Rodas5P(), initializealg=de.BrownFullBasicInit(), abstol=1e-8, reltol=1e-8, **options
    )


def main() -> None:
    """Solve, try the other form, fit, draw."""
    truth = torch.tensor(LENGTH, dtype=torch.float64)
    sol = solve(truth)
    x, y, vx, vy, force = sol.u.T
    print(f"{sol.stats.naccept} steps; the force of the rod begins with {force[0].item():.6f}")
    energy = 0.5 * (vx**2 + vy**2) + GRAVITY * y
    print(f"the length changes by {(x**2 + y**2).sqrt().sub(LENGTH).abs().max().item():.1e},", end=" ")
    print(f"the energy by {(energy - energy[0]).abs().max().item():.1e}")
    try:
        other = de.remake(problem(truth), f=of_index_3)
        de.solve(other, de.Rodas5P(), initializealg=de.BrownFullBasicInit())
    except de.InvalidProblemError as error:
        print(f"with x² + y² = l² itself: {error}")
    torch.manual_seed(0)
    times = torch.linspace(0.25, TSPAN[1], 24, dtype=torch.float64)
    record = solve(truth, saveat=times).u[:, 0] + 0.02 * torch.randn(len(times), dtype=torch.float64)
    length = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([length], max_iter=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (solve(length, saveat=times).u[:, 0] - record).square().mean()
        value.backward()
        return value

    before = loss().item()
    optimizer.step(loss)
    print(f"from 24 noisy x: error {before**0.5:.3f} m with l = 1.2 m, {loss().item() ** 0.5:.3f} m", end=" ")
    print(f"with l = {length.item():.4f} m (it is {LENGTH} m)")
    print(f"figure: {plot(sol, times, record)}")


def plot(sol: de.Solution, times: Tensor, record: Tensor) -> Path:
    """The swing and the force of the rod."""
    t = torch.linspace(*TSPAN, 400, dtype=torch.float64)
    u = sol(t)
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 5), layout="constrained", sharex=True)
    top.plot(t, u[:, 0], label="x, m")
    top.plot(t, u[:, 1], label="y, m")
    top.plot(times, record, ".", color="black", label="record of x")
    top.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    bottom.plot(t, u[:, 4] * LENGTH, color="C2")
    bottom.set(xlabel="t, s", ylabel="force of the rod per mass, m/s²")
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/pendulum.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
