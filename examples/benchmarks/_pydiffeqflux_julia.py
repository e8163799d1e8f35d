"""The workloads on this package's julia engine, for the three kinds of right-hand sides that it takes.

Julia is started and its packages are loaded before the first call: that is measured in the workload of the bridge.
A right-hand side is compiled in its first call, and is then the same for all tolerances and methods.
"""

from functools import cache

import torch
from _julia_sources import SOURCES
from _problems import Problem
from _pydiffeqflux import Method, forward_run, gradient_run, ode_problem
from _pydiffeqflux import training as train
from _rows import COMPILED, SOURCE, Run, Tolerance
from _torch_systems import TorchSystem, torch_system

import pydiffeqflux as de
from pydiffeqflux._engines.julia._bridge import start


def forward(problem: Problem, alg: str, tol: Tolerance, dtype: str, *, rhs: str) -> Run:
    """One solve without gradients."""
    prob, _ = _prepared(problem, rhs, dtype, gradient=False)
    return forward_run(problem, prob, _method(alg, rhs), tol)


def gradient(problem: Problem, alg: str, sensealg: str, tol: Tolerance, dtype: str, *, rhs: str) -> Run:
    """One solve, its loss and the gradient with respect to the parameters."""
    prob, system = _prepared(problem, rhs, dtype, gradient=True)
    return gradient_run(problem, prob, system.parameters, _method(alg, rhs, sensealg), tol)


def training(problem: Problem, alg: str, sensealg: str, tol: Tolerance, steps: int, rate: float, *, rhs: str) -> Run:
    """A training run; compilation is a part of its first step."""
    start()
    return train(problem, _method(alg, rhs, sensealg), tol, steps, rate)


def _method(alg: str, rhs: str, sensealg: str = "") -> Method:
    return Method(alg, sensealg, engine="julia", compile=None if rhs == SOURCE else rhs == COMPILED)


@cache
def _prepared(problem: Problem, rhs: str, dtype: str, *, gradient: bool) -> tuple[de.ODEProblem, TorchSystem]:
    start()
    system = torch_system(problem, dtype, gradient=gradient)
    if rhs != SOURCE:
        return ode_problem(problem, system), system
    p = system.p if gradient else torch.tensor(problem.p, dtype=system.u0.dtype)
    return de.ODEProblem(de.JuliaSource(SOURCES[problem.key]), system.u0, problem.tspan, p), system
