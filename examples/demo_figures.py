"""The figures of `demo.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import torch
from hudson_bay import Model, Record
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.figure import Figure
from torch import Tensor

import pydiffeqflux as de

FOLDER = Path("figures")
COLORS = ("tab:blue", "tab:red")
SPECIES = ("snowshoe hare", "lynx")
STAGES = ("#9ecae1", "#6baed6", "#3182bd", "#08306b")
"""Shades for the stages of the mechanistic fit, which is blue in the other figures."""
OFFSETS = {1900: (6, -3), 1906: (7, -3), 1908: (-29, -3), 1910: (4, -13), 1918: (-31, -3), 1920: (6, -12)}
"""Where the year stands next to its point in the phase portrait, if not above it to the right."""
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


def save(figure: Figure, name: str) -> Path:
    """Write a figure below `figures/` and close it."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / name
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def fits(record: Record, trained: int, models: dict[str, Model]) -> Path:
    """Both populations over time, with the years that were held out."""
    times = torch.linspace(0.0, float(record.years[-1]), 401, dtype=torch.float64)
    years, pelts = 1900 + record.years.numpy(), record.log_pelts.exp().numpy()
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 1, figsize=(9, 6.4), sharex=True)
        for i, ax in enumerate(axes):
            for color, (name, model) in zip(COLORS, models.items(), strict=True):
                ax.plot(1900 + times.numpy(), model.predict(times)[:, i].numpy(), color=color, label=name)
            ax.plot(years[:trained], pelts[:trained, i], "o", color="black", label="pelts, used for training")
            ax.plot(years[trained:], pelts[trained:, i], "o", color="black", mfc="white", label="pelts, held out")
            ax.axvspan(years[trained] - 0.5, years[-1] + 0.5, color="gray", alpha=0.12, lw=0)
            ax.set(ylabel=f"{SPECIES[i]}, thousand pelts", ylim=(0, None), xlim=(1899.5, years[-1] + 0.5))
        axes[-1].set(xlabel="year", xticks=range(1900, 1921, 2))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return save(figure, "hudson_bay_fit.png")


def phase_portrait(record: Record, trained: int, models: dict[str, Model]) -> Path:
    """Lynx against hare, on logarithmic axes."""
    times = torch.linspace(0.0, float(record.years[-1]), 401, dtype=torch.float64)
    hare, lynx = record.log_pelts.exp().numpy().T
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(7.2, 6.2))
        ax.plot(hare, lynx, ":", color="gray", lw=1, zorder=1)
        for color, (name, model) in zip(COLORS, models.items(), strict=True):
            ax.plot(*model.predict(times).numpy().T, color=color, label=name)
        ax.plot(hare[:trained], lynx[:trained], "o", color="black", label="pelts, used for training")
        ax.plot(hare[trained:], lynx[trained:], "o", color="black", mfc="white", label="pelts, held out")
        for i in range(0, len(record), 2):
            year = 1900 + int(record.years[i])
            place = OFFSETS.get(year, (5, 5))
            ax.annotate(
                f"{year}", (hare[i], lynx[i]), xytext=place, textcoords="offset points", fontsize=8, color="0.2"
            )
        ax.set(xscale="log", yscale="log", xlabel="snowshoe hare, thousand pelts", ylabel="lynx, thousand pelts")
        ticks = (5, 10, 20, 50, 100)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_formatter(ticker.NullFormatter())
            axis.set_major_locator(ticker.FixedLocator(ticks))
            axis.set_major_formatter(ticker.ScalarFormatter())
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2)
        return save(figure, "hudson_bay_phase.png")


def losses(stages: Sequence[tuple[str, Sequence[float]]], universal: Sequence[float], names: Sequence[str]) -> Path:
    """Loss of every evaluation: the stages of the mechanistic fit, and the universal one."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
        start = 0
        for i, (label, values) in enumerate(stages):
            axes[0].plot(np.arange(start, start + len(values)), values, color=STAGES[i], label=label)
            start += len(values)
        axes[0].legend()
        axes[1].plot(universal, color=COLORS[1], label="Adam on 1900-1915")
        axes[1].axhline(stages[-1][1][-1], color=COLORS[0], ls="--", label=f"{names[0]}, fitted")
        axes[1].legend()
        for ax, name in zip(axes, names, strict=True):
            ax.set(yscale="log", xlabel="evaluations of the loss", title=name)
        axes[0].set_yticks([0.01, 0.02, 0.05, 0.1, 0.2], labels=["0.01", "0.02", "0.05", "0.1", "0.2"])
        axes[0].yaxis.set_minor_formatter(ticker.NullFormatter())
        axes[0].set_ylim(0.01, 0.3)
        axes[0].set_ylabel("mean squared error of log pelts")
        return save(figure, "losses.png")


def adjoints(comparison: de.SensealgComparison) -> Path:
    """The comparison's own figure, on axes of whole decades."""
    figure = comparison.plot()
    figure.suptitle("One gradient of the universal model by every method")
    for ax in figure.axes:
        for limits, change in ((ax.get_xlim(), ax.set_xlim), (ax.get_ylim(), ax.set_ylim)):
            low, high = np.log10(limits)
            change(10 ** np.floor(low), 10 ** np.ceil(high))
    return save(figure, "adjoints.png")


def noise(record: Record, trained: int, simulated: Tensor) -> Path:
    """The record among what a stochastic model makes of its first year, `(T, paths, 2)`."""
    years, pelts = 1900 + record.years.numpy(), record.log_pelts.exp().numpy()
    low, median, high = (simulated.quantile(q, dim=1).numpy() for q in (0.05, 0.5, 0.95))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 1, figsize=(9, 6.4), sharex=True)
        for i, ax in enumerate(axes):
            ax.fill_between(years, low[:, i], high[:, i], color=COLORS[1], alpha=0.15, lw=0, label="5 % to 95 %")
            ax.plot(years, median[:, i], color=COLORS[1], label="median of 1000 paths")
            for k, label in ((0, "one of them"), (1, None)):
                ax.plot(years, simulated[:, k, i].numpy(), color=COLORS[1], lw=0.8, alpha=0.7, label=label)
            ax.plot(years[:trained], pelts[:trained, i], "o", color="black", label="pelts, used for training")
            ax.plot(years[trained:], pelts[trained:, i], "o", color="black", mfc="white", label="pelts, held out")
            ax.set(ylabel=f"{SPECIES[i]}, thousand pelts", ylim=(0, 1.2 * float(high[:, i].max())))
        axes[-1].set(xlabel="year", xticks=range(1900, 1921, 2))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return save(figure, "neural_sde.png")
