import math

import pytest
import torch
from problems import IMPLICIT, slope, smooth, smooth_solution, tensor

import pydiffeqflux as de

STEPS = (16, 32, 64)

# Order on the problem of Prothero and Robinson in the limit of infinite stiffness. Rodas5P is constructed for 3
# (Steinebach 2023); the others have the order of their stages: 1 for Rodas4, 2 for Rosenbrock23 and KenCarp4 (for which
# the error is divided by the stiffness, and order 2 is reached from below), 3 for RadauIIA5 (divided by it too).
STIFF_ORDER = {de.Rosenbrock23: 2.0, de.Rodas4: 1.0, de.Rodas5P: 3.0, de.KenCarp4: 2.0, de.RadauIIA5: 3.0}


def error(alg, stiffness, steps):
    def prothero_robinson(u, p, t):
        return -stiffness * (u - torch.sin(t)) + torch.cos(t)

    prob = de.ODEProblem(prothero_robinson, tensor([0.0]), (0.0, 2.0))
    sol = de.solve(prob, alg, dt=2.0 / steps, adaptive=False, saveat=[2.0], abstol=1e-13, reltol=1e-13)
    return abs(sol.u.item() - math.sin(2.0))


@pytest.mark.parametrize("alg", IMPLICIT, ids=repr)
def test_order_reduction_is_that_of_the_literature(alg):
    measured = -slope(STEPS, [error(alg, 1e6, n) for n in STEPS])
    assert measured >= STIFF_ORDER[type(alg)] - 0.2


@pytest.mark.parametrize("alg", IMPLICIT, ids=repr)
def test_steps_far_beyond_the_time_scale_are_stable(alg):
    # L-stability: a hundred times stiffer is not a larger error (rounding of sin and cos amplified by nothing).
    assert error(alg, 1e8, 16) <= 1.01 * error(alg, 1e6, 16)


@pytest.mark.parametrize("alg", IMPLICIT, ids=repr)
def test_a_fast_transient_is_damped(alg):
    # dt times the eigenvalue is -1e4; A-stability alone would leave most of the initial distance.
    prob = de.ODEProblem(lambda u, p, t: -1e5 * (u - 1), tensor([2.0]), (0.0, 1.0))
    sol = de.solve(prob, alg, dt=0.1, adaptive=False, abstol=1e-12, reltol=1e-12)
    assert abs(sol.u[-1].item() - 1) < 1e-8


@pytest.mark.parametrize("alg", [de.KenCarp4(), de.RadauIIA5()], ids=repr)
def test_fixed_steps_have_their_order_whatever_the_tolerances(alg):
    # Newton's iteration goes as far as rounding lets it: what is left is the error of the method.
    def endpoint(steps, **tolerances):
        prob = de.ODEProblem(smooth, smooth_solution(0.0), (0.0, 2.0))
        return de.solve(prob, alg, dt=2.0 / steps, adaptive=False, saveat=[2.0], **tolerances).u[0]

    counts = (32, 64, 96)
    errors = [float((endpoint(n, abstol=1e-2, reltol=1e-2) - smooth_solution(2.0)).abs().max()) for n in counts]
    assert abs(-slope(counts, errors) - alg.order) <= 0.2
    assert torch.allclose(endpoint(32, abstol=1e-2, reltol=1e-2), endpoint(32, abstol=1e-13, reltol=1e-13), rtol=1e-12)


@pytest.mark.parametrize("alg", [de.KenCarp4(), de.RadauIIA5()], ids=repr)
def test_a_slow_newton_iteration_has_its_full_budget_where_steps_are_fixed(alg):
    def van_der_pol(u, p, t):
        return torch.stack([u[1], 10.0 * (1.0 - u[0] ** 2) * u[1] - u[0]])

    prob = de.ODEProblem(van_der_pol, tensor([2.0, 0.0]), (0.0, 20.0))
    exact = de.solve(prob, de.Rodas5P(), saveat=[20.0], abstol=1e-9, reltol=1e-9).u
    # Steps of 0.1 pass the jumps of the relaxation oscillation, where the Jacobian changes within a step.
    sol = de.solve(prob, alg, dt=0.1, adaptive=False, saveat=[20.0]).raise_for_status()
    assert torch.allclose(sol.u, exact, atol=0.05)
