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


class _Sweep:
    """λ on its way back, and the gradient of the parameters that it leaves behind."""

    def __init__(self, spec: SolveSpec, times: Sequence[float], cotangents: Tensor) -> None:
        assert isinstance(spec.alg, AbstractStochasticAlgorithm)
        self._spec, self._rhs = spec, spec.rhs
        self._ito = spec.alg.interprets == "ito"
        self._at: dict[float, Tensor] = {}
        for t, v in zip(times, cotangents, strict=True):
            self._at[t] = self._at[t] + v if t in self._at else v
        self._lam = torch.zeros_like(spec.rhs.u0)
        self._dp = [torch.zeros_like(q) for q in spec.rhs.parameters]

    def step(self, late: float, early: float, u1: Tensor, u0: Tensor | None) -> Tensor:
        """Go back over one step; `u0` is the state at its start, `None` to solve for it."""
        self._inject(late, early)
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
        return self._lam + self._at.pop(t0, torch.zeros_like(self._lam)), self._dp

    def _inject(self, late: float, early: float) -> None:
        """Add the cotangents of the step, those between its ends by the straight line that the dense output is."""
        for t in [t for t in self._at if min(early, late) < t < max(early, late)]:
            v, theta = self._at.pop(t), (t - early) / (late - early)
            self._lam = self._lam + theta * v
            self._at[early] = self._at.get(early, torch.zeros_like(v)) + (1.0 - theta) * v
        if late in self._at:
            self._lam = self._lam + self._at.pop(late)

    def _increment(
        self, u: Tensor, t: float, other: float, lam: Tensor, dt: float, w: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """F dt + g∘w at one end of a step, and its products with λ by the state and by every parameter."""
        rhs = self._rhs
        with torch.enable_grad():
            x = u.detach().requires_grad_()
            change = increment(rhs, sides_of(self._spec), x, t, other, dt, w, ito=self._ito)
            inputs = [x, *rhs.parameters]
            grads = [None] * len(inputs)
            if change.requires_grad:
                grads = torch.autograd.grad(change, inputs, lam, allow_unused=True)
        pulled, *dp = (torch.zeros_like(q) if g is None else g for g, q in zip(grads, inputs, strict=True))
        return change.detach(), pulled, dp


def increment(
    rhs: RightHandSide, sides: Sides, x: Tensor, t: float, other: float, dt: float, w: Tensor, *, ito: bool
) -> Tensor:
    """F dt + g∘w at the time `t` of a step that ends or starts there, and at `other`."""
    assert rhs.diffusion is not None
    layout = rhs.diffusion.layout
    seen = within(ProblemRhs(rhs), sides.window(min(t, other), max(t, other), abs(other - t)))
    g = layout.coefficient(seen.diffusion(x, t))  # pyright: ignore[reportAttributeAccessIssue]
    drift = seen(x, t)
    if ito:
        drift = drift - 0.5 * _along_itself(g, x, layout.is_elementwise)
    return drift * dt + layout.product(g, layout.spread(w))


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
    rhs, noise = spec.rhs, spec.noise
    assert noise is not None
    assert rhs.diffusion is not None
    sides, layout = sides_of(spec), rhs.diffusion.layout
    z1, lam_y, lam_z = method.z, torch.zeros_like(y1), torch.zeros_like(y1)
    assert z1 is not None
    dp = [torch.zeros_like(q) for q in rhs.parameters]
    at: dict[float, Tensor] = {}
    for t, v in zip(times, cotangents, strict=True):
        at[t] = at[t] + v if t in at else v
    z1 = z1.detach()
    for late, early in pairwise(ends):
        for t in [t for t in at if min(early, late) < t < max(early, late)]:
            v, theta = at.pop(t), (t - early) / (late - early)
            lam_y = lam_y + theta * v
            at[early] = at.get(early, torch.zeros_like(v)) + (1.0 - theta) * v
        if late in at:
            lam_y = lam_y + at.pop(late)
        dt, w = late - early, layout.spread(noise.increment(early, late))
        seen = within(ProblemRhs(rhs), sides.window(early, late, dt))

        def parts(z: Tensor, t: float, seen: object = seen, dt: float = dt, w: Tensor = w) -> Tensor:
            g = layout.coefficient(seen.diffusion(z, t))  # pyright: ignore[reportAttributeAccessIssue]
            return seen(z, t) * dt + layout.product(g, w)  # pyright: ignore[reportCallIssue]

        with torch.enable_grad():
            z1 = z1.detach().requires_grad_()
            end = parts(z1, late)
        z0 = (2.0 * y1 - z1 - end).detach()
        with torch.enable_grad():
            z0.requires_grad_()
            start = parts(z0, early)
        y0 = (y1 - 0.5 * (start + end)).detach()
        # y₁ = y₀ + (start + end)/2, end a function of z₁ = 2 y₀ - z₀ + start
        lam_z1, end_dp = _pull(end, z1, rhs.parameters, 0.5 * lam_y)
        lam_z1 = lam_z + lam_z1
        lam_z0, start_dp = _pull(start, z0, rhs.parameters, 0.5 * lam_y + lam_z1)
        lam_y, lam_z = lam_y + 2.0 * lam_z1, lam_z0 - lam_z1
        for total, a, b in zip(dp, end_dp, start_dp, strict=True):
            total += a + b
        y1, z1 = y0, z0
    return lam_y + lam_z + at.pop(ends[-1], torch.zeros_like(y1)), dp


def _pull(output: Tensor, x: Tensor, parameters: Sequence[Tensor], v: Tensor) -> tuple[Tensor, list[Tensor]]:
    inputs = [x, *parameters]
    grads: Sequence[Tensor | None] = [None] * len(inputs)
    if output.requires_grad:
        grads = torch.autograd.grad(output, inputs, v, allow_unused=True)
    dx, *dp = (torch.zeros_like(q) if g is None else g for g, q in zip(grads, inputs, strict=True))
    return dx, dp
