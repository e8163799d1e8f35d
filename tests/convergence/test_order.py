import pytest
import torch
from problems import METHODS, slope, smooth, smooth_solution

import pydiffeqflux as de

T = 2.0

# Numbers of steps at which the leading error term dominates: below, higher terms bend the line, above, rounding does.
STEPS = {
    1: (128, 256, 512),
    2: (64, 128, 256),
    3: (64, 128, 256),
    4: (48, 64, 96, 128),
    5: (24, 32, 48, 64),
    7: (12, 16, 24),
}

# Order of the dense output q: its error within a step is O(dt^(q + 1)), so that the error of sol(t) is
# O(dt^min(order, q + 1)) everywhere, one power more than the name says.
DENSE_ORDER = {
    de.Euler: 3,
    de.Midpoint: 3,
    de.Heun: 3,
    de.RK4: 3,
    de.BS3: 3,
    de.DP5: 4,
    de.Tsit5: 4,
    de.Vern7: 7,
    de.Rosenbrock23: 2,
    de.Rodas4: 3,
    de.Rodas5P: 4,
    de.KenCarp4: 3,
    de.RadauIIA5: 3,
}


def errors(alg, steps):
    """The error at the end, and the largest at seven times in every step."""
    prob = de.ODEProblem(smooth, smooth_solution(0.0), (0.0, T))
    # The tolerances only say how far Newton's iteration goes.
    sol = de.solve(prob, alg, dt=T / steps, adaptive=False, abstol=1e-13, reltol=1e-13)
    assert sol.stats.naccept == steps
    times = torch.linspace(0.0, T, 7 * steps + 1, dtype=torch.float64)
    end = float((sol.u[-1] - smooth_solution(T)).abs().max())
    return end, float((sol(times) - smooth_solution(times)).abs().max())


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_endpoint_has_the_nominal_order(alg):
    counts = STEPS[alg.order]
    ends = [errors(alg, n)[0] for n in counts]
    assert abs(-slope(counts, ends) - alg.order) <= 0.2


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_dense_output_has_its_order(alg):
    counts = STEPS[alg.order]
    inside = [errors(alg, n)[1] for n in counts]
    assert -slope(counts, inside) >= min(alg.order, DENSE_ORDER[type(alg)] + 1) - 0.2


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_backwards_in_time_is_the_mirror_image(alg):
    def mirrored(u, p, t):
        return -smooth(u, p, -t)

    options = {"dt": 0.1, "adaptive": False, "abstol": 1e-12, "reltol": 1e-12}
    forwards = de.solve(de.ODEProblem(smooth, smooth_solution(0.0), (0.0, T)), alg, **options)
    backwards = de.solve(de.ODEProblem(mirrored, smooth_solution(0.0), (0.0, -T)), alg, **options)
    times = torch.linspace(0.0, T, 77, dtype=torch.float64)
    # The same operations with the sign of time changed: equal up to rounding.
    assert torch.allclose(backwards.t, -forwards.t, rtol=1e-14)
    assert torch.allclose(backwards(-times), forwards(times), rtol=1e-12)


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_a_polynomial_is_exact_where_the_order_allows(alg):
    # u' = q t^(q - 1) is a quadrature problem that a method of order q solves without error.
    q = min(alg.order, 4)
    prob = de.ODEProblem(lambda u, p, t: q * t ** (q - 1) + 0 * u, torch.zeros(1, dtype=torch.float64), (0.0, 1.5))
    sol = de.solve(prob, alg, dt=0.5, adaptive=False, abstol=1e-14, reltol=1e-14)
    assert abs(sol.u[-1].item() - 1.5**q) < 1e-13 * 1.5**q
