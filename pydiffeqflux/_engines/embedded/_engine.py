"""The embedded engine: pure PyTorch, on any device."""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ... import _algorithms as algs
from ..._errors import UnsupportedError
from ..._problems import AbstractProblem
from ..._progress import ProgressBar
from ..._retcode import ReturnCode
from ..._sensealgs import (
    FORWARD_MODE_LIMIT,
    AbstractSensealg,
    ForwardDiffSensitivity,
    GaussAdjoint,
    ReverseDiffAdjoint,
)
from .._base import AbstractEngine, RawSolution, SolveSpec, Stats
from .._noise import check_noise
from .._step_size import is_adaptive
from .._strategy import Kept, check_randomness
from ._integrator import Integrator
from ._methods import can_watch_stability, make_method
from ._norm import ErrorNorm
from ._problem_rhs import ProblemRhs
from ._record import Record
from ._sides import sides_of
from ._step import Method, Step
from ._trajectory import CheckpointedTrajectory, Trajectory
from .adjoints import can_go_forward, is_taped, strategy_of
from .delay import DelayedSolve
from .stochastic import make_stochastic_method

logger = logging.getLogger("pydiffeqflux")

REVERSE_UP_TO = 1 << 16
"""So many states may have their graph recorded by default."""


class EmbeddedEngine(AbstractEngine):
    """Explicit, Rosenbrock and ESDIRK methods and their adjoints in torch operations."""

    name = "embedded"

    def default_algorithm(self, prob: AbstractProblem) -> algs.AbstractAlgorithm:
        return algs.default_algorithm(prob.kind)

    def default_sensealg(self, spec: SolveSpec) -> AbstractSensealg:
        """Forward mode for few states and parameters, else reverse mode through the steps, else the Gauss adjoint.

        Reverse mode is the faster one of the two, 1.3 to 2.9 times for networks of 2 to 32,768 states. It asks for
        memory where it records a graph, and for second derivatives of `f` where steps contain Jacobians; there Gauss's
        is taken. Where a choice does not apply (a mass matrix, a function that cannot be mapped or draws random
        numbers), the next one that does.
        """
        rhs = spec.rhs
        if rhs.varies or rhs.diffusion is not None or rhs.delayed is not None:
            return ReverseDiffAdjoint()
        count = rhs.numel + sum(q.numel() for q in rhs.parameters)
        alg = spec.with_concrete_algorithm(large=algs.KenCarp4()).alg
        implicit = any(part.is_stiff for part in alg.methods)
        if count <= FORWARD_MODE_LIMIT:
            if can_go_forward(rhs, implicit=implicit):
                return ForwardDiffSensitivity()
            logger.info("ForwardDiffSensitivity() cannot differentiate this f; the next method is taken")
        if implicit:
            # what the tracer has followed can be differentiated twice
            reverse = rhs.snapshot is not None and not is_taped(rhs.numel, implicit=True)
        else:
            reverse = rhs.numel <= REVERSE_UP_TO
        return ReverseDiffAdjoint() if reverse or rhs.mass_matrix is not None else GaussAdjoint()

    def check(self, prob: AbstractProblem, alg: algs.AbstractAlgorithm, sensealg: AbstractSensealg | None) -> None:
        if prob.is_julia_source:
            raise UnsupportedError("the embedded engine cannot run a JuliaSource; write f as a torch function.")
        reason = algs.refuse_algorithm("embedded", alg) or algs.refuse_kind(alg, prob.kind, prob.tspan)
        if reason:
            raise UnsupportedError(reason)
        if isinstance(alg, algs.AutoAlgSwitch) and not can_watch_stability(alg.nonstiffalg):
            raise UnsupportedError(
                f"AutoAlgSwitch cannot watch the stability of {alg.nonstiffalg!r}; start from Tsit5(), DP5() "
                "or Vern7()."
            )
        if prob.needs_mass_matrix and not alg.mass_matrix:
            raise UnsupportedError(
                f"{alg!r} does not solve problems with a mass matrix; use Rodas5P(), Rodas4() or Rosenbrock23()."
            )
        reason = strategy_of(sensealg).refuse(alg, mass_matrix=prob.needs_mass_matrix)
        if reason:
            raise UnsupportedError(reason)

    # ---- forward

    def solve(self, spec: SolveSpec) -> RawSolution:
        spec = spec.with_concrete_algorithm(large=algs.KenCarp4())
        rhs, options, strategy = spec.rhs, spec.options, strategy_of(spec.sensealg)
        check_randomness(spec, strategy)
        taped = strategy.taped(spec.alg, rhs)
        problem = ProblemRhs(rhs, taped=taped)
        u0 = rhs.u0.detach().requires_grad_(taped)
        norm = ErrorNorm(options.abstol, options.reltol, steers=options.adaptive)
        sides, stops = sides_of(spec), _stops(spec)
        method = _make_method(spec, norm)
        record = Record(u0, taped, method)
        _keep_what_is_needed(record, spec, problem, strategy.kept(spec.alg))
        delayed = None if rhs.delayed is None else DelayedSolve(spec, problem, record, sides, norm)
        if delayed is not None:
            method = record.method = delayed.method
            stops = delayed.with_breaking_points(stops)
        saver = _Saver(spec, problem)
        with torch.set_grad_enabled(taped):
            saver.start(u0)
            integrator = Integrator(
                problem,
                method,
                norm,
                u0,
                spec.tspan,
                adaptive=is_adaptive(spec),
                dt=options.dt,
                dtmin=options.dtmin,
                dtmax=options.dtmax,
                maxiters=options.maxiters,
                controller=options.controller,
                sides=sides,
            )
            with ProgressBar(spec.tspan, shown=options.progress) as bar:
                observe = _observer(record, saver, bar)
                if delayed is None:
                    retcode = _advance_through(integrator, stops, observe)
                else:
                    with delayed.running(integrator, observe) as observe:
                        retcode = _advance_through(integrator, stops, observe)
        record.u_end = integrator.u.detach()
        stats = Stats(rhs.nf, integrator.naccept, integrator.nreject, rhs.njac, method.nsolve, method.nw)
        stats.nf2 = 0 if rhs.diffusion is None else rhs.diffusion.nf
        return RawSolution(spec, saver.times, saver.states(), retcode, stats, record)

    def evaluate(self, raw: RawSolution, times: Sequence[float], derivative: int) -> Tensor:
        trajectory = raw.record.trajectory
        with torch.no_grad():
            return torch.stack([trajectory.evaluate(t, derivative) for t in times]).detach()

    # ---- backward

    def differentiable_adjoint(
        self, raw: RawSolution, times: Sequence[float], cotangents: Tensor, inputs: Sequence[Tensor]
    ) -> list[Tensor] | None:
        return strategy_of(raw.spec.sensealg).pull_back_with_graph(raw, times, cotangents, inputs)

    def adjoint(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> tuple[Tensor, list[Tensor]]:
        before = raw.spec.rhs.nf
        try:
            return strategy_of(raw.spec.sensealg).pull_back(raw, times, cotangents)
        finally:
            raw.stats.nf_adjoint += raw.spec.rhs.nf - before


def _make_method(spec: SolveSpec, norm: ErrorNorm) -> Method:
    """The method of a solve, on its noise where there is any.

    Raises:
        UnsupportedError: the algorithm is not made for the noise.
        InvalidOptionError: steps are so small that the noise does not tell their ends apart.
    """
    diffusion, noise = spec.rhs.diffusion, spec.noise
    if diffusion is None:
        return make_method(spec.alg.alg if isinstance(spec.alg, algs.MethodOfSteps) else spec.alg, norm)
    assert noise is not None
    assert isinstance(spec.alg, algs.AbstractStochasticAlgorithm)
    check_noise(spec)
    return make_stochastic_method(spec.alg, noise, diffusion.layout, norm)


def _stops(spec: SolveSpec) -> list[float]:
    """Times that steps must end at, in order, the end of the time span last."""
    t0, t1 = spec.tspan
    stops = spec.options.stops_after(t0, saved=algs.has_coarse_dense_output(spec.alg))
    return stops if stops and stops[-1] == t1 else [*stops, t1]


def _advance_through(integrator: Integrator, stops: Sequence[float], observe: Callable[[Step], None]) -> ReturnCode:
    retcode = ReturnCode.Success
    for stop in stops:
        retcode = integrator.advance(stop, observe)
        if not retcode.success:
            break
    return retcode


def _keep_what_is_needed(record: Record, spec: SolveSpec, problem: ProblemRhs, kept: Kept) -> None:
    """Choose what of the forward solve to keep, by the needs of the gradient and the wish for dense output."""
    t0, t1 = spec.tspan
    if kept is Kept.CHECKPOINTS:
        record.checkpoints = CheckpointedTrajectory(problem, record.u0, t0, t1, sides_of(spec))
    if spec.options.dense or kept is Kept.STEPS or spec.rhs.delayed is not None:
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
