"""Predator and prey with noise, fitted to a record of hare and lynx pelts of 1900 to 1920.

In logarithms the Lotka-Volterra equations are d log h = (a - b l) dt + s dW and d log l = (d h - c) dt + r dW. From
every recorded year many paths run to the next one; the mean and the variance of their ends give the next record
a density, and the density of all records together is maximised (simulated maximum likelihood).
"""

import argparse
import math
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from hudson_bay import Record
from matplotlib import pyplot as plt
from torch import Tensor
from tqdm import tqdm

import pydiffeqflux as de

PATHS = 128
DT = 1.0 / 20.0
GUESS = (0.5, 0.02, 0.9, 0.03, 0.2, 0.2)
"""a, b, c, d per year (b and d also per thousand pelts), and s and r per root of a year."""


def drift(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    """Of the logarithms of hare and lynx."""
    a, b, c, d = p[:4].unbind()
    hare, lynx = u.exp().unbind(-1)
    return torch.stack([a - b * lynx, d * hare - c], dim=-1)


def diffusion(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    """The same everywhere: the noise is additive in logarithms, multiplicative in pelts."""
    return p[4:].expand_as(u)


def log_likelihood(p: Tensor, records: Tensor, seed: int) -> Tensor:
    """Of all records after the first one, each given the one before."""
    starts = records[:-1].unsqueeze(1).expand(-1, PATHS, 2)
    prob = de.SDEProblem(drift, diffusion, starts, (0.0, 1.0), p, seed=seed)
    ends = de.solve(prob, de.SOSRA(), dt=DT, adaptive=False, saveat=[1.0]).u[-1]
    mean, var = ends.mean(dim=1), ends.var(dim=1)
    return -0.5 * ((records[1:] - mean) ** 2 / var + (2.0 * math.pi * var).log()).sum()


def main() -> None:
    """Fit, simulate, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=100)
    iterations = parser.parse_args().iterations
    record = Record.load()
    records = record.log_pelts
    log_p = torch.tensor(GUESS, dtype=records.dtype).log().requires_grad_()
    before = log_likelihood(log_p.exp(), records, seed=0).item()
    optimizer = torch.optim.Adam([log_p], lr=0.03)
    start = time.perf_counter()
    for _ in tqdm(range(iterations), desc="likelihood", unit="step", mininterval=0.5):
        optimizer.zero_grad()
        # the same paths each time: a smooth function
        (-log_likelihood(log_p.exp(), records, seed=0)).backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    p = log_p.detach().exp()
    after = log_likelihood(p, records, seed=0).item()
    other = log_likelihood(p, records, seed=1).item()
    print(f"log likelihood {before:.2f} before, {after:.2f} after {iterations} iterations ", end="")
    print(f"({1e3 * seconds / iterations:.0f} ms each), {other:.2f} with other paths")
    for name, value, unit in zip("abcdsr", p.tolist(), ("1/yr", "1/(yr k)") * 2 + ("1/√yr",) * 2, strict=True):
        print(f"   {name} = {value:.4f} {unit}")
    many = records[0].expand(1000, 2)
    prob = de.SDEProblem(drift, diffusion, many, (0.0, float(record.years[-1])), p, seed=2)
    u = de.solve(prob, de.SOSRA(), dt=DT, adaptive=False, saveat=record.years).u.exp()
    inside = ((records.exp() > u.quantile(0.05, dim=1)) & (records.exp() < u.quantile(0.95, dim=1)))[1:]
    print(
        f"{inside.double().mean().item():.0%} of the records lie between the 5 % and 95 % quantiles of the simulation"
    )
    print(f"figure: {plot(record, u)}")


def plot(record: Record, u: Tensor) -> Path:
    """The record among simulated paths and their quantiles."""
    figure, axes = plt.subplots(2, 1, figsize=(9, 6), layout="constrained", sharex=True)
    years = 1900 + record.years
    low, median, high = (u.quantile(q, dim=1) for q in (0.05, 0.5, 0.95))
    for i, (ax, name) in enumerate(zip(axes, ("hare", "lynx"), strict=True)):
        ax.fill_between(years, low[:, i], high[:, i], color=f"C{i}", alpha=0.2, label="5 % to 95 %")
        ax.plot(years, median[:, i], color=f"C{i}", label="median")
        ax.plot(years, u[:, :3, i], color=f"C{i}", lw=0.7, alpha=0.7)
        ax.plot(years, record.log_pelts[:, i].exp(), "o", color="black", ms=4, label="record")
        ax.set_ylabel(f"{name}, thousand pelts")
        ax.legend(loc="upper right")
        ax.grid(alpha=0.25)
    axes[1].set(xlabel="year", xticks=range(1900, 1921, 2))
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/hare_lynx_sde.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
