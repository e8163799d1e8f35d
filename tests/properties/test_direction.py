import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import lotka_volterra, tensor

import pydiffeqflux as de

algorithms = st.sampled_from([de.Tsit5(), de.DP5(), de.Vern7(), de.Rodas4(), de.Rodas5P(), de.KenCarp4(), None])
P = tensor([1.5, 1.0, 3.0])
TOL = 1e-8


@given(
    alg=algorithms, u0=st.lists(st.floats(0.5, 2.0), min_size=2, max_size=2), t0=st.floats(-3, 3), dt=st.floats(-1, 1)
)
def test_there_and_back_again(alg, u0, t0, dt):
    if abs(dt) < 1e-3:
        dt = 1e-3
    there = de.solve(de.ODEProblem(lotka_volterra, tensor(u0), (t0, t0 + dt), P), alg, abstol=TOL, reltol=TOL)
    back = de.solve(de.ODEProblem(lotka_volterra, there.u[-1], (t0 + dt, t0), P), alg, abstol=TOL, reltol=TOL)
    # Ten tolerances each way; on the way back the first are amplified by at most exp(L), where L bounds the Jacobian
    # times the unit time span: here |a - b y| + |b x| + |x - c| + |y| < 9, of which the trace, the part that two
    # directions cannot both have, is a third.
    assert float((back.u[-1] - tensor(u0)).abs().max()) <= 10 * TOL * (1 + 20) * (1 + max(u0))


@given(
    alg=algorithms,
    t0=st.floats(-100, 100),
    shift=st.floats(-100, 100),
    u0=st.lists(st.floats(0.5, 2.0), min_size=2, max_size=2),
)
def test_an_autonomous_problem_does_not_know_the_time(alg, t0, shift, u0):
    one, other = (
        de.solve(de.ODEProblem(lotka_volterra, tensor(u0), (t, t + 1), P), alg, abstol=TOL, reltol=TOL).u[-1]
        for t in (t0, t0 + shift)
    )
    # Times near 100 are rounded to 1e-14, which the speed of the solution (below 20) multiplies at every step.
    assert torch.allclose(one, other, rtol=0.0, atol=20 * TOL)
