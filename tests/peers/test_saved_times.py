"""What is saved does not depend on the direction of time, nor on what else is saved."""

import math

import pytest
import torch
from both_engines import engines_adjoints_and, engines_and, hopf, hopf_solution, on
from problems import ADAPTIVE, METHODS, smooth, smooth_solution, tensor

import pydiffeqflux as de

T0, T1 = -1.0, 1.5  # across 0
SPANS = [(T0, T1), (T1, T0), (-2.5, -0.5), (-0.5, -2.5)]


def tolerance(alg):
    """What a method is used with in practice: the cost of one of order q grows like tol^(-1/q)."""
    return 1e-8 if alg is None or alg.order > 3 else 1e-5 if alg.order > 2 else 1e-4


def solve(span, alg, engine, **options):
    return de.solve(de.ODEProblem(smooth, smooth_solution(span[0]), span), alg, engine=engine, **options)


@pytest.mark.parametrize(("engine", "alg"), engines_and([*ADAPTIVE, None]), ids=repr)
def test_forwards_and_backwards_have_the_same_states_at_the_same_times(engine, alg):
    times = [T0, -0.7, -0.1, 0.0, 0.1, 1.3, T1]
    tol = tolerance(alg)
    there = solve((T0, T1), alg, engine, saveat=times, abstol=tol, reltol=tol)
    back = solve((T1, T0), alg, engine, saveat=times[::-1], abstol=tol, reltol=tol)
    assert there.t.tolist() == back.t.tolist()[::-1] == times
    # Ten tolerances each, see the order tests for the size of the solution.
    assert float((there.u - back.u.flip(0)).abs().max()) <= 2 * 10 * tol * 4


def sets_of_times(t0, t1):
    """Save points that are hard for some reason, in the direction of integration."""
    first, last = math.nextafter(t0, t1), math.nextafter(t1, t0)
    middle = (t0 + t1) / 2
    return {
        "both ends": [t0, middle, t1],
        "no end": [t0 + (t1 - t0) / 8, middle],
        "the start": [t0],
        "the end": [t1],
        "one point": [middle],
        "two neighbours": [middle, math.nextafter(middle, t1)],
        "neighbours of the ends": [t0, first, last, t1],
        "neighbours of the ends without these": [first, last],
        "close to the ends": [t0 + 1e-9 * (t1 - t0), t1 - 1e-9 * (t1 - t0)],
    }


@pytest.mark.parametrize("span", SPANS, ids=str)
@pytest.mark.parametrize(
    ("engine", "alg"), engines_and([de.Tsit5(), de.Vern7(), de.Rodas5P(), de.KenCarp4(), None]), ids=repr
)
def test_any_save_points(engine, alg, span):
    tol = 1e-7
    for name, times in sets_of_times(*span).items():
        sol = solve(span, alg, engine, saveat=times, abstol=tol, reltol=tol)
        assert sol.retcode.success, name
        assert sol.t.tolist() == times, name
        assert float((sol.u - smooth_solution(times)).abs().max()) <= 10 * tol * 4, name
        if times[0] == span[0]:
            assert torch.equal(sol.u[0], smooth_solution(span[0])), name


@pytest.mark.parametrize("span", SPANS[:2], ids=str)
@pytest.mark.parametrize(("engine", "alg"), engines_and([*METHODS, None]), ids=repr)
def test_a_state_does_not_depend_on_what_else_is_saved(engine, alg, span):
    t0, t1 = span
    at = 0.3
    tol = tolerance(alg)
    fixed = {} if alg is None or alg.is_adaptive else {"dt": 0.1}
    options = {"abstol": tol, "reltol": tol, **fixed}
    inside = [t for t in torch.linspace(t0, t1, 41, dtype=torch.float64).tolist() if abs(t - at) > 1e-3]
    many = sorted([*inside, at], reverse=t1 < t0)
    found = []
    for times in ([at, t1], [t0, at, t1], many):
        sol = solve(span, alg, engine, saveat=times, **options)
        found.append((torch.stack([sol.u[times.index(at)], sol.u[-1]]), sol.stats.naccept, sol.stats.nreject))
    for states, *steps in found[1:]:
        if isinstance(alg, de.KenCarp4):
            # its dense output is less accurate than its steps, which therefore end at save points: within tolerances
            assert float((states - found[0][0]).abs().max()) <= 2 * 10 * tol * 4
            continue
        # not even by rounding: no step ends anywhere else
        assert torch.equal(states, found[0][0])
        assert steps == list(found[0][1:])


@pytest.mark.parametrize("span", SPANS, ids=str)
@pytest.mark.parametrize(("engine", "kind"), [on(e, k) for e in ("embedded", "julia") for k in ("saveat", "tstops")])
def test_times_in_no_order_are_refused_in_both_directions(engine, kind, span):
    t0, t1 = span
    direction = "increase" if t1 > t0 else "decrease"
    middle, later = t0 + 0.3 * (t1 - t0), t0 + 0.6 * (t1 - t0)
    for times in ([later, middle], [middle, middle], [t0, later, middle, t1], [t1, t0], [t0, t0, t1]):
        with pytest.raises(de.InvalidOptionError, match=f"{kind} must strictly {direction}"):
            solve(span, de.Tsit5(), engine, **{kind: times})


@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and([(T1, T0)]), ids=repr)
def test_there_and_back_again_is_the_identity_and_so_is_its_derivative(engine, sensealg, span):
    tol = 1e-9
    u0, p = tensor([0.5, 0.3], grad=True), tensor([0.4, 1.3], grad=True)
    options = {"abstol": tol, "reltol": tol, "sensealg": sensealg, "engine": engine}
    there = de.solve(de.ODEProblem(hopf, u0, (T0, T1), p), de.Vern7(), saveat=[T1], **options).u[0]
    back = de.solve(de.ODEProblem(hopf, there, span, p), de.Vern7(), saveat=[T0], **options).u[0]
    growth = float(torch.linalg.matrix_norm(torch.autograd.functional.jacobian(
        lambda u: hopf_solution(u, p.detach(), T0, T1), there.detach()), 2))  # fmt: skip
    # Ten tolerances each way, those of the way there multiplied on the way back.
    assert float((back - u0).detach().abs().max()) <= 10 * tol * (1 + growth)
    for i in range(2):
        du0, dp = torch.autograd.grad(back[i], (u0, p), retain_graph=True)
        # Four solves now; a gradient with respect to p is an integral over the span, of two parts that cancel.
        assert float((du0 - torch.eye(2, dtype=torch.float64)[i]).abs().max()) <= 4 * 10 * tol * (1 + growth)
        assert float(dp.abs().max()) <= 4 * 10 * tol * (1 + growth) * (T1 - T0)
