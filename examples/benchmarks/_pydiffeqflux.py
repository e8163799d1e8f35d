"""The workloads in this package."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _problems import Array, Problem
from _rows import Outcome, Run, Tolerance, training_run
from _torch_systems import TorchSystem, adam_step, flat, torch_system

import pydiffeqflux as de


@dataclass(frozen=True, slots=True)
class Method:
    """How to solve, by names: an algorithm or `"default"`, a sensitivity algorithm for gradients, a limit of steps."""

    alg: str
    sensealg: str = ""
    maxiters: int = 0

    def build(self) -> tuple[de.AbstractAlgorithm | None, de.AbstractSensealg | None]:
        """The objects."""
        alg = None if self.alg == "default" else getattr(de, self.alg)()
        return alg, getattr(de, self.sensealg)() if self.sensealg else None


def forward(problem: Problem, method: Method, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve without gradients."""
    system = torch_system(problem, dtype, gradient=False)

    def call() -> de.Solution:
        with torch.no_grad():
            return _solve(problem, system, method, tol)

    return Run(call, _read)


def gradient(problem: Problem, method: Method, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve, its loss and the gradient with respect to the parameters."""
    system = torch_system(problem, dtype, gradient=True)

    def call() -> tuple[de.Solution, Any]:
        sol = _solve(problem, system, method, tol)
        return sol, torch.autograd.grad(problem.loss(sol.u), system.parameters)

    def read(raw: tuple[de.Solution, Any]) -> Outcome:
        outcome = _read(raw[0])
        outcome.gradient = flat(raw[1])
        return outcome

    return Run(call, read)


def finite_differences(problem: Problem, method: Method, tol: Tolerance) -> Run:
    """The gradient by central differences, two solves a parameter."""

    def loss(p: Array) -> float:
        system = torch_system(dataclasses.replace(problem, p=p), "float64", gradient=False)
        with torch.no_grad():
            return float(problem.loss(_solve(problem, system, method, tol).raise_for_status().u))

    def call() -> tuple[Array, de.Solution]:
        slopes = []
        for i, value in enumerate(problem.p):
            h = 1e-3 * abs(value)
            up, down = problem.p.copy(), problem.p.copy()
            up[i], down[i] = value + h, value - h
            slopes.append((loss(up) - loss(down)) / (2 * h))
        system = torch_system(problem, "float64", gradient=False)
        with torch.no_grad():
            return np.array(slopes), _solve(problem, system, method, tol)

    def read(raw: tuple[Array, de.Solution]) -> Outcome:
        outcome = _read(raw[1])
        outcome.gradient = raw[0]
        return outcome

    return Run(call, read)


def training(problem: Problem, method: Method, tol: Tolerance, steps: int, rate: float) -> Run:
    """A training run."""

    def make_step() -> Callable[[], float]:
        system = torch_system(problem, "float64", gradient=True)
        return adam_step(lambda: _solve(problem, system, method, tol).u, problem, system, rate)

    return training_run(make_step, steps)


def _solve(problem: Problem, system: TorchSystem, method: Method, tol: Tolerance) -> de.Solution:
    alg, sensealg = method.build()
    options: dict[str, Any] = {
        "saveat": problem.saveat,
        "abstol": tol.atol,
        "reltol": tol.rtol,
        "sensealg": sensealg,
        "maxiters": method.maxiters or problem.max_steps,
        "verbose": False,
        "engine": "embedded",
    }
    if system.module is not None:
        return de.NeuralODE(system.module, problem.tspan, alg, **options)(system.u0)
    prob = de.ODEProblem(lambda u, p, t: system.f(u, p), system.u0, problem.tspan, system.p)
    return de.solve(prob, alg, **options)


def _read(sol: de.Solution) -> Outcome:
    stats = sol.stats
    return Outcome(
        us=sol.u.detach().numpy(),
        nfe=stats.nf,
        nfe_adjoint=stats.nf_adjoint or None,
        accepted=stats.naccept,
        rejected=stats.nreject,
        failure="" if sol.retcode.success else f"{sol.retcode.name} after {stats.naccept + stats.nreject} steps",
    )
