"""Robertson's reactions learned by a network whose species always add up to one.

The network gives two derivatives; the third equation is the constraint y₁ + y₂ + y₃ = 1, which holds at all times
whatever the network says, as in DiffEqFlux.jl's tutorial on neural ODEs with a mass matrix.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from tqdm import tqdm

import pydiffeqflux as de

TSPAN = (1e-3, 1.0)
RATES = (0.4, 30.0, 10.0)
"""Not as far apart as Robertson's own, 0.04, 3e7 and 1e4, with which y₂ is too small to be seen."""

TIMES = torch.logspace(-2.9, 0.0, 25, dtype=torch.float64)
START = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
MASS = torch.diag(torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))


def robertson(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    """The reactions that make the data."""
    y1, y2, y3 = u
    slow, fast, back = p[0] * y1, p[1] * y2 * y2, p[2] * y2 * y3
    return torch.stack([back - slow, slow - fast - back, fast])


def total(u: Tensor, p: None, t: Tensor) -> Tensor:
    """Zero where the species add up to one."""
    return u.sum(-1, keepdim=True) - 1.0


def main() -> None:
    """Make data, train, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=200)
    iterations = parser.parse_args().iterations
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the tensors are small: more threads cost more than they bring
    rates = torch.tensor(RATES, dtype=torch.float64)
    options: dict[str, Any] = {"abstol": 1e-8, "reltol": 1e-6}
    data = de.solve(de.ODEProblem(robertson, START, TSPAN, rates), de.Rodas5P(), saveat=TIMES, **options).u
    scale = data.amax(0) - data.amin(0)
    network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2)).double()
    layer = de.NeuralODEMM(network, total, TSPAN, MASS, de.Rodas5P(), saveat=TIMES, **options)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=1e-4)
    losses = []
    start = time.perf_counter()
    for _ in tqdm(range(iterations), desc="training", unit="step", mininterval=0.5):
        optimizer.zero_grad()
        loss = ((layer(START).u - data) / scale).square().mean()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start
    with torch.no_grad():
        found = layer(START).u
    print(f"relative square error {losses[0]:.3f} at first, {losses[-1]:.6f} after {iterations} iterations", end=" ")
    print(f"of {1e3 * seconds / iterations:.0f} ms")
    print(f"the species add up to one within {(found.sum(-1) - 1.0).abs().max().item():.1e}")
    print(f"figure: {plot(data, found, scale)}")


def plot(data: Tensor, found: Tensor, scale: Tensor) -> Path:
    """The species, each in units of its range."""
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for i in range(3):
        ax.semilogx(TIMES, data[:, i] / scale[i], "o", ms=4, color=f"C{i}")
        ax.semilogx(TIMES, found[:, i] / scale[i], color=f"C{i}", label=f"y{i + 1}")
    ax.set(xlabel="t", ylabel="species, each in units of its range")
    ax.legend()
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/robertson_constraint.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
