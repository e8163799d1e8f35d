import math

import pytest
import torch
from problems import METHODS, tensor

import pydiffeqflux as de

START = 1.6e9  # seconds since 1970


@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P(), None], ids=repr)
def test_a_span_that_single_precision_cannot_step_through_is_refused(alg):
    def f(u, p, t):
        return torch.cos(t - START).expand(1) + 0 * u

    with pytest.raises(de.InvalidProblemError, match="use a float64 state, or shift time"):
        de.solve(de.ODEProblem(f, torch.zeros(1), (START, START + 10.0)), alg)
    exact = math.sin(10.0)
    sol = de.solve(de.ODEProblem(f, tensor([0.0]), (START, START + 10.0)), alg, abstol=1e-6, reltol=1e-6)
    assert abs(sol.u[-1].item() - exact) < 1e-4
    shifted = de.ODEProblem(lambda u, p, t: torch.cos(t).expand(1) + 0 * u, torch.zeros(1), (0.0, 10.0))
    assert abs(de.solve(shifted, alg, abstol=1e-4, reltol=1e-4).u[-1].item() - exact) < 1e-2


@pytest.mark.parametrize("options", [{}, {"dt": 1.0, "adaptive": False}], ids=str)
@pytest.mark.parametrize("span", [(9e8, 9e8 + 1e5), (9e8 + 1e5, 9e8)], ids=str)
def test_steps_that_the_time_cannot_resolve_end_the_solve(span, options):
    # At 1e9 single precision has every 64th time: the span is long enough, the steps are too short.
    prob = de.ODEProblem(lambda u, p, t: torch.cos(t).expand(1) + 0 * u, torch.zeros(1), span)
    sol = de.solve(prob, de.Tsit5(), throw=False, verbose=False, **options)
    assert sol.retcode is de.ReturnCode.UnresolvedTime
    with pytest.raises(de.SolverError, match="use a float64 state, or shift time"):
        sol.raise_for_status()


@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P(), de.KenCarp4()], ids=repr)
def test_small_steps_of_an_autonomous_f_are_no_error(alg):
    # a transient that is faster than the spacing of times
    prob = de.ODEProblem(lambda u, p, t: -1e3 * (u - 2.0), torch.ones(1), (1e5, 1e5 + 10.0))
    sol = de.solve(prob, alg, abstol=1e-4, reltol=1e-4).raise_for_status()
    assert abs(sol.u[-1].item() - 2.0) < 1e-3


def root(u, p, t):
    """u' = sqrt(|u|) + 1 has no derivative at zero."""
    return torch.sqrt(u.abs()) + 1.0


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("alg", [alg for alg in METHODS if alg.is_stiff], ids=repr)
def test_a_jacobian_that_is_not_finite_is_named(alg, adaptive):
    prob = de.ODEProblem(root, tensor([0.0]), (0.0, 1.0))
    sol = de.solve(prob, alg, dt=0.1, adaptive=adaptive, throw=False, verbose=False)
    assert sol.retcode is de.ReturnCode.NonFiniteJacobian
    with pytest.raises(de.SolverError, match="its derivative with respect to u or t is infinite or NaN"):
        sol.raise_for_status()


def test_a_state_that_blows_up_is_not_blamed_on_the_jacobian():
    prob = de.ODEProblem(lambda u, p, t: u**2, tensor([1.0]), (0.0, 2.0))
    sol = de.solve(prob, de.Rodas5P(), throw=False, verbose=False)
    assert sol.retcode not in (de.ReturnCode.Success, de.ReturnCode.NonFiniteJacobian)
