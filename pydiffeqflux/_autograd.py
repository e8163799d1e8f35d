"""The two autograd functions that join the engines to torch: the saved states, and the solution at any time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ._engines import AbstractEngine, RawSolution, SolveSpec
from ._errors import GradientError, SolverError
from ._functions import RightHandSide
from ._times import FirstOrderOnly, GivenTimes, moved_with


def differentiable_solve(
    engine: AbstractEngine, spec: SolveSpec, u0: Tensor, times: GivenTimes
) -> tuple[RawSolution, Tensor]:
    """Solve, and return the saved states connected to `u0`, to parameters, and to times."""
    if spec.sensealg is None:
        raw = engine.solve(spec)
        return raw, spec.rhs.space.to_user(raw.u)
    holder: list[RawSolution] = []
    u = _Saved.apply(engine, spec, holder, started(spec.rhs, u0, times), *spec.rhs.owners)
    raw = holder[0]
    return raw, moved_with(spec.rhs, u, times.saved(raw.t, spec.tspan)) if times.require_gradient and raw.t else u


def differentiable_evaluate(
    engine: AbstractEngine, raw: RawSolution, u0: Tensor, at: Tensor, derivative: int, times: GivenTimes
) -> Tensor:
    """The dense output at the times `at`, connected like the saved states, and to `at`."""
    rhs = raw.spec.rhs
    values = at.detach().tolist()
    if not torch.is_grad_enabled():
        return rhs.space.to_user(engine.evaluate(raw, values, derivative))
    if derivative and at.requires_grad:
        raise GradientError(NO_SECOND_TIME_DERIVATIVES)
    if raw.spec.sensealg is None:
        u = rhs.space.to_user(engine.evaluate(raw, values, derivative))
    else:
        u = _Evaluated.apply(engine, raw, values, derivative, started(rhs, u0, times), *rhs.owners)
    if not at.requires_grad:
        return u
    # f of a delay equation reads what was solved before, which the dense output has
    slopes = None if rhs.delayed is None else lambda: engine.evaluate(raw, values, 1)
    return moved_with(rhs, u, at, slopes=slopes)


NO_SECOND_TIME_DERIVATIVES = "time derivatives of a solution have no gradient; evaluate f(sol(t), p, t) in their place."


def started(rhs: RightHandSide, u0: Tensor, times: GivenTimes) -> Tensor:
    """The initial state, connected to the time where it is given."""
    if times.start is None or not torch.is_grad_enabled():
        return u0
    return moved_with(rhs, u0.unsqueeze(0), times.start.reshape(1), backwards=True)[0]


class _Saved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, engine: AbstractEngine, spec: SolveSpec, holder: list[RawSolution], u0: Tensor, *parameters: Tensor
    ) -> Tensor:
        raw = engine.solve(spec)
        raw.stats.nf += spec.rhs.take_note_of(raw.t, raw.u)
        holder.append(raw)
        ctx.engine, ctx.raw, ctx.inputs = engine, raw, (u0, *parameters)
        # a copy: what is done to it in place does not reach the record, and the record does not hold its own result
        return spec.rhs.space.to_user(raw.u.clone())

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        raw = ctx.raw
        return (None, None, None, *_pull_back(ctx, raw.t, cotangents[0]))


class _Evaluated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        engine: AbstractEngine,
        raw: RawSolution,
        times: Sequence[float],
        derivative: int,
        u0: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.engine, ctx.raw, ctx.times, ctx.derivative, ctx.inputs = engine, raw, times, derivative, (u0, *parameters)
        return raw.spec.rhs.space.to_user(engine.evaluate(raw, times, derivative))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        if ctx.derivative:
            raise GradientError(NO_SECOND_TIME_DERIVATIVES)
        t0, t1 = ctx.raw.spec.tspan
        order = sorted(range(len(ctx.times)), key=lambda i: ctx.times[i], reverse=t1 < t0)
        times = [ctx.times[i] for i in order]
        return (None, None, None, None, *_pull_back(ctx, times, cotangents[0][order]))


@contextmanager
def _own_words() -> Iterator[None]:
    """What torch says of writes in place, said of `f`."""
    try:
        yield
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        raise GradientError(
            "f writes in place to a tensor that its own derivative needs, each time it is called, so its gradient "
            "cannot be computed; let f compute such tensors anew, or call eval() on the model."
        ) from error


def _pull_back(ctx: Any, times: Sequence[float], cotangents: Tensor) -> list[Tensor | None]:
    raw, needed = ctx.raw, ctx.needs_input_grad[-len(ctx.inputs) :]
    if not raw.retcode.success:
        raise SolverError(
            f"cannot differentiate a solve that ended with {raw.retcode.name}: {raw.retcode.remedy}.", raw.retcode
        )
    rhs = raw.spec.rhs
    rhs.check_unmodified()
    if torch.is_grad_enabled() and rhs.start is None and not rhs.space.hides:
        gradients = ctx.engine.differentiable_adjoint(raw, times, rhs.space.to_real(cotangents), ctx.inputs)
        if gradients is not None:
            return [g if wanted else None for g, wanted in zip(gradients, needed, strict=True)]
    with torch.no_grad(), _own_words():
        du0, dp = ctx.engine.adjoint(raw, times, rhs.space.to_real(cotangents.detach()).contiguous())
        if rhs.start is not None:
            du0, from_start = rhs.start.pull_back(du0)
            dp = [g + more for g, more in zip(dp, from_start, strict=True)]
        gradients = [
            g.to(x.dtype) if wanted else None
            for g, x, wanted in zip((rhs.space.to_user(du0), *dp), ctx.inputs, needed, strict=True)
        ]
    if not torch.is_grad_enabled():
        return list(gradients)
    return [None if g is None else FirstOrderOnly.apply(g, cotangents, *ctx.inputs) for g in gradients]
