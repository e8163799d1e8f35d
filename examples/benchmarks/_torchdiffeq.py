"""The workloads in torchdiffeq."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from _problems import Problem
from _rows import Outcome, Run, Tolerance, training_run
from _torch_systems import TorchSystem, adam_step, flat, forward_run, torch_system
from torch import Tensor


class StepLimitError(RuntimeError):
    """A solve took more steps than it may; torchdiffeq itself can limit those between two save points only."""


class CountedRhs:
    """A right-hand side f(t, u) that counts its calls and, through torchdiffeq's callbacks, the steps."""

    def __init__(self, system: TorchSystem, max_steps: int) -> None:
        self.system = system
        self.max_steps = max_steps
        self.reset()

    def reset(self) -> None:
        """Count from zero."""
        self.nfe = self.accepted = self.rejected = 0

    def __call__(self, _: Tensor, u: Tensor) -> Tensor:
        self.nfe += 1
        return self.system.f(u, self.system.p)

    def callback_accept_step(self, *_: Tensor) -> None:
        """Called by torchdiffeq."""
        self.accepted += 1
        if self.accepted > self.max_steps:
            raise StepLimitError(f"given up after {self.max_steps} steps")

    def callback_reject_step(self, *_: Tensor) -> None:
        """Called by torchdiffeq."""
        self.rejected += 1


class Solver:
    """One of torchdiffeq's solvers on one problem."""

    def __init__(self, problem: Problem, method: str, tol: Tolerance, dtype: str, *, adjoint: bool | None) -> None:
        """`adjoint`: by `odeint_adjoint`, else by backpropagation; `None` for no gradient."""
        module: Any = importlib.import_module("torchdiffeq")
        self.problem = problem
        self.system = torch_system(problem, dtype, gradient=adjoint is not None)
        self.rhs = CountedRhs(self.system, problem.max_steps)
        self.times = torch.tensor(problem.saveat)
        self._odeint = module.odeint_adjoint if adjoint else module.odeint
        self._options: dict[str, Any] = {"rtol": tol.rtol, "atol": tol.atol, "method": method}
        if adjoint:
            self._options["adjoint_params"] = self.system.parameters

    def solve(self) -> Tensor:
        """The saved states."""
        self.rhs.reset()
        return self._odeint(self.rhs, self.system.u0, self.times, **self._options)

    def outcome(self, us: Tensor) -> Outcome:
        """The counts of the last solve."""
        rhs = self.rhs
        return Outcome(us.detach().numpy(), nfe=rhs.nfe, accepted=rhs.accepted, rejected=rhs.rejected)


def forward(problem: Problem, method: str, tol: Tolerance, dtype: str = "float64") -> Run:
    """One solve without gradients."""
    solver = Solver(problem, method, tol, dtype, adjoint=None)
    return forward_run(solver.solve, solver.outcome)


def gradient(problem: Problem, method: str, tol: Tolerance, dtype: str = "float64", *, adjoint: bool) -> Run:
    """One solve, its loss and the gradient with respect to the parameters."""
    solver = Solver(problem, method, tol, dtype, adjoint=adjoint)

    def call() -> tuple[Outcome, Any]:
        us = solver.solve()
        outcome = solver.outcome(us)
        grads = torch.autograd.grad(problem.loss(us), solver.system.parameters)
        outcome.nfe_adjoint = solver.rhs.nfe - (outcome.nfe or 0)
        return outcome, grads

    def read(raw: tuple[Outcome, Any]) -> Outcome:
        raw[0].gradient = flat(raw[1])
        return raw[0]

    return Run(call, read)


def training(problem: Problem, method: str, tol: Tolerance, steps: int, rate: float, *, adjoint: bool) -> Run:
    """A training run."""

    def make_step() -> Callable[[], float]:
        solver = Solver(problem, method, tol, "float64", adjoint=adjoint)
        return adam_step(solver.solve, problem, solver.system, rate)

    return training_run(make_step, steps)
