import math
import warnings

import pytest
import torch
from problems import ADAPTIVE, EXPLICIT, decay, tensor

import pydiffeqflux as de

ONE = tensor([1.0])
CODE = de.ReturnCode


def explode(u, p, t):
    """u' = u^2 from 1 is infinite at t = 1."""
    return u * u


def assert_next_solve_works(alg):
    sol = de.solve(de.ODEProblem(decay, ONE, (0.0, 1.0)), alg, dt=0.1)
    assert sol.retcode is CODE.Success
    assert sol.retcode.success


@pytest.mark.parametrize("alg", [*ADAPTIVE, None], ids=repr)
def test_maxiters(alg):
    prob = de.ODEProblem(lambda u, p, t: torch.cos(20 * t) + 0 * u, ONE, (0.0, 100.0))
    with pytest.warns(de.SolveWarning, match="MaxIters after 7 steps: raise maxiters"):
        sol = de.solve(prob, alg, maxiters=7, throw=False)
    assert sol.retcode is CODE.MaxIters
    assert sol.stats.naccept + sol.stats.nreject == 7
    assert 0.0 < sol.t[-1].item() < 100.0
    assert len(sol.t) == len(sol.u)
    assert_next_solve_works(alg)


@pytest.mark.parametrize("alg", [*ADAPTIVE, None], ids=repr)
def test_finite_time_blow_up(alg):
    # The Newton iteration of implicit Runge-Kutta methods is the first to fail there.
    newton = [CODE.ConvergenceFailure] if alg is not None and alg.is_stiff and not alg.mass_matrix else []
    with pytest.warns(de.SolveWarning, match=r"(DtLessThanMin|Unstable|ConvergenceFailure)"):
        sol = de.solve(de.ODEProblem(explode, ONE, (0.0, 2.0)), alg, maxiters=20_000, throw=False)
    assert sol.retcode in [CODE.DtLessThanMin, CODE.Unstable, *newton]
    # Everything saved is finite and of before the singularity, which low orders see a little late.
    assert bool(torch.isfinite(sol.u).all())
    assert 0.9 < sol.t[-1].item() < 1.1
    assert_next_solve_works(alg)


@pytest.mark.parametrize("alg", EXPLICIT, ids=repr)
def test_fixed_steps_that_overflow(alg):
    prob = de.ODEProblem(lambda u, p, t: u**3, tensor([1e3]), (0.0, 100.0))
    with pytest.warns(de.SolveWarning, match="Unstable"):
        sol = de.solve(prob, alg, dt=1.0, adaptive=False, throw=False)
    assert sol.retcode is CODE.Unstable
    assert bool(torch.isfinite(sol.u).all())
    assert_next_solve_works(alg)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("alg", [*ADAPTIVE, None], ids=repr)
def test_f_that_becomes_nan(alg, bad):
    with pytest.warns(de.SolveWarning, match="Unstable"):
        sol = de.solve(de.ODEProblem(lambda u, p, t: torch.where(t < 0.5, -u, bad), ONE, (0.0, 1.0)), alg, throw=False)
    assert sol.retcode is CODE.Unstable
    assert sol.t[-2].item() < 0.5  # the last stage of some methods is before the end of the step
    assert bool(torch.isfinite(sol.u).all())
    assert_next_solve_works(alg)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("alg", [*ADAPTIVE, None], ids=repr)
def test_f_that_is_nan_from_the_start(alg, bad):
    with pytest.warns(de.SolveWarning, match="InitialFailure"):
        sol = de.solve(de.ODEProblem(lambda u, p, t: u * bad, ONE, (0.0, 1.0)), alg, throw=False)
    assert sol.retcode is CODE.InitialFailure
    assert sol.t.tolist() == [0.0]
    assert_next_solve_works(alg)


@pytest.mark.parametrize("alg", [*ADAPTIVE, None], ids=repr)
def test_dtmin(alg):
    prob = de.ODEProblem(lambda u, p, t: -1000 * (u - torch.cos(50 * t)), ONE, (0.0, 1.0))
    with pytest.warns(de.SolveWarning, match="DtLessThanMin"):
        sol = de.solve(prob, alg, dtmin=0.2, abstol=1e-9, reltol=1e-9, throw=False)
    assert sol.retcode is CODE.DtLessThanMin
    assert_next_solve_works(alg)


@pytest.mark.parametrize("options", [{}, {"saveat": 0.25}], ids=repr)
def test_a_solve_that_fails_raises(options):
    tight = {"abstol": 1e-8, "reltol": 1e-8}
    with pytest.raises(de.SolverError, match=r"ended with (DtLessThanMin|Unstable) after") as caught:
        de.solve(de.ODEProblem(explode, ONE, (0.0, 2.0)), de.Tsit5(), **options, **tight)
    sol = caught.value.solution
    assert sol.retcode is caught.value.retcode
    assert not sol.retcode.success
    assert torch.allclose(sol.u[:3, 0], 1 / (1 - sol.t[:3]), rtol=1e-6)
    network = torch.nn.Linear(1, 1).double()
    torch.nn.init.constant_(network.weight, 1e6)
    with pytest.raises(de.SolverError, match="MaxIters"):
        de.NeuralODE(network, (0.0, 1.0), de.Tsit5(), maxiters=3)(ONE)


def test_a_failure_can_be_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sol = de.solve(de.ODEProblem(explode, ONE, (0.0, 2.0)), de.Tsit5(), throw=False, verbose=False)
    assert not sol.retcode.success


def test_a_warning_points_to_the_caller():
    with pytest.warns(de.SolveWarning) as caught:
        de.solve(de.ODEProblem(explode, ONE, (0.0, 2.0)), de.Tsit5(), throw=False)
    assert caught[0].filename == __file__


def test_raise_for_status():
    sol = de.solve(de.ODEProblem(explode, ONE, (0.0, 2.0)), de.Tsit5(), throw=False, verbose=False)
    with pytest.raises(de.SolverError, match=sol.retcode.name) as caught:
        sol.raise_for_status()
    assert caught.value.retcode is sol.retcode
    good = de.solve(de.ODEProblem(decay, ONE, (0.0, 1.0)))
    assert good.raise_for_status() is good


def test_a_failed_solve_with_saveat_holds_what_was_reached():
    sol = de.solve(
        de.ODEProblem(explode, ONE, (0.0, 2.0)),
        de.Tsit5(),
        saveat=0.25,
        throw=False,
        verbose=False,
        abstol=1e-8,
        reltol=1e-8,
    )
    assert sol.t.tolist()[:4] == [0.0, 0.25, 0.5, 0.75]
    assert torch.allclose(sol.u[:4, 0], 1 / (1 - sol.t[:4]), rtol=1e-6)


def test_a_failed_solve_can_be_evaluated_where_it_got_to():
    sol = de.solve(
        de.ODEProblem(explode, ONE, (0.0, 2.0)), de.Tsit5(), throw=False, verbose=False, abstol=1e-8, reltol=1e-8
    )
    assert abs(sol(0.5).item() - 2.0) < 1e-6
    with pytest.raises(de.InvalidOptionError, match="outside of what was solved"):
        sol(1.5)


def test_a_solve_that_failed_at_once_cannot_be_evaluated():
    sol = de.solve(de.ODEProblem(lambda u, p, t: u * math.nan, ONE, (0.0, 1.0)), de.Tsit5(), throw=False, verbose=False)
    with pytest.raises(de.InvalidOptionError, match="outside of what was solved"):
        sol(0.5)


@pytest.mark.parametrize("code", list(CODE))
def test_every_code_has_a_remedy(code):
    assert code.success == (code is CODE.Success)
    assert bool(code.remedy) != code.success
