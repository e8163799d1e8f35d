"""The one entry point: check, choose, integrate, wrap."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ._algorithms import AbstractAlgorithm
from ._autograd import differentiable_solve
from ._controllers import AbstractController
from ._eager import eager
from ._engines import AbstractEngine, EngineName, RawSolution, SolveSpec, select_engine
from ._errors import InvalidOptionError, InvalidProblemError, SolverError, SolveWarning, UnsupportedError
from ._functions import RightHandSide, start_consistently
from ._initialization import AbstractInitialization, CheckInit
from ._option_names import with_known_options
from ._options import SolveOptions, check_positive, check_saveat, check_stops, check_tolerance, with_ends
from ._problems import AbstractProblem, refuse_transforms
from ._sensealgs import AbstractSensealg
from ._solution import Solution
from ._time_resolution import check_time_resolution
from ._times import GivenTimes, given_times

Times = Sequence[float] | NDArray[Any] | Tensor


@with_known_options
@eager
def solve(
    prob: AbstractProblem,
    alg: AbstractAlgorithm | None = None,
    *,
    saveat: float | Times | None = None,
    abstol: float | Tensor = 1e-6,
    reltol: float | Tensor = 1e-3,
    sensealg: AbstractSensealg | None = None,
    dt: float | None = None,
    adaptive: bool = True,
    dtmin: float = 0.0,
    dtmax: float = float("inf"),
    maxiters: int = 100_000,
    tstops: Times | None = None,
    d_discontinuities: Times | None = None,
    save_start: bool | None = None,
    save_end: bool | None = None,
    save_everystep: bool | None = None,
    dense: bool | None = None,
    controller: AbstractController | None = None,
    engine: EngineName = "auto",
    compile: bool | None = None,
    seed: int | None = None,
    initializealg: AbstractInitialization | None = None,
    progress: bool = False,
    throw: bool = True,
    verbose: bool = True,
) -> Solution:
    """Solve a differential equation, differentiably.

    Gradients of whatever is computed from the result flow to `u0`, to the tensors of `p`, to the parameters of `f` if
    it is an `nn.Module`, and to other leaf tensors that `f` uses.

    Arguments:
        prob: the problem.
        alg: the algorithm; `None` switches between a method for stiff problems and one for others
            ([`DefaultODEAlgorithm`][]), or takes one for the noise of the problem ([`DefaultSDEAlgorithm`][]).
        saveat: where to save: a number for an interval (t0 and t1 included), times that run strictly in the direction
            of integration, or `None` for every step. A tensor has a gradient, by `f` at these times.
        abstol: absolute tolerance, a number or a tensor that broadcasts against `u0`.
        reltol: relative tolerance, likewise.
        sensealg: how gradients are computed. On the embedded engine `None` takes [`ForwardDiffSensitivity`][] up to 100
            states and parameters together where `torch.vmap` can map `f`, else [`ReverseDiffAdjoint`][]: for explicit
            methods up to 65,536 states, for others up to 128 if the tracer can follow `f`. Above that it takes
            [`GaussAdjoint`][], but for mass matrices. On the julia engine it
            takes [`ReverseDiffAdjoint`][] for explicit methods that it has, else [`GaussAdjoint`][]. For problems
            with noise it is `ReverseDiffAdjoint`. The choice is `Solution.sensealg`.
        dt: the step size of a fixed-step solve (`adaptive=False`, or a method without error estimate); else the first
            step size, `None` to estimate it. Positive in both directions of time.
        adaptive: whether the step size follows the error estimate.
        dtmin: lower bound of the step size; a smaller one ends the solve with `ReturnCode.DtLessThanMin`.
        dtmax: upper bound of the step size.
        maxiters: bound of the number of steps, rejected ones included.
        tstops: times that a step must end at, in the forward solve and in those of gradients.
        d_discontinuities: times at which `f` is discontinuous. Steps end there as at `tstops`, and those that meet
            there see `f` from their own side: one at the last representable time before, the other at the first one
            after it. So it does not matter what `f` is at the time itself, and no derivative is carried over. `tstops`
            are taken for discontinuities as well.
        save_start: whether to save the initial state, in addition to `saveat` or although `saveat` names it; `None`
            means as `saveat` says, and yes without it.
        save_end: the same for the final state. With `saveat=None` it counts where `save_everystep=False`.
        save_everystep: with `saveat=None`, whether to save every step; `False` saves the ends only.
        dense: whether `sol(t)` will be wanted; `None` means yes unless `saveat` is given or `save_everystep` is false.
        controller: the step size controller; `None` takes [`PIController`][] for explicit methods and `KenCarp4()`,
            [`PredictiveController`][] for the others.
        engine: `"embedded"`, `"julia"`, or `"auto"`, which takes julia where it is set up (`python -m pydiffeqflux
            doctor` tells) and has what is asked for, and embedded elsewhere. The environment variable
            `PYDIFFEQFLUX_ENGINE` can name the one that `"auto"` takes.
        compile: on the julia engine, whether a torch `f` is compiled to Julia: `None` where it can be, else it is
            called back and a [`JuliaWarning`][] names the reason; `True` makes that an error, `False` always calls
            back.
        seed: for a problem with noise, a non-negative whole number that its path is drawn from: the same number, the
            same solution, bit by bit on the same machine. `None` takes that of the problem, or draws one from torch's
            generator. The path is `Solution.noise`.
        initializealg: for problems with algebraic equations (a [`DAEProblem`][], a singular mass matrix), what to do
            where initial values violate them: [`CheckInit`][], the default, refuses them, [`BrownFullBasicInit`][] and
            [`ShampineCollocationInit`][] find others.
        progress: whether to show a progress bar.
        throw: whether a solve that fails raises [`SolverError`][], whose `solution` holds what was solved before. With
            `False` that is returned; look at its `retcode`.
        verbose: whether a solve that fails and does not raise warns ([`SolveWarning`][]).

    Returns:
        The solution.

    Raises:
        InvalidOptionError: an option has a value that cannot be used.
        InvalidProblemError: the dtype of the state cannot tell the times of the problem apart.
        RightHandSideError: `f` returned something that is not a derivative of `u`.
        GradientError: a gradient was asked for, but `f` cuts the graph.
        SolverError: the solve did not reach the end of the time span, unless `throw=False`.
        UnsupportedError: the engine lacks what was asked for; the message names it.
        EngineUnavailableError: the julia engine was asked for and cannot run; the message says what to do.
        JuliaError: Julia raised an exception; its message and backtrace are attributes.
        Exception: whatever `f` raises, unchanged.

    Engines: both. Source: `CommonSolve.solve`.

    >>> import torch
    >>> from pydiffeqflux import ODEProblem
    >>> def decay(u, p, t):
    ...     return -p * u
    >>> p = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    >>> prob = ODEProblem(decay, torch.ones(1, dtype=torch.float64), (0.0, 2.0), p)
    >>> sol = solve(prob, saveat=1.0, abstol=1e-10, reltol=1e-10)
    >>> [round(u, 6) for u in sol.u.flatten().tolist()]
    [1.0, 0.606531, 0.367879]
    >>> sol.u[-1].sum().backward()
    >>> round(p.grad.item(), 6)  # -2 exp(-1)
    -0.735759
    """
    if not isinstance(prob, AbstractProblem):
        raise InvalidProblemError(f"solve needs a problem such as ODEProblem(f, u0, tspan), not {type(prob).__name__}.")
    refuse_transforms()
    if alg is not None and not isinstance(alg, AbstractAlgorithm):
        hint = f"; write {alg.__name__}()" if isinstance(alg, type) else ""
        raise InvalidOptionError(f"alg must be an algorithm such as Tsit5(), not {alg!r}{hint}.")
    if sensealg is not None and not isinstance(sensealg, AbstractSensealg):
        hint = f"; write {sensealg.__name__}()" if isinstance(sensealg, type) else ""
        raise InvalidOptionError(
            f"sensealg must be a sensitivity algorithm such as GaussAdjoint(), not {sensealg!r}{hint}."
        )
    if isinstance(maxiters, bool) or int(maxiters) != maxiters or maxiters < 1:
        raise InvalidOptionError(f"maxiters is {maxiters}; it must be a positive whole number.")
    check_time_resolution(prob.tspan, prob.u0.dtype)
    every = saveat is None if save_everystep is None else save_everystep
    options = SolveOptions(
        saveat=with_ends(check_saveat(saveat, prob.tspan), prob.tspan, save_start, save_end),
        save_start=save_start is not False,
        save_end=save_end is not False,
        save_everystep=every,
        dense=(every and saveat is None) if dense is None else dense,
        abstol=check_tolerance("abstol", abstol, prob.u0),
        reltol=check_tolerance("reltol", reltol, prob.u0),
        dt=None if dt is None else check_positive("dt", dt),
        adaptive=adaptive,
        dtmin=0.0 if dtmin == 0 else check_positive("dtmin", dtmin),
        dtmax=check_positive("dtmax", dtmax),
        maxiters=int(maxiters),
        tstops=check_stops("tstops", tstops, prob.tspan),
        d_discontinuities=check_stops("d_discontinuities", d_discontinuities, prob.tspan),
        controller=controller,
        progress=progress,
        verbose=verbose,
        compile=compile,
    )
    if (
        isinstance(options.abstol, float)
        and isinstance(options.reltol, float)
        and options.abstol + options.reltol == 0.0
    ):
        raise InvalidOptionError("abstol and reltol are both zero; no solver can meet that. Give one of them.")
    chosen, reason = select_engine(engine, prob, alg, sensealg)
    if compile and chosen.name != "julia":
        raise UnsupportedError("compile=True needs the julia engine; leave it out, or pass engine='julia'.")
    algorithm = chosen.default_algorithm(prob) if alg is None else alg
    with _autograd_available():
        times = given_times(prob, saveat)
        spec = _specify(prob, algorithm, sensealg, options, chosen, times, seed, initializealg)
        raw, u = differentiable_solve(chosen, spec, prob.u0, times)
    t = torch.tensor(raw.t, dtype=spec.rhs.dtype, device=spec.rhs.device)
    if prob.numpy_output:
        t, u = t.numpy(force=True), u.numpy(force=True)
    sol = Solution(
        t, u, raw.retcode, raw.stats, algorithm, spec.sensealg, chosen.name, reason, prob, chosen, raw, times
    )
    if not raw.retcode.success:
        if throw:
            raise SolverError(_failure(raw), raw.retcode, sol)
        if verbose:
            warnings.warn(_failure(raw), SolveWarning, stacklevel=4)
    return sol


def _specify(
    prob: AbstractProblem,
    alg: AbstractAlgorithm,
    sensealg: AbstractSensealg | None,
    options: SolveOptions,
    engine: AbstractEngine,
    times: GivenTimes,
    seed: int | None,
    initializealg: AbstractInitialization | None,
) -> SolveSpec:
    """The right-hand side, where it starts and its noise, and the sensealg if a gradient can follow."""
    rhs = engine.prepare(prob, options)
    if initializealg is not None or prob.needs_mass_matrix:
        _start(prob, rhs, options, initializealg)
    abstol, reltol = rhs.space.tolerances(options.abstol, options.reltol)
    options = replace(options, abstol=abstol, reltol=reltol)
    rhs.u0_requires_grad |= times.start is not None  # the solution moves with it as it does with u0
    fixed = None if options.adaptive and alg.is_adaptive else options.dt
    spec = SolveSpec(rhs, prob.tspan, alg, None, options, prob.path(rhs, seed, fixed, options))
    if not (torch.is_grad_enabled() and (rhs.u0_requires_grad or rhs.parameters or times.require_gradient)):
        return spec
    if rhs.u0_requires_grad or rhs.parameters:
        rhs.check_connected()
    return replace(spec, sensealg=engine.default_sensealg(spec) if sensealg is None else sensealg)


def _start(
    prob: AbstractProblem, rhs: RightHandSide, options: SolveOptions, choice: AbstractInitialization | None
) -> None:
    """Let a problem with algebraic equations start where these hold."""
    if choice is not None and not isinstance(choice, AbstractInitialization):
        raise InvalidOptionError(f"initializealg must be CheckInit() or another choice of that kind, not {choice!r}.")
    if not prob.needs_mass_matrix:
        raise InvalidOptionError(
            f"initializealg is for algebraic equations, which this {type(prob).__name__} has none of; leave it out."
        )
    if prob.is_julia_source:  # Julia checks it
        if choice is not None and not isinstance(choice, CheckInit):
            raise UnsupportedError("a JuliaSource takes CheckInit() only; write f as a torch function.")
        return
    rhs.start = start_consistently(
        rhs, choice or CheckInit(), options.first_time(prob.tspan, rhs.dtype), options.abstol, options.reltol
    )


@contextmanager
def _autograd_available() -> Iterator[None]:
    """Jacobians need autograd: under `torch.inference_mode`, solve under `torch.no_grad` in its place."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(mode=False), torch.no_grad():
        yield


def _failure(raw: RawSolution) -> str:
    steps = raw.stats.naccept + raw.stats.nreject
    return f"the solve ended with {raw.retcode.name} after {steps} steps: {raw.retcode.remedy}."
