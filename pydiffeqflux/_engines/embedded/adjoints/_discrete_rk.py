"""Derivatives of explicit Runge-Kutta steps, all stages of all steps at once.

The stage inputs of a finished solve are known, so the Jacobians of `f` at all of them take one mapped evaluation of `f`
and N backward passes through it. What is sequential in a step, and along the steps, is then products of small matrices.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...._functions import RightHandSide, map_over
from .._explicit_rk import ExplicitRK
from .._problem_rhs import ProblemRhs
from .._step import Step
from ._save_points import SavePoint


class _Stages:
    """All stages of S explicit steps: inputs, times and the evaluations of `f` at them with a graph.

    Attributes:
        a: stage weights, `(s, s)`, strictly lower triangular; s counts the extra stages of the dense output.
        b: step weights, `(s,)`.
        dts: step sizes, `(S, 1, 1)`.
        x: stage inputs, a leaf of shape `(S s, *shape)`.
        k: `f` at them, connected to `x` and to the parameters.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        points: Sequence[SavePoint],
        rhs: RightHandSide,
        evaluate: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        method = steps[0].method
        assert isinstance(method, ExplicitRK)
        for point in points:
            steps[point.step].stages(ProblemRhs(rhs))
        dense = bool(points)
        a, b, c = (torch.tensor(v, dtype=rhs.dtype, device=rhs.device) for v in method.matrices(dense=dense))
        count, s, n = len(steps), len(c), rhs.numel
        dts = torch.tensor([step.dt for step in steps], dtype=rhs.dtype, device=rhs.device)
        t0s = torch.tensor([step.t for step in steps], dtype=torch.float64, device=rhs.device)
        u0 = torch.stack([step.u0 for step in steps]).reshape(count, 1, n)
        ks = torch.stack([k for step in steps for k in _padded(step, s)]).reshape(count, s, n)
        x = u0 + dts.reshape(-1, 1, 1) * (a @ ks)
        low, high = torch.tensor([step.seen for step in steps], dtype=torch.float64, device=rhs.device).T[..., None]
        ts = (t0s[:, None] + dts[:, None] * c).clamp(low, high).to(rhs.dtype).reshape(-1)
        rhs.nf += count * s
        with torch.enable_grad():
            self.x = x.reshape(count * s, *rhs.shape).requires_grad_()
            self.k = evaluate(self.x, ts)
            self._flat = self.k.reshape(count * s, n)
        self._identity = rhs.identity
        self.a, self.b, self.dts = a, b, dts.reshape(-1, 1, 1)
        self.count, self.s, self.n = count, s, n

    def jacobian_rows(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """∂k/∂input at every stage: `(S, s, N, size of input)` for every input with a leading axis of stages."""
        flat = self._flat
        columns: list[list[Tensor]] = [[] for _ in inputs]
        for r in range(self.n):
            grads: Sequence[Tensor | None] = [None] * len(inputs)
            if flat.requires_grad:
                row = self._identity[r].expand_as(flat)
                grads = torch.autograd.grad(flat, inputs, row, retain_graph=True, allow_unused=True)
            for column, g, x in zip(columns, grads, inputs, strict=True):
                full = torch.zeros_like(x) if g is None else g
                column.append(full.reshape(self.count, self.s, -1).to(self.dts.dtype))
        return [torch.stack(column, dim=2) for column in columns]


class RungeKuttaPullback:
    """Reverse mode through S explicit steps.

    Attributes:
        transposed: Aᵀ of every step, `(S, N, N)`.
        injected: what the save points within each step add to the adjoint state at its start, `(S, N)`.
    """

    def __init__(
        self, steps: Sequence[Step], points: Sequence[SavePoint], rhs: RightHandSide, cotangents: Tensor
    ) -> None:
        self._rhs = rhs
        self._stages = stages = _Stages(steps, points, rhs, lambda x, ts: map_over(rhs.mappable(), x, ts))
        count, s, n, dts = stages.count, stages.s, stages.n, stages.dts
        (jacobians,) = stages.jacobian_rows([stages.x])
        transposed = jacobians.transpose(2, 3)
        # Columns: the identity that λ at the end of the step multiplies, then the cotangents of the save points.
        unit = torch.cat([rhs.identity, rhs.u0.new_zeros(n, 1)], dim=1)
        on_u0 = unit.expand(count, n, n + 1).clone()
        on_k = dts[..., None] * stages.b.reshape(1, s, 1, 1) * unit
        if points:
            index, v = _gather(points, cotangents, n)
            weights = _dense_weights(steps[0].method, points, dts[index, 0])
            on_u0[:, :, n].index_add_(0, index, v)
            on_k[..., n].index_add_(0, index, weights[:, :, None] * v[:, None, :])
        products = [on_k[:, i] for i in range(s)]  # overwritten from the last to the first
        for i in range(s - 1, -1, -1):
            kappa = on_k[:, i]
            for j in range(i + 1, s):
                if stages.a[j, i] != 0.0:
                    kappa = kappa + dts * stages.a[j, i] * products[j]
            on_k[:, i] = kappa
            product = transposed[:, i] @ kappa
            products[i] = product
            on_u0 += product
        self._on_k = on_k
        self.transposed, self.injected = on_u0[..., :n], on_u0[..., n]

    def parameter_gradients(self, lams: Tensor) -> list[Tensor | None]:
        """Gradients of the parameters, given the adjoint states `(S, N)` at the ends of the steps."""
        stages = self._stages
        if not stages.k.requires_grad:
            return [None] * len(self._rhs.parameters)
        n = stages.n
        kappa = (self._on_k[..., :n] @ lams[:, None, :, None]).squeeze(-1) + self._on_k[..., n]
        return list(
            torch.autograd.grad(
                stages.k, self._rhs.parameters, kappa.reshape(stages.k.shape), retain_graph=True, allow_unused=True
            )
        )


def tangents(
    steps: Sequence[Step], points: Sequence[SavePoint], rhs: RightHandSide
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """∂u1/∂u0 `(S, N, N)` and ∂u1/∂p `(S, N, P)` of every step, and the same of the state at every save point."""
    own: list[Tensor] = []

    def evaluate(x: Tensor, ts: Tensor) -> Tensor:
        own.extend(q.detach().expand(len(x), *q.shape).clone().requires_grad_() for q in rhs.parameters)
        return map_over(lambda u, t, *q: rhs.functional(list(q))(u, t), x, ts, *own)

    stages = _Stages(steps, points, rhs, evaluate)
    n, dts = stages.n, stages.dts
    jacobians, *slopes = stages.jacobian_rows([stages.x, *own])
    slope = torch.cat([jacobians.new_zeros(*jacobians.shape[:3], n), *slopes], dim=3)
    unit = torch.cat([rhs.identity, slope.new_zeros(n, slope.shape[3] - n)], dim=1).expand(stages.count, -1, -1)
    dks: list[Tensor] = []
    for i in range(stages.s):
        dx = unit
        for j in range(i):
            if stages.a[i, j] != 0.0:
                dx = dx + dts * stages.a[i, j] * dks[j]
        dks.append(jacobians[:, i] @ dx + slope[:, i])
    dk = torch.stack(dks, dim=1)
    at_end = unit + dts * torch.einsum("i,sinm->snm", stages.b, dk)
    if not points:
        empty = at_end[:0]
        return at_end[..., :n], at_end[..., n:], empty[..., :n], empty[..., n:]
    index = torch.tensor([p.step for p in points], device=rhs.device)
    weights = _dense_weights(steps[0].method, points, dts[index, 0])
    inside = unit[index] + torch.einsum("pi,pinm->pnm", weights, dk[index])
    return at_end[..., :n], at_end[..., n:], inside[..., :n], inside[..., n:]


def _padded(step: Step, s: int) -> list[Tensor]:
    """The stages of a step, filled up to s with zeros where the dense output was never wanted."""
    missing = s - len(step.ks)
    return [*step.ks[:s], *([torch.zeros_like(step.u0)] * missing)] if missing > 0 else step.ks[:s]


def _gather(points: Sequence[SavePoint], cotangents: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The step index and the cotangent `(P, N)` of every save point."""
    index = torch.tensor([p.step for p in points], device=cotangents.device)
    rows = torch.tensor([p.row for p in points], device=cotangents.device)
    return index, cotangents[rows].reshape(-1, n)


def _dense_weights(method: object, points: Sequence[SavePoint], dts: Tensor) -> Tensor:
    """The weight of every stage in the dense output at every save point, times the step size: `(P, s)`."""
    assert isinstance(method, ExplicitRK)
    weights = [method.dense_weights(p.theta) for p in points]
    return torch.tensor(weights, dtype=dts.dtype, device=dts.device) * dts
