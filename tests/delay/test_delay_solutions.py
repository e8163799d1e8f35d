"""Solutions of delay equations: known ones, those of Julia, orders, breaking points."""

import math

import numpy as np
import pytest
import torch
from delayed import TIGHT, end, lotka_volterra, mackey_glass, minus_delayed, reference, solve, tensor

import pydiffeqflux as de

METHODS = (de.BS3(), de.RK4(), de.DP5(), de.Tsit5(), de.Vern7(), de.Rosenbrock23(), de.Rodas4(), de.Rodas5P())


def cosine(p, s):
    return torch.cos(2.0 * s).reshape(1)


# ---- against known and reference solutions


@pytest.mark.parametrize("alg", [de.Tsit5(), de.Vern7(), de.Rodas5P(), de.RadauIIA5()], ids=repr)
@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_piecewise_polynomial_is_solved_to_rounding(alg, direction):
    prob = de.DDEProblem(lambda u, h, p, t: -direction * h(p, t - direction), [1.0], 1.0, (0.0, 3.5 * direction))
    # between breaking points the solution is a polynomial of degree 4, which methods of order 5 have exactly
    assert end(prob, alg, abstol=1e-9, reltol=1e-9) == pytest.approx(minus_delayed(3.5), abs=1e-13)


@pytest.mark.parametrize(("alg", "tol"), [(de.Tsit5(), 1e-8), (de.Vern7(), 1e-10), (de.Rodas5P(), 1e-8)], ids=repr)
def test_mackey_glass(alg, tol):
    ref = reference("mackey_glass_gradient")
    p = tensor([ref["p"]["a"], ref["p"]["b"], ref["p"]["n"], ref["tau"]])
    prob = de.DDEProblem(mackey_glass, tensor([0.5]), 0.5, (0.0, 100.0), p)
    assert abs(float(solve(prob, alg, abstol=tol, reltol=tol).u[-1]) - ref["u_end"]) < 10 * tol


def test_mackey_glass_over_many_delays():
    ref = reference("mackey_glass")
    p = tensor([*ref["p"], 10.0, *ref["lags"]])
    prob = de.DDEProblem(mackey_glass, tensor(ref["u0"]), 0.5, tuple(ref["tspan"]), p, constant_lags=ref["lags"])
    sol = solve(prob, abstol=1e-10, reltol=1e-10, saveat=ref["t"])
    assert float((sol.u - tensor(ref["u"])).abs().max()) < 1e-9


def test_lotka_volterra_with_a_delay():
    ref = reference("delay_lotka_volterra_gradient")
    prob = de.DDEProblem(
        lotka_volterra, tensor([1.0, 1.0]), torch.ones(2), (0.0, 10.0), tensor([*ref["p"], ref["tau"]])
    )
    sol = solve(prob, abstol=1e-11, reltol=1e-11, saveat=0.5)
    assert 0.5 * float(((1 - sol.u) ** 2).sum()) == pytest.approx(ref["loss_value"], abs=1e-9)


def test_a_delay_longer_than_the_span_gives_the_numbers_of_the_ordinary_equation():
    delayed = de.DDEProblem(lambda u, h, p, t: h(p, t - 10.0) - u * u, [1.0], 0.3, (0.0, 2.0))
    ordinary = de.ODEProblem(lambda u, p, t: 0.3 - u * u, [1.0], (0.0, 2.0))
    ours, theirs = solve(delayed, de.Tsit5()), de.solve(ordinary, de.Tsit5())
    assert np.array_equal(ours.t, theirs.t)
    assert np.array_equal(ours.u, theirs.u)


# ---- orders


def measured_order(prob, alg, steps):
    exact = end(prob)
    span = abs(prob.tspan[1] - prob.tspan[0])
    errors = [abs(end(prob, alg, dt=span / n, adaptive=False) - exact) for n in steps]
    return math.log(errors[0] / errors[-1]) / math.log(steps[-1] / steps[0])


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_the_order_is_kept_across_breaking_points(alg):
    # the span is no multiple of the delay: steps are cut at breaking points wherever these lie
    prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 0.7) * u, [1.0], cosine, (0.0, 3.0))
    steps = (12, 24, 48) if alg.order > 5 else (40, 80, 160)
    assert measured_order(prob, alg, steps) > alg.order - 0.2


@pytest.mark.parametrize("alg", [de.Euler(), de.BS3(), de.RK4(), de.Vern7(), de.Rodas5P()], ids=repr)
def test_the_order_is_kept_where_steps_read_from_themselves(alg):
    # u = exp(-t) goes on as its history did, so that it has no kinks; every step is longer than the delay
    growth = math.exp(-0.003)
    prob = de.DDEProblem(
        lambda u, h, p, t: -growth * h(p, t - 0.003),
        [1.0],
        lambda p, s: torch.exp(-s).reshape(1),
        (0.0, 2.0),
        constant_lags=(),
    )
    steps = (4, 8, 16) if alg.order > 4 else (20, 40, 80)
    errors = [abs(end(prob, alg, dt=2.0 / n, adaptive=False) - math.exp(-2.0)) for n in steps]
    assert math.log(errors[0] / errors[-1]) / math.log(steps[-1] / steps[0]) > alg.order - 0.2


def test_steps_end_at_breaking_points_of_several_delays():
    prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 0.3) - h(p, t - 0.5) ** 2, [1.0], 1.0, (0.0, 1.2))
    times = solve(prob, de.RK4(), dt=0.2, adaptive=False).t
    sums = {round(0.3 * i + 0.5 * j, 9) for i in range(5) for j in range(3) if 1 <= i + j <= 4}
    for time in (time for time in sums if time < 1.2):
        assert np.abs(times - time).min() < 1e-12


def test_constant_delays_are_found():
    f = lambda u, h, p, t: -h(p, t - 0.3) - h(p, t - 0.5) ** 2  # noqa: E731
    found, given = (
        solve(de.DDEProblem(f, [1.0], 1.0, (0.0, 3.0), constant_lags=lags), de.Tsit5()) for lags in (None, [0.3, 0.5])
    )
    assert np.abs(found.t - given.t).max() < 1e-14
    assert np.abs(found.u - given.u).max() < 1e-13


def test_unknown_breaking_points_cost_steps_but_no_accuracy():
    f = lambda u, h, p, t: -h(p, t - 0.7) * u  # noqa: E731
    known, unknown = (de.DDEProblem(f, [1.0], cosine, (0.0, 3.0), constant_lags=lags) for lags in (None, ()))
    assert end(unknown, de.Tsit5(), abstol=1e-9, reltol=1e-9) == pytest.approx(end(known), abs=1e-7)


def test_no_step_is_longer_than_the_delay_where_that_is_asked_for():
    prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 0.05), [1.0], 1.0, (0.0, 1.0))
    sol = de.solve(prob, de.MethodOfSteps(de.Tsit5(), constrained=True))
    assert np.diff(sol.t).max() <= 0.05 * (1 + 1e-12)


# ---- delays that vary


def test_a_vanishing_delay():
    # u = exp(-2 t) solves u' = -2 u(t / 2)², whose delay is zero at the start
    lag = lambda u, p, t: t / 2  # noqa: E731
    prob = de.DDEProblem(lambda u, h, p, t: -2 * h(p, t / 2) ** 2, [1.0], 1.0, (0.0, 1.0), dependent_lags=[lag])
    assert end(prob, de.Tsit5(), abstol=1e-10, reltol=1e-10) == pytest.approx(math.exp(-2.0), abs=1e-9)


def state_dependent(*, tracked):
    lag = lambda u, p, t: 1.0 + 0.3 * u[0] ** 2  # noqa: E731
    return de.DDEProblem(
        lambda u, h, p, t: -h(p, t - lag(u, p, t)), [1.0], cosine, (0.0, 6.0), dependent_lags=[lag] if tracked else []
    )


def test_breaking_points_of_state_dependent_delays_are_searched():
    prob = state_dependent(tracked=True)
    sol = solve(prob, de.Tsit5(), abstol=1e-8, reltol=1e-8)
    seen = sol.t - 1.0 - 0.3 * sol.u[:, 0] ** 2
    assert np.abs(seen).min() < 1e-12  # a step ends where the start is seen
    exact = end(prob)
    assert float(sol.u[-1, 0]) == pytest.approx(exact, abs=1e-7)
    assert end(state_dependent(tracked=False)) == pytest.approx(exact, abs=1e-9)


def test_a_neutral_equation():
    def f(u, h, p, t):
        return 0.5 * h(p, t - 1, derivative=1) - u

    prob = de.DDEProblem(f, [1.0], lambda p, s: torch.cos(s).reshape(1), (0.0, 1.0), neutral=True)
    # until t = 1: u' = -sin(t - 1) / 2 - u
    exact = (1 - (math.cos(-1) - math.sin(-1)) / 4) * math.exp(-1) + 0.25
    assert end(prob) == pytest.approx(exact, abs=1e-11)
    later = de.remake(prob, tspan=(0.0, 3.3))
    assert end(later) == pytest.approx(end(later, de.Rodas5P(), abstol=1e-9, reltol=1e-9), abs=1e-8)


# ---- forms of the problem


HISTORIES = {
    "function": lambda p, s: torch.cos(s).reshape(1).expand(2),
    "samples": de.SampledHistory(
        np.linspace(-3, 0.5, 2001), np.cos(np.linspace(-3, 0.5, 2001))[:, None].repeat(2, 1), "cubic"
    ),
}


def test_histories_that_are_the_same_give_the_same_solution():
    f = lambda u, h, p, t: h(p, t - 1.5) - u  # noqa: E731
    past = de.ODEProblem(lambda u, p, t: torch.stack([-torch.sin(t), -torch.sin(t)]), [math.cos(-3.0)] * 2, (-3.0, 0.0))
    histories = {**HISTORIES, "solution": de.solve(past, de.Vern7(), **TIGHT)}
    ends = {name: solve(de.DDEProblem(f, [1.0, 2.0], h, (0.0, 4.0)), **TIGHT).u[-1] for name, h in histories.items()}
    assert np.abs(ends["solution"] - ends["function"]).max() < 1e-10
    # cubic Hermite pieces with slopes of second order: (3.5 / 2000)² of the third derivative, averaged by the equation
    assert np.abs(ends["samples"] - ends["function"]).max() < 1e-6


def test_complex_states_float32_and_batches():
    f = lambda u, h, p, t: 1j * h(p, t - 0.5)  # noqa: E731
    exact = solve(de.DDEProblem(f, np.array([1.0 + 0j]), 1.0, (0.0, 2.0)), **TIGHT).u[-1, 0]
    real = lambda u, h, p, t: torch.stack([-h(p, t - 0.5)[1], h(p, t - 0.5)[0]])  # noqa: E731
    x, y = solve(de.DDEProblem(real, [1.0, 0.0], [1.0, 0.0], (0.0, 2.0)), **TIGHT).u[-1]
    assert abs(exact - (x + 1j * y)) < 1e-11
    batch = torch.rand(3, 2)
    sol = solve(de.DDEProblem(lambda u, h, p, t: -h(p, t - 1.0), batch, batch, (0.0, 2.0)), de.Tsit5(), saveat=[2.0])
    assert sol.u.dtype == torch.float32
    assert torch.allclose(sol.u[0], batch * minus_delayed(2.0), atol=1e-6)


def test_dense_output_and_its_derivative():
    prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 1.0), [1.0], 1.0, (0.0, 2.5))
    sol = solve(prob)
    assert float(sol(1.7)[0]) == pytest.approx(minus_delayed(1.7), abs=1e-12)
    assert float(sol(1.7, derivative=1)[0]) == pytest.approx(-minus_delayed(0.7), abs=1e-12)


def test_the_default_algorithm_and_remake():
    prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 1.0), [1.0], 1.0, (0.0, 3.5))
    sol = de.solve(de.remake(prob, tspan=(0.0, 2.0)), abstol=1e-9, reltol=1e-9)
    assert sol.alg == de.MethodOfSteps()
    assert float(sol.u[-1, 0]) == pytest.approx(minus_delayed(2.0), abs=1e-9)


def test_a_solve_leaves_nothing_for_the_next_one():
    prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 0.2) * (1 + u), [1.0], cosine, (0.0, 2.0))
    first, second = solve(prob, de.Tsit5()), solve(prob, de.Tsit5())
    assert np.array_equal(first.u, second.u)
