"""The options of `solve` on the julia engine."""

import io
import math
from contextlib import redirect_stderr

import numpy as np
import pytest
import torch
from problems import decay, lotka_volterra, smooth, smooth_solution, tensor
from sources import SOURCES

import pydiffeqflux as de

pytestmark = [pytest.mark.julia, pytest.mark.slow]
SOURCE = de.JuliaSource("(du, u, p, t) -> (du .= -u; nothing)")
PROBLEMS = {
    "source": de.ODEProblem(SOURCE, tensor([1.0, 2.0]), (0.0, 1.0)),
    "callback": de.ODEProblem(decay, tensor([1.0, 2.0]), (0.0, 1.0)),
}
TIGHT = {"abstol": 1e-10, "reltol": 1e-10}


def solve(kind="source", alg=None, tspan=(0.0, 1.0), **options):
    compiled = {"compile": False} if kind == "callback" else {}
    return de.solve(de.remake(PROBLEMS[kind], tspan=tspan), alg or de.Tsit5(), engine="julia", **compiled, **options)


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"save_start": False}, [0.25, 0.5, 0.75, 1.0]),
        ({"save_end": False}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"save_everystep": False}, [0.0, 1.0]),
        ({"save_everystep": False, "save_start": False}, [1.0]),
        ({"save_everystep": False, "save_end": False}, [0.0]),
        ({"save_everystep": False, "save_start": False, "save_end": False}, []),
        ({"saveat": 0.4}, [0.0, 0.4, 0.8, 1.0]),
        ({"saveat": 7}, [0.0, 1.0]),
        ({"saveat": [0.3]}, [0.3]),
        ({"saveat": [0.3, 0.9], "dense": True}, [0.3, 0.9]),
        ({"saveat": [0.0, 0.5]}, [0.0, 0.5]),
        ({"saveat": np.array([0.5, 1.0]), "dense": True}, [0.5, 1.0]),
    ],
    ids=str,
)
def test_saved_times(kind, options, expected):
    sol = solve(kind, dt=0.25, adaptive=False, **options)
    assert sol.t.tolist() == expected
    assert sol.u.shape == (len(expected), 2)
    # an order of 5: the error of a step of 0.25 is below 0.25^6 / 6!, some 1e-6 over the span
    assert torch.allclose(sol.u, torch.exp(-sol.t)[:, None] * tensor([1.0, 2.0]), rtol=1e-5)


def test_backwards_in_time():
    for options, expected in (
        ({"saveat": 0.4}, [1.0, 0.6, 0.2, 0.0]),
        ({"dt": 0.3, "adaptive": False}, [1.0, 0.7, 0.4, 0.1, 0.0]),
        ({"tstops": [0.5], "save_everystep": True, "dt": 1e-2, "dtmax": 1.0}, None),
    ):
        sol = solve(tspan=(1.0, 0.0), **options)
        if expected is None:
            assert 0.5 in sol.t.tolist()
            assert abs(sol.t[1].item() - 0.99) < 1e-15
        else:
            assert np.allclose(sol.t.tolist(), expected, rtol=0, atol=1e-15)
        assert sol.u[-1] == pytest.approx([math.e, 2 * math.e], rel=1e-2)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_steps(kind):
    assert {0.3, 1 / 3, 1.0} <= set(solve(kind, tstops=[0.3, 1 / 3]).t.tolist())
    assert float(solve(kind, dtmax=0.05).t.diff().max()) <= 0.05 * (1 + 1e-12)
    assert solve(kind, dt=1e-3).t[1].item() == 1e-3
    assert solve(kind, alg=de.Euler(), dt=0.125).stats.naccept == 8
    with pytest.raises(de.InvalidOptionError, match="needs a step size"):
        solve(kind, alg=de.Euler())
    with pytest.raises(de.InvalidOptionError, match="needs a step size"):
        solve(kind, adaptive=False)


def test_methods_with_a_coarse_dense_output_stop_where_they_save():
    # else the error of a cubic over steps of 0.3 would be that of the saved states: 1e-3 at a tolerance of 1e-6
    prob = de.ODEProblem(smooth, smooth_solution(0.0), (0.0, 2.0))
    for alg in (de.TsitPap8(), de.KenCarp47()):
        sol = de.solve(prob, alg, saveat=0.25, abstol=1e-6, reltol=1e-6, engine="julia", compile=False)
        assert float((sol.u - smooth_solution(sol.t)).abs().max()) < 10 * 1e-6 * 3


# ---- return codes


def test_maxiters():
    with pytest.warns(de.SolveWarning, match="MaxIters after 7 steps: raise maxiters"):
        sol = solve(maxiters=7, dtmax=0.01, throw=False)
    assert sol.retcode is de.ReturnCode.MaxIters
    assert 0.0 < sol.t[-1].item() < 1.0
    with pytest.raises(de.SolverError, match="MaxIters"):
        sol.raise_for_status()


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P(), None], ids=repr)
def test_blow_up(kind, alg):
    # u' = u^2 from 1 is infinite at t = 1
    f = de.JuliaSource("(u, p, t) -> u .^ 2") if kind == "source" else lambda u, p, t: u * u
    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 2.0))
    compiled = {"compile": False} if kind == "callback" else {}
    with pytest.warns(de.SolveWarning):
        sol = de.solve(
            prob, alg, saveat=0.25, abstol=1e-8, reltol=1e-8, maxiters=20_000, engine="julia", **compiled, throw=False
        )
    assert sol.retcode in (de.ReturnCode.DtLessThanMin, de.ReturnCode.Unstable, de.ReturnCode.MaxIters)
    assert sol.t.tolist()[:4] == [0.0, 0.25, 0.5, 0.75]
    assert torch.allclose(sol.u[:4, 0], 1 / (1 - sol.t[:4]), rtol=1e-6)


def test_dtmin():
    f = de.JuliaSource("(u, p, t) -> -1000 .* (u .- cos(50t))")
    with pytest.warns(de.SolveWarning, match="DtLessThanMin"):
        sol = de.solve(
            de.ODEProblem(f, tensor([1.0]), (0.0, 1.0)), de.Tsit5(), dtmin=0.2, engine="julia", **TIGHT, throw=False
        )
    assert sol.retcode is de.ReturnCode.DtLessThanMin


@pytest.mark.parametrize("code", ["(u, p, t) -> u .* NaN", "(u, p, t) -> t < 0.5 ? -u : u .* NaN"])
def test_a_derivative_that_is_nan(code):
    prob = de.ODEProblem(de.JuliaSource(code), tensor([1.0]), (0.0, 1.0))
    with pytest.warns(de.SolveWarning):
        sol = de.solve(prob, de.Tsit5(), engine="julia", throw=False)
    assert not sol.retcode.success
    assert bool(torch.isfinite(sol.u).all())


def test_a_failed_solve_has_no_gradient():
    u0 = tensor([1.0], grad=True)
    prob = de.ODEProblem(de.JuliaSource("(u, p, t) -> u .^ 2"), u0, (0.0, 2.0))
    sol = de.solve(prob, de.Tsit5(), engine="julia", throw=False, verbose=False)
    with pytest.raises(de.SolverError, match="cannot differentiate"):
        sol.u.sum().backward()


# ---- what is given back


@pytest.mark.parametrize("kind", PROBLEMS)
def test_statistics(kind):
    explicit = solve(kind).stats
    # the six new stages of a step, and some for the first one and its size, and for finding parameters
    assert 6 * (explicit.naccept + explicit.nreject) <= explicit.nf <= 6 * (explicit.naccept + explicit.nreject) + 6
    assert (explicit.njac, explicit.nsolve, explicit.nw) == (0, 0, 0)
    implicit = solve(kind, alg=de.Rodas5P()).stats
    steps = implicit.naccept + implicit.nreject
    assert implicit.naccept > 0
    assert 0 < implicit.njac <= steps
    assert steps <= implicit.nw <= 2 * steps
    assert implicit.nsolve >= 8 * implicit.naccept


def test_the_callback_counts_evaluations_as_julia_does():
    prob = de.ODEProblem(lotka_volterra, tensor([1.0, 1.0]), (0.0, 5.0), tensor([1.5, 1.0, 3.0]))
    called = de.solve(prob, de.Tsit5(), engine="julia", compile=False).stats
    source = de.solve(de.remake(prob, f=SOURCES["lotka_volterra"]), de.Tsit5(), engine="julia").stats
    assert (called.naccept, called.nreject) == (source.naccept, source.nreject)
    # Python's count includes the calls that look for parameters, at three times
    assert called.nf == source.nf + 3


def test_numpy_in_and_out():
    sol = de.solve(de.ODEProblem(SOURCE, [1.0, 2.0], (0.0, 1.0)), de.Tsit5(), saveat=0.5, engine="julia")
    assert isinstance(sol.u, np.ndarray)
    assert isinstance(sol.t, np.ndarray)
    assert sol.u.dtype == np.float64
    single = de.solve(de.ODEProblem(SOURCE, np.ones((3, 2), np.float32), (0.0, 1.0)), de.Tsit5(), engine="julia")
    assert single.u.dtype == single.t.dtype == np.float32
    assert isinstance(single(0.5), np.ndarray)
    assert single(0.5).shape == (3, 2)


@pytest.mark.parametrize("shape", [(), (3,), (4, 3)])
def test_shapes(shape):
    u0 = torch.rand(shape, dtype=torch.float64) + 1
    sol = de.solve(de.remake(PROBLEMS["source"], u0=u0), de.Vern7(), engine="julia", **TIGHT)
    assert sol.u.shape == (len(sol.t), *shape)
    assert sol(0.5).shape == shape
    assert sol([0.5, 0.1]).shape == (2, *shape)
    assert torch.allclose(sol.u[-1], u0 * math.exp(-1), rtol=1e-9)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_dense_output(kind):
    sol = solve(kind, **TIGHT)
    times = tensor([0.9, 0.1, 0.513])
    exact = torch.exp(-times)[:, None] * tensor([1.0, 2.0])
    assert torch.allclose(sol(times), exact, rtol=1e-8)
    # a derivative loses a power of the step, which is about 1e-2 here
    assert torch.allclose(sol(times, derivative=1), -exact, rtol=1e-6)
    assert torch.allclose(sol(times, derivative=2), exact, rtol=1e-3)
    # interpolated at the end of a step, up to rounding
    assert torch.allclose(sol(sol.t), sol.u, rtol=1e-14)
    with pytest.raises(de.InvalidOptionError, match="degree"):
        sol(0.5, derivative=9)
    with pytest.raises(de.InvalidOptionError, match="outside"):
        sol(1.5)
    with pytest.raises(de.InvalidOptionError, match="dense=True"):
        solve(kind, saveat=0.5)(0.5)


def test_tolerances_by_component():
    f = de.JuliaSource("(du, u, p, t) -> (du[1] = u[2]; du[2] = -u[1]; du[3] = -u[3]; nothing)")
    prob = de.ODEProblem(f, tensor([1.0, 0.0, 1.0]), (0.0, 10.0))
    tight = torch.tensor([1e-10, 1e-10, 1e-1])
    mixed = de.solve(prob, de.Tsit5(), abstol=tight, reltol=tight, engine="julia")
    loose = de.solve(prob, de.Tsit5(), abstol=1e-2, reltol=1e-2, engine="julia")
    assert mixed.stats.naccept > 4 * loose.stats.naccept
    # ten units of time at 1e-10 each step
    assert abs(mixed.u[-1, 0].item() - math.cos(10.0)) < 1e-7
    batch = de.ODEProblem(SOURCE, torch.ones(4, 3, dtype=torch.float64), (0.0, 1.0))
    assert de.solve(batch, de.Tsit5(), abstol=tight, engine="julia").retcode.success


def test_a_progress_bar():
    text = io.StringIO()
    with redirect_stderr(text):
        solve("callback", progress=True)
    assert "solve" in text.getvalue()
    assert "t = 1" in text.getvalue()


def test_u0_is_left_alone_by_a_source_that_writes_to_it():
    u0 = tensor([1.0, 2.0])
    f = de.JuliaSource("(du, u, p, t) -> (u .= 0; du .= 1; nothing)")
    de.solve(de.ODEProblem(f, u0, (0.0, 1.0)), de.Tsit5(), engine="julia", throw=False, verbose=False)
    assert u0.tolist() == [1.0, 2.0]
