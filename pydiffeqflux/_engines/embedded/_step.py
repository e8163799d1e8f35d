"""One step of a one-step method, and what a method must offer to the integrator and the adjoints."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..._controllers import AbstractController, PIController
from ._initial_step import initial_step
from ._norm import ErrorNorm
from ._protocols import LinearSystem as LinearSystem
from ._protocols import Rhs as Rhs
from ._protocols import Time as Time
from ._sides import within

Weights = tuple[tuple[int, float], ...]
"""The entries of a tableau row that are not zero, with their indices."""


@dataclass(slots=True, eq=False)
class Step:
    """A step from `(t, u0)` to `(t + dt, u1)`.

    Attributes:
        method: the method that made it.
        ks: its stages; lazily extended by those that only the dense output needs.
        carry: what the method hands to the next step if this one is accepted.
        retry: what it hands to the next attempt if this one is rejected.
        end: the exact time at its end, `t + dt` up to rounding.
        error: the norm of its error estimate, where that is a by-product of the step.
        failed: whether a nonlinear or linear solve failed, so that `u1` means nothing.
        shorten_to: the size that it must have instead, since a discontinuity lies within it.
        window: the times at which its stages may see `f`, where rounding or a discontinuity could have it otherwise.
        estimated: whether `estimate` is wanted.
        estimate: an error estimate that is made with the step.
    """

    method: "Method"
    t: Time
    dt: Time
    u0: Tensor
    u1: Tensor
    ks: list[Tensor]
    carry: Any = None
    retry: Any = None
    end: float = math.nan
    error: float = math.nan
    failed: bool = False
    shorten_to: float | None = None
    window: tuple[float, float] | None = None
    estimated: bool = False
    estimate: Tensor | None = None
    _coefficients: Tensor | None = field(default=None, repr=False)

    @property
    def seen(self) -> tuple[float, float]:
        """The first and the last time at which its stages see `f`."""
        if self.window is None and not self.method.stays_inside:
            return -math.inf, math.inf
        t = float(self.t)
        return self.window or (min(t, self.end), max(t, self.end))

    def stages(self, rhs: Rhs) -> list[Tensor]:
        """All stages that the dense output needs."""
        return self.method.dense_stages(within(rhs, self.window), self)

    def coefficients(self, rhs: Rhs) -> Tensor:
        """The tensors c₁, c₂, … of u(θ) = u0 + Σ cₘ θᵐ, stacked: shape `(degree, *shape)`."""
        result = self._coefficients
        if result is None:
            stages = torch.stack(self.stages(rhs))
            table = self.method.dense_table(stages)
            if self.method.stages_are_derivatives:
                table = table * self.dt
            result = self._coefficients = mix(table, stages)
        return result

    def evaluate(self, rhs: Rhs, theta: float, derivative: int = 0) -> Tensor:
        """The dense output, or a time derivative of it, at `t + theta * dt`."""
        if derivative == 0 and theta in (0.0, 1.0):
            return self.u1 if theta else self.u0
        coefficients = self.coefficients(rhs)
        value = coefficients.new_zeros(self.u0.shape)
        for m in range(len(coefficients), max(derivative, 1) - 1, -1):  # Horner's scheme
            factor = math.perm(m, derivative)
            term = coefficients[m - 1] if factor == 1 else coefficients[m - 1] * factor
            value = torch.add(term, value, alpha=theta)
        if derivative == 0:
            return torch.add(self.u0, value, alpha=theta)
        return value / self.dt**derivative

    def evaluate_many(self, rhs: Rhs, thetas: Sequence[float]) -> Tensor:
        """The dense output at several relative positions, shape `(len(thetas), *shape)`."""
        if len(thetas) == 1:
            return self.evaluate(rhs, thetas[0]).unsqueeze(0)
        coefficients = self.coefficients(rhs)
        degrees = range(1, len(coefficients) + 1)
        powers = [[theta**m for m in degrees] for theta in thetas]
        table = torch.tensor(powers, dtype=coefficients.dtype, device=coefficients.device)
        values = mix(table, coefficients) + self.u0  # not in place: autograd would keep books of the reshaped view
        if thetas[-1] == 1.0:  # exactly the end of the step, not a polynomial that comes close
            values[-1] = self.u1
        return values


class Method(ABC):
    """A one-step method. One instance serves one solve.

    Attributes:
        order: order of convergence, for the step size controller.
        error_order: order of the embedded method.
        adaptive: whether there is an error estimate.
        stages_are_derivatives: whether the stages must be multiplied by the step size to become increments.
        implicit: whether steps need the Jacobian of the right-hand side.
        controller: the step size controller where none is asked for.
        iterates: whether the stages are solutions of nonlinear equations.
        nsolve, nw: linear solves and factorisations so far.
        smallest_step: smaller steps mean nothing.
        stays_inside: whether stages are evaluated at times within the step only.
    """

    order: int
    error_order: int
    adaptive: bool
    stages_are_derivatives: bool
    implicit: bool = False
    controller: AbstractController = PIController()
    iterates: bool = False
    nsolve: int = 0
    nw: int = 0
    smallest_step: float = 0.0
    stays_inside: bool = True
    _dense: tuple[tuple[float, ...], ...]
    _table: Tensor | None = None

    @abstractmethod
    def step(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, carry: Any) -> Step:
        """Make one step. `carry` is what the previous step handed on, `None` at a fresh start."""

    @abstractmethod
    def start(self, k1: Tensor) -> Any:
        """What to hand to a first step whose `f(u, p, t)` is already known."""

    @abstractmethod
    def error(self, step: Step, norm: ErrorNorm) -> float:
        """The norm of the estimated local error of a step."""

    @abstractmethod
    def eigenvalue(self, step: Step) -> float:
        """An estimate of the largest eigenvalue of the Jacobian met in a step."""

    def replay(self, rhs: Rhs, u: Tensor, t: Time, dt: Time, ks: Sequence[Tensor]) -> Step:
        """Repeat a step whose stages were `ks`, differentiably. The stages are a hint for iterative methods."""
        return self.step(rhs, u, t, dt, None)

    def first_step(
        self, rhs: Rhs, u: Tensor, t: float, k1: Tensor, direction: float, span: float, norm: ErrorNorm
    ) -> float:
        """A signed size for the first step, from the derivative `k1` at its start."""
        return initial_step(rhs, u, t, k1, direction, span, self.order, norm)

    def round_step(self, t: float, dt: float) -> float:
        """A step size close to `dt` that suits the method."""
        return dt

    def after(self, step: Step) -> float:
        """Take note that a step was accepted; the next step size is to be multiplied by the result."""
        return 1.0

    def keeps_step(self, factor: float) -> bool:
        """Whether the step size is to stay as it is after an accepted step, where this factor was proposed."""
        return False

    def dense_stages(self, rhs: Rhs, step: Step) -> list[Tensor]:
        """All stages that the dense output needs."""
        return step.ks

    def dense_table(self, like: Tensor) -> Tensor:
        """The dense output's coefficients, shape `(degree, stages)`."""
        if self._table is None:
            self._table = torch.tensor(self._dense, dtype=like.dtype, device=like.device).T.contiguous()
        return self._table

    def dense_weights(self, theta: float) -> list[float]:
        """The weight of every stage in the dense output at `theta`."""
        return [sum(c * theta ** (m + 1) for m, c in enumerate(row)) for row in self._dense]


def nonzero(row: Sequence[float]) -> Weights:
    """The entries of a tableau row that are not zero, with their indices."""
    return tuple((i, a) for i, a in enumerate(row) if a != 0.0)


def combine(u: Tensor, ks: Sequence[Tensor], weights: Weights, scale: Time) -> Tensor:
    """`u + scale Σ weight k`, a new tensor unless there is nothing to add.

    One fused multiply-add a term: cheaper than stacking the stages for the few small terms there are.
    """
    if isinstance(scale, Tensor):
        if not weights:
            return u
        total = weighted_sum(ks, weights)
        return u + scale * total
    result = u
    for i, a in weights:
        result = u.add(ks[i], alpha=scale * a) if result is u else result.add_(ks[i], alpha=scale * a)
    return result


def weighted_sum(ks: Sequence[Tensor], weights: Weights) -> Tensor:
    """`Σ weight k`, a new tensor. There must be at least one weight."""
    (i, a), *rest = weights
    result = ks[i] * a
    for i, a in rest:
        result = result.add_(ks[i], alpha=a)
    return result


def mix(matrix: Tensor, states: Tensor) -> Tensor:
    """Linear combinations of stacked states, one a row of `matrix`."""
    return (matrix @ states.reshape(len(states), -1)).reshape(len(matrix), *states.shape[1:])
