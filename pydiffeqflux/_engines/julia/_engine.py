"""The julia engine."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ... import _algorithms as algs
from ..._controllers import PredictiveController
from ..._errors import InvalidOptionError, UnsupportedError
from ..._julia_source import JuliaSource
from ..._options import SolveOptions
from ..._problems import ODEProblem
from ..._progress import ProgressBar
from ..._retcode import ReturnCode
from ..._rhs import RightHandSide, SourceRightHandSide
from ..._sensealgs import (
    AbstractSensealg,
    BacksolveAdjoint,
    ForwardSensitivity,
    GaussAdjoint,
    ReverseDiffAdjoint,
)
from .._base import AbstractEngine, RawSolution, SolveSpec, Stats
from ._arguments import AdjointArguments, SolveArguments, SolveResult, address, doubles, view
from ._bridge import Bridge, Handle, start
from ._choices import CONTINUOUS, Choices
from ._compiler import Compiler
from ._discrete import takes_tangents
from ._errors import translate
from ._function import JuliaFunction, make_function
from ._interrupts import deferred_interrupts
from ._sources import Sources
from ._support import brings_vjp, check_checkpoints, check_sensealg, is_discrete, refuse_for, refuse_sensealg

_RETCODES = {
    "Success": ReturnCode.Success,
    "MaxIters": ReturnCode.MaxIters,
    "DtLessThanMin": ReturnCode.DtLessThanMin,
    "DtNaN": ReturnCode.Unstable,
    "Unstable": ReturnCode.Unstable,
    "InitialFailure": ReturnCode.InitialFailure,
    "ConvergenceFailure": ReturnCode.ConvergenceFailure,
}


_COARSE_DENSE_OUTPUT = (
    algs.TsitPap8,
    algs.SDIRK2,
    algs.KenCarp3,
    algs.KenCarp4,
    algs.KenCarp5,
    algs.KenCarp47,
    algs.KenCarp58,
    algs.Kvaerno3,
    algs.Kvaerno4,
    algs.Kvaerno5,
)
"""Their dense output, a cubic, is less accurate than their steps, which therefore end at the times of `saveat`."""


@dataclass(eq=False)
class Record:
    """What a solution needs to be evaluated and differentiated.

    Attributes:
        function: the right-hand side in Julia.
        solution: the solution in Julia.
        alg: handle of the algorithm.
    """

    function: JuliaFunction
    solution: Handle
    alg: int


class _Session:
    """What is made once for a running Julia."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.choices = Choices(bridge)
        self.sources = Sources(bridge)
        self.compiler = Compiler(bridge)
        pairs = (pair.split("=") for pair in bridge.call("retcodes").split(","))
        self.retcodes = {int(number): _RETCODES.get(name, ReturnCode.Failure) for number, name in pairs}

    def run(self, function: JuliaFunction, name: str, *args: int) -> int:
        """A call that may run the user's code: raises what that raised, or Ctrl-C, or Julia's error as ours."""
        guard, failure, result = function.guard, None, 0
        guard.error = None
        with torch.no_grad(), deferred_interrupts() as interrupts:
            guard.interrupts = interrupts
            try:
                with self.bridge.lock:
                    function.activate()
                    result = self.bridge.call_raw(name, *args)
            except self.bridge.JuliaError as error:
                failure = guard.error or (None if interrupts.requested else translate(error))
            finally:
                guard.interrupts = None
        if failure is not None:
            raise failure
        return result


class JuliaEngine(AbstractEngine):
    """OrdinaryDiffEq.jl's solvers and SciMLSensitivity.jl's adjoints. Julia starts at the first solve."""

    name = "julia"

    def __init__(self) -> None:
        self._running: _Session | None = None

    @property
    def _session(self) -> _Session:
        bridge = start()
        if self._running is None or self._running.bridge is not bridge:
            self._running = _Session(bridge)
        return self._running

    def default_algorithm(self, prob: ODEProblem) -> algs.AbstractAlgorithm:
        return algs.DefaultODEAlgorithm()

    def right_hand_side(self, prob: ODEProblem, options: SolveOptions) -> RightHandSide:
        if isinstance(prob.f, JuliaSource) or options.compile is False:
            return super().right_hand_side(prob, options)
        return self._session.compiler.right_hand_side(prob, required=bool(options.compile))

    def default_sensealg(self, spec: SolveSpec) -> AbstractSensealg:
        """Reverse mode through the steps of a torch function by an explicit method that is known, else Gauss's.

        Rosenbrock steps ask more of `f`, namely second derivatives, than a default may take for granted.
        """
        discrete, alg = ReverseDiffAdjoint(), _concrete(spec).alg
        if not is_discrete(spec.rhs, discrete) or takes_tangents(alg) or refuse_for(spec.rhs, alg, discrete):
            return GaussAdjoint()
        return discrete

    def check(self, prob: ODEProblem, alg: algs.AbstractAlgorithm, sensealg: AbstractSensealg | None) -> None:
        source = isinstance(prob.f, JuliaSource)
        if prob.u0.device.type != "cpu":
            raise UnsupportedError(
                f"the julia engine takes states on the CPU, not on {prob.u0.device}; use engine='embedded' or u0.cpu()."
            )
        if source and prob.u0.is_complex():
            raise UnsupportedError(
                "a JuliaSource takes real states; split u0 into two real parts, or write f as a torch function."
            )
        if prob.mass_matrix is not None and not alg.is_stiff:
            raise UnsupportedError(
                f"{alg!r} does not solve problems with a mass matrix; use Rodas5P(), FBDF() or RadauIIA5()."
            )
        if sensealg is not None:
            reason = refuse_sensealg(sensealg, alg, source=source, mass_matrix=prob.mass_matrix is not None)
            if reason:
                raise UnsupportedError(reason)

    # ---- forward

    def solve(self, spec: SolveSpec) -> RawSolution:
        spec = _concrete(spec)
        if spec.sensealg is not None:
            check_sensealg(spec.rhs, spec.alg, spec.sensealg)
            check_checkpoints(spec.sensealg, spec.tspan, spec.rhs.dtype)
        _check_step_size(spec)
        _refuse_discontinuities(spec)
        session = self._session
        julia_ad = isinstance(spec.rhs, SourceRightHandSide) and not brings_vjp(spec.rhs, spec.sensealg)
        chosen = _eager(spec.alg) if getattr(spec.sensealg, "checkpointing", False) else spec.alg
        alg = session.choices.algorithm(chosen, finite_differences=not julia_ad)
        implicit = session.choices.is_implicit(alg)
        function = make_function(session.bridge, session.sources, session.compiler, spec, implicit=implicit)
        arguments, buffers = _solve_arguments(spec, function, session, alg, implicit=implicit)
        result = SolveResult()
        with ProgressBar(spec.tspan, shown=spec.options.progress) as bar:
            function.poll.progress = bar
            session.run(function, "solve", address(arguments), address(result))
            function.poll.progress = None
            del buffers
            times = list((ctypes.c_double * result.n_times).from_address(result.times))
            if times:
                bar.move_to(times[-1])
        solution = session.bridge.keep(result.record)
        states = view(result.states, (result.n_times, *spec.rhs.shape), spec.rhs.dtype, owner=solution)
        nf = spec.rhs.nf if function.counts_calls else result.nf
        stats = Stats(nf, result.naccept, result.nreject, result.njac, result.nsolve, result.nw)
        record = Record(function, solution, alg)
        return RawSolution(spec, times, states, session.retcodes[result.retcode], stats, record)

    def evaluate(self, raw: RawSolution, times: Sequence[float], derivative: int) -> Tensor:
        record, spec = raw.record, raw.spec
        states = torch.empty((len(times), *spec.rhs.shape), dtype=spec.rhs.dtype)
        at = doubles(times)
        self._session.run(
            record.function, "evaluate", record.solution.number, address(at), len(times), derivative, address(states)
        )
        return states

    # ---- backward

    def adjoint(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> tuple[Tensor, list[Tensor]]:
        record, rhs, sensealg = raw.record, raw.spec.rhs, raw.spec.sensealg
        assert sensealg is not None
        session, function = self._session, record.function
        if is_discrete(rhs, sensealg):
            choice = session.choices.discrete_adjoint(raw.spec.alg)
        else:
            choice = session.choices.sensealg(sensealg, has_vjp=function.has_vjp)
        before = rhs.nf
        alg = record.alg
        if isinstance(sensealg, ForwardSensitivity):
            # its extended system does not take the dual numbers of an implicit method
            alg = session.choices.algorithm(raw.spec.alg, finite_differences=True)
        du0 = torch.empty(rhs.shape, dtype=rhs.dtype)
        dp = torch.zeros(max(function.n_p, 1), dtype=rhs.dtype)
        at = doubles(times)
        arguments = AdjointArguments(
            record=record.solution.number,
            sensealg=choice,
            alg=alg,
            n_times=len(times),
            times=address(at),
            cotangents=address(cotangents),
            du0=address(du0),
            dp=address(dp),
        )
        calls = session.run(function, "adjoint", address(arguments))
        raw.stats.nf_adjoint += rhs.nf - before if function.counts_calls else calls
        return du0, function.split_gradient(dp, rhs)


def _concrete(spec: SolveSpec) -> SolveSpec:
    """The same with `DefaultODEAlgorithm` replaced by what it means.

    Julia's own default algorithm cannot be interpolated in place where Vern7 has run (OrdinaryDiffEqCore 4.6).
    """
    return spec.with_concrete_algorithm(large=algs.FBDF())


def _eager(alg: algs.AbstractAlgorithm) -> algs.AbstractAlgorithm:
    """Verner's methods with the stages of their dense output made in the solve.

    With lazy stages SciMLSensitivity 7.112 returns gradients that are wrong in the third digit where it solves again
    from checkpoints.
    """
    if isinstance(alg, algs.AutoAlgSwitch):
        return replace(alg, nonstiffalg=_eager(alg.nonstiffalg))
    if isinstance(alg, algs.Vern6 | algs.Vern7 | algs.Vern8 | algs.Vern9):
        return algs.JuliaAlgorithm(type(alg).__name__, lazy=False)
    return alg


def _check_step_size(spec: SolveSpec) -> None:
    adaptive = spec.options.adaptive and spec.alg.is_adaptive
    if not adaptive and spec.options.dt is None:
        reason = "adaptive=False" if spec.alg.is_adaptive else f"{spec.alg!r} has no error estimate, so it"
        raise InvalidOptionError(f"{reason} needs a step size: pass dt=..., or use an adaptive algorithm (Tsit5()).")
    if isinstance(spec.options.controller, PredictiveController) and not spec.alg.is_stiff:
        raise UnsupportedError("Julia's PredictiveController is for implicit methods; use PIController, or none.")


def _refuse_discontinuities(spec: SolveSpec) -> None:
    if spec.options.d_discontinuities:
        raise UnsupportedError(
            "the julia engine does not take d_discontinuities; name them in tstops, or use engine='embedded'."
        )


def _solve_arguments(
    spec: SolveSpec, function: JuliaFunction, session: _Session, alg: int, *, implicit: bool
) -> tuple[SolveArguments, list[object]]:
    """The arguments of Julia's `solve`, and the buffers that they point to."""
    rhs, options, sensealg = spec.rhs, spec.options, spec.sensealg
    buffers: list[object] = []

    def keep(values: Tensor | tuple[float, ...]) -> int:
        if not isinstance(values, Tensor):
            array = doubles(values)
            buffers.append(array)
            return address(array)
        dense = values.contiguous()
        buffers.append(dense)
        return address(dense)

    def tolerance(value: float | Tensor) -> tuple[float, int]:
        if isinstance(value, Tensor):
            return float(value.min()), keep(value.to(rhs.dtype).expand(rhs.shape))
        return value, 0

    (abstol, abstol_vector), (reltol, reltol_vector) = tolerance(options.abstol), tolerance(options.reltol)
    saveat, (t0, t1) = options.saveat, spec.tspan
    tstops = options.tstops
    if saveat is not None and options.adaptive and isinstance(spec.alg, _COARSE_DENSE_OUTPUT):
        tstops = tuple(sorted({*tstops, *saveat}, reverse=t1 < t0))
    from_ends = isinstance(sensealg, BacksolveAdjoint) or bool(getattr(sensealg, "checkpointing", False))
    steps_needed = (isinstance(sensealg, CONTINUOUS) and not from_ends) or is_discrete(rhs, sensealg)
    arguments = SolveArguments(
        rhs=function.handle.number,
        alg=alg,
        controller=session.choices.controller(options.controller),
        n=rhs.numel,
        u0=keep(rhs.u0),
        mass_matrix=0 if rhs.mass_matrix is None else keep(rhs.mass_matrix),
        t0=t0,
        t1=t1,
        n_saveat=0 if saveat is None else len(saveat),
        saveat=0 if saveat is None else keep(saveat),
        n_tstops=len(tstops),
        tstops=keep(tstops) if tstops else 0,
        abstol=abstol,
        reltol=reltol,
        abstol_vector=abstol_vector,
        reltol_vector=reltol_vector,
        dt=options.dt or 0.0,
        dtmin=options.dtmin,
        dtmax=options.dtmax,
        maxiters=options.maxiters,
        adaptive=int(options.adaptive and spec.alg.is_adaptive),
        implicit=int(implicit),
        save_everystep=int(saveat is None and options.save_everystep),
        save_start=int(options.save_start if saveat is None else t0 in saveat),
        save_end=int(options.save_end if saveat is None else t1 in saveat),
        keep_steps=int(options.dense or steps_needed),
        keep_ends=int(from_ends),
    )
    return arguments, buffers
