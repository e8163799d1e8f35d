"""A neural ODE learns a spiral, y' = A y³ (the cube element by element), from 30 points.

The network sees y³, as in the well-known example of Chen et al. 2018.
"""

import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from tqdm import tqdm

import pydiffeqflux as de

ITERATIONS = 300
A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)
Y0 = torch.tensor([2.0, 0.0], dtype=torch.float64)
TIMES = torch.linspace(0.0, 1.5, 30, dtype=torch.float64)


class Cube(nn.Module):
    """The cube of every element."""

    def forward(self, u: Tensor) -> Tensor:
        return u**3


def spiral(y: Tensor, p: None, t: Tensor) -> Tensor:
    """The true derivative."""
    return (y**3) @ A


def main() -> None:
    """Make the data, train, draw."""
    torch.manual_seed(0)
    truth = de.ODEProblem(spiral, Y0, (0.0, 1.5))
    data = de.solve(truth, de.Tsit5(), saveat=TIMES, abstol=1e-10, reltol=1e-10).u

    net = nn.Sequential(Cube(), nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2)).double()
    for layer in net:
        if isinstance(layer, nn.Linear):  # y³ is up to 8: start small
            nn.init.normal_(layer.weight, std=0.1)
            nn.init.zeros_(layer.bias)
    # Few states, few steps: differentiating the steps themselves is faster here than an adjoint equation.
    node = de.NeuralODE(net, (0.0, 1.5), de.Tsit5(), saveat=TIMES, sensealg=de.ReverseDiffAdjoint())
    optimizer = torch.optim.Adam(node.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ITERATIONS)
    losses: list[float] = []
    start = time.perf_counter()
    with tqdm(range(ITERATIONS), desc="spiral", unit="step", mininterval=0.5) as bar:
        for _ in bar:
            optimizer.zero_grad()
            loss = (node(Y0).u - data).abs().mean()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.5f}", refresh=False)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        fit = node(Y0).u
    print(f"loss {losses[0]:.4f} before, {losses[-1]:.4f} after {ITERATIONS} iterations", end=" ")
    print(f"({1e3 * seconds / ITERATIONS:.1f} ms each)")
    print(f"largest error of a coordinate: {(fit - data).abs().max().item():.3f}, the spiral's radius being 2")
    print(f"figure: {plot(data, node, losses)}")


def plot(data: Tensor, node: de.NeuralODE, losses: list[float]) -> Path:
    """The spiral and its fit in the plane, and the loss."""
    with torch.no_grad():
        curve = node(Y0, saveat=torch.linspace(0.0, 1.5, 300, dtype=torch.float64)).u
    figure, (plane, loss) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    plane.plot(*curve.T.numpy(), color="tab:red", label="neural ODE")
    plane.plot(*data.T.numpy(), "o", color="black", ms=4, label="data")
    plane.set(xlabel="y₁", ylabel="y₂", aspect="equal")
    plane.legend(loc="center")
    loss.plot(losses, color="tab:red")
    loss.set(yscale="log", xlabel="iteration", ylabel="mean absolute error")
    for ax in (plane, loss):
        ax.grid(alpha=0.25)
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/spiral.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
