"""Continuous adjoints of stochastic equations on the noise that was drawn, and the exact one of reversible steps.

In Stratonovich's form the chain rule is the ordinary one, and time may run backwards: for du = f dt + g∘dW the adjoint
is dλ = -λᵀ(∂f/∂u dt + ∂g/∂u∘dW), solved backwards on the same path by the Euler-Heun method. An Itô equation is
brought to that form first: its drift becomes f - ½ Σⱼ (∂gⱼ/∂u) gⱼ.

Sources: Li, Wong, Chen, Duvenaud 2020, *Scalable gradients for stochastic differential equations*; Kidger, Foster, Li,
Lyons 2021, *Efficient and accurate gradients for neural SDEs* (`undo`).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ...._algorithms import AbstractStochasticAlgorithm
from ...._functions import RightHandSide
from ..._base import SolveSpec
from .._problem_rhs import ProblemRhs
from .._sides import Sides, sides_of, within
from ..stochastic import ReversibleHeun

Gradients = tuple[Tensor, list[Tensor]]


def along_states(
    spec: SolveSpec,
    ends: Sequence[float],
    state: Callable[[float], Tensor],
    times: Sequence[float],
    cotangents: Tensor,
) -> Gradients:
    """The adjoint along states that are known.

    Arguments:
        spec: the solve.
        ends: the ends of its steps, the last one first, and its start.
        state: the state at a time.
        times: of the cotangents.
        cotangents: `(T, *shape)`.
    """
    sweep = _Sweep(spec, times, cotangents)
    u1 = state(ends[0])
    for late, early in pairwise(ends):
        u0 = state(early)
        sweep.step(late, early, u1, u0)
        u1 = u0
    return sweep.result(ends[-1])


def backsolve(
    spec: SolveSpec, ends: Sequence[float], u1: Tensor, times: Sequence[float], cotangents: Tensor
) -> Gradients:
    """As `along_states`, where the states are solved for backwards from the last one, `u1`."""
    sweep = _Sweep(spec, times, cotangents)
    for late, early in pairwise(ends):
        u1 = sweep.step(late, early, u1, None)
    return sweep.result(ends[-1])


class _Cotangents:
    """Cotangents by time, handed out on the way back."""

    def __init__(self, times: Sequence[float], cotangents: Tensor) -> None:
        self._zero = torch.zeros_like(cotangents[0])
        self._at: dict[float, Tensor] = {}
        for t, v in zip(times, cotangents, strict=True):
            self._add(t, v)

    def _add(self, t: float, v: Tensor) -> None:
        self._at[t] = self._at[t] + v if t in self._at else v

    def at(self, t: float) -> Tensor:
        """That of the state at a time."""
        return self._at.pop(t, self._zero)

    def at_end(self, late: float, early: float) -> Tensor:
        """That of the state at the end of a step.

        It has its share of those within the step, by the straight line that the dense output is; the rest goes to the
        start.
        """
        share = self._zero
        for t in [t for t in self._at if min(early, late) < t < max(early, late)]:
            v, theta = self._at.pop(t), (t - early) / (late - early)
            share = share + theta * v
            self._add(early, (1.0 - theta) * v)
        return share + self.at(late)


class _Sweep:
    """λ on its way back, and the gradient of the parameters that it leaves behind."""

    def __init__(self, spec: SolveSpec, times: Sequence[float], cotangents: Tensor) -> None:
        assert isinstance(spec.alg, AbstractStochasticAlgorithm)
        self._spec, self._sides = spec, sides_of(spec)
        self._ito = spec.alg.interprets == "ito"
        self._cotangents = _Cotangents(times, cotangents)
        self._lam = torch.zeros_like(spec.rhs.u0)
        self._dp = [torch.zeros_like(q) for q in spec.rhs.parameters]

    def step(self, late: float, early: float, u1: Tensor, u0: Tensor | None) -> Tensor:
        """Go back over one step; `u0` is the state at its start, `None` to solve for it."""
        self._lam = self._lam + self._cotangents.at_end(late, early)
        noise = self._spec.noise
        assert noise is not None
        dt, w = late - early, noise.increment(early, late)
        change, pulled, dp = self._increment(u1, late, early, self._lam, dt, w)
        guess = u1 - change if u0 is None else u0
        change0, pulled0, dp0 = self._increment(guess, early, late, self._lam + pulled, dt, w)
        self._lam = self._lam + 0.5 * (pulled + pulled0)
        for total, a, b in zip(self._dp, dp, dp0, strict=True):
            total += 0.5 * (a + b)
        return u1 - 0.5 * (change + change0) if u0 is None else u0

    def result(self, t0: float) -> Gradients:
        """The gradients, with the cotangents at the start."""
        return self._lam + self._cotangents.at(t0), self._dp

    def _increment(
        self, u: Tensor, t: float, other: float, lam: Tensor, dt: float, w: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The increment at one end of a step, and its products with λ by the state and by every parameter."""
        rhs = self._spec.rhs
        x, change = _increment(rhs, self._sides, u, t, other, dt, w, ito=self._ito)
        pulled, dp = rhs.vjp(change, x, lam, parameters=True)
        return change.detach(), pulled, dp


def _increment(
    rhs: RightHandSide, sides: Sides, u: Tensor, t: float, other: float, dt: float, w: Tensor, *, ito: bool
) -> tuple[Tensor, Tensor]:
    """A leaf with the value of `u`, and f dt + g∘w of it with a graph, at the end `t` of a step to or from `other`."""
    assert rhs.diffusion is not None
    layout = rhs.diffusion.layout
    seen = within(ProblemRhs(rhs), sides.window(min(t, other), max(t, other), abs(other - t)))
    with torch.enable_grad():
        x = u.detach().requires_grad_()
        g = layout.coefficient(seen.diffusion(x, t))  # pyright: ignore[reportAttributeAccessIssue]
        drift = seen(x, t)
        if ito:
            drift = drift - 0.5 * _along_itself(g, x, layout.is_elementwise)
        return x, drift * dt + layout.product(g, layout.spread(w))


def _along_itself(g: Tensor, x: Tensor, elementwise: bool) -> Tensor:
    """Σⱼ (∂gⱼ/∂u) gⱼ with a graph, by reverse mode twice: the product with a vector v is linear in v."""
    if not g.requires_grad:
        return torch.zeros_like(x)
    total = torch.zeros_like(x)
    for column in [g] if elementwise else g.unbind(-1):
        v = torch.zeros_like(column).requires_grad_()
        (pulled,) = torch.autograd.grad(column, x, v, create_graph=True, allow_unused=True)
        if pulled is not None and pulled.requires_grad:
            (pushed,) = torch.autograd.grad(pulled, v, column, create_graph=True, allow_unused=True)
            total = total if pushed is None else total + pushed
    return total


def undo(
    spec: SolveSpec,
    method: ReversibleHeun,
    ends: Sequence[float],
    y1: Tensor,
    times: Sequence[float],
    cotangents: Tensor,
) -> Gradients:
    """The gradient of the steps of the reversible Heun method, each undone before it is differentiated."""
    rhs, noise, z1, sides = spec.rhs, spec.noise, method.z, sides_of(spec)
    assert noise is not None
    assert z1 is not None
    left = _Cotangents(times, cotangents)
    lam_y, lam_z = torch.zeros_like(y1), torch.zeros_like(y1)
    dp = [torch.zeros_like(q) for q in rhs.parameters]
    for late, early in pairwise(ends):
        lam_y = lam_y + left.at_end(late, early)
        dt, w = late - early, noise.increment(early, late)
        x1, end = _increment(rhs, sides, z1, late, early, dt, w, ito=False)
        z0 = (2.0 * y1 - x1 - end).detach()
        x0, start = _increment(rhs, sides, z0, early, late, dt, w, ito=False)
        # y₁ = y₀ + (start + end)/2, end a function of z₁ = 2 y₀ - z₀ + start
        lam_z1, end_dp = rhs.vjp(end, x1, 0.5 * lam_y, parameters=True)
        lam_z1 = lam_z + lam_z1
        lam_z0, start_dp = rhs.vjp(start, x0, 0.5 * lam_y + lam_z1, parameters=True)
        lam_y, lam_z = lam_y + 2.0 * lam_z1, lam_z0 - lam_z1
        for total, a, b in zip(dp, end_dp, start_dp, strict=True):
            total += a + b
        y1, z1 = (y1 - 0.5 * (start + end)).detach(), z0
    return lam_y + lam_z + left.at(ends[-1]), dp
