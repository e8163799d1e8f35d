"""The embedded engine: pure PyTorch, on any device."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ... import _algorithms as algs
from ..._errors import InvalidOptionError, SolverError, UnsupportedError
from ..._julia_source import JuliaSource
from ..._problems import ODEProblem
from ..._progress import ProgressBar
from ..._retcode import ReturnCode
from ..._sensealgs import (
    FORWARD_MODE_LIMIT,
    AbstractSensealg,
    BacksolveAdjoint,
    ForwardDiffSensitivity,
    GaussAdjoint,
    InterpolatingAdjoint,
    QuadratureAdjoint,
    ReverseDiffAdjoint,
)
from .._base import AbstractEngine, RawSolution, SolveSpec, Stats
from ._integrator import Integrator
from ._mass_matrix import check_consistent
from ._methods import METHODS, make_method
from ._norm import ErrorNorm
from ._problem_rhs import ProblemRhs
from ._sides import sides_of, within
from ._step import Method, Step
from ._trajectory import CheckpointedTrajectory, Trajectory
from .adjoints import _continuous, _discrete

SENSEALGS = (
    ReverseDiffAdjoint,
    ForwardDiffSensitivity,
    BacksolveAdjoint,
    InterpolatingAdjoint,
    QuadratureAdjoint,
    GaussAdjoint,
)
DISCRETE = (ReverseDiffAdjoint, ForwardDiffSensitivity)


@dataclass(eq=False)
class Record:
    """What a solve leaves behind for its dense output and its adjoint.

    Attributes:
        u0: the state that the first step started from; a leaf of the graph where the solve was taped.
        taped: whether the steps carry a graph.
        trajectory: all steps, where they are needed.
        checkpoints: the trajectory to be recomputed, where that was asked for.
        u_end: the state at the end of the time span.
    """

    u0: Tensor
    taped: bool
    trajectory: Trajectory | None = None
    checkpoints: CheckpointedTrajectory | None = None
    u_end: Tensor | None = field(default=None, repr=False)


class EmbeddedEngine(AbstractEngine):
    """Explicit, Rosenbrock and ESDIRK methods and their adjoints in torch operations."""

    name = "embedded"

    def default_algorithm(self, prob: ODEProblem) -> algs.AbstractAlgorithm:
        return algs.DefaultODEAlgorithm()

    def default_sensealg(self, spec: SolveSpec) -> AbstractSensealg:
        """Forward mode for few states and parameters, else the Gauss adjoint, as SciMLSensitivity chooses.

        Where those do not apply (a mass matrix, parameters that forward mode cannot reach), reverse mode through the
        steps.
        """
        rhs = spec.rhs
        count = rhs.numel + sum(q.numel() for q in rhs.parameters)
        if count <= FORWARD_MODE_LIMIT and rhs.supports_forward_mode():
            return ForwardDiffSensitivity()
        return GaussAdjoint() if rhs.mass_matrix is None else ReverseDiffAdjoint()

    def check(self, prob: ODEProblem, alg: algs.AbstractAlgorithm, sensealg: AbstractSensealg | None) -> None:
        if isinstance(prob.f, JuliaSource):
            raise UnsupportedError("the embedded engine cannot run a JuliaSource; write f as a torch function.")
        for part in algs.methods_of(alg):
            if type(part) not in METHODS and not isinstance(part, algs.DefaultODEAlgorithm):
                known = ", ".join(f"{cls.__name__}()" for cls in METHODS)
                raise UnsupportedError(f"the embedded engine has no {part!r}; it has {known}.")
        if isinstance(alg, algs.AutoAlgSwitch) and not isinstance(alg.nonstiffalg, algs.Tsit5 | algs.DP5 | algs.Vern7):
            raise UnsupportedError(
                f"AutoAlgSwitch cannot watch the stability of {alg.nonstiffalg!r}; start from Tsit5(), DP5() "
                "or Vern7()."
            )
        if prob.mass_matrix is not None and not alg.mass_matrix:
            raise UnsupportedError(
                f"{alg!r} does not solve problems with a mass matrix; use Rodas5P(), Rodas4() or Rosenbrock23()."
            )
        if sensealg is None:
            return
        if not isinstance(sensealg, SENSEALGS):
            known = ", ".join(f"{cls.__name__}()" for cls in SENSEALGS)
            raise UnsupportedError(f"the embedded engine has no {sensealg!r}; it has {known}.")
        if getattr(sensealg, "autojacvec", None) is not None:
            raise UnsupportedError(
                f"{sensealg!r}: torch differentiates f on the embedded engine; leave autojacvec out."
            )
        if prob.mass_matrix is not None and not isinstance(sensealg, DISCRETE):
            raise UnsupportedError(
                f"{sensealg!r} does not handle mass matrices on the embedded engine; use ReverseDiffAdjoint() or "
                "ForwardDiffSensitivity()."
            )

    # ---- forward

    def solve(self, spec: SolveSpec) -> RawSolution:
        rhs, options, t0 = spec.rhs, spec.options, spec.tspan[0]
        taped = isinstance(spec.sensealg, ReverseDiffAdjoint) and _discrete.is_taped(spec.alg, rhs.numel)
        problem = ProblemRhs(rhs, taped=taped)
        if rhs.mass_matrix is not None:
            with torch.no_grad():
                k0 = within(problem, sides_of(spec).window(*spec.tspan, math.nan))(rhs.u0, t0)
                check_consistent(rhs, k0, options)
        u0 = rhs.u0.detach().requires_grad_(taped)
        method = _make_method(spec)
        record = Record(u0, taped)
        _keep_what_is_needed(record, spec, problem)
        saver = _Saver(spec, problem)
        with torch.set_grad_enabled(taped):
            saver.start(u0)
            integrator = Integrator(
                problem,
                method,
                ErrorNorm(options.abstol, options.reltol),
                u0,
                spec.tspan,
                adaptive=_is_adaptive(spec, method),
                dt=options.dt,
                dtmin=options.dtmin,
                dtmax=options.dtmax,
                maxiters=options.maxiters,
                controller=options.controller,
                sides=sides_of(spec),
            )
            with ProgressBar(spec.tspan, shown=options.progress) as bar:
                retcode = _advance_through(integrator, _stops(spec, method), _observer(record, saver, bar))
        record.u_end = integrator.u.detach()
        stats = Stats(rhs.nf, integrator.naccept, integrator.nreject, rhs.njac, method.nsolve, method.nw)
        return RawSolution(spec, saver.times, saver.states(), retcode, stats, record)

    def evaluate(self, raw: RawSolution, times: Sequence[float], derivative: int) -> Tensor:
        trajectory = raw.record.trajectory
        with torch.no_grad():
            return torch.stack([trajectory.evaluate(t, derivative) for t in times]).detach()

    # ---- backward

    def adjoint(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> tuple[Tensor, list[Tensor]]:
        before = raw.spec.rhs.nf
        try:
            return self._adjoint(raw, times, cotangents)
        finally:
            raw.stats.nf_adjoint += raw.spec.rhs.nf - before

    def _adjoint(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> tuple[Tensor, list[Tensor]]:
        spec, record = raw.spec, raw.record
        rhs, sensealg = spec.rhs, spec.sensealg
        forward = record.checkpoints or record.trajectory
        match sensealg:
            case ReverseDiffAdjoint() if record.taped:
                return _discrete.tape(record.trajectory, record.u0, rhs, times, cotangents)
            case ReverseDiffAdjoint():
                return _discrete.reverse(record.trajectory, rhs, times, cotangents)
            case ForwardDiffSensitivity():
                return _discrete.forward(record.trajectory, rhs, times, cotangents)
            case InterpolatingAdjoint():
                return _continuous.interpolating(_concrete(spec), forward, times, cotangents)
            case GaussAdjoint():
                return _continuous.gauss(_concrete(spec), forward, times, cotangents)
            case QuadratureAdjoint():
                return _continuous.quadrature(_concrete(spec), forward, times, cotangents, sensealg)
            case BacksolveAdjoint():
                saved = dict(zip(raw.t, raw.u, strict=True)) | {spec.tspan[1]: record.u_end}
                return _continuous.backsolve(_concrete(spec), times, cotangents, saved, sensealg)
            case _:
                raise SolverError("this solution was computed without a sensealg.", raw.retcode)


def _concrete(spec: SolveSpec) -> SolveSpec:
    """The same with `DefaultODEAlgorithm` replaced by what it means."""
    return spec.with_concrete_algorithm(large=algs.KenCarp4())


def _make_method(spec: SolveSpec) -> Method:
    options = spec.options
    return make_method(_concrete(spec).alg, ErrorNorm(options.abstol, options.reltol, steers=options.adaptive))


def _is_adaptive(spec: SolveSpec, method: Method) -> bool:
    adaptive = spec.options.adaptive and method.adaptive
    if not adaptive and spec.options.dt is None:
        reason = "adaptive=False" if method.adaptive else f"{spec.alg!r} has no error estimate, so it"
        raise InvalidOptionError(f"{reason} needs a step size: pass dt=..., or use an adaptive algorithm (Tsit5()).")
    return adaptive


def _stops(spec: SolveSpec, method: Method) -> list[float]:
    """Times that steps must end at, in order, the end of the time span last."""
    (t0, t1), options = spec.tspan, spec.options
    stops = {*options.tstops, *options.d_discontinuities, t1}
    if method.hits_saves and options.saveat is not None:
        stops |= set(options.saveat)
    return sorted(stops - {t0}, reverse=t1 < t0)


def _advance_through(integrator: Integrator, stops: Sequence[float], observe: Callable[[Step], None]) -> ReturnCode:
    retcode = ReturnCode.Success
    for stop in stops:
        retcode = integrator.advance(stop, observe)
        if not retcode.success:
            break
    return retcode


def _keep_what_is_needed(record: Record, spec: SolveSpec, problem: ProblemRhs) -> None:
    """Choose what of the forward solve to keep, by the sensealg and the wish for dense output."""
    (t0, t1), sensealg = spec.tspan, spec.sensealg
    checkpointed = isinstance(sensealg, InterpolatingAdjoint | GaussAdjoint) and sensealg.checkpointing
    if checkpointed:
        record.checkpoints = CheckpointedTrajectory(problem, record.u0, t0, t1, sides_of(spec))
    steps_needed = sensealg is not None and not checkpointed and not isinstance(sensealg, BacksolveAdjoint)
    if spec.options.dense or steps_needed:
        record.trajectory = Trajectory(problem, t0, t1)


def _observer(record: Record, saver: "_Saver", bar: ProgressBar) -> Callable[[Step], None]:
    """What to do after every step."""
    keepers = [saver.after_step]
    keepers += [keeper.append for keeper in (record.trajectory, record.checkpoints) if keeper is not None]
    if bar.shown:
        keepers.append(lambda step: bar.move_to(step.end))

    def observe(step: Step) -> None:
        for keep in keepers:
            keep(step)

    return observe


class _Saver:
    """Collects the saved states while the solve runs."""

    def __init__(self, spec: SolveSpec, problem: ProblemRhs) -> None:
        self.times: list[float] = []
        self._states: list[Tensor] = []
        self._problem = problem
        self._options = spec.options
        self._t0, self._t1 = spec.tspan
        self._direction = 1.0 if self._t1 > self._t0 else -1.0
        self._pending = list(reversed(spec.options.saveat)) if spec.options.saveat is not None else None

    def start(self, u0: Tensor) -> None:
        """Save the initial state where it is wanted."""
        if self._pending is None:
            if self._options.save_start:
                self._save(self._t0, u0)
        elif self._pending and self._pending[-1] == self._t0:
            self._save(self._pending.pop(), u0)

    def after_step(self, step: Step) -> None:
        """Save the end of a step, or the wanted times within it."""
        t = float(step.t)
        end = step.end
        if self._pending is None:
            if self._options.save_everystep or (self._options.save_end and end == self._t1):
                self._save(end, step.u1)
            return
        times = []
        while self._pending and self._direction * (end - self._pending[-1]) >= 0.0:
            times.append(self._pending.pop())
        if times:
            thetas = [1.0 if time == end else min((time - t) / float(step.dt), 1.0) for time in times]
            self.times += times
            self._states += step.evaluate_many(self._problem, thetas).detach().unbind()

    def states(self) -> Tensor:
        """All saved states, `(T, *shape)`."""
        shape = self._problem.shape
        empty = torch.empty((0, *shape), dtype=self._problem.dtype, device=self._problem.device)
        return torch.stack(self._states) if self._states else empty

    def _save(self, t: float, u: Tensor) -> None:
        self.times.append(t)
        self._states.append(u.detach())
