"""Densities of two dimensions, learned by continuous normalizing flows (FFJORD).

A network moves points of the data so that they end as points of a normal distribution; the change of their density on
the way is solved with them. Backwards in time it turns normal numbers into samples.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor, nn
from tqdm import tqdm

import pydiffeqflux as de

BATCH = 256
HELD_OUT = 4000


def two_moons(count: int) -> Tensor:
    """Two half circles that reach into each other."""
    angle = math.pi * torch.rand(count)
    upper = torch.rand(count) < 0.5
    x = torch.where(upper, angle.cos(), 1.0 - angle.cos()) - 0.5
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin()) - 0.25
    return 1.5 * torch.stack([x, y], dim=1) + 0.1 * torch.randn(count, 2)


def eight_gaussians(count: int) -> Tensor:
    """Eight spots on a circle."""
    angle = 0.25 * math.pi * torch.randint(0, 8, (count,))
    return 2.0 * torch.stack([angle.cos(), angle.sin()], dim=1) + 0.2 * torch.randn(count, 2)


def pinwheel(count: int) -> Tensor:
    """Five arms that are turned by their length."""
    arm = torch.randint(0, 5, (count,))
    length, width = 1.0 + 0.3 * torch.randn(count), 0.1 * torch.randn(count)
    angle = arm * 2.0 * math.pi / 5.0 + 0.25 * length.exp()
    x, y = length * angle.cos() - width * angle.sin(), length * angle.sin() + width * angle.cos()
    return 1.4 * torch.stack([x, y], dim=1)


DENSITIES = {"two moons": two_moons, "eight Gaussians": eight_gaussians, "pinwheel": pinwheel}


def make_flow() -> de.FFJORD:
    """A network of the state and the time; half of the paper's width and smoother, to be trained in a minute."""
    network = de.TimeSequential(
        de.ConcatSquashLinear(2, 64),
        nn.Tanh(),
        de.ConcatSquashLinear(64, 64),
        nn.Tanh(),
        de.ConcatSquashLinear(64, 2),
    )
    return de.FFJORD(network, (0.0, 1.0), de.Tsit5(), abstol=1e-4, reltol=1e-4, sensealg=de.ReverseDiffAdjoint())


def train(flow: de.FFJORD, name: str, iterations: int) -> float:
    """Raise the mean logarithm of the density; returns seconds an iteration."""
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=2e-4)
    start = time.perf_counter()
    with tqdm(range(iterations), desc=name, unit="step", mininterval=0.5) as bar:
        for _ in bar:
            optimizer.zero_grad()
            loss = -flow.log_prob(DENSITIES[name](BATCH)).mean()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.set_postfix(nats=f"{-loss.item():.3f}", refresh=False)
    return (time.perf_counter() - start) / iterations


def main() -> None:
    """Train a flow for each density, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=300)
    iterations = parser.parse_args().iterations
    torch.set_num_threads(1)  # the tensors are small: more threads cost more than they bring
    figure, axes = plt.subplots(len(DENSITIES), 3, figsize=(9, 3 * len(DENSITIES)), layout="constrained")
    for row, name in zip(axes, DENSITIES, strict=True):
        torch.manual_seed(0)
        flow = make_flow()
        seconds = train(flow, name, iterations)
        data = DENSITIES[name](HELD_OUT)
        with torch.no_grad():
            nats = flow.log_prob(data).mean().item()
        normal = torch.distributions.MultivariateNormal(data.mean(0), data.T.cov())
        print(f"{name}: mean log density of new data {nats:.3f} nats,", end=" ")
        print(
            f"{normal.log_prob(data).mean().item():.3f} by a normal distribution; {1e3 * seconds:.0f} ms an iteration"
        )
        draw(row, name, data, flow)
    Path("figures").mkdir(exist_ok=True)
    figure.savefig("figures/ffjord.png", dpi=120)
    print("figure: figures/ffjord.png")


def draw(row: Sequence[Axes], name: str, data: Tensor, flow: de.FFJORD) -> None:
    """Data, density and samples side by side."""
    line = torch.linspace(-4.0, 4.0, 120)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        density = flow.log_prob(grid).exp().reshape(120, 120)
    samples = flow.sample(HELD_OUT, 2, seed=0)
    for ax, points, title in ((row[0], data, name), (row[2], samples, "samples")):
        ax.hist2d(points[:, 0].numpy(), points[:, 1].numpy(), bins=120, range=[[-4, 4], [-4, 4]])
        ax.set_title(title)
    row[1].imshow(density.T.numpy(), origin="lower", extent=(-4, 4, -4, 4))
    row[1].set_title("density of the flow")
    for ax in row:
        ax.set(xticks=[], yticks=[])


if __name__ == "__main__":
    main()
