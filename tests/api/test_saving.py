import math

import numpy as np
import pytest
import torch
from problems import METHODS, decay, tensor

import pydiffeqflux as de

PROB = de.ODEProblem(decay, tensor([1.0, 2.0]), (0.0, 1.0))


def times(**options):
    return de.solve(PROB, de.Tsit5(), dt=0.25, adaptive=False, **options).t.tolist()


def test_every_step_by_default():
    assert times() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_save_start_and_save_end():
    assert times(save_start=False) == [0.25, 0.5, 0.75, 1.0]
    assert times(save_everystep=False) == [0.0, 1.0]
    assert times(save_everystep=False, save_start=False) == [1.0]
    assert times(save_everystep=False, save_end=False) == [0.0]


def test_nothing_saved_is_an_empty_solution():
    sol = de.solve(PROB, save_everystep=False, save_start=False, save_end=False)
    assert sol.u.shape == (0, 2)
    assert sol.t.shape == (0,)


@pytest.mark.parametrize(
    ("saveat", "expected"),
    [
        (0.25, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (0.4, [0.0, 0.4, 0.8, 1.0]),
        (7, [0.0, 1.0]),
        (np.float32(0.5), [0.0, 0.5, 1.0]),
        (torch.tensor(0.5), [0.0, 0.5, 1.0]),
        ([0.3], [0.3]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([0.5, 0.75], [0.5, 0.75]),
    ],
    ids=str,
)
def test_saveat(saveat, expected):
    assert de.solve(PROB, saveat=saveat).t.tolist() == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"saveat": 0.5, "save_start": False}, [0.5, 1.0]),
        ({"saveat": 0.5, "save_end": False}, [0.0, 0.5]),
        ({"saveat": [0.0, 0.5, 1.0], "save_start": False, "save_end": False}, [0.5]),
        ({"saveat": [0.5], "save_start": False, "save_end": False}, [0.5]),
        ({"saveat": [0.5], "save_start": True}, [0.0, 0.5]),
        ({"saveat": [0.5], "save_end": True}, [0.5, 1.0]),
        ({"saveat": [0.0, 1.0], "save_start": False, "save_end": False}, []),
    ],
    ids=str,
)
def test_save_start_and_save_end_count_with_saveat(options, expected):
    assert de.solve(PROB, de.Tsit5(), **options).t.tolist() == expected
    backwards = expected[::-1]
    ends = {"save_start": "save_end", "save_end": "save_start"}
    options = {ends.get(name, name): value for name, value in options.items()}
    if isinstance(options["saveat"], list):
        options["saveat"] = options["saveat"][::-1]
    assert de.solve(de.remake(PROB, tspan=(1.0, 0.0)), de.Tsit5(), **options).t.tolist() == backwards


def test_saveat_does_not_change_the_steps():
    one, other = de.solve(PROB, de.Tsit5(), saveat=0.001), de.solve(PROB, de.Tsit5())
    assert one.stats.naccept == other.stats.naccept
    assert torch.equal(one.u[-1], other.u[-1])


def test_an_interval_backwards_in_time():
    sol = de.solve(de.remake(PROB, tspan=(1.0, 0.0)), saveat=0.4)
    assert np.allclose(sol.t.tolist(), [1.0, 0.6, 0.2, 0.0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_tstops_are_step_ends(alg):
    sol = de.solve(PROB, alg, tstops=[0.3, 1 / 3], dt=0.25)
    assert {0.3, 1 / 3, 1.0} <= set(sol.t.tolist())


def test_tstops_resolve_a_discontinuity():
    # A jump of f inside of a step would cost rejected steps; at its end it costs an error within ten tolerances.
    prob = de.ODEProblem(lambda u, p, t: torch.where(t < 0.5, 1.0, -1.0) + 0 * u, tensor([0.0]), (0.0, 1.0))
    sol = de.solve(prob, de.Tsit5(), tstops=[0.5])
    assert abs(sol(0.5).item() - 0.5) <= 10 * (1e-6 + 1e-3 * 0.5)
    assert sol.stats.nreject < de.solve(prob, de.Tsit5()).stats.nreject


def test_dtmax_bounds_the_steps():
    assert float(de.solve(PROB, de.Tsit5(), dtmax=0.05).t.diff().max()) <= 0.05 * (1 + 1e-12)


def test_dt_is_the_first_step():
    assert de.solve(PROB, de.Tsit5(), dt=1e-3).t[1].item() == 1e-3


def test_a_fixed_step_may_not_divide_the_span():
    assert np.allclose(de.solve(PROB, de.RK4(), dt=0.3).t.tolist(), [0.0, 0.3, 0.6, 0.9, 1.0], atol=1e-15)


@pytest.mark.parametrize("steps", [3, 7, 49, 96, 1000, 10_000])
def test_fixed_steps_that_divide_the_span(steps):
    assert de.solve(PROB, de.Euler(), dt=1.0 / steps, save_everystep=False).stats.naccept == steps


def test_the_end_is_exact_far_from_zero():
    sol = de.solve(de.ODEProblem(decay, tensor([1.0]), (1e6, 1e6 + 0.1)), de.Tsit5())
    assert sol.t[-1].item() == 1e6 + 0.1
    assert sol.stats.naccept < 20


def test_dense_output_by_default_without_saveat_only():
    assert torch.allclose(de.solve(PROB, abstol=1e-9, reltol=1e-9)(0.5), PROB.u0 * math.exp(-0.5), rtol=1e-7)
    for options in ({"saveat": 0.5}, {"save_everystep": False}, {"dense": False}):
        with pytest.raises(de.InvalidOptionError, match="dense=True"):
            de.solve(PROB, **options)(0.5)
    assert de.solve(PROB, saveat=0.5, dense=True)(0.3).shape == (2,)


def test_dense_output_is_exact_at_the_steps():
    sol = de.solve(PROB, de.Vern7())
    assert torch.equal(sol(sol.t), sol.u)


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_derivatives_of_the_dense_output(alg):
    sol = de.solve(PROB, alg, dt=0.02, adaptive=False, abstol=1e-12, reltol=1e-12)
    # One power of dt less than the solution, whose order is at least one and whose derivatives are all of size 2.
    assert torch.allclose(sol(0.513, derivative=1), -sol(0.513), atol=0.02)
    h = 1e-4  # within the step from 0.50 to 0.52
    quotient = (sol(0.513 + h) - sol(0.513 - h)) / (2 * h)
    assert torch.allclose(sol(0.513, derivative=1), quotient, atol=1e-6)


@pytest.mark.parametrize(
    ("t", "options", "message"),
    [
        (1.5, {}, r"t = 1.5 is outside of what was solved, \[0.0, 1.0\]"),
        (-0.1, {}, "outside"),
        (math.nan, {}, "outside"),
        ([0.1, 2.0], {}, "t = 2.0 is outside"),
        ([], {}, "number or a list of numbers"),
        ([[0.1]], {}, "number or a list of numbers"),
        (0.5, {"derivative": -1}, "derivative is -1"),
    ],
    ids=str,
)
def test_bad_times(t, options, message):
    with pytest.raises(de.InvalidOptionError, match=message):
        de.solve(PROB)(t, **options)


@pytest.mark.parametrize("t", [[0.5, 0.1], (0.5, 0.1), np.array([0.5, 0.1]), torch.tensor([0.5, 0.1])], ids=repr)
def test_times_in_any_container_and_order(t):
    sol = de.solve(PROB)
    assert torch.allclose(sol(t), torch.stack([sol(0.5), sol(0.1)]), rtol=1e-6)
