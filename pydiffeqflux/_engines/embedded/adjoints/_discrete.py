"""Derivatives of the steps themselves: reverse mode along them (`reverse`), forward mode (`forward`).

A one-step method is a map u_{n+1} = Φ(u_n, p; t_n, dt_n). Once the forward solve has fixed all (u_n, t_n, dt_n), the
steps no longer depend on one another: their Jacobians are computed for many steps at once, by `torch.vmap` over the step
function and one backward pass for each of the N components of the state. What remains sequential is a product with an
N x N matrix per step. That is worth it while N is small; larger states are differentiated along the graph that the
forward solve recorded (see `TAPE_LIMIT`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...._errors import GradientError
from ...._rhs import RightHandSide
from .._problem_rhs import MappedRhs, ProblemRhs
from .._step import Method, Step
from .._trajectory import Trajectory

TAPE_LIMIT = 16
"""Above this many states, reverse mode records a graph in the forward solve."""

CHUNK_ELEMENTS = 1 << 17
"""Steps are mapped over in chunks of about this many numbers a stage."""

Gradients = tuple[Tensor, list[Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class _SavePoint:
    """A time with a cotangent: step, relative position in it, row of the cotangents."""

    step: int
    theta: float
    row: int


def tape(trajectory: Trajectory, u0: Tensor, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor) -> Gradients:
    """Reverse mode along the graph that the steps of `trajectory` carry; `u0` is its leaf."""
    inputs = [u0, *rhs.parameters]
    with torch.enable_grad():
        outputs = [u0 if t == trajectory.steps[0].t else trajectory.evaluate(t) for t in times]
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
        grads = torch.autograd.grad(
            [o for o, _ in pairs], inputs, [c for _, c in pairs], retain_graph=True, allow_unused=True
        )
    du0, *dp = (torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True))
    return du0, dp


def reverse(trajectory: Trajectory, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor) -> Gradients:
    """Reverse mode: λ_n = Aᵀ_n λ_{n+1} + Cᵀ_n v_n, then the parameter gradient of Σ λ_{n+1} · Φ(u_n, p) at once."""
    steps = trajectory.steps
    lam = rhs.u0.new_zeros(rhs.numel)
    totals = [torch.zeros_like(q) for q in rhs.parameters]
    points, at_start = _save_points(trajectory, times)
    mapped = MappedRhs(rhs, rhs.unchecked)
    for first, last in reversed(list(_chunks(steps, rhs.numel))):
        inside = [p for p in points if first <= p.step < last]
        try:
            lam = _reverse_chunk(steps[first:last], inside, first, rhs, mapped, cotangents, lam, totals)
        except RuntimeError:  # f cannot be mapped by vmap: the same derivatives, one step after the other
            lam = _reverse_one_by_one(steps[first:last], inside, first, rhs, cotangents, lam, totals)
    for row in at_start:
        lam = lam + cotangents[row].reshape(-1)
    return lam.reshape(rhs.shape), totals


def forward(trajectory: Trajectory, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor) -> Gradients:
    """Forward mode: S_{n+1} = A_n S_n + [0, B_n] with A = ∂Φ/∂u, B = ∂Φ/∂p, contracted with the cotangents at the save
    points."""
    n, parameters = rhs.numel, rhs.parameters
    if any(q.is_complex() for q in parameters):
        raise GradientError("ForwardDiffSensitivity takes real parameters only; use ReverseDiffAdjoint().")
    sizes = [q.numel() for q in parameters]
    sensitivity = torch.cat([rhs.identity, rhs.u0.new_zeros(n, sum(sizes))], dim=1)
    total = sensitivity.new_zeros(n + sum(sizes))
    points, at_start = _save_points(trajectory, times)
    rhs.functional(parameters)  # refuses parameters that cannot be reached
    for row in at_start:
        total[:n] += cotangents[row].reshape(-1)
    steps = trajectory.steps
    for first, last in _chunks(steps, n * (n + sum(sizes))):
        inside = [p for p in points if first <= p.step < last]
        try:
            a, b = _step_jacobians(steps[first:last], rhs, [1.0] * (last - first))
            if inside:
                c, d = _step_jacobians([steps[p.step] for p in inside], rhs, [p.theta for p in inside])
        except RuntimeError as error:
            raise GradientError(
                "ForwardDiffSensitivity maps f over many states with torch.vmap, which failed: "
                f"{str(error).splitlines()[0]} Use ReverseDiffAdjoint() or GaussAdjoint(), or write f without "
                "branches on values and without .item()."
            ) from error
        before = []
        for a_n, b_n in zip(a, b, strict=True):
            before.append(sensitivity)
            sensitivity = a_n @ sensitivity
            sensitivity[:, n:] += b_n
        for i, point in enumerate(inside):
            at_point = c[i] @ before[point.step - first]
            at_point[:, n:] += d[i]
            total += cotangents[point.row].reshape(-1) @ at_point
    dp = [part.reshape(q.shape).to(q.dtype) for part, q in zip(total[n:].split(sizes), parameters, strict=True)]
    return total[:n].reshape(rhs.shape), dp


def _save_points(trajectory: Trajectory, times: Sequence[float]) -> tuple[list[_SavePoint], list[int]]:
    """The save points by step, and the rows of those at the very start."""
    points, at_start = [], []
    for row, t in enumerate(times):
        if t == trajectory.steps[0].t:
            at_start.append(row)
            continue
        index, theta = trajectory.locate(t)
        points.append(_SavePoint(index, theta, row))
    return points, at_start


def _chunks(steps: Sequence[Step], elements: int) -> Iterator[tuple[int, int]]:
    """Ranges of consecutive steps of one method, of limited size."""
    limit = max(16, CHUNK_ELEMENTS // elements)
    first = 0
    for i in range(1, len(steps) + 1):
        if i == len(steps) or i - first == limit or steps[i].method is not steps[first].method:
            yield first, i
            first = i


@dataclass(frozen=True, slots=True, eq=False)
class _Mapped:
    """Steps of one method, made again all at once with a graph.

    Attributes:
        u0: their initial states, a leaf of shape `(S, *shape)`.
        u1: their final states.
        ks: their stages, `(S, stages, *shape)`.
    """

    u0: Tensor
    u1: Tensor
    ks: Tensor


def _map_steps(steps: Sequence[Step], rhs: MappedRhs, *, dense: bool) -> _Mapped:
    method = steps[0].method
    ts = torch.tensor([step.t for step in steps], dtype=rhs.dtype, device=rhs.device)
    dts = torch.tensor([step.dt for step in steps], dtype=rhs.dtype, device=rhs.device)
    n_hints = min(len(step.ks) for step in steps)
    hints = torch.stack([torch.stack(step.ks[:n_hints]) for step in steps])
    u0 = torch.stack([step.u0 for step in steps]).requires_grad_()
    again = _replay(method, rhs, dense=dense)
    u1, ks = torch.vmap(again)(u0, ts, dts, hints)
    return _Mapped(u0, u1, ks)


def _replay(
    method: Method, rhs: MappedRhs, *, dense: bool
) -> Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """One step as a function of tensors: its final state and its stages."""

    def again(u: Tensor, t: Tensor, dt: Tensor, hints: Tensor) -> tuple[Tensor, Tensor]:
        step = method.replay(rhs, u, t, dt, hints.unbind())
        ks = method.dense_stages(rhs, step) if dense else step.ks
        return step.u1, torch.stack(ks)

    return again


def _dense_values(
    method: Method, u0: Tensor, u1: Tensor, ks: Tensor, dts: Tensor, thetas: Sequence[float]
) -> Tensor:
    """The dense output at one relative position per step, shape `(S, *shape)`."""
    column = (-1, *(1 for _ in u0.shape[1:]))
    weights = torch.tensor([method.dense_weights(theta) for theta in thetas], dtype=u0.dtype, device=u0.device)
    if method.stages_are_derivatives:
        weights = weights * dts[:, None]
    inside = u0 + (weights.reshape(*weights.shape, *column[1:]) * ks).sum(dim=1)
    at_end = torch.tensor([theta == 1.0 for theta in thetas], device=u0.device).reshape(column)
    return torch.where(at_end, u1, inside)


def _reverse_chunk(
    steps: Sequence[Step],
    points: Sequence[_SavePoint],
    offset: int,
    rhs: RightHandSide,
    mapped_rhs: MappedRhs,
    cotangents: Tensor,
    lam: Tensor,
    totals: list[Tensor],
) -> Tensor:
    n, count = rhs.numel, len(steps)
    dense = any(p.theta != 1.0 for p in points)
    with torch.enable_grad():
        mapped = _map_steps(steps, mapped_rhs, dense=dense)
        rhs.nf += count * mapped.ks.shape[1]
        flat = mapped.u1.reshape(count, n)
        rows = [_grad(flat[:, r].sum(), mapped.u0).reshape(count, n) for r in range(n)]
        transposed = torch.stack(rows, dim=2)  # Aᵀ of every step
        outputs, vectors = [flat], []
        injected = flat.new_zeros(count, n)
        if points:
            index = torch.tensor([p.step - offset for p in points], device=rhs.device)
            v = cotangents[torch.tensor([p.row for p in points], device=rhs.device)]
            if dense:
                dts = torch.tensor([steps[p.step - offset].dt for p in points], dtype=rhs.dtype, device=rhs.device)
                thetas = [p.theta for p in points]
                method = steps[0].method
                y = _dense_values(method, mapped.u0[index], mapped.u1[index], mapped.ks[index], dts, thetas)
                injected = _grad((y * v).sum(), mapped.u0).reshape(count, n)
                outputs.append(y)
                vectors.append(v)
                at_end = None
            else:
                at_end = flat.new_zeros(count, n).index_add_(0, index, v.reshape(-1, n))
        else:
            at_end = None
    lams = []
    at_end_rows = None if at_end is None else at_end.unbind()
    for i, (a, g) in enumerate(zip(reversed(transposed.unbind()), reversed(injected.unbind()), strict=True)):
        if at_end_rows is not None:
            lam = lam + at_end_rows[count - 1 - i]
        lams.append(lam)
        lam = torch.addmv(g, a, lam)
    lams.reverse()
    if rhs.parameters and mapped.u1.requires_grad:
        grads = torch.autograd.grad(outputs, rhs.parameters, [torch.stack(lams), *vectors], allow_unused=True)
        for total, g in zip(totals, grads, strict=True):
            if g is not None:
                total += g
    return lam


def _reverse_one_by_one(
    steps: Sequence[Step],
    points: Sequence[_SavePoint],
    offset: int,
    rhs: RightHandSide,
    cotangents: Tensor,
    lam: Tensor,
    totals: list[Tensor],
) -> Tensor:
    taped = ProblemRhs(rhs, taped=True)
    for i in range(len(steps) - 1, -1, -1):
        old = steps[i]
        with torch.enable_grad():
            u = old.u0.detach().requires_grad_()
            step = old.method.replay(taped, u, old.t, old.dt, old.ks)
            outputs, vectors = [step.u1], [lam.reshape(rhs.shape)]
            for p in points:
                if p.step - offset == i:
                    outputs.append(step.evaluate(taped, p.theta))
                    vectors.append(cotangents[p.row])
            inputs = [u, *rhs.parameters]
            grads = torch.autograd.grad(outputs, inputs, vectors, allow_unused=True)
        lam = (torch.zeros_like(u) if grads[0] is None else grads[0]).reshape(-1)
        for total, g in zip(totals, grads[1:], strict=True):
            if g is not None:
                total += g
    return lam


def _step_jacobians(
    steps: Sequence[Step], rhs: RightHandSide, thetas: Sequence[float]
) -> tuple[list[Tensor], list[Tensor]]:
    """∂u(θ)/∂u0 and ∂u(θ)/∂p of every step, at one relative position θ each."""
    a: list[Tensor] = []
    b: list[Tensor] = []
    for first, last in _chunks(steps, rhs.numel):
        a_part, b_part = _step_jacobians_of_one_method(steps[first:last], rhs, thetas[first:last])
        a += a_part.unbind()
        b += b_part.unbind()
    return a, b


def _step_jacobians_of_one_method(
    steps: Sequence[Step], rhs: RightHandSide, thetas: Sequence[float]
) -> tuple[Tensor, Tensor]:
    n, count, method = rhs.numel, len(steps), steps[0].method
    dense = any(theta != 1.0 for theta in thetas)
    parameters = [q.detach().expand(count, *q.shape).clone().requires_grad_() for q in rhs.parameters]
    ts = torch.tensor([step.t for step in steps], dtype=rhs.dtype, device=rhs.device)
    dts = torch.tensor([step.dt for step in steps], dtype=rhs.dtype, device=rhs.device)
    n_hints = min(len(step.ks) for step in steps)
    hints = torch.stack([torch.stack(step.ks[:n_hints]) for step in steps])
    with torch.enable_grad():
        u0 = torch.stack([step.u0 for step in steps]).requires_grad_()

        def again(u: Tensor, t: Tensor, dt: Tensor, hint: Tensor, *own: Tensor) -> tuple[Tensor, Tensor]:
            mapped = MappedRhs(rhs, rhs.functional(list(own)))
            return _replay(method, mapped, dense=dense)(u, t, dt, hint)

        u1, ks = torch.vmap(again)(u0, ts, dts, hints, *parameters)
        rhs.nf += count * ks.shape[1]
        y = _dense_values(method, u0, u1, ks, dts, thetas) if dense else u1
        flat = y.reshape(count, n)
        rows_a, rows_b = [], []
        for r in range(n):
            if flat.requires_grad:
                grads = torch.autograd.grad(flat[:, r].sum(), [u0, *parameters], retain_graph=True, allow_unused=True)
            else:
                grads = [None] * (1 + len(parameters))
            full = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, [u0, *parameters], strict=True)]
            rows_a.append(full[0].reshape(count, n))
            rows_b.append(torch.cat([g.reshape(count, -1).to(u0.dtype) for g in full[1:]] or [u0.new_zeros(count, 0)], 1))
    return torch.stack(rows_a, dim=1), torch.stack(rows_b, dim=1)


def _grad(output: Tensor, x: Tensor) -> Tensor:
    if not output.requires_grad:
        return torch.zeros_like(x)
    (g,) = torch.autograd.grad(output, x, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if g is None else g
