import pytest
import torch
from problems import lotka_volterra, tensor
from torch import nn

import pydiffeqflux as de


def chosen(f, u0, p=None, alg=None, **problem):
    return de.solve(de.ODEProblem(f, u0, (0.0, 0.1), p, **problem), alg).sensealg


def linear(u, p, t):
    return -p.sum() * u


@pytest.mark.parametrize(
    ("states", "parameters", "expected"),
    [(1, 99, de.ForwardDiffSensitivity()), (60, 40, de.ForwardDiffSensitivity()), (60, 41, de.ReverseDiffAdjoint())],
)
def test_the_limit_is_a_hundred_states_and_parameters(states, parameters, expected):
    p = torch.full((parameters,), 1e-3, dtype=torch.float64, requires_grad=True)
    assert chosen(linear, torch.ones(states, dtype=torch.float64), p) == expected


def test_frozen_parameters_do_not_count():
    p = {"free": tensor([0.1], grad=True), "frozen": torch.zeros(500, dtype=torch.float64)}
    f = lambda u, p, t: -(p["free"] + p["frozen"].sum()) * u  # noqa: E731
    assert chosen(f, tensor([1.0]), p) == de.ForwardDiffSensitivity()


def test_no_gradient_no_sensealg():
    assert chosen(lotka_volterra, tensor([1.0, 1.0]), tensor([1.5, 1.0, 3.0])) is None


def test_closure_parameters_take_forward_mode_where_f_can_be_traced():
    k = tensor(0.5, grad=True)
    assert chosen(lambda u, p, t: -k * u, tensor([1.0])) == de.ForwardDiffSensitivity()


def test_closure_parameters_of_an_f_that_cannot_be_traced_take_the_gauss_adjoint():
    k, calls = tensor(0.5, grad=True), []

    def f(u, p, t):
        calls.append(t)
        return -k * u

    assert chosen(f, tensor([1.0])) == de.GaussAdjoint()


def test_an_f_that_cannot_be_mapped_takes_the_gauss_adjoint():
    def f(u, p, t):
        return -p * u if float(u.detach().sum()) > 0 else p * u

    assert chosen(f, tensor([1.0]), tensor(0.5, grad=True)) == de.GaussAdjoint()


def test_complex_parameters_take_reverse_mode():
    p = torch.tensor(1j, dtype=torch.complex128, requires_grad=True)
    assert chosen(lambda u, p, t: p * u, torch.ones(1, dtype=torch.complex128), p) == de.ReverseDiffAdjoint()


def test_a_mass_matrix_takes_a_discrete_method():
    small, large = tensor([0.1], grad=True), torch.full((200,), 1e-3, dtype=torch.float64, requires_grad=True)
    matrix = 2 * torch.eye(2, dtype=torch.float64)
    u0 = tensor([1.0, 2.0])
    assert chosen(linear, u0, small, mass_matrix=matrix) == de.ForwardDiffSensitivity()
    assert chosen(linear, u0, large, mass_matrix=matrix) == de.ReverseDiffAdjoint()


def test_module_parameters_count():
    class F(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.net = nn.Linear(width, width, dtype=torch.float64)

        def forward(self, u, p, t):
            return self.net(u)

    assert chosen(F(8), torch.ones(8, dtype=torch.float64)) == de.ForwardDiffSensitivity()  # 8 + 72
    assert chosen(F(10), torch.ones(10, dtype=torch.float64)) == de.ReverseDiffAdjoint()  # 10 + 110


def test_many_states_take_the_gauss_adjoint_where_reverse_mode_would_record_much():
    p = tensor(1e-3, grad=True)
    cases = {de.Tsit5(): 1 << 16, de.Rodas5P(): 128, None: 128}
    for alg, most in cases.items():
        many = [torch.ones(n, dtype=torch.float64) for n in (most, most + 1)]
        if isinstance(alg, de.Rodas5P):
            many = many[:1]  # a Jacobian of 129 states is made either way, which takes its time
        found = [chosen(lambda u, p, t: -p * u, u0, p, alg) for u0 in many]
        assert found == [de.ReverseDiffAdjoint(), de.GaussAdjoint()][: len(many)]


def test_the_choice_of_the_user_is_kept():
    p = tensor(0.5, grad=True)
    prob = de.ODEProblem(lambda u, p, t: -p * u, tensor([1.0]), (0.0, 1.0), p)
    assert de.solve(prob, sensealg=de.QuadratureAdjoint()).sensealg == de.QuadratureAdjoint()
