"""The workloads in SciPy's `solve_ivp`, with a right-hand side in torch or in numpy."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from _problems import NUMPY, Array, Network, Problem
from _rows import Outcome, Run, Tolerance


def forward(problem: Problem, method: str, tol: Tolerance, rhs: str) -> Run:
    """One solve; implicit methods difference their Jacobian, as they do by default."""
    solve_ivp: Any = importlib.import_module("scipy.integrate").solve_ivp
    f = _torch_rhs(problem) if rhs == "torch" else _numpy_rhs(problem)
    count = 0

    def counted(t: float, y: Array) -> Array:
        nonlocal count
        count += 1
        return f(t, y)

    def call() -> tuple[Any, int]:
        nonlocal count
        count = 0
        sol = solve_ivp(
            counted, problem.tspan, problem.u0, method=method, t_eval=problem.saveat, rtol=tol.rtol, atol=tol.atol
        )
        return sol, count

    def read(raw: tuple[Any, int]) -> Outcome:
        sol, nfe = raw
        return Outcome(us=sol.y.T, nfe=nfe, failure="" if sol.success else str(sol.message))

    return Run(call, read)


def _numpy_rhs(problem: Problem) -> Callable[[float, Array], Array]:
    system, p = problem.system, problem.p.tolist()
    if isinstance(system, Network):
        raise TypeError("SciPy takes part in no workload with a network.")
    return lambda _, y: system(NUMPY, y, p)


def _torch_rhs(problem: Problem) -> Callable[[float, Array], Array]:
    import torch
    from _torch_systems import torch_system

    system = torch_system(problem, "float64", gradient=False)

    def f(_: float, y: Array) -> Array:
        with torch.no_grad():
            return np.asarray(system.f(torch.from_numpy(y), system.p).numpy())

    return f
