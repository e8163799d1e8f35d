"""Gradients of costs that look at a solution at some times, at its end, or all along, against formulas."""

import numpy as np
import pytest
import torch
from both_engines import clock, engines, engines_adjoints_and, engines_and_adjoints, hopf, hopf_solution
from problems import tensor

import pydiffeqflux as de

pytestmark = pytest.mark.slow

EARLY, LATE = -0.7, 1.1  # across 0
SPANS = [(EARLY, LATE), (LATE, EARLY)]
TOL = 1e-9
# Times as shares of the span: with both ends, without, with one.
SETS = {
    "both ends": [0.0, 0.3, 0.8, 1.0],
    "no end": [0.2, 0.5, 0.9],
    "the start, not the end": [0.0, 0.4, 0.7],
    "the end, not the start": [0.4, 0.7, 1.0],
    "the end alone": [1.0],
    "the start alone": [0.0],
    "one inside": [0.6],
    "close to the ends": [1e-6, 1.0 - 1e-6],
}
ADJOINTS = engines_and_adjoints()


def leaves():
    return tensor([0.5, 0.4], grad=True), tensor([0.6, 1.7], grad=True)


def solve(u0, p, span, engine, sensealg, f=hopf, **options):
    prob = de.ODEProblem(f, u0, span, p)
    return de.solve(prob, de.Vern7(), engine=engine, sensealg=sensealg, **{"abstol": TOL, "reltol": TOL} | options)


def weights(count):
    return torch.arange(1, 2 * count + 1, dtype=torch.float64).reshape(count, 2) / count


def cost(u, w):
    """Different for every component at every time, and with a slope that depends on the states."""
    return (w * u**2).sum() + (w[:, 0] * u[:, 0] * u[:, 1]).sum()


def assert_right(value, exact, inputs, size):
    """The gradients of what was solved and of the formula.

    Ten tolerances each for the forward and the backward solve. They are multiplied by `size`, the sum of the weights
    that states have in the cost, times the first and second derivatives of the states, which are below 4 here
    (growth exp(0.6 * 2.3) of a radius below 1, of an angle 1.7 * 2.3).
    """
    found = torch.autograd.grad(value, inputs)
    expected = torch.autograd.grad(exact, inputs, allow_unused=True)
    for g, h, x in zip(found, expected, inputs, strict=True):
        right = torch.zeros_like(x) if h is None else h
        assert float((g - right).abs().max()) <= 2 * 10 * TOL * 4 * size


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_a_cost_at_some_times(engine, sensealg, name, span):
    times = [span[0] + share * (span[1] - span[0]) if share < 1.0 else span[1] for share in SETS[name]]
    inputs, w = leaves(), weights(len(times))
    sol = solve(*inputs, span, engine, sensealg, saveat=times)
    exact = hopf_solution(*inputs, tensor(times), span[0])
    assert_right(cost(sol.u, w), cost(exact, w), inputs, 3 * float(w.sum()))


# ---- weights that are zero

MASKS = {"the last": [1, 1, 1, 0], "the first": [0, 1, 1, 1], "inside": [1, 0, 0, 1], "all but one": [0, 0, 1, 0]}


@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_a_cost_with_weights_of_zero(engine, sensealg, span):
    shares = SETS["both ends"]
    times = [span[0] + share * (span[1] - span[0]) if share < 1.0 else span[1] for share in shares]
    for mask in MASKS.values():
        inputs, w = leaves(), weights(4) * tensor(mask)[:, None]
        sol = solve(*inputs, span, engine, sensealg, saveat=times)
        exact = hopf_solution(*inputs, tensor(times), span[0])
        assert_right(cost(sol.u, w), cost(exact, w), inputs, 3 * float(w.sum()))


@pytest.mark.parametrize(("engine", "sensealg"), ADJOINTS, ids=repr)
def test_a_cost_of_one_component_alone(engine, sensealg):
    inputs = leaves()
    sol = solve(*inputs, SPANS[0], engine, sensealg, saveat=[0.2, LATE])
    exact = hopf_solution(*inputs, tensor([0.2, LATE]), EARLY)
    assert_right(sol.u[-1, 1], exact[-1, 1], inputs, 1)


# ---- the cost of the end

ENDS = {
    "every step": {},
    "the ends": {"save_everystep": False},
    "the end": {"save_everystep": False, "save_start": False},
    "an interval": {"saveat": 0.5},
    "the end and one outside of the cost": {"saveat": [0.1], "save_end": True},
}


@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_a_cost_at_the_end_however_it_was_saved(engine, sensealg, span):
    w = weights(1)
    for options in ENDS.values():
        inputs = leaves()
        sol = solve(*inputs, span, engine, sensealg, **options)
        exact = hopf_solution(*inputs, tensor([span[1]]), span[0])
        assert_right(cost(sol.u[-1:], w), cost(exact, w), inputs, 3 * float(w.sum()))


# ---- costs all along


def with_cost(u, p, t):
    """The problem with a third state, which collects |u|² on the clock of the problem."""
    state = u[:2]
    return torch.cat([hopf(state, p, t), ((1 + torch.cos(t) / 2) * (state**2).sum()).reshape(1)])


def collected(u0, p, span):
    """The integral of a squared radius that grows logistically."""
    s, r0 = clock(span[1], span[0]), (u0**2).sum()
    return torch.log(1 - r0 + r0 * torch.exp(2 * p[0] * s)) / (2 * p[0])


@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_a_cost_all_along_by_a_state_more(engine, sensealg, span):
    inputs = leaves()
    start = torch.cat([inputs[0], inputs[0].new_zeros(1)])
    sol = solve(start, inputs[1], span, engine, sensealg, f=with_cost, saveat=[span[1]])
    terminal = 3 * sol.u[0, 0]
    exact = collected(*inputs, span)
    # Ten tolerances also for the third state.
    assert abs(sol.u[0, 2].item() - exact.item()) <= 10 * TOL * (1 + abs(exact.item()))
    assert_right(
        sol.u[0, 2] + terminal, exact + 3 * hopf_solution(*inputs, tensor([span[1]]), span[0])[0, 0], inputs, 5
    )


@pytest.mark.parametrize(("engine", "sensealg", "span"), engines_adjoints_and(SPANS), ids=repr)
def test_a_cost_all_along_by_quadrature_of_saved_states(engine, sensealg, span):
    # With 14 Gauss points the quadrature of this integrand is exact to 1e-12, which is far below the tolerance.
    nodes, factors = (tensor(x.tolist()) for x in np.polynomial.legendre.leggauss(14))
    middle, half = (span[0] + span[1]) / 2, (span[1] - span[0]) / 2
    times = middle + half * nodes
    inputs = leaves()
    sol = solve(*inputs, span, engine, sensealg, saveat=times)
    integral = (half * factors * (1 + torch.cos(times) / 2) * (sol.u**2).sum(1)).sum()
    assert_right(integral, collected(*inputs, span), inputs, 3 * 2 * abs(half))


# ---- what a gradient is asked for


@pytest.mark.parametrize(("engine", "sensealg"), ADJOINTS, ids=repr)
def test_some_of_the_inputs_require_a_gradient(engine, sensealg):
    times = [EARLY, 0.1, LATE]
    w = weights(3)

    def f(u, p, t):
        return hopf(u, torch.stack([p["a"], p["w"]]), t)

    for wanted in ("u0", "a", "w", "u0 a", "a w", "u0 w"):
        values = {"u0": [0.5, 0.4], "a": 0.6, "w": 1.7}
        x = {name: tensor(value, grad=name in wanted.split()) for name, value in values.items()}
        sol = solve(x["u0"], {"a": x["a"], "w": x["w"]}, SPANS[0], engine, sensealg, f=f, saveat=times)
        exact = hopf_solution(x["u0"], torch.stack([x["a"], x["w"]]), tensor(times), EARLY)
        inputs = tuple(x[name] for name in wanted.split())
        assert_right(cost(sol.u, w), cost(exact, w), inputs, 3 * float(w.sum()))


@pytest.mark.parametrize("engine", engines())
def test_the_whole_jacobian_row_by_row(engine):
    times = [EARLY, 0.1, LATE]
    inputs = leaves()
    sol = solve(*inputs, SPANS[0], engine, None, saveat=times)
    exact = hopf_solution(*inputs, tensor(times), EARLY)
    for value, right in zip(sol.u.flatten(), exact.flatten(), strict=True):
        for g, h in zip(
            torch.autograd.grad(value, inputs, retain_graph=True),
            torch.autograd.grad(right, inputs, retain_graph=True, allow_unused=True),
            strict=True,
        ):
            assert float((g - h).abs().max()) <= 2 * 10 * TOL * 4


@pytest.mark.julia
@pytest.mark.parametrize("alg", [de.Rodas5P(), de.KenCarp4(), de.AutoTsit5(de.Rodas5P()), None], ids=repr)
@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(checkpointing=True), de.GaussKronrodAdjoint(checkpointing=True)])
def test_checkpoints_of_implicit_methods_are_refused_where_they_would_fail(sensealg, alg):
    prob = de.ODEProblem(hopf, leaves()[0], SPANS[0], leaves()[1])
    with pytest.raises(de.UnsupportedError, match="cannot checkpoint"):
        de.solve(prob, alg, saveat=[LATE], sensealg=sensealg, engine="julia")
