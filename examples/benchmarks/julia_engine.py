"""The julia engine beside SciPy and torchdiffeq at the same achieved error, and what a call across the bridge costs.

Run with `python examples/benchmarks/julia_engine.py`; needs the extras `julia` and `bench`, and Julia set up. One
process, medians of warm calls; the time to the first result is not in them (`python -m pydiffeqflux doctor` shows it).
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp  # pyright: ignore[reportMissingImports]
from torch import Tensor
from torchdiffeq import odeint, odeint_adjoint  # pyright: ignore[reportMissingImports]

import pydiffeqflux as de


def lorenz(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    x, y, z = u.unbind()
    return torch.stack([p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z])


def lotka_volterra(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    x, y = u.unbind()
    return torch.stack([p[0] * x - p[1] * x * y, -p[2] * y + x * y])


def robertson(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    a, b, c = u.unbind()
    slow, fast, back = p[0] * a, p[1] * b * b, p[2] * b * c
    return torch.stack([back - slow, slow - fast - back, fast])


@dataclass(frozen=True)
class Case:
    """A problem, its Julia and numpy forms, the error to reach, and who is asked to reach it."""

    f: Callable[..., Tensor]
    source: str
    numpy: Callable[..., list[float]]
    u0: list[float]
    p: list[float]
    t1: float
    error: float
    algs: tuple[de.AbstractAlgorithm, ...]
    scipy: tuple[str, ...]
    atol_factor: float = 1e-3


CASES = (
    Case(
        lorenz,
        "(du, u, p, t) -> begin du[1] = p[1] * (u[2] - u[1]); du[2] = u[1] * (p[2] - u[3]) - u[2]; "
        "du[3] = u[1] * u[2] - p[3] * u[3] end",
        lambda u, p: [p[0] * (u[1] - u[0]), u[0] * (p[1] - u[2]) - u[1], u[0] * u[1] - p[2] * u[2]],
        [1.0, 0.0, 0.0],
        [10.0, 28.0, 8 / 3],
        10.0,
        1e-5,
        (de.Tsit5(), de.Vern7()),
        ("RK45", "DOP853"),
    ),
    Case(
        lotka_volterra,
        "(du, u, p, t) -> begin du[1] = p[1] * u[1] - p[2] * u[1] * u[2]; du[2] = -p[3] * u[2] + u[1] * u[2] end",
        lambda u, p: [p[0] * u[0] - p[1] * u[0] * u[1], -p[2] * u[1] + u[0] * u[1]],
        [1.0, 1.0],
        [1.5, 1.0, 3.0],
        10.0,
        1e-6,
        (de.Tsit5(), de.Vern7()),
        ("RK45", "DOP853"),
    ),
    Case(
        robertson,
        "(du, u, p, t) -> begin r = (p[1] * u[1], p[2] * u[2]^2, p[3] * u[2] * u[3]); du[1] = r[3] - r[1]; "
        "du[2] = r[1] - r[2] - r[3]; du[3] = r[2] end",
        lambda u, p: [
            p[2] * u[1] * u[2] - p[0] * u[0],
            p[0] * u[0] - p[1] * u[1] ** 2 - p[2] * u[1] * u[2],
            p[1] * u[1] ** 2,
        ],
        [1.0, 0.0, 0.0],
        [0.04, 3e7, 1e4],
        1e5,
        1e-5,
        (de.Rodas5P(), de.RadauIIA5()),
        ("Radau", "BDF", "LSODA"),
        1e-6,
    ),
)


def median(run: Callable[[], object], budget: float = 2.0) -> float:
    """Milliseconds."""
    run()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - began < budget and len(times) < 200):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def reach(run: Callable[[float, float], Any], case: Case, exact: Tensor) -> float | None:
    """The time at the loosest of the tolerances 1e-3, 1e-4, ... whose end point is accurate enough."""
    for digits in range(3, 13):
        rtol, atol = 10.0**-digits, 10.0**-digits * case.atol_factor
        if float(((run(rtol, atol) - exact).abs() / exact.abs()).max()) <= case.error:
            return median(lambda: run(rtol, atol))  # noqa: B023 - called at once
    return None


def compare(case: Case) -> None:
    """One table."""
    u0, p = torch.tensor(case.u0, dtype=torch.float64), torch.tensor(case.p, dtype=torch.float64)
    tspan, name = (0.0, case.t1), case.f.__name__
    ends = torch.tensor(tspan, dtype=torch.float64)
    forms = {"JuliaSource": de.JuliaSource(case.source), "compiled torch": case.f}
    problems = {form: de.ODEProblem(f, u0, tspan, p) for form, f in forms.items()}
    stiff = case.algs[0].is_stiff
    exact = de.solve(
        problems["JuliaSource"],
        de.RadauIIA9() if stiff else de.Vern9(),
        saveat=[case.t1],
        abstol=1e-16,
        reltol=1e-13,
        engine="julia",
    ).u[-1]
    rows: dict[str, float | None] = {}
    for form, prob in problems.items():
        for alg in case.algs:
            rows[f"pydiffeqflux, {form}, {alg!r}"] = reach(
                lambda r, a, prob=prob, alg=alg: de.solve(
                    prob, alg, saveat=[case.t1], reltol=r, abstol=a, engine="julia"
                ).u[-1],
                case,
                exact,
            )

    def by_torch(t: float, u: np.ndarray) -> np.ndarray:
        return case.f(torch.from_numpy(np.ascontiguousarray(u)), p, t).numpy()

    def by_numpy(t: float, u: np.ndarray) -> np.ndarray:
        return np.array(case.numpy(u, case.p))

    for form, f in (("torch f", by_torch), ("numpy f", by_numpy)):
        for method in case.scipy:
            rows[f"SciPy, {form}, {method}"] = reach(
                lambda r, a, f=f, method=method: torch.from_numpy(
                    solve_ivp(f, tspan, case.u0, method=method, rtol=r, atol=a, t_eval=[case.t1]).y[:, -1]
                ),
                case,
                exact,
            )
    if not stiff:
        rows["torchdiffeq, torch f, dopri5"] = reach(
            lambda r, a: odeint(lambda t, u: case.f(u, p, t), u0, ends, rtol=r, atol=a)[-1], case, exact
        )
    best = min(value for row, value in rows.items() if value is not None and "JuliaSource" in row)
    print(
        f"\n### {name}, 0 to {case.t1:g}, relative error {case.error:g}\n\n| | ms | over JuliaSource |\n|---|---|---|"
    )
    for row, value in rows.items():
        print(f"| {row} | not reached | |" if value is None else f"| {row} | {value:.3g} | {value / best:.3g} |")


def bridge() -> None:
    """What a call of a torch function from Julia costs."""
    network = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Softplus(), torch.nn.Linear(32, 4), torch.nn.Tanh())
    u0 = torch.randn(64, 4)

    def f(u: Tensor, p: None, t: Tensor) -> Tensor:
        return network(u)

    prob = de.ODEProblem(f, u0, (0.0, 10.0))
    with torch.no_grad():
        alone = median(lambda: f(u0, None, torch.zeros(())))
        times = {}
        for compiled in (False, True):

            def run(compiled: bool = compiled) -> de.Solution:
                return de.solve(
                    prob, de.Tsit5(), saveat=[10.0], abstol=1e-8, reltol=1e-8, engine="julia", compile=compiled
                )

            calls = run().stats.nf
            times[compiled] = median(run) / calls
    print(
        "\n### One evaluation of a 4-32-4 network, batch 64, float32\n\n| | microseconds | over torch |\n|---|---|---|"
    )
    for row, value in (
        ("torch", alone),
        ("called back in a solve", times[False]),
        ("compiled, in a solve", times[True]),
    ):
        print(f"| {row} | {1e3 * value:.3g} | {value / alone:.2f} |")


def spiral() -> None:
    """Forward plus gradient of the spiral neural ODE."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 50), torch.nn.Tanh(), torch.nn.Linear(50, 2)).double()
    u0, times = torch.tensor([2.0, 0.0], dtype=torch.float64), torch.linspace(0, 1.5, 30, dtype=torch.float64)
    data = torch.randn(30, 2, dtype=torch.float64)

    class Dynamics(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *arguments: Tensor) -> Tensor:  # (u, p, t) for us, (t, u) for torchdiffeq
            return self.network((arguments[0] if len(arguments) == 3 else arguments[1]) ** 3)

    def ours(u: Tensor, p: None, t: Tensor) -> Tensor:
        return network(u**3)

    prob, dynamics = de.ODEProblem(ours, u0, (0.0, 1.5)), Dynamics()
    at = times.tolist()
    solvers: dict[str, Callable[[], Any]] = {
        f"pydiffeqflux, julia, compiled, {sensealg!r}": lambda s=sensealg: (
            de.solve(prob, de.Tsit5(), saveat=at, abstol=1e-6, reltol=1e-6, engine="julia", sensealg=s).u
        )
        for sensealg in (de.GaussAdjoint(), de.InterpolatingAdjoint(), de.BacksolveAdjoint())
    }
    solvers["pydiffeqflux, julia, called back"] = lambda: (
        de.solve(prob, de.Tsit5(), saveat=at, abstol=1e-6, reltol=1e-6, engine="julia", compile=False).u
    )
    solvers["pydiffeqflux, embedded, ReverseDiffAdjoint()"] = lambda: (
        de.solve(
            prob, de.Tsit5(), saveat=at, abstol=1e-6, reltol=1e-6, engine="embedded", sensealg=de.ReverseDiffAdjoint()
        ).u
    )
    solvers["torchdiffeq, odeint"] = lambda: odeint(dynamics, u0, times, rtol=1e-6, atol=1e-6, method="dopri5")
    solvers["torchdiffeq, odeint_adjoint"] = lambda: odeint_adjoint(
        dynamics, u0, times, rtol=1e-6, atol=1e-6, method="dopri5"
    )

    def gradient(solver: Callable[[], Any]) -> Tensor:
        loss = (solver() - data).square().sum()
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])

    exact = gradient(
        lambda: (
            de.solve(
                prob,
                de.Vern7(),
                saveat=at,
                abstol=1e-12,
                reltol=1e-12,
                engine="embedded",
                sensealg=de.ReverseDiffAdjoint(),
            ).u
        )
    )
    print("\n### Spiral neural ODE, 2-50-2, 30 save points, tolerances 1e-6, one gradient\n")
    print("| | ms | error of the gradient |\n|---|---|---|")
    for row, solver in solvers.items():
        error = float((gradient(solver) - exact).abs().max() / exact.abs().max())
        print(f"| {row} | {median(lambda: gradient(solver)):.3g} | {error:.1e} |")  # noqa: B023 - called at once


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in CASES:
        compare(case)
    bridge()
    spiral()
