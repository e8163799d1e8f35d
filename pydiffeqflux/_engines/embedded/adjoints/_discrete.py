"""Derivatives of the steps themselves: reverse mode along them (`reverse`), forward mode (`forward`).

A one-step method is a map u_{n+1} = Φ(u_n, p; t_n, dt_n). Once the forward solve has fixed all (u_n, t_n, dt_n), the
steps no longer depend on one another: their Jacobians are computed for many steps at once, by `torch.vmap` over the
step function and one backward pass for each of the N components of the state. What remains sequential is a product with
an N x N matrix per step. That is worth it while N is small; larger states are differentiated along the graph that the
forward solve recorded (see `is_taped`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ...._errors import GradientError
from ...._functions import CannotMapError, RightHandSide, map_over
from .._explicit_rk import ExplicitRK
from .._problem_rhs import MappedRhs, ProblemRhs
from .._sides import within
from .._step import Method, Step
from .._trajectory import CheckpointedTrajectory, Trajectory
from . import _discrete_rk
from ._save_points import SavePoint, save_points

TAPE_LIMIT = 16
"""Above this many states, reverse mode through an explicit method records a graph in the forward solve."""

STIFF_TAPE_LIMIT = 128
"""The same for methods with Jacobians, whose graph would hold second derivatives."""

CHUNK_ELEMENTS = 1 << 17
"""Steps are mapped over in chunks of about this many numbers a stage."""

Gradients = tuple[Tensor, list[Tensor]]

Chunk = tuple[Sequence[Step], list[SavePoint]]
"""Consecutive steps of one method, and the save points in them."""


def is_taped(n: int, *, implicit: bool) -> bool:
    """Whether N states are too many for the Jacobians of steps, so that reverse mode records graphs."""
    return n > (STIFF_TAPE_LIMIT if implicit else TAPE_LIMIT)


class Pullback(Protocol):
    """Reverse mode through a chunk of S steps of one method.

    Attributes:
        transposed: Aᵀ of every step, `(S, N, N)`.
        injected: what the save points inside each step add to the adjoint state at its start, `(S, N)`.
    """

    transposed: Tensor
    injected: Tensor

    def parameter_gradients(self, lams: Tensor) -> list[Tensor | None]:
        """Gradients of the parameters, given the adjoint states `(S, N)` at the ends of the steps."""
        ...


def tape(
    trajectory: Trajectory, u0: Tensor, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor
) -> Gradients:
    """Reverse mode along the graph that the steps of `trajectory` carry; `u0` is its leaf."""
    points, at_start = save_points(trajectory, times)
    taped = ProblemRhs(rhs, taped=True)
    outputs = [u0 for _ in at_start]
    vectors = [cotangents[row] for row in at_start]
    with torch.enable_grad():
        for first, last in _runs([p.step for p in points]):
            step, inside = trajectory.steps[points[first].step], points[first:last]
            outputs.append(step.evaluate_many(taped, [p.theta for p in inside]))
            vectors.append(cotangents[inside[0].row : inside[-1].row + 1])
    inputs = [u0, *rhs.parameters]
    pairs = [(o, v) for o, v in zip(outputs, vectors, strict=True) if o.requires_grad]
    grads: Sequence[Tensor | None] = [None] * len(inputs)
    if pairs:
        grads = torch.autograd.grad(
            [o for o, _ in pairs], inputs, [v for _, v in pairs], retain_graph=True, allow_unused=True
        )
    du0, *dp = (torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True))
    return du0, dp


def reverse(trajectory: Trajectory, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor) -> Gradients:
    """Reverse mode: λ_n = Aᵀ_n λ_{n+1} + Cᵀ_n v_n, then the parameter gradient of Σ λ_{n+1} · Φ(u_n, p) at once."""
    points, at_start = save_points(trajectory, times)
    return _pull_back(_backwards(trajectory.steps, points, rhs.numel), at_start, rhs, cotangents)


def reverse_from_checkpoints(
    checkpoints: CheckpointedTrajectory, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor
) -> Gradients:
    """As `reverse`, for steps that are made again piece by piece."""
    t0 = checkpoints.times[0]
    direction = math.copysign(1.0, checkpoints.times[-1] - t0)
    later = [row for row, t in enumerate(times) if direction * (t - t0) > 0.0]

    def chunks() -> Iterator[Chunk]:
        rows = list(later)
        for piece in checkpoints.pieces_backwards():
            start, inside = float(piece.steps[0].t), []
            while rows and direction * (times[rows[-1]] - start) > 0.0:
                row = rows.pop()
                inside.append(SavePoint(*piece.locate(times[row]), row))
            yield from _backwards(piece.steps, inside[::-1], rhs.numel)

    return _pull_back(chunks(), range(len(times) - len(later)), rhs, cotangents)


def _backwards(steps: Sequence[Step], points: Sequence[SavePoint], n: int) -> Iterator[Chunk]:
    """Steps with N states and their save points in chunks, the last one first."""
    for first, last in reversed(list(_chunks(steps, n**2))):
        yield steps[first:last], [p.relative_to(first) for p in points if first <= p.step < last]


def _pull_back(chunks: Iterable[Chunk], at_start: Iterable[int], rhs: RightHandSide, cotangents: Tensor) -> Gradients:
    """Gradients from chunks of steps, the last one first, and the rows of the save points at the very start."""
    lam = rhs.u0.new_zeros(rhs.numel)
    totals = [torch.zeros_like(q) for q in rhs.parameters]
    mappable = True
    for steps, inside in chunks:
        if mappable and not is_taped(rhs.numel, implicit=steps[0].method.implicit):
            try:
                lam = _reverse_chunk(steps, inside, rhs, cotangents, lam, totals)
                continue
            except (CannotMapError, RuntimeError):
                mappable = False
        # one step after the other: the same derivatives, or what f itself raises
        lam = _reverse_one_by_one(steps, inside, rhs, cotangents, lam, totals)
    for row in at_start:
        lam = lam + cotangents[row].reshape(-1)
    return lam.reshape(rhs.shape), totals


def can_go_forward(rhs: RightHandSide, *, implicit: bool) -> bool:
    """Whether `torch.vmap` can map what forward mode maps over steps: `f`, and its Jacobian for implicit methods."""
    if not rhs.supports_forward_mode():
        return False
    if not implicit:
        return True

    def linearise(u: Tensor, t: Tensor, *parameters: Tensor) -> Tensor:
        return MappedRhs(rhs, parameters).linearise(u, t, torch.ones_like(t))[1].matrix

    arguments = [x.detach().unsqueeze(0) for x in (rhs.u0, rhs.time(0.0), *rhs.parameters)]
    try:
        map_over(linearise, *arguments)
    except CannotMapError:
        return False
    return True


def forward(trajectory: Trajectory, rhs: RightHandSide, times: Sequence[float], cotangents: Tensor) -> Gradients:
    """Forward mode: S_{n+1} = A_n S_n + [0, B_n] with A = ∂Φ/∂u, B = ∂Φ/∂p, contracted at the save points."""
    n, parameters = rhs.numel, rhs.parameters
    if any(q.is_complex() for q in parameters):
        raise GradientError("ForwardDiffSensitivity takes real parameters only; use ReverseDiffAdjoint().")
    for function in rhs.functions:
        function.functional(parameters)  # refuses parameters that cannot be reached
    sizes = [q.numel() for q in parameters]
    sensitivity = torch.cat([rhs.identity, rhs.u0.new_zeros(n, sum(sizes))], dim=1)
    total = sensitivity.new_zeros(n + sum(sizes))
    points, at_start = save_points(trajectory, times)
    for row in at_start:
        total[:n] += cotangents[row].reshape(-1)
    for first, last in _chunks(trajectory.steps, n * (n + sum(sizes))):
        inside = [p.relative_to(first) for p in points if first <= p.step < last]
        a, b, c, d = _tangents(trajectory.steps[first:last], inside, rhs)
        before = []
        for a_n, b_n in zip(a.unbind(), b.unbind(), strict=True):
            before.append(sensitivity)
            sensitivity = a_n @ sensitivity
            sensitivity[:, n:] += b_n
        if inside:
            at_points = c @ torch.stack([before[p.step] for p in inside])
            at_points[..., n:] += d
            v = cotangents[torch.tensor([p.row for p in inside], device=rhs.device)].reshape(-1, n)
            total += torch.einsum("pn,pnm->m", v, at_points)
    dp = [part.reshape(q.shape).to(q.dtype) for part, q in zip(total[n:].split(sizes), parameters, strict=True)]
    return total[:n].reshape(rhs.shape), dp


def _tangents(
    steps: Sequence[Step], points: Sequence[SavePoint], rhs: RightHandSide
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """∂u1/∂u0 and ∂u1/∂p of every step, and the same of the state at every save point."""
    try:
        if isinstance(steps[0].method, ExplicitRK):
            return _discrete_rk.tangents(steps, points, rhs)
        a, b = _step_jacobians(steps, rhs, [1.0] * len(steps))
        if not points:
            return a, b, a[:0], b[:0]
        return a, b, *_step_jacobians([steps[p.step] for p in points], rhs, [p.theta for p in points])
    except CannotMapError as error:
        raise GradientError(
            f"ForwardDiffSensitivity maps f over many states with torch.vmap, which failed: {error} "
            "Use ReverseDiffAdjoint() or GaussAdjoint(), or write f without branches on values and without .item()."
        ) from error


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of equal consecutive values."""
    first = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[first]:
            yield first, i
            first = i


def _chunks(steps: Sequence[Step], elements: int) -> Iterator[tuple[int, int]]:
    """Ranges of consecutive steps of one method, of limited size, for so many numbers a step."""
    limit = max(16, CHUNK_ELEMENTS // elements)
    first = 0
    for i in range(1, len(steps) + 1):
        if i == len(steps) or i - first == limit or steps[i].method is not steps[first].method:
            yield first, i
            first = i


def _replay(method: Method, rhs: MappedRhs, *, dense: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    """One step as a function of tensors: its final state and, where they are wanted, the stages of the dense output."""

    def again(u: Tensor, t: Tensor, dt: Tensor, seen: Tensor, *hints: Tensor) -> tuple[Tensor, Tensor]:
        seeing = within(rhs, (seen[0], seen[1]))
        step = method.replay(seeing, u, t, dt, hints)
        return step.u1, torch.stack(method.dense_stages(seeing, step)) if dense else step.u1.unsqueeze(0)

    return again


def _dense_values(method: Method, u0: Tensor, u1: Tensor, ks: Tensor, dts: Tensor, thetas: Sequence[float]) -> Tensor:
    """The dense output at one relative position per step, shape `(S, *shape)`."""
    column = (-1, *(1 for _ in u0.shape[1:]))
    weights = torch.tensor([method.dense_weights(theta) for theta in thetas], dtype=u0.dtype, device=u0.device)
    if method.stages_are_derivatives:
        weights = weights * dts[:, None]
    inside = u0 + (weights.reshape(*weights.shape, *column[1:]) * ks).sum(dim=1)
    at_end = torch.tensor([theta == 1.0 for theta in thetas], device=u0.device).reshape(column)
    return torch.where(at_end, u1, inside)


class MappedPullback:
    """Reverse mode through S steps of any method, made again all at once under `torch.vmap`."""

    def __init__(
        self, steps: Sequence[Step], points: Sequence[SavePoint], rhs: RightHandSide, cotangents: Tensor
    ) -> None:
        n, count, method = rhs.numel, len(steps), steps[0].method
        self._rhs = rhs
        with torch.enable_grad():
            u0, ts, dts, seen, *hints = _stacked(steps, rhs)
            again = _replay(method, MappedRhs(rhs), dense=bool(points))
            u1, ks = map_over(again, u0, ts, dts, seen, *hints)
            rhs.nf += count * max(len(steps[0].ks), ks.shape[1])
            flat = u1.reshape(count, n)
            rows = [_grad(flat[:, r].sum(), u0).reshape(count, n) for r in range(n)]
            self._outputs, self._vectors = [flat], []
            self.transposed = torch.stack(rows, dim=2)
            self.injected = flat.new_zeros(count, n)
            if points:
                index = torch.tensor([p.step for p in points], device=rhs.device)
                v = cotangents[torch.tensor([p.row for p in points], device=rhs.device)]
                y = _dense_values(method, u0[index], u1[index], ks[index], dts[index], [p.theta for p in points])
                self.injected = _grad((y * v).sum(), u0).reshape(count, n)
                self._outputs.append(y)
                self._vectors.append(v)

    def parameter_gradients(self, lams: Tensor) -> list[Tensor | None]:
        """As in `Pullback`."""
        parameters = self._rhs.parameters
        if not self._outputs[0].requires_grad:
            return [None] * len(parameters)
        return list(
            torch.autograd.grad(self._outputs, parameters, [lams, *self._vectors], retain_graph=True, allow_unused=True)
        )


def _reverse_chunk(
    steps: Sequence[Step],
    points: Sequence[SavePoint],
    rhs: RightHandSide,
    cotangents: Tensor,
    lam: Tensor,
    totals: list[Tensor],
) -> Tensor:
    """λ at the start of the chunk from λ at its end; parameter gradients are added to `totals`."""
    inside = [p for p in points if p.theta != 1.0]
    make = _discrete_rk.RungeKuttaPullback if isinstance(steps[0].method, ExplicitRK) else MappedPullback
    pullback: Pullback = make(steps, inside, rhs, cotangents)
    at_end: dict[int, Tensor] = {}
    for p in points:
        if p.theta == 1.0:  # maybe more than once, where a time was asked for repeatedly
            v = cotangents[p.row].reshape(-1)
            at_end[p.step] = at_end[p.step] + v if p.step in at_end else v
    transposed, injected = pullback.transposed.unbind(), pullback.injected.unbind()
    lams = []
    for i in range(len(steps) - 1, -1, -1):
        if i in at_end:
            lam = lam + at_end[i]
        lams.append(lam)
        lam = torch.addmv(injected[i], transposed[i], lam)
    if rhs.parameters:
        lams.reverse()
        for total, g in zip(totals, pullback.parameter_gradients(torch.stack(lams)), strict=True):
            if g is not None:
                total += g
    return lam


def _reverse_one_by_one(
    steps: Sequence[Step],
    points: Sequence[SavePoint],
    rhs: RightHandSide,
    cotangents: Tensor,
    lam: Tensor,
    totals: list[Tensor],
) -> Tensor:
    """As `_reverse_chunk`, step by step."""
    taped = ProblemRhs(rhs, taped=True)
    for i in range(len(steps) - 1, -1, -1):
        old = steps[i]
        with torch.enable_grad():
            u = old.u0.detach().requires_grad_()
            step = old.method.replay(within(taped, old.window), u, old.t, old.dt, old.ks)
            step.window = old.window
            outputs, vectors = [step.u1], [lam.reshape(rhs.shape)]
            for p in points:
                if p.step == i:
                    outputs.append(step.evaluate(taped, p.theta))
                    vectors.append(cotangents[p.row])
            inputs = [u, *rhs.parameters]
            grads = torch.autograd.grad(outputs, inputs, vectors, retain_graph=True, allow_unused=True)
        lam = (torch.zeros_like(u) if grads[0] is None else grads[0]).reshape(-1)
        for total, g in zip(totals, grads[1:], strict=True):
            if g is not None:
                total += g
    return lam


def _stacked(steps: Sequence[Step], rhs: RightHandSide) -> tuple[Tensor, ...]:
    """Initial states (a leaf), times, step sizes, the times that may be seen `(S, 2)`, and every stage of steps."""
    ts, dts, seen = (
        torch.tensor(values, dtype=rhs.dtype, device=rhs.device)
        for values in ([step.t for step in steps], [step.dt for step in steps], [step.seen for step in steps])
    )
    hints = [torch.stack(stages) for stages in zip(*(step.ks for step in steps), strict=True)]
    return torch.stack([step.u0 for step in steps]).requires_grad_(), ts, dts, seen, *hints


def _step_jacobians(steps: Sequence[Step], rhs: RightHandSide, thetas: Sequence[float]) -> tuple[Tensor, Tensor]:
    """∂u(θ)/∂u0 and ∂u(θ)/∂p of every step, at one relative position θ each."""
    n, count, method = rhs.numel, len(steps), steps[0].method
    dense = any(theta != 1.0 for theta in thetas)
    parameters = [q.detach().expand(count, *q.shape).clone().requires_grad_() for q in rhs.parameters]
    with torch.enable_grad():
        u0, ts, dts, seen, *hints = _stacked(steps, rhs)

        def again(u: Tensor, t: Tensor, dt: Tensor, seen: Tensor, *more: Tensor) -> tuple[Tensor, Tensor]:
            hint, own = more[: len(hints)], more[len(hints) :]
            return _replay(method, MappedRhs(rhs, own), dense=dense)(u, t, dt, seen, *hint)

        u1, ks = map_over(again, u0, ts, dts, seen, *hints, *parameters)
        rhs.nf += count * max(len(steps[0].ks), ks.shape[1])
        y = _dense_values(method, u0, u1, ks, dts, thetas) if dense else u1
        flat, inputs = y.reshape(count, n), [u0, *parameters]
        rows_a, rows_b = [], []
        for r in range(n):
            grads: Sequence[Tensor | None] = [None] * len(inputs)
            if flat.requires_grad:
                grads = torch.autograd.grad(flat[:, r].sum(), inputs, retain_graph=True, allow_unused=True)
            du, *dp = (torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True))
            rows_a.append(du.reshape(count, n))
            rows_b.append(torch.cat([u0.new_zeros(count, 0), *(g.reshape(count, -1).to(u0.dtype) for g in dp)], dim=1))
    return torch.stack(rows_a, dim=1), torch.stack(rows_b, dim=1)


def _grad(output: Tensor, x: Tensor) -> Tensor:
    if not output.requires_grad:
        return torch.zeros_like(x)
    (g,) = torch.autograd.grad(output, x, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if g is None else g
