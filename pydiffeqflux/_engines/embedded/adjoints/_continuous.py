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
from .._sides import Sides, sides_of
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
    z = _solve_backwards(
        spec,
        adjoint,
        rhs.u0.new_zeros(adjoint.shape),
        times,
        cotangents,
        _add_to(cotangents, 0, rhs.numel),
        on_step=lambda step: pieces[-1].append(step),
        on_stop=lambda: pieces.append(Trajectory(adjoint, spec.tspan[1], spec.tspan[0])),
    )
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
    on_stop: Callable[[], None] = lambda: None,
    with_state: bool = False,
) -> Tensor:
    """Integrate `adjoint` from the last save point to t0, with a jump at every save point.

    Steps end at the discontinuities of the forward solve, too, and see them from their own side. Save points without a
    cotangent are passed over, unless `adjoint` solves for the state too, which may be reset there. `on_stop` is called
    where a new smooth piece begins.
    """
    active = cotangents.reshape(len(times), -1).abs().amax(dim=1).gt(0.0).tolist()
    saves = [i for i in range(len(times) - 1, -1, -1) if active[i] or with_state]
    if not any(active):
        return torch.zeros_like(z)
    t0, t1 = spec.tspan
    # Before the last save point the adjoint state is zero; only a backward solve of u itself starts at t1.
    start = t1 if with_state else times[saves[0]]
    with torch.no_grad():
        while saves and times[saves[0]] == start:  # the first step size is to be that of the state after this jump
            z = jump(z, saves.pop(0))
        if start == t0:
            return z
        integrator = _integrator(spec, adjoint, z, start)
        on_stop()
        for t, i in _stops(sides_of(spec), start, t0, [(times[i], i) for i in saves]):
            retcode = integrator.advance(t, on_step)
            if not retcode.success:
                raise _failure(integrator, retcode, spec, with_state=with_state)
            if i is not None:
                integrator.jump(jump(integrator.u, i))
            on_stop()
    return integrator.u


def _integrator(spec: SolveSpec, adjoint: AdjointRhs, z: Tensor, start: float) -> Integrator:
    """The backward solve, with the options of the forward one; a first step size in `dt` was meant for that."""
    options = spec.options
    norm = ErrorNorm(_scalar(options.abstol), _scalar(options.reltol), steers=options.adaptive)
    method = make_method(spec.alg, norm)
    adaptive = options.adaptive and method.adaptive
    return Integrator(
        adjoint,
        method,
        norm,
        z,
        (start, spec.tspan[0]),
        adaptive=adaptive,
        dt=None if adaptive else options.dt,
        dtmin=options.dtmin,
        dtmax=options.dtmax,
        maxiters=options.maxiters,
        controller=options.controller,
        sides=sides_of(spec),
    )


def _stops(sides: Sides, start: float, t0: float, saves: Sequence[tuple[float, int]]) -> list[tuple[float, int | None]]:
    """Where the backward solve stops, in its order: save points with their index, discontinuities, and t0."""
    others: list[tuple[float, int | None]] = [(t, None) for t in (*sides.between(start, t0), t0)]
    return sorted([*others, *saves], key=lambda stop: stop[0], reverse=t0 < start)


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
