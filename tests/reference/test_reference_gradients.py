import pytest
import torch
from problems import CONTINUOUS, DISCRETE, half_square_distance, reference

import pydiffeqflux as de

BAR = 1e-6


def gradients(name, alg, sensealg, **options):
    ref = reference(name)
    prob, u0, p = ref.problem(grad=True)
    sol = de.solve(prob, alg, saveat=ref.t, sensealg=sensealg, **options).raise_for_status()
    loss = half_square_distance(sol.u)
    loss.backward()
    return ref, loss, u0.grad, p.grad


def assert_matches(ref, loss, grad_u0, grad_p):
    assert abs(loss.item() / ref.loss_value - 1) < BAR
    assert float(torch.linalg.vector_norm(grad_u0 - ref.grad_u0)) <= BAR * float(torch.linalg.vector_norm(ref.grad_u0))
    # Rate constants differ by many powers of ten: p dL/dp, the effect of a relative change, is what can be compared.
    scaled = ref.p * (grad_p - ref.grad_p)
    assert float(torch.linalg.vector_norm(scaled)) <= BAR * float(torch.linalg.vector_norm(ref.p * ref.grad_p))


@pytest.mark.parametrize("sensealg", [*DISCRETE, *CONTINUOUS, None], ids=repr)
def test_lotka_volterra(sensealg):
    assert_matches(*gradients("lotka_volterra", de.Vern7(), sensealg, abstol=1e-9, reltol=1e-9))


@pytest.mark.parametrize("alg", [de.Tsit5(), de.DP5(), de.Rodas5P(), None], ids=repr)
def test_lotka_volterra_by_other_algorithms(alg):
    assert_matches(*gradients("lotka_volterra", alg, de.ReverseDiffAdjoint(), abstol=1e-10, reltol=1e-10))


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
def test_lorenz_at_the_end_of_chaos(sensealg):
    # Sensitivities grow like exp(0.906 t), so the relative error of the gradient is that of the state times the growth
    # of the second derivative, once more exp(0.906 * 10) = 8600: a tolerance of 1e-12 leaves 1e-8 and a margin.
    assert_matches(*gradients("lorenz", de.Vern7(), sensealg, abstol=1e-12, reltol=1e-12))


STIFF = [*DISCRETE, de.InterpolatingAdjoint(), de.GaussAdjoint(), None]
# The quadrature's tolerance is one for the whole gradient, of which k2's part must have six digits at a size of 1e-9.
BY_QUADRATURE = de.QuadratureAdjoint(abstol=5e-15, reltol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("sensealg", [*STIFF, BY_QUADRATURE], ids=repr)
def test_robertson(sensealg):
    assert_matches(*gradients("robertson_gradient", de.Rodas5P(), sensealg, abstol=1e-13, reltol=1e-10))


@pytest.mark.slow
@pytest.mark.parametrize("sensealg", [*STIFF, de.QuadratureAdjoint()], ids=repr)
def test_pollution(sensealg):
    # The steps follow the error of u alone; that of its sensitivities, which the discrete methods see, is larger.
    tight = {"abstol": 1e-11, "reltol": 1e-8} if sensealg in (*DISCRETE, None) else {"abstol": 1e-9, "reltol": 1e-7}
    assert_matches(*gradients("pollution", de.Rodas5P(), sensealg, **tight))


def test_robertson_by_default():
    assert_matches(*gradients("robertson_gradient", None, None, abstol=1e-12, reltol=1e-9))


@pytest.mark.slow
def test_pollution_by_default():
    assert_matches(*gradients("pollution", None, None, abstol=1e-11, reltol=1e-8))
