"""The adjoint ODE, solved backwards by the algorithm of the forward solve."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...._errors import SolverError
from ...._retcode import ReturnCode
from ...._sensealgs import BacksolveAdjoint, QuadratureAdjoint
from ..._base import SolveSpec
from .._integrator import Integrator
from .._methods import make_method
from .._norm import ErrorNorm
from .._step import Step
from .._trajectory import Forward, Trajectory
from ._adjoint_rhs import (
    AdjointRhs,
    BacksolveRhs,
    InterpolatingRhs,
    LambdaRhs,
    parameter_count,
    unflatten_parameters,
)
from ._parameter_quadrature import GaussAccumulator, kronrod_integral

Gradients = tuple[Tensor, list[Tensor]]
Jump = Callable[[Tensor, int], Tensor]
"""From the adjoint state and the index of a save point to the adjoint state after its jump."""


def interpolating(spec: SolveSpec, forward: Forward, times: Sequence[float], cotangents: Tensor) -> Gradients:
    """Gradients by `InterpolatingAdjoint`."""
    rhs, n = spec.rhs, spec.rhs.numel
    adjoint = InterpolatingRhs(rhs, forward)
    z = rhs.u0.new_zeros(adjoint.shape)
    z = _solve_backwards(spec, adjoint, z, times, cotangents, _add_to(cotangents, 0, n))
    return z[:n].reshape(rhs.shape), unflatten_parameters(z[n:], rhs.parameters)


def gauss(spec: SolveSpec, forward: Forward, times: Sequence[float], cotangents: Tensor) -> Gradients:
    """Gradients by `GaussAdjoint`."""
    rhs = spec.rhs
    adjoint = LambdaRhs(rhs, forward)
    accumulator = GaussAccumulator(rhs, forward, adjoint)
    z = rhs.u0.new_zeros(adjoint.shape)
    jump = _add_to(cotangents, 0, rhs.numel)
    z = _solve_backwards(spec, adjoint, z, times, cotangents, jump, on_step=accumulator.add)
    return z.reshape(rhs.shape), accumulator.result()


def quadrature(
    spec: SolveSpec, forward: Forward, times: Sequence[float], cotangents: Tensor, sensealg: QuadratureAdjoint
) -> Gradients:
    """Gradients by `QuadratureAdjoint`."""
    rhs = spec.rhs
    adjoint = LambdaRhs(rhs, forward)
    pieces: list[Trajectory] = []

    def jump(z: Tensor, i: int) -> Tensor:
        pieces.append(Trajectory(adjoint, spec.tspan[1], spec.tspan[0]))
        return z + cotangents[i].reshape(-1)

    z = rhs.u0.new_zeros(adjoint.shape)
    z = _solve_backwards(spec, adjoint, z, times, cotangents, jump, on_step=lambda step: pieces[-1].append(step))
    abstol, reltol = (
        float(torch.as_tensor(given if chosen is None else chosen).min())
        for chosen, given in ((sensealg.abstol, spec.options.abstol), (sensealg.reltol, spec.options.reltol))
    )
    return z.reshape(rhs.shape), kronrod_integral(rhs, forward, [p for p in pieces if p.steps], abstol, reltol)


def backsolve(
    spec: SolveSpec, times: Sequence[float], cotangents: Tensor, saved: dict[float, Tensor], sensealg: BacksolveAdjoint
) -> Gradients:
    """Gradients by `BacksolveAdjoint`; `saved` holds the forward states that were kept, the last one among them."""
    rhs, n = spec.rhs, spec.rhs.numel
    adjoint = BacksolveRhs(rhs)
    z = torch.cat([saved[spec.tspan[1]].reshape(-1), rhs.u0.new_zeros(n + parameter_count(rhs.parameters))])
    add = _add_to(cotangents, n, 2 * n)

    def jump(z: Tensor, i: int) -> Tensor:
        z = add(z, i)
        if sensealg.checkpointing and times[i] in saved:
            z[:n] = saved[times[i]].reshape(-1)
        return z

    z = _solve_backwards(spec, adjoint, z, times, cotangents, jump, with_state=True)
    return z[n : 2 * n].reshape(rhs.shape), unflatten_parameters(z[2 * n :], rhs.parameters)


def _add_to(cotangents: Tensor, start: int, stop: int) -> Jump:
    def jump(z: Tensor, i: int) -> Tensor:
        z = z.clone()
        z[start:stop] += cotangents[i].reshape(-1)
        return z

    return jump


def _solve_backwards(
    spec: SolveSpec,
    adjoint: AdjointRhs,
    z: Tensor,
    times: Sequence[float],
    cotangents: Tensor,
    jump: Jump,
    *,
    on_step: Callable[[Step], None] = lambda step: None,
    with_state: bool = False,
) -> Tensor:
    """Integrate `adjoint` from the last save point to t0, with a jump at every save point.

    Save points without a cotangent are passed over, unless `adjoint` solves for the state too, which may be reset
    there.
    """
    active = cotangents.reshape(len(times), -1).abs().amax(dim=1).gt(0.0).tolist()
    stops = [i for i in range(len(times) - 1, -1, -1) if active[i] or with_state]
    if not any(active):
        return torch.zeros_like(z)
    t0, t1 = spec.tspan
    # Before the last save point the adjoint state is zero; only a backward solve of u itself starts at t1.
    start = t1 if with_state else times[stops[0]]
    options = spec.options
    norm = ErrorNorm(_scalar(options.abstol), _scalar(options.reltol))
    method = make_method(spec.alg, norm)
    if start == t0:
        return jump(z, stops[0])
    integrator = Integrator(
        adjoint,
        method,
        norm,
        z,
        (start, t0),
        adaptive=options.adaptive and method.adaptive,
        dt=None if options.adaptive else options.dt,
        dtmin=options.dtmin,
        dtmax=options.dtmax,
        maxiters=options.maxiters,
        controller=options.controller,
    )

    def advance(t: float) -> None:
        retcode = integrator.advance(t, on_step)
        if not retcode.success:
            raise _failure(integrator, retcode, spec, with_state=with_state)

    with torch.no_grad():
        for i in stops:
            advance(times[i])
            integrator.jump(jump(integrator.u, i))
        advance(t0)
    return integrator.u


def _failure(integrator: Integrator, retcode: ReturnCode, spec: SolveSpec, *, with_state: bool) -> SolverError:
    name = type(spec.sensealg).__name__
    unstable = " or the forward problem is not reversible" if with_state else ""
    return SolverError(
        f"the backward solve of {name} ended with {retcode.name} at t = {integrator.t:.6g}: {retcode.remedy}"
        f"{unstable}. ReverseDiffAdjoint() needs no backward solve.",
        retcode,
    )


def _scalar(tolerance: float | Tensor) -> float:
    """The tightest tolerance: those of the components of u mean nothing for the adjoint state."""
    return float(tolerance.min()) if isinstance(tolerance, Tensor) else tolerance
