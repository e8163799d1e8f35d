import pytest
import torch
from problems import CONTINUOUS, EXPLICIT, IMPLICIT, lotka_volterra, tensor

import pydiffeqflux as de

# The continuous adjoints converge to the gradient of the exact solution, the difference quotients see that of the
# discrete one: with fixed steps both are smooth and differ by O(dt^order). The fastest rate of the problem is 3, so
# that an error is of size (3 dt)^order; a factor 3 because solution, adjoint and difference quotient have one each.
# The dense output that the adjoint reads has the same order globally.
STEP = {1: 0.01, 2: 0.01, 3: 0.02, 4: 0.02, 5: 0.02, 7: 0.05}


def check(alg, sensealg):
    dt = STEP[alg.order]

    def states(u0, p):
        prob = de.ODEProblem(lotka_volterra, u0, (0.0, 0.4), p)
        options = {"dt": dt, "adaptive": False, "abstol": 1e-12, "reltol": 1e-12}
        return de.solve(prob, alg, saveat=[0.13, 0.4], sensealg=sensealg, **options).u

    bound = 3 * (3 * dt) ** alg.order
    inputs = (tensor([1.0, 1.2], grad=True), tensor([1.5, 1.0, 3.0], grad=True))
    assert torch.autograd.gradcheck(states, inputs, eps=1e-5, atol=bound, rtol=bound)


@pytest.mark.parametrize("sensealg", CONTINUOUS, ids=repr)
@pytest.mark.parametrize("alg", [alg for alg in EXPLICIT if alg.order > 3], ids=repr)
def test_explicit_method(alg, sensealg):
    check(alg, sensealg)


@pytest.mark.slow
@pytest.mark.parametrize("sensealg", CONTINUOUS, ids=repr)
@pytest.mark.parametrize("alg", [alg for alg in EXPLICIT if alg.order <= 3], ids=repr)
def test_explicit_method_of_low_order(alg, sensealg):
    check(alg, sensealg)


@pytest.mark.slow
@pytest.mark.parametrize("sensealg", CONTINUOUS, ids=repr)
@pytest.mark.parametrize("alg", IMPLICIT, ids=repr)
def test_implicit_method(alg, sensealg):
    check(alg, sensealg)
