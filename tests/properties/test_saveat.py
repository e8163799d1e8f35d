import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import smooth, smooth_solution

import pydiffeqflux as de

TOL = 1e-8
PROB = de.ODEProblem(smooth, smooth_solution(0.0), (0.0, 2.0))
DENSE = {alg: de.solve(PROB, alg, abstol=TOL, reltol=TOL) for alg in (de.Tsit5(), de.Vern7(), de.Rodas5P())}

times = st.lists(st.floats(0.0, 2.0), min_size=1, max_size=12, unique=True).map(sorted)


@given(alg=st.sampled_from(list(DENSE)), saveat=times)
def test_saved_values_are_those_of_the_dense_output(alg, saveat):
    # saveat does not change the steps, and both values are the same polynomial: they differ by rounding, which the
    # coefficients of Vern7's polynomial (up to 1200) enlarge.
    sol = de.solve(PROB, alg, saveat=saveat, abstol=TOL, reltol=TOL)
    assert sol.t.tolist() == saveat
    assert torch.allclose(sol.u, DENSE[alg](saveat), rtol=1e-12, atol=1e-12)


@given(saveat=times)
def test_saveat_in_the_mirrored_direction(saveat):
    backwards = sorted((-t for t in saveat), reverse=True)
    prob = de.ODEProblem(lambda u, p, t: -smooth(u, p, -t), smooth_solution(0.0), (0.0, -2.0))
    sol = de.solve(prob, de.Tsit5(), saveat=backwards, abstol=TOL, reltol=TOL)
    assert sol.t.tolist() == backwards
    assert torch.allclose(sol.u, DENSE[de.Tsit5()](saveat), rtol=1e-10, atol=1e-10)


@given(t0=st.floats(-5, 5), span=st.floats(0.1, 5), parts=st.floats(0.5, 9), backwards=st.booleans())
def test_an_interval_saves_both_ends_and_even_times(t0, span, parts, backwards):
    t1 = t0 - span if backwards else t0 + span
    step = span / parts
    sol = de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (t0, t1)), de.Tsit5(), saveat=step)
    distances = abs(torch.from_numpy(sol.t) - t0)
    gaps = distances.diff()
    rounding = 1e-12 * (abs(t0) + span)
    assert sol.t[0] == t0
    assert sol.t[-1] == t1
    assert bool((gaps > 0).all())
    assert bool((gaps <= step + rounding).all())
    assert bool(((gaps[:-1] - step).abs() <= rounding).all())


@given(tstops=times)
def test_steps_end_at_tstops(tstops):
    sol = de.solve(PROB, de.Tsit5(), tstops=tstops, abstol=1e-4, reltol=1e-4)
    saved = sol.t.tolist()
    assert set(tstops) <= set(saved)
    assert saved == sorted(set(saved))
    # Ten tolerances; see the order tests for the size of the solution.
    assert float((sol.u - smooth_solution(sol.t)).abs().max()) < 10 * 1e-4 * 4
