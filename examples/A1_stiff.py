"""A stiff problem, Robertson's reactions, by a stiff method and by the default, which notices the stiffness itself.

An explicit method is shown too: its steps stay tiny long after the solution has become smooth.
"""

import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor

import pydiffeqflux as de


def robertson(u: Tensor, k: Tensor, t: Tensor) -> Tensor:
    """A → B slowly, B + B → C + B very fast, B + C → A + C fast."""
    a, b, c = u.unbind(-1)
    slow, fast, medium = k[0] * a, k[1] * b * b, k[2] * b * c
    return torch.stack([medium - slow, slow - medium - fast, fast], dim=-1)


def main() -> None:
    """Solve with three algorithms, print what each cost, and draw the solution."""
    k = torch.tensor([0.04, 3e7, 1e4], dtype=torch.float64)
    u0 = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    prob = de.ODEProblem(robertson, u0, (0.0, 1e5), k)
    abstol = torch.tensor([1e-8, 1e-12, 1e-8], dtype=torch.float64)  # B is never above 4e-5
    algorithms = {"Rodas5P": de.Rodas5P(), "the default": None, "Tsit5, at most 2000 steps": de.Tsit5()}
    solutions: list[de.Solution] = []
    for name, alg in algorithms.items():
        start = time.perf_counter()
        sol = de.solve(prob, alg, abstol=abstol, reltol=1e-6, maxiters=2000, throw=False, verbose=False)
        seconds = time.perf_counter() - start
        print(f"{name}: {sol.retcode.name} at t = {sol.t[-1].item():.4g}, ", end="")
        print(f"{sol.stats.naccept} steps, {sol.stats.njac} Jacobians, {seconds:.2f} s")
        solutions.append(sol)
    for name, sol in zip(algorithms, solutions[:2], strict=False):
        print(f"{name}: u(1e5) = {sol.u[-1].tolist()}")
    print(f"figure: {plot(solutions[0])}")


def plot(sol: de.Solution) -> Path:
    """All three species on a logarithmic time axis."""
    t = torch.logspace(-5, 5, 400, dtype=torch.float64)
    u = sol(t)
    figure, ax = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for i, (label, scale) in enumerate((("A", 1.0), ("B · 10⁴", 1e4), ("C", 1.0))):
        ax.plot(t, scale * u[:, i], color=f"C{i}", label=label)
        ax.plot(sol.t[1:], scale * sol.u[1:, i], ".", color=f"C{i}", ms=4)
    ax.set(xscale="log", xlim=(1e-5, 1e5), xlabel="time, s", ylabel="concentration", title="Robertson's reactions")
    ax.grid(alpha=0.25)
    ax.legend(title="dots: steps of Rodas5P", loc="center left")
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/robertson.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
