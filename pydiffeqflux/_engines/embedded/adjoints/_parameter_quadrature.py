"""Integrals of λᵀ ∂f/∂p over time.

Nodes are collected and evaluated many at a time: one `torch.vmap` of `f` over states and times and one backward pass
give the weighted sum of their vector-Jacobian products.
"""

import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...._errors import GradientWarning
from ...._functions import CannotMapError, RightHandSide, map_over
from .._step import Rhs, Step
from .._trajectory import Forward, Trajectory
from ._adjoint_rhs import flatten_parameters, unflatten_parameters

NODE_ELEMENTS = 1 << 16
"""States are evaluated in batches of about this many numbers."""


class ParameterVjp:
    """Sums of `λᵀ ∂f/∂p` over many states and times."""

    def __init__(self, rhs: RightHandSide) -> None:
        self._rhs = rhs
        self._mappable = True

    @property
    def batch(self) -> int:
        """How many nodes to evaluate at a time."""
        return max(16, NODE_ELEMENTS // self._rhs.numel)

    def __call__(self, us: Tensor, ts: Sequence[float], cotangents: Tensor) -> list[Tensor]:
        """`Σᵢ cotangentsᵢᵀ ∂f(usᵢ, tsᵢ)/∂p` for every parameter p."""
        rhs = self._rhs
        if not rhs.parameters:
            return []
        rhs.nf += len(ts)
        with torch.enable_grad():
            return _gradients(self._evaluate(us.detach(), ts), rhs.parameters, cotangents)

    def _evaluate(self, us: Tensor, ts: Sequence[float]) -> Tensor:
        rhs = self._rhs
        if self._mappable:
            try:
                return map_over(rhs.mappable(), us, torch.tensor(ts, dtype=rhs.dtype, device=rhs.device))
            except CannotMapError:  # a loop gives the same numbers
                self._mappable = False
        return torch.stack([rhs.unchecked(u, rhs.time(t)).clone() for u, t in zip(us, ts, strict=True)])


def _gradients(output: Tensor, parameters: list[Tensor], cotangents: Tensor) -> list[Tensor]:
    if not output.requires_grad:
        return [torch.zeros_like(q) for q in parameters]
    grads = torch.autograd.grad(output, parameters, cotangents, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(q) if g is None else g for g, q in zip(grads, parameters, strict=True)]


class GaussAccumulator:
    """Gauss-Legendre quadrature over every step of the adjoint solve."""

    def __init__(self, rhs: RightHandSide, forward: Forward, adjoint: Rhs) -> None:
        self._rhs, self._forward, self._adjoint = rhs, forward, adjoint
        self._vjp = ParameterVjp(rhs)
        self._us: list[Tensor] = []
        self._ts: list[float] = []
        self._cotangents: list[Tensor] = []
        self._total = [torch.zeros_like(q) for q in rhs.parameters]

    def add(self, step: Step) -> None:
        """Take in the integral over one step."""
        if not self._rhs.parameters:
            return
        # As many nodes as integrate a product of two polynomials of the method's order.
        nodes, weights = np.polynomial.legendre.leggauss(step.method.order // 2 + 1)
        t, dt = float(step.t), float(step.dt)
        low, high = step.seen
        # Cut at the steps of the forward solution too: they resolve transients that the adjoint state does not see.
        margin = 1e-6 * dt  # steps that end together up to rounding are not cut
        for a, b in pairwise([t, *self._forward.breaks(t + margin, step.end - margin), step.end]):
            for x, w in zip(nodes.tolist(), weights.tolist(), strict=True):
                time = min(max(a + 0.5 * (x + 1.0) * (b - a), low), high)
                lam = step.evaluate(self._adjoint, (time - t) / dt)
                self._ts.append(time)
                self._us.append(self._forward.state(time))
                self._cotangents.append(lam.reshape(self._rhs.shape) * (0.5 * w * (a - b)))
        if len(self._ts) >= self._vjp.batch:
            self._flush()

    def _flush(self) -> None:
        gradients = self._vjp(torch.stack(self._us), self._ts, torch.stack(self._cotangents))
        self._total = [a + b for a, b in zip(self._total, gradients, strict=True)]
        self._us, self._ts, self._cotangents = [], [], []

    def result(self) -> list[Tensor]:
        """The integral so far."""
        if self._ts:
            self._flush()
        return self._total


# Nodes and weights of the 15-point Kronrod rule and of the 7-point Gauss rule within it, on [-1, 1].
# Source: Kronrod 1965; the values are those of QUADPACK's qk15.
_KRONROD_HALF = (
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691693680,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
    0.0,
)
_KRONROD_WEIGHTS_HALF = (
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
    0.209482141084727828012999174891714,
)
_GAUSS_WEIGHTS_HALF = (
    0.129484966168869693270611432679082,
    0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
    0.417959183673469387755102040816327,
)
_NODES = [-x for x in _KRONROD_HALF] + list(reversed(_KRONROD_HALF[:-1]))
_KRONROD = [*_KRONROD_WEIGHTS_HALF, *reversed(_KRONROD_WEIGHTS_HALF[:-1])]
_GAUSS = [0.0] * 15
_GAUSS[1::2] = [*_GAUSS_WEIGHTS_HALF, *reversed(_GAUSS_WEIGHTS_HALF[:-1])]

MAX_INTERVALS = 10_000


def kronrod_integral(
    rhs: RightHandSide, forward: Forward, pieces: list[Trajectory], abstol: float, reltol: float
) -> list[Tensor]:
    """∫ λᵀ ∂f/∂p dt by adaptive 7-15 Gauss-Kronrod quadrature, the adjoint states given as smooth pieces."""
    if not rhs.parameters:
        return []
    if not pieces:
        return [torch.zeros_like(q) for q in rhs.parameters]
    vjp = ParameterVjp(rhs)

    def rule(piece: Trajectory, a: float, b: float) -> tuple[Tensor, Tensor]:
        """The Kronrod value over [a, b] and its difference from the Gauss value."""
        middle, half = 0.5 * (a + b), 0.5 * (b - a)
        ts = [middle + half * x for x in _NODES]
        us = torch.stack([forward.state(t) for t in ts])
        lams = torch.stack([piece.evaluate(t) for t in ts]).reshape(us.shape)
        column = (-1, *(1 for _ in rhs.shape))
        values = []
        for weights in (_KRONROD, [k - g for k, g in zip(_KRONROD, _GAUSS, strict=True)]):
            scaled = torch.tensor([half * w for w in weights], dtype=rhs.dtype, device=rhs.device)
            values.append(flatten_parameters(vjp(us, ts, lams * scaled.reshape(column)), rhs.u0))
        return values[0], values[1]

    done = []
    for piece in pieces:
        first, last = piece.steps[0], piece.steps[-1]
        done.append((piece, last.end, float(first.t)))
    intervals = [(piece, a, b, *rule(piece, a, b)) for piece, a, b in done]
    while len(intervals) < MAX_INTERVALS:
        total = torch.stack([value for *_, value, _ in intervals]).sum(dim=0)
        errors = [float(torch.linalg.vector_norm(error)) for *_, error in intervals]
        allowed = max(abstol, reltol * float(torch.linalg.vector_norm(total)))
        if sum(errors) <= allowed or max(errors) <= 1e-15 * float(torch.linalg.vector_norm(total)):
            return unflatten_parameters(total, rhs.parameters)
        worst = [i for i, e in enumerate(errors) if e > 0.5 * allowed / len(errors) or e == max(errors)]
        refined = []
        for i in worst:
            piece, a, b, *_ = intervals[i]
            middle = 0.5 * (a + b)
            refined += [(piece, a, middle, *rule(piece, a, middle)), (piece, middle, b, *rule(piece, middle, b))]
        chosen = set(worst)
        intervals = [item for i, item in enumerate(intervals) if i not in chosen] + refined
    warnings.warn(
        f"the quadrature of QuadratureAdjoint reached {MAX_INTERVALS} intervals before its tolerance; "
        "loosen its tolerances or tighten those of the solve.",
        GradientWarning,
        stacklevel=2,
    )
    total = torch.stack([value for *_, value, _ in intervals]).sum(dim=0)
    return unflatten_parameters(total, rhs.parameters)
