"""An f that jumps or has a kink at known times: solutions and gradients against formulas."""

import math
from itertools import pairwise

import pytest
import torch
from both_engines import ADJOINTS, ENGINES, VARIANTS, can_go_along, cannot_checkpoint, keeps_tolerances, on
from problems import slope, tensor

import pydiffeqflux as de

pytestmark = pytest.mark.slow

TOL = 1e-9
STOPS = ("tstops", "d_discontinuities")
ALGORITHMS = (de.Tsit5(), de.Vern7(), de.Rodas5P(), de.KenCarp4(), None)


def cases(algorithms, *, slow_beyond=2):
    """Engines, ways to name stops, methods and sensealgs.

    On the embedded engine tstops are treated as d_discontinuities are: slow tests, as all but the first methods.
    """

    def slow(engine, stops, number, sensealg):
        rare = stops == "tstops" or number >= slow_beyond or sensealg in VARIANTS
        return engine == "embedded" and rare

    return [
        on(engine, stops, alg, sensealg, slow=slow(engine, stops, number, sensealg))
        for engine in ENGINES
        for stops in STOPS
        for number, alg in enumerate(algorithms)
        for sensealg in ADJOINTS[engine]
        if keeps_tolerances(engine, alg) and not cannot_checkpoint(engine, alg, sensealg)
    ]


# ---- doses: u' = -k u + r within each of some intervals


def infused(doses):
    """Doses `(start, end)`; p is the rate of decay and the rate of each dose."""

    def f(u, p, t):
        given = [torch.where((t >= a) & (t < b), p[i], 0.0) for i, (a, b) in enumerate(doses, 1)]
        return -p[0] * u + sum(given)

    return f


def infused_solution(u0, p, doses, times, t0):
    """By the variation of constants, in both directions of time."""
    rows = []
    for t in times:
        total = u0
        for i, (a, b) in enumerate(doses, 1):
            low, high = (min(max(x, min(t0, t)), max(t0, t)) for x in (a, b))
            share = (torch.exp(p[0] * (high - t0)) - torch.exp(p[0] * (low - t0))) / p[0]
            total = total + math.copysign(1.0, t - t0) * p[i] * share
        rows.append(torch.exp(-p[0] * (t - t0)) * total)
    return torch.stack(rows)


# doses, save points
SCHEDULES = {
    "inside": ([(0.5, 0.7), (1.1, 1.15)], [0.9, 2.0]),
    "saved where they begin and end": ([(0.5, 0.75), (1.0, 1.25)], [0.5, 0.75, 1.0, 1.25, 2.0]),
    "saved within": ([(0.5, 0.7), (1.1, 1.5)], [0.6, 1.3]),
    "from the start on": ([(0.0, 0.3), (1.1, 1.2)], [0.0, 0.2, 2.0]),
    "to the end": ([(0.5, 0.7), (1.7, 2.0)], [0.6, 1.8, 2.0]),
    "one after the other": ([(0.5, 0.75), (0.75, 1.0)], [0.75, 2.0]),
    "after all save points": ([(0.5, 0.7), (1.6, 1.8)], [1.0, 1.5]),
}


def stops_of(doses, span):
    """Every end once, those of the time span too, in the direction of integration."""
    return sorted({t for dose in doses for t in dose}, reverse=span[1] < span[0])


def weights(times):
    return torch.arange(1, len(times) + 1, dtype=torch.float64)[:, None]


def assert_right(sol_u, exact, inputs, size):
    """States and gradients.

    Ten tolerances for each of the two solves, relative to the states that occur (below `size`) and times the weights,
    and no derivative of a state is above the length of time, 2, times `size`.
    """
    assert float((sol_u - exact).detach().abs().max()) <= 10 * TOL * (1 + size)
    w = torch.arange(1, len(exact) + 1, dtype=torch.float64)[:, None]
    found = torch.autograd.grad((w * sol_u).sum(), inputs)
    right = torch.autograd.grad((w * exact).sum(), inputs)
    for g, h in zip(found, right, strict=True):
        assert float((g - h).abs().max()) <= 2 * 10 * TOL * (1 + 2 * size) * float(w.sum())


@pytest.mark.parametrize("span", [(0.0, 2.0), (2.0, 0.0)], ids=str)
@pytest.mark.parametrize(("engine", "stops", "alg", "sensealg"), cases(ALGORITHMS, slow_beyond=1), ids=repr)
def test_doses(engine, stops, alg, sensealg, span):
    if not can_go_along(engine, sensealg, span):
        pytest.skip("SciMLSensitivity cannot checkpoint backwards in time")
    for doses, saved in SCHEDULES.values():
        times = saved if span[1] > span[0] else saved[::-1]
        u0, p = tensor([0.4, 1.0], grad=True), tensor([0.6, 3.0, 5.0], grad=True)
        options = {"saveat": times, "abstol": TOL, "reltol": TOL, "sensealg": sensealg, "engine": engine}
        sol = de.solve(de.ODEProblem(infused(doses), u0, span, p), alg, **{stops: stops_of(doses, span)}, **options)
        exact = infused_solution(u0, p, doses, times, span[0])
        # backwards the doses are taken away again, and what is left grows by exp(0.6 * 2)
        assert_right(sol.raise_for_status().u, exact, (u0, p), 4.0)


# ---- a nonlinear problem with rates that switch, one for each piece


def pieces(cuts):
    def f(u, p, t):
        rate = p[-1]
        for i in reversed(range(len(cuts))):
            rate = torch.where(t < cuts[i], p[i], rate)
        return rate * u * (1 - u)

    return f


def pieces_solution(u0, p, cuts, times, t0):
    edges = [-math.inf, *cuts, math.inf]
    rows = []
    for t in times:
        low, high = sorted((t0, t))
        lengths = [max(min(b, high) - max(a, low), 0.0) for a, b in pairwise(edges)]
        s = math.copysign(1.0, t - t0) * (p * tensor(lengths)).sum()
        rows.append(u0 * torch.exp(s) / (1 - u0 + u0 * torch.exp(s)))
    return torch.stack(rows)


def assert_switches(engine, stops, alg, sensealg, span, cuts):
    times = [span[0], 1.0, 1.4, span[1]] if span[1] > span[0] else [span[0], 1.4, 1.0, span[1]]
    u0, p = tensor([0.3, 0.8], grad=True), tensor([1.5, -0.5, 1.0], grad=True)
    options = {"saveat": times, "abstol": TOL, "reltol": TOL, "sensealg": sensealg, "engine": engine}
    named = {stops: cuts if span[1] > span[0] else cuts[::-1]}
    sol = de.solve(de.ODEProblem(pieces(cuts), u0, span, p), alg, **named, **options)
    exact = pieces_solution(u0, p, cuts, times, span[0])
    assert_right(sol.raise_for_status().u, exact, (u0, p), 1.0)


CUTS = [[0.7, 1.1], [0.0, 1.0], [1.0, 2.0]]
NEIGHBOURS = [0.5, math.nextafter(0.5, 1.0)]


@pytest.mark.parametrize("span", [(0.0, 2.0), (2.0, 0.0)], ids=str)
@pytest.mark.parametrize(("engine", "stops", "alg", "sensealg"), cases(ALGORITHMS), ids=repr)
def test_switching_rates(engine, stops, alg, sensealg, span):
    if not can_go_along(engine, sensealg, span):
        pytest.skip("SciMLSensitivity cannot checkpoint backwards in time")
    for cuts in CUTS:
        assert_switches(engine, stops, alg, sensealg, span, cuts)


@pytest.mark.parametrize("span", [(0.0, 2.0), (2.0, 0.0)], ids=str)
@pytest.mark.parametrize(("engine", "stops", "alg", "sensealg"), cases([de.Tsit5()]), ids=repr)
def test_switching_rates_that_no_number_lies_between(engine, stops, alg, sensealg, span):
    if not can_go_along(engine, sensealg, span):
        pytest.skip("SciMLSensitivity cannot checkpoint backwards in time")
    if isinstance(sensealg, de.GaussKronrodAdjoint):
        pytest.skip("Julia halves a step that is not a number for ever, and ends the process")
    assert_switches(engine, stops, alg, sensealg, span, NEIGHBOURS)


# ---- kinks: f is continuous there, its derivative is not


@pytest.mark.parametrize("span", [(-1.0, 1.5), (1.5, -1.0)], ids=str)
@pytest.mark.parametrize(("engine", "stops", "alg", "sensealg"), cases(ALGORITHMS), ids=repr)
def test_kinks(engine, stops, alg, sensealg, span):
    if not can_go_along(engine, sensealg, span):
        pytest.skip("SciMLSensitivity cannot checkpoint backwards in time")

    # one at 0, where the neighbours of a time are subnormal numbers
    def f(u, p, t):
        return (p[0] * t.abs() + p[1] * torch.relu(t - 0.5)) * torch.sin(t) * u

    def integrals(t):
        """Of |t| sin t and of max(t - 1/2, 0) sin t, from 0 on."""
        first = math.sin(t) - t * math.cos(t) if t > 0 else -(math.sin(t) - t * math.cos(t))
        second = (math.sin(t) - (t - 0.5) * math.cos(t)) - math.sin(0.5) if t > 0.5 else 0.0
        return tensor([first, second])

    times = [span[0], (span[0] + 2 * span[1]) / 3, span[1]]
    kinks = [0.0, 0.5] if span[1] > span[0] else [0.5, 0.0]
    u0, p = tensor([0.4, 1.0], grad=True), tensor([0.6, 1.3], grad=True)
    options = {"saveat": times, "abstol": TOL, "reltol": TOL, "sensealg": sensealg, "engine": engine}
    sol = de.solve(de.ODEProblem(f, u0, span, p), alg, **{stops: kinks}, **options)
    exact = torch.stack([u0 * torch.exp((p * (integrals(t) - integrals(span[0]))).sum()) for t in times])
    assert_right(sol.raise_for_status().u, exact, (u0, p), float(exact.detach().max()))


# ---- fixed steps, which no dose fits into

FIXED = (de.Heun(), de.RK4(), de.Tsit5(), de.Rodas4(), de.KenCarp4())


@pytest.mark.parametrize(("engine", "stops", "alg", "sensealg"), cases(FIXED), ids=repr)
def test_fixed_steps_have_their_order_across_jumps(engine, stops, alg, sensealg):
    cuts, times = [0.71, 1.13], [1.0, 2.0]
    u0, p = tensor([0.3, 0.8], grad=True), tensor([1.5, -0.5, 1.0], grad=True)
    right = torch.autograd.grad((pieces_solution(u0, p, cuts, times, 0.0) ** 2).sum(), (u0, p))

    def errors(steps):
        options = {"dt": 2.0 / steps, "adaptive": False, "saveat": times, "abstol": 1e-11, "reltol": 1e-11}
        prob = de.ODEProblem(pieces(cuts), u0, (0.0, 2.0), p)
        sol = de.solve(prob, alg, **{stops: cuts}, **options, sensealg=sensealg, engine=engine)
        found = torch.autograd.grad((sol.u**2).sum(), (u0, p))
        # a step is cut in two at each of the stops, and none is added elsewhere
        assert steps <= sol.stats.naccept <= steps + 3
        return max(float((g - h).abs().max()) for g, h in zip(found, right, strict=True))

    counts = (12, 24, 48)
    # A step that is cut is a shorter one: errors wander by what it adds, less than one step of twelve in the constant.
    # The dense output, which gives the states saved and those that the adjoint sees, is of order 3 for all but Heun's.
    assert -slope(counts, [errors(n) for n in counts]) >= min(alg.order, 4) - 0.3
