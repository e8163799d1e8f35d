"""The two autograd functions that join the engines to torch: the saved states, and the solution at any time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._engines import AbstractEngine, RawSolution, SolveSpec
from ._errors import GradientError, SolverError


def differentiable_solve(engine: AbstractEngine, spec: SolveSpec, u0: Tensor) -> tuple[RawSolution, Tensor]:
    """Solve, and return the saved states connected to `u0` and to the parameters of the right-hand side."""
    if spec.sensealg is None:
        raw = engine.solve(spec)
        return raw, to_user(raw, raw.u)
    holder: list[RawSolution] = []
    u = _Saved.apply(engine, spec, holder, u0, *spec.rhs.owners)
    return holder[0], u


def differentiable_evaluate(
    engine: AbstractEngine, raw: RawSolution, u0: Tensor, times: Sequence[float], derivative: int
) -> Tensor:
    """The dense output at `times`, connected like the saved states."""
    if raw.spec.sensealg is None or not torch.is_grad_enabled():
        return to_user(raw, engine.evaluate(raw, times, derivative))
    return _Evaluated.apply(engine, raw, times, derivative, u0, *raw.spec.rhs.owners)


def to_user(raw: RawSolution, u: Tensor) -> Tensor:
    """A state of the right-hand side as the user's: complex where the problem is."""
    return torch.view_as_complex(u.contiguous()) if raw.spec.rhs.is_complex else u


class _Saved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, engine: AbstractEngine, spec: SolveSpec, holder: list[RawSolution], u0: Tensor, *parameters: Tensor
    ) -> Tensor:
        raw = engine.solve(spec)
        spec.rhs.forget_own_writes()
        holder.append(raw)
        ctx.engine, ctx.raw, ctx.inputs = engine, raw, (u0, *parameters)
        return to_user(raw, raw.u)

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
        return to_user(raw, engine.evaluate(raw, times, derivative))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        if ctx.derivative:
            raise GradientError(
                "time derivatives of a solution have no gradient; evaluate f(sol(t), p, t) in their place."
            )
        t0, t1 = ctx.raw.spec.tspan
        order = sorted(range(len(ctx.times)), key=lambda i: ctx.times[i], reverse=t1 < t0)
        times = [ctx.times[i] for i in order]
        return (None, None, None, None, *_pull_back(ctx, times, cotangents[0][order]))


def _pull_back(ctx: Any, times: Sequence[float], cotangents: Tensor) -> list[Tensor | None]:
    raw, needed = ctx.raw, ctx.needs_input_grad[-len(ctx.inputs) :]
    if not raw.retcode.success:
        raise SolverError(
            f"cannot differentiate a solve that ended with {raw.retcode.name}: {raw.retcode.remedy}.", raw.retcode
        )
    raw.spec.rhs.check_unmodified()
    with torch.no_grad():
        v = cotangents.detach()
        v = torch.view_as_real(v.resolve_conj()) if raw.spec.rhs.is_complex else v
        du0, dp = ctx.engine.adjoint(raw, times, v.contiguous())
        du0 = torch.view_as_complex(du0.contiguous()) if raw.spec.rhs.is_complex else du0
        gradients = [
            g.to(x.dtype) if wanted else None for g, x, wanted in zip((du0, *dp), ctx.inputs, needed, strict=True)
        ]
    if not torch.is_grad_enabled():
        return list(gradients)
    return [None if g is None else _FirstOrderOnly.apply(g, cotangents, *ctx.inputs) for g in gradients]


class _FirstOrderOnly(torch.autograd.Function):
    """Marks a gradient so that differentiating it again is an error, not a silent zero."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *anchors: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        raise GradientError("second derivatives of a solution are not supported; a gradient can be taken once only.")
