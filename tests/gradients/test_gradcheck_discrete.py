import pytest
import torch
from problems import DISCRETE, METHODS, ROSENBROCK, lotka_volterra, tensor

import pydiffeqflux as de

TIMES = [0.0, 0.13, 0.3, 0.4]

# The step sizes are fixed, so the solution is a smooth function of u0 and p and its difference quotients are exact up
# to eps^2 = 1e-10 (times third derivatives) and rounding over eps: 2e-11 times the size of the terms, which in the
# dense output of Vern7 have coefficients up to 1200. The tolerances only say how far Newton's iterations go.
FIXED = {"dt": 0.1, "adaptive": False, "abstol": 1e-14, "reltol": 1e-14}
CHECK = {"eps": 1e-5, "atol": 2e-8, "rtol": 1e-7}


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_saved_states(alg, sensealg):
    def states(u0, p):
        prob = de.ODEProblem(lotka_volterra, u0, (0.0, 0.4), p)
        return de.solve(prob, alg, saveat=TIMES, sensealg=sensealg, **FIXED).u

    assert torch.autograd.gradcheck(
        states, (tensor([1.0, 1.2], grad=True), tensor([1.5, 1.0, 3.0], grad=True)), **CHECK
    )


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_explicit_time_dependence(alg, sensealg):
    def states(u0, p):
        prob = de.ODEProblem(lambda u, p, t: -p * u * u * torch.sin(3 * t) + torch.exp(-p * t), u0, (0.2, 0.6), p)
        return de.solve(prob, alg, saveat=[0.33, 0.6], sensealg=sensealg, **FIXED).u

    assert torch.autograd.gradcheck(states, (tensor([1.0, 0.7], grad=True), tensor(2.0, grad=True)), **CHECK)


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
@pytest.mark.parametrize("matrix", [[[2.0, 1.0], [0.5, 1.0]], [[1.0, 0.0], [0.0, 0.0]]], ids=["regular", "singular"])
@pytest.mark.parametrize("alg", ROSENBROCK, ids=repr)
def test_mass_matrix(alg, matrix, sensealg):
    def f(u, p, t):
        x, y = u.unbind()
        return torch.stack([-p[0] * x * y + torch.sin(t), p[1] - y * (1 + x * x)])

    def states(x0, p):
        # A consistent initial state: the second equation holds at the start.
        u0 = torch.stack([x0, p[1] / (1 + x0 * x0)])
        prob = de.ODEProblem(f, u0, (0.0, 0.4), p, mass_matrix=tensor(matrix))
        return de.solve(prob, alg, saveat=TIMES, sensealg=sensealg, **(FIXED | {"abstol": 1e-10})).u

    assert torch.autograd.gradcheck(states, (tensor(0.8, grad=True), tensor([1.5, 0.9], grad=True)), **CHECK)


SWITCHES = [
    de.AutoAlgSwitch(de.Tsit5(), de.Rosenbrock23(), maxstiffstep=2),
    de.AutoAlgSwitch(de.DP5(), de.Rodas4(), maxstiffstep=2),
    de.AutoAlgSwitch(de.Vern7(), de.KenCarp4(), maxstiffstep=2),
]


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
@pytest.mark.parametrize("alg", SWITCHES, ids=lambda alg: repr(alg.stiffalg))
def test_switching_algorithms(alg, sensealg):
    # Stiff from the start: -4.6 is outside of all explicit stability regions, so that the later steps are stiff ones.
    def states(u0, p):
        prob = de.ODEProblem(lambda u, p, t: -p * (u - torch.cos(t)) * (1 + 0.001 * u), u0, (0.0, 1.0), p)
        sol = de.solve(prob, alg, saveat=[0.23, 0.77, 1.0], sensealg=sensealg, **FIXED)
        assert 0 < sol.stats.njac <= 7
        return sol.u

    assert torch.autograd.gradcheck(states, (tensor([1.0], grad=True), tensor(46.0, grad=True)), **CHECK)
