"""The julia engine."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ... import _algorithms as algs
from ..._controllers import PredictiveController
from ..._errors import UnsupportedError
from ..._functions import RightHandSide, SourceRightHandSide
from ..._options import SolveOptions
from ..._problems import AbstractProblem
from ..._progress import ProgressBar
from ..._retcode import ReturnCode
from ..._sensealgs import AbstractSensealg, GaussAdjoint, ReverseDiffAdjoint
from .._base import AbstractEngine, RawSolution, SolveSpec, Stats
from .._noise import check_noise, smallest_step
from .._step_size import is_adaptive
from .._strategy import Kept, check_randomness
from ._arguments import AdjointArguments, SolveArguments, SolveResult, address, doubles, view
from ._bridge import Bridge, Handle, start
from ._cache import Cache
from ._choices import Choices
from ._errors import translate
from ._function import JuliaFunction, make_diffusion, make_function
from ._interrupts import deferred_interrupts
from ._julia_sources import JuliaSources
from ._noise import SolveNoise
from ._strategies import strategy_for, strategy_of
from ._strategy import eager

_RETCODES = {
    "Success": ReturnCode.Success,
    "MaxIters": ReturnCode.MaxIters,
    "DtLessThanMin": ReturnCode.DtLessThanMin,
    "DtNaN": ReturnCode.Unstable,
    "Unstable": ReturnCode.Unstable,
    "InitialFailure": ReturnCode.InitialFailure,
    "ConvergenceFailure": ReturnCode.ConvergenceFailure,
}


@dataclass(eq=False)
class Record:
    """What a solution needs to be evaluated and differentiated.

    Attributes:
        function: the right-hand side in Julia.
        solution: the solution in Julia.
        alg: handle of the algorithm.
        diffusion: that of a stochastic equation.
    """

    function: JuliaFunction
    solution: Handle
    alg: int
    diffusion: JuliaFunction | None = None

    @property
    def functions(self) -> tuple[JuliaFunction, ...]:
        """All functions of the equation, the right-hand side first."""
        return (self.function,) if self.diffusion is None else (self.function, self.diffusion)


class _Session:
    """What is made once for a running Julia."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.choices = Choices(bridge)
        self.julia_sources = JuliaSources(bridge)
        self.cache = Cache(bridge)
        pairs = (pair.split("=") for pair in bridge.call("retcodes").split(","))
        self.retcodes = {int(number): _RETCODES.get(name, ReturnCode.Failure) for number, name in pairs}

    def run(self, functions: Sequence[JuliaFunction], name: str, *args: int) -> int:
        """A call that may run the user's code: raises what that raised, or Ctrl-C, or Julia's error as ours."""
        guard, failure, result = functions[0].guard, None, 0
        guard.error = None
        with torch.no_grad(), deferred_interrupts() as interrupts:
            guard.interrupts = interrupts
            try:
                with self.bridge.lock:
                    for function in functions:
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

    def default_algorithm(self, prob: AbstractProblem) -> algs.AbstractAlgorithm:
        return algs.default_algorithm(prob.kind)

    def prepare(self, prob: AbstractProblem, options: SolveOptions) -> RightHandSide:
        return prob.prepare(traced=options.compile is not False)

    def default_sensealg(self, spec: SolveSpec) -> AbstractSensealg:
        """Reverse mode through the steps of a torch function by an explicit method that is known, else Gauss's.

        Rosenbrock steps ask more of `f`, namely second derivatives, than a default may take for granted.
        """
        if spec.rhs.diffusion is not None:
            return ReverseDiffAdjoint()
        concrete = _concrete(spec)
        discrete, gauss = (replace(concrete, sensealg=choice) for choice in (ReverseDiffAdjoint(), GaussAdjoint()))
        if isinstance(spec.rhs, SourceRightHandSide):
            return GaussAdjoint()
        if algs.contains_jacobian(discrete.alg) and not strategy_for(gauss).refuse_solve(gauss):
            return GaussAdjoint()
        return GaussAdjoint() if strategy_for(discrete).refuse_solve(discrete) else ReverseDiffAdjoint()

    def check(self, prob: AbstractProblem, alg: algs.AbstractAlgorithm, sensealg: AbstractSensealg | None) -> None:
        julia_source = prob.is_julia_source
        reason = algs.refuse_algorithm("julia", alg) or algs.refuse_kind(alg, prob.kind, prob.tspan)
        if not reason and prob.kind is algs.EquationKind.DELAY:
            reason = "the julia engine has no equations with delays; use engine='embedded', which has them."
        if not reason and prob.kind is algs.EquationKind.STOCHASTIC:
            reason = _refuse_stochastic(sensealg, julia_source=julia_source)
        if reason:
            raise UnsupportedError(reason)
        if prob.u0.device.type != "cpu":
            raise UnsupportedError(
                f"the julia engine takes states on the CPU, not on {prob.u0.device}; use engine='embedded' or u0.cpu()."
            )
        if julia_source and prob.u0.is_complex():
            raise UnsupportedError(
                "a JuliaSource takes real states; split u0 into two real parts, or write f as a torch function."
            )
        if prob.needs_mass_matrix and not alg.is_stiff:
            raise UnsupportedError(
                f"{alg!r} does not solve problems with a mass matrix; use Rodas5P(), FBDF() or RadauIIA5()."
            )
        strategy = strategy_of(sensealg, julia_source=julia_source)
        reason = strategy.refuse(alg, mass_matrix=prob.needs_mass_matrix)
        if reason:
            raise UnsupportedError(reason)

    # ---- forward

    def solve(self, spec: SolveSpec) -> RawSolution:
        spec = _concrete(spec)
        strategy = strategy_for(spec)
        strategy.check(spec)
        check_noise(spec)
        check_randomness(spec, strategy)
        adaptive = _check_step_size(spec)
        session = self._session
        julia_ad = isinstance(spec.rhs, SourceRightHandSide) and not strategy.brings_vjp(spec.rhs)
        forward = strategy.algorithm(spec.alg)
        if _discontinuities(spec):
            forward = eager(forward)  # stages that are made later would be made by steps in the other direction
        alg = session.choices.algorithm(forward, finite_differences=not julia_ad)
        implicit = session.choices.is_implicit(alg)
        function = make_function(
            session.bridge, session.julia_sources, session.cache, spec, strategy, implicit=implicit
        )
        diffusion = make_diffusion(session.bridge, session.cache, spec, strategy, function.guard)
        functions = (function,) if diffusion is None else (function, diffusion)
        arguments, buffers = _solve_arguments(
            spec, function, session, alg, strategy.keep, implicit=implicit, adaptive=adaptive
        )
        if diffusion is not None:
            buffers += _add_noise(arguments, session.bridge, spec, diffusion, adaptive=adaptive)
        result = SolveResult()
        with ProgressBar(spec.tspan, shown=spec.options.progress) as bar:
            function.poll.progress = bar
            session.run(functions, "solve", address(arguments), address(result))
            function.poll.progress = None
            del buffers
            times = list((ctypes.c_double * result.n_times).from_address(result.times))
            if times:
                bar.move_to(times[-1])
        solution = session.bridge.keep(result.record)
        states = view(result.states, (result.n_times, *spec.rhs.shape), spec.rhs.dtype, owner=solution)
        nf = spec.rhs.nf if function.counts_calls else result.nf
        stats = Stats(nf, result.naccept, result.nreject, result.njac, result.nsolve, result.nw)
        if diffusion is not None and spec.rhs.diffusion is not None:
            stats.nf2 = spec.rhs.diffusion.nf if diffusion.counts_calls else result.nf2
        record = Record(function, solution, alg, diffusion)
        return RawSolution(spec, times, states, session.retcodes[result.retcode], stats, record)

    def evaluate(self, raw: RawSolution, times: Sequence[float], derivative: int) -> Tensor:
        record, spec = raw.record, raw.spec
        if spec.rhs.mass_matrix is not None and algs.has_coarse_dense_output(spec.alg):
            # Julia's polynomials there take f for u', which it is not
            raise UnsupportedError(
                f"{spec.alg!r} has no states between its steps with a mass matrix; name the times in saveat, or use "
                "Rodas5P() or FBDF()."
            )
        states = torch.empty((len(times), *spec.rhs.shape), dtype=spec.rhs.dtype)
        at = doubles(times)
        self._session.run(
            record.functions, "evaluate", record.solution.number, address(at), len(times), derivative, address(states)
        )
        return states

    # ---- backward

    def adjoint(self, raw: RawSolution, times: Sequence[float], cotangents: Tensor) -> tuple[Tensor, list[Tensor]]:
        record, spec, rhs = raw.record, raw.spec, raw.spec.rhs
        session, function = self._session, record.function
        pullback = strategy_for(spec).pull_back(session.choices, spec, record.alg, has_vjp=function.has_vjp)
        before = rhs.nf
        du0 = torch.empty(rhs.shape, dtype=rhs.dtype)
        flat = [torch.zeros(max(part.n_p, 1), dtype=rhs.dtype) for part in record.functions]
        at = doubles(times)
        arguments = AdjointArguments(
            record=record.solution.number,
            sensealg=pullback.sensealg,
            alg=pullback.alg,
            n_times=len(times),
            times=address(at),
            cotangents=address(cotangents),
            du0=address(du0),
            dp=address(flat[0]),
            dg=address(flat[1]) if record.diffusion is not None else 0,
        )
        calls = session.run(record.functions, "adjoint", address(arguments))
        raw.stats.nf_adjoint += rhs.nf - before if function.counts_calls else calls
        parts = zip(record.functions, flat, rhs.functions, strict=True)
        gradients, *others = (part.split_gradient(numbers, of) for part, numbers, of in parts)
        for more in others:
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
        return du0, gradients


def _refuse_stochastic(sensealg: AbstractSensealg | None, *, julia_source: bool) -> str:
    """Why this engine cannot solve a stochastic equation or differentiate it, empty where it can."""
    if julia_source:
        return "an SDEProblem takes torch functions, not a JuliaSource; write f and g as torch functions."
    if sensealg is not None and not isinstance(sensealg, ReverseDiffAdjoint):
        return (
            f"the julia engine has no {sensealg!r} for equations with noise; it has ReverseDiffAdjoint(). Use that, or "
            "engine='embedded', which has others."
        )
    return ""


def _add_noise(
    arguments: SolveArguments, bridge: Bridge, spec: SolveSpec, diffusion: JuliaFunction, *, adaptive: bool
) -> list[object]:
    """Let the arguments of a solve name its diffusion and its noise; returns what must be kept while it runs."""
    assert spec.rhs.diffusion is not None
    assert spec.noise is not None
    layout, shape = spec.rhs.diffusion.layout, spec.rhs.shape
    noise = SolveNoise(
        spec.noise,
        layout,
        shape,
        diffusion.guard,
        spec.tspan,
        dt=None if adaptive else spec.options.dt,
        with_areas=not isinstance(spec.alg, algs.AbstractStochasticAlgorithm) or spec.alg.needs_area,
        keep=bool(arguments.keep_steps),
    )
    width = shape[-1] if shape else 1
    motions = 0 if layout.is_elementwise else layout.shape[-1]
    in_julia = bridge.keep(bridge.call("diffusion", diffusion.handle.number, width, motions))
    path = bridge.keep(bridge.call("path_noise", address(noise.arguments)))
    arguments.diffusion, arguments.noise = in_julia.number, path.number
    if adaptive:
        arguments.dtmin = max(arguments.dtmin, smallest_step(spec.noise))
    return [noise, in_julia, path]


def _concrete(spec: SolveSpec) -> SolveSpec:
    """The same with `DefaultODEAlgorithm` replaced by what it means.

    Julia's own default algorithm cannot be interpolated in place where Vern7 has run (OrdinaryDiffEqCore 4.6).
    """
    return spec.with_concrete_algorithm(large=algs.FBDF())


def _check_step_size(spec: SolveSpec) -> bool:
    """Whether the step size follows the error estimate."""
    adaptive = is_adaptive(spec)
    if spec.options.controller is not None and spec.rhs.diffusion is not None:
        raise UnsupportedError(
            f"the julia engine takes no controller for equations with noise, not {spec.options.controller!r}; "
            "leave it out, or use engine='embedded'."
        )
    if isinstance(spec.options.controller, PredictiveController) and not all(map(_iterates, spec.alg.methods)):
        raise UnsupportedError(
            "Julia's PredictiveController is for methods with Newton's iteration, whose effort it takes into account; "
            f"use PIController() with {spec.alg!r}, or no controller."
        )
    return adaptive


def _iterates(alg: algs.AbstractAlgorithm) -> bool:
    return alg.is_stiff and not alg.contains_jacobian


def _discontinuities(spec: SolveSpec) -> tuple[float, ...]:
    """Where `f` may be discontinuous, which `tstops` are named for as well, in ascending order."""
    return tuple(sorted({*spec.options.tstops, *spec.options.d_discontinuities}))


def _solve_arguments(
    spec: SolveSpec,
    function: JuliaFunction,
    session: _Session,
    alg: int,
    kept: Kept,
    *,
    implicit: bool,
    adaptive: bool,
) -> tuple[SolveArguments, list[object]]:
    """The arguments of Julia's `solve`, and the buffers that they point to."""
    rhs, options = spec.rhs, spec.options
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
    tstops = ()
    coarse = options.adaptive and algs.has_coarse_dense_output(spec.alg)
    if saveat is not None and (coarse or rhs.diffusion is not None):
        tstops = saveat
    discontinuities = _discontinuities(spec)
    arguments = SolveArguments(
        rhs=function.handle.number,
        alg=alg,
        controller=session.choices.controller(options.controller, alg),
        n=rhs.numel,
        u0=keep(rhs.u0),
        mass_matrix=0 if rhs.mass_matrix is None else keep(rhs.mass_matrix),
        t0=t0,
        t1=t1,
        n_saveat=0 if saveat is None else len(saveat),
        saveat=0 if saveat is None else keep(saveat),
        n_tstops=len(tstops),
        tstops=keep(tstops) if tstops else 0,
        n_discontinuities=len(discontinuities),
        discontinuities=keep(discontinuities) if discontinuities else 0,
        abstol=abstol,
        reltol=reltol,
        abstol_vector=abstol_vector,
        reltol_vector=reltol_vector,
        dt=options.dt or 0.0,
        dtmin=options.dtmin,
        dtmax=options.dtmax,
        maxiters=options.maxiters,
        adaptive=int(adaptive),
        implicit=int(implicit),
        save_everystep=int(saveat is None and options.save_everystep),
        save_start=int(options.save_start if saveat is None else t0 in saveat),
        save_end=int(options.save_end if saveat is None else t1 in saveat),
        keep_steps=int(options.dense or kept is Kept.STEPS),
        keep_ends=int(kept in (Kept.ENDS, Kept.CHECKPOINTS)),
    )
    return arguments, buffers
