"""The workloads in torchode, which chooses steps for every sample of a batch on its own.

A state that is no batch is solved as a batch of one. The controller and the adjoint, backpropagation, are those of its
`solve_ivp`. It is run as it is, not compiled by TorchScript.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from _problems import Problem
from _rows import Outcome, Run, Tolerance, training_run
from _torch_systems import adam_step, forward_run, gradient_run, torch_system
from torch import Tensor

PID = {"pcoeff": 0.2, "icoeff": 0.5, "dcoeff": 0.0}
"""The controller that `solve_ivp` takes."""


class Solver:
    """One of torchode's solvers on one problem."""

    def __init__(self, problem: Problem, method: str, tol: Tolerance, dtype: str, *, gradient: bool) -> None:
        module: Any = importlib.import_module("torchode")
        self.system = torch_system(problem, dtype, gradient=gradient)
        self.single = self.system.module is None or problem.u0.ndim == 1
        u0 = self.system.u0[None] if self.single else self.system.u0
        times = torch.tensor(problem.saveat).expand(len(u0), -1)
        term = module.ODETerm(self._f)
        controller = module.PIDController(term=term, atol=tol.atol, rtol=tol.rtol, **PID)
        stepper = getattr(module, method)(term=term)
        self._adjoint = module.AutoDiffAdjoint(stepper, controller, max_steps=problem.max_steps)
        self._problem = module.InitialValueProblem(u0, times[:, 0], times[:, -1], times)
        self._term = term
        self._status = module.Status

    def _f(self, _: Tensor, u: Tensor) -> Tensor:
        system = self.system
        return system.f(u[0], system.p)[None] if self.single else system.f(u, system.p)

    def solve(self) -> tuple[Tensor, Any]:
        """The saved states, and torchode's own result."""
        sol = self._adjoint.solve(self._problem, term=self._term)
        return (sol.ys[0] if self.single else sol.ys.transpose(0, 1)), sol

    def outcome(self, raw: tuple[Tensor, Any]) -> Outcome:
        """The counts; of a batch those of the sample with most steps."""
        us, sol = raw
        steps, accepted = int(sol.stats["n_steps"].max()), int(sol.stats["n_accepted"].max())
        status = self._status(int(sol.status.max()))
        return Outcome(
            us.detach().numpy(),
            nfe=int(sol.stats["n_f_evals"].max()),
            accepted=accepted,
            rejected=steps - accepted,
            failure="" if status == self._status.SUCCESS else f"{status.name} after {steps} steps",
        )


def forward(problem: Problem, method: str, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve without gradients."""
    solver = Solver(problem, method, tol, dtype, gradient=False)
    return forward_run(solver.solve, solver.outcome)


def gradient(problem: Problem, method: str, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve, its loss and the gradient with respect to the parameters."""
    solver = Solver(problem, method, tol, dtype, gradient=True)
    return gradient_run(problem, solver.system.parameters, solver.solve, lambda raw: raw[0], solver.outcome)


def training(problem: Problem, method: str, tol: Tolerance, steps: int, rate: float) -> Run:
    """A training run."""

    def make_step() -> Callable[[], float]:
        solver = Solver(problem, method, tol, "float64", gradient=True)
        return adam_step(lambda: solver.solve()[0], problem, solver.system, rate)

    return training_run(make_step, steps)
