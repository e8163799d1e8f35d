"""The workloads in this package: what both engines share, and the embedded one."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import _torch_systems
import numpy as np
import torch
from _problems import Array, Problem
from _rows import Outcome, Run, Tolerance, training_run
from _torch_systems import TorchSystem, adam_step, torch_system
from torch import Tensor, nn

import pydiffeqflux as de


@dataclass(frozen=True, slots=True)
class Method:
    """How to solve, by names.

    Attributes:
        alg: an algorithm or `"default"`.
        sensealg: a sensitivity algorithm, for gradients.
        maxiters: a limit of steps; 0 for that of the problem on the embedded engine, of this package on the other.
        engine: the engine.
        compile: whether a torch function must be compiled; the option of `solve`.
    """

    alg: str
    sensealg: str = ""
    maxiters: int = 0
    engine: Literal["embedded", "julia"] = "embedded"
    compile: bool | None = None

    def solve(self, problem: Problem, prob: de.ODEProblem, tol: Tolerance) -> de.Solution:
        """The solution at the times that the problem asks for."""
        options: dict[str, Any] = {"sensealg": getattr(de, self.sensealg)()} if self.sensealg else {}
        maxiters = self.maxiters or (problem.max_steps if self.engine == "embedded" else 0)
        if maxiters:
            options["maxiters"] = maxiters
        return de.solve(
            prob,
            None if self.alg == "default" else getattr(de, self.alg)(),
            saveat=problem.saveat,
            abstol=tol.atol,
            reltol=tol.rtol,
            throw=False,
            verbose=False,
            engine=self.engine,
            compile=self.compile,
            **options,
        )


def forward(problem: Problem, method: Method, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve without gradients."""
    return forward_run(problem, ode_problem(problem, torch_system(problem, dtype, gradient=False)), method, tol)


def gradient(problem: Problem, method: Method, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve, its loss and the gradient with respect to the parameters."""
    system = torch_system(problem, dtype, gradient=True)
    return gradient_run(problem, ode_problem(problem, system), system.parameters, method, tol)


def finite_differences(problem: Problem, method: Method, tol: Tolerance) -> Run:
    """The gradient by central differences, two solves a parameter."""

    def solve(p: Array) -> de.Solution:
        at = dataclasses.replace(problem, p=p)
        with torch.no_grad():
            return method.solve(problem, ode_problem(at, torch_system(at, "float64", gradient=False)), tol)

    def loss(p: Array) -> float:
        return float(problem.loss(solve(p).raise_for_status().u))

    def call() -> tuple[Array, de.Solution]:
        slopes = []
        for i, value in enumerate(problem.p):
            h = 1e-3 * abs(value)
            up, down = problem.p.copy(), problem.p.copy()
            up[i], down[i] = value + h, value - h
            slopes.append((loss(up) - loss(down)) / (2 * h))
        return np.array(slopes), solve(problem.p)

    def read(raw: tuple[Array, de.Solution]) -> Outcome:
        outcome = _read(raw[1])
        outcome.gradient = raw[0]
        return outcome

    return Run(call, read)


def training(problem: Problem, method: Method, tol: Tolerance, steps: int, rate: float) -> Run:
    """A training run."""

    def make_step() -> Callable[[], float]:
        system = torch_system(problem, "float64", gradient=True)
        prob = ode_problem(problem, system)
        return adam_step(lambda: method.solve(problem, prob, tol).u, problem, system, rate)

    return training_run(make_step, steps)


# ---- what both engines share


class Network(nn.Module):
    """A network as a right-hand side of this package."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, u: Tensor, p: Any, t: Tensor) -> Tensor:
        return self.net(u)


def ode_problem(problem: Problem, system: TorchSystem) -> de.ODEProblem:
    """The problem with its torch right-hand side.

    It is made before the clock starts, since the julia engine compiles a right-hand side once.
    """
    f = (lambda u, p, t: system.f(u, p)) if system.module is None else Network(system.module)
    return de.ODEProblem(f, system.u0, problem.tspan, system.p)


def forward_run(problem: Problem, prob: de.ODEProblem, method: Method, tol: Tolerance) -> Run:
    """One solve without gradients."""
    return _torch_systems.forward_run(lambda: method.solve(problem, prob, tol), _read)


def gradient_run(
    problem: Problem, prob: de.ODEProblem, parameters: Sequence[Tensor], method: Method, tol: Tolerance
) -> Run:
    """One solve, its loss and the gradient."""
    return _torch_systems.gradient_run(
        problem, parameters, lambda: method.solve(problem, prob, tol), lambda sol: sol.u, _read
    )


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
