"""Every option of `solve` with every method on both engines: right, or refused by a sentence of the table below."""

import re
from typing import NamedTuple

import pytest
import torch
from problems import tensor

import pydiffeqflux as de
from pydiffeqflux._algorithms import algorithms_of

# u' = -k (u - t): u = t - 1 / k + (u0 + 1 / k) exp(-k t)
RATES, START, END = tensor([1.0, 2.0]), tensor([1.0, 0.5]), 1.0


def exact(t):
    return t - 1 / RATES + (START + 1 / RATES) * torch.exp(-RATES * t)


def torch_f(u, p, t):
    return -p * (u - t)


SOURCE = de.JuliaSource("(du, u, p, t) -> (du .= .-p .* (u .- t); nothing)")

# ---- options

TOLERANCE = 1e-6
TIMES = [0.0, 0.25, 0.6, 1.0]
TIGHT = {"abstol": TOLERANCE, "reltol": TOLERANCE}
EACH = tensor([TOLERANCE, TOLERANCE / 2])
STEP = 0.01

OPTIONS = {
    "none": {},
    "saveat": {"saveat": TIMES},
    "saveat, a number": {"saveat": 0.25},
    "abstol, a tensor": {"abstol": EACH},
    "reltol, a tensor": {"reltol": EACH},
    "both tensors": {"abstol": EACH, "reltol": EACH},
    "dt": {"dt": STEP},
    "adaptive=False": {"dt": STEP, "adaptive": False},
    "adaptive=False, saveat": {"dt": STEP, "adaptive": False, "saveat": TIMES},
    "dtmin": {"dtmin": 1e-12},
    "dtmax": {"dtmax": 0.05},
    "maxiters": {"maxiters": 10**6},
    "tstops": {"tstops": [0.3, 0.7]},
    "d_discontinuities": {"d_discontinuities": [0.3, 0.7]},
    "d_discontinuities, saveat": {"d_discontinuities": [0.25, 0.7], "saveat": TIMES},
    "save_start=False": {"save_start": False},
    "save_end=False": {"save_end": False, "saveat": TIMES},
    "save_everystep=False": {"save_everystep": False},
    "dense": {"dense": True},
    "IController": {"controller": de.IController()},
    "PIController": {"controller": de.PIController()},
    "PIController with numbers": {"controller": de.PIController(beta1=0.14, beta2=0.08)},
    "PIDController": {"controller": de.PIDController()},
    "PredictiveController": {"controller": de.PredictiveController()},
    "sensealg": {"sensealg": de.GaussAdjoint(), "saveat": [1.0]},
    "default gradient": {"saveat": [1.0]},
    "verbose": {"verbose": False},
}


class Refused(NamedTuple):
    """Refusals that are meant: of an option of an engine, with these methods."""

    engine: str
    option: str
    methods: str
    message: str


REFUSED = [
    # a method without error estimate needs a step size
    Refused("julia|embedded", r"(?!dt$|adaptive)", r"\w+", r"has no error estimate, so it needs a step size"),
    Refused("julia", "PredictiveController", r"\w+", r"is for methods with Newton's iteration.*use PIController\(\)"),
]


def is_meant(engine, option, alg, message):
    return any(
        re.fullmatch(row.engine, engine)
        and re.match(row.option, option)
        and re.fullmatch(row.methods, type(alg).__name__)
        and re.search(row.message, message)
        for row in REFUSED
    )


class Inaccurate(NamedTuple):
    """Solutions of Julia's that are known to be less accurate than their tolerance."""

    option: str
    methods: str
    allowed: float


INACCURATE = [
    # Behind a stop the step size is another one, but Newton's iteration of OrdinaryDiffEq 7.1 seems to keep the matrix
    # and the rate of convergence of the step before it, and to stop too early: 4e-4 in the step behind the stop at 0.7,
    # also without d_discontinuities.
    Inaccurate(r"tstops|d_discontinuities", r"KenCarp4", 1e-3),
]


def known_error(engine, option, alg):
    rows = (r for r in INACCURATE if re.match(r.option, option) and re.fullmatch(r.methods, type(alg).__name__))
    return max((row.allowed for row in rows), default=0.0) if engine == "julia" else 0.0


# ---- what is right


def bound(sol, alg, options):
    """How far a solution may be from the exact one.

    The problem is contracting, so that errors of steps add up at most: the tolerance times the number of steps, and ten
    times that for estimates of the error. A fixed step of size h leaves a constant times h to the order.
    """
    size = 1 + sol.u.detach().abs().max().item()
    if alg.is_adaptive and options.get("adaptive", True):
        return 10 * TOLERANCE * size * max(sol.stats.naccept, 10)
    return 10 * size * STEP**alg.order + 1e-9


def check(f, alg, options, engine, known):
    """What is wrong, as a phrase; empty where nothing is."""
    with_gradient = "sensealg" in options or options.get("saveat") == [1.0]
    u0 = START.clone().requires_grad_(with_gradient)
    sol = de.solve(de.ODEProblem(f, u0, (0.0, END), RATES), alg, engine=engine, **(TIGHT | options))
    allowed = max(bound(sol, alg, options), known)
    if not sol.retcode.success:
        return f"ended with {sol.retcode}"
    expected = torch.stack([exact(t) for t in sol.t.tolist()])
    error = (sol.u.detach() - expected).abs().max().item()
    # what lies between steps has the accuracy of an interpolation of third degree at least
    between = 1e-3 if "saveat" in options and alg.coarse_dense_output else allowed
    if error > max(allowed, between):
        return f"is off by {error:.1e}, allowed {allowed:.1e}"
    if "saveat" in options and not _times_are(sol.t.tolist(), options):
        return f"saved at {sol.t.tolist()}"
    if "dense" in options and (sol(0.37) - exact(0.37)).abs().max() > 1e-2:
        return "has dense output that is wrong"
    if with_gradient:
        (found,) = torch.autograd.grad(sol.u[-1].sum(), u0)
        error = (found - torch.exp(-RATES * END)).abs().max().item()
        if error > 10 * allowed:
            return f"has a gradient that is off by {error:.1e}"
    return ""


def _times_are(found, options):
    wanted = options["saveat"]
    wanted = [k * wanted for k in range(5)] if isinstance(wanted, float) else list(wanted)
    return found == (wanted[:-1] if options.get("save_end") is False else wanted)


def outcome(f, alg, name, engine, more):
    """What is wrong with an option; empty where it is right, or its refusal is meant."""
    try:
        return check(f, alg, OPTIONS[name] | more, engine, known_error(engine, name, alg))
    except (de.UnsupportedError, de.InvalidOptionError) as error:
        return "" if is_meant(engine, name, alg, str(error)) else f"is refused: {error}"
    except de.DiffEqError as error:
        return f"raises {type(error).__name__}: {error}"


# ---- the matrix

KINDS = {
    "embedded": ("embedded", torch_f, {}),
    "compiled": ("julia", torch_f, {"compile": True}),
    "called": ("julia", torch_f, {"compile": False}),
    "source": ("julia", SOURCE, {}),
}
QUICK = {"Tsit5", "Vern7", "RK4", "Euler", "Rodas5P", "Rosenbrock23", "KenCarp4", "FBDF", "RadauIIA5"}


def _cases():
    for kind, (engine, _, _) in KINDS.items():
        for alg in (*algorithms_of(engine), de.DefaultODEAlgorithm):
            marks = [] if engine == "embedded" else [pytest.mark.julia]
            if alg.__name__ not in QUICK or kind == "called":
                marks.append(pytest.mark.slow)
            yield pytest.param(kind, alg(), marks=marks, id=f"{kind}-{alg.__name__}")


@pytest.mark.parametrize(("kind", "alg"), list(_cases()))
def test_every_option_is_right_or_refused(kind, alg):
    engine, f, more = KINDS[kind]
    wrong = {name: outcome(f, alg, name, engine, more) for name in OPTIONS}
    assert not {name: what for name, what in wrong.items() if what}
