import math

import numpy as np
import pytest
import torch
from problems import decay, tensor

import pydiffeqflux as de

U0 = tensor([1.0, 2.0])
SPAN = (0.0, 1.0)
EYE = torch.eye(2, dtype=torch.float64)


def two_arguments(u, t):
    return -u


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, U0, SPAN), "f must be a function"),
        ((two_arguments, U0, SPAN), r"three arguments .* f\(u, t\)"),
        ((torch.nn.Linear(2, 2), U0, SPAN), "three arguments"),
        ((decay, tensor([1.0, math.nan]), SPAN), "u0 has values that are NaN or infinite"),
        ((decay, tensor([1.0, math.inf]), SPAN), "u0 has values that are NaN or infinite"),
        ((decay, tensor([]), SPAN), "u0 is empty"),
        ((decay, torch.ones(2, dtype=torch.float16), SPAN), "float16; a state must be"),
        ((decay, torch.ones(2, dtype=torch.bfloat16), SPAN), "bfloat16; a state must be"),
        ((decay, torch.ones(2, dtype=torch.int64), SPAN), "int64; a state must be"),
        ((decay, np.ones(2, dtype=np.int32), SPAN), "int32; a state must be"),
        ((decay, "one", SPAN), "u0 must be a tensor, an array, or numbers, not str"),
        ((decay, None, SPAN), "u0 must be a tensor"),
        ((decay, [[1.0], [1.0, 2.0]], SPAN), "u0 must be a tensor"),
        ((decay, (U0, U0), SPAN), r"u0 is a tuple of tensors; .*torch.stack\(u0\)"),
        ((decay, [tensor(1.0), 2.0], SPAN), "u0 is a list of tensors"),
        ((decay, U0.to_sparse(), SPAN), "dense tensor"),
        ((decay, U0, (1.0, 1.0)), "empty"),
        ((decay, U0, (0.0, math.inf)), "finite"),
        ((decay, U0, (0.0, math.nan)), "finite"),
        ((decay, U0, (0.0, 1.0, 2.0)), "two numbers"),
        ((decay, U0, 1.0), "two numbers"),
        ((decay, U0, ("a", "b")), "two numbers"),
        ((decay, U0, SPAN, "p"), "p may hold tensors, arrays and numbers .* found str"),
        ((decay, U0, SPAN, {"a": [object()]}), "found object"),
    ],
)
def test_bad_argument_is_named(arguments, message):
    with pytest.raises(de.InvalidProblemError, match=message):
        de.ODEProblem(*arguments)


@pytest.mark.parametrize(
    ("u0", "matrix", "message"),
    [
        (U0, torch.eye(3), r"shape \(3, 3\).*2 elements"),
        (U0, torch.ones(2), r"must be \(2, 2\)"),
        (U0, EYE * math.nan, "NaN or infinite"),
        (U0.to(torch.complex128), EYE, "real state"),
    ],
)
def test_bad_mass_matrix_is_named(u0, matrix, message):
    with pytest.raises(de.InvalidProblemError, match=message):
        de.ODEProblem(decay, u0, SPAN, mass_matrix=matrix)


def test_problem_errors_are_value_errors():
    with pytest.raises(ValueError, match="empty"):
        de.ODEProblem(decay, U0, (1.0, 1.0))
    assert issubclass(de.InvalidProblemError, de.DiffEqError)


def test_inconsistent_initial_state_of_a_dae():
    # 0 = u2 - u1: violated by 1.
    def f(u, p, t):
        return torch.stack([-u[0], u[1] - u[0]])

    prob = de.ODEProblem(f, U0, SPAN, mass_matrix=torch.diag(tensor([1.0, 0.0])))
    with pytest.raises(de.InvalidProblemError, match=r"inconsistent: equation 1 by 1 of the algebraic equations"):
        de.solve(prob)
    assert de.solve(de.remake(prob, u0=tensor([1.0, 1.0]))).retcode.success


@pytest.mark.parametrize("alg", [de.Tsit5(), de.Euler(), de.KenCarp4(), de.AutoTsit5(de.Rodas5P())], ids=repr)
def test_algorithms_without_mass_matrix_refuse_it(alg):
    with pytest.raises(de.UnsupportedError, match=r"mass matrix; use Rodas5P"):
        de.solve(de.ODEProblem(decay, U0, SPAN, mass_matrix=EYE), alg, dt=0.1)


@pytest.mark.parametrize(
    "sensealg",
    [de.GaussAdjoint(), de.InterpolatingAdjoint(), de.QuadratureAdjoint(), de.BacksolveAdjoint()],
    ids=repr,
)
def test_sensealgs_without_mass_matrix_refuse_it(sensealg):
    prob = de.ODEProblem(decay, U0.clone().requires_grad_(), SPAN, mass_matrix=EYE)
    with pytest.raises(de.UnsupportedError, match=r"mass matrices.*ReverseDiffAdjoint"):
        de.solve(prob, sensealg=sensealg)


def test_remake_changes_only_what_is_named():
    prob = de.ODEProblem(decay, U0, SPAN, 1.0, mass_matrix=EYE)
    other = de.remake(prob, tspan=(0.0, 3.0), p=2.0)
    assert other.tspan == (0.0, 3.0)
    assert float(other.p) == 2.0
    assert other.f is prob.f
    assert other.u0 is prob.u0
    assert torch.equal(other.mass_matrix, EYE)
    assert prob.tspan == SPAN


def test_remake_keeps_the_kind_of_output():
    assert isinstance(de.solve(de.remake(de.ODEProblem(decay, [1.0], SPAN), tspan=(0.0, 2.0))).u, np.ndarray)
    assert isinstance(de.solve(de.remake(de.ODEProblem(decay, [1.0], SPAN), u0=U0)).u, torch.Tensor)


def test_remake_checks():
    prob = de.ODEProblem(decay, U0, SPAN)
    with pytest.raises(de.InvalidProblemError, match=r"remake knows .* not 'u'"):
        de.remake(prob, u=U0)
    with pytest.raises(de.InvalidProblemError, match="empty"):
        de.remake(prob, tspan=(0.0, 0.0))


def test_problems_are_frozen():
    with pytest.raises(AttributeError):
        de.ODEProblem(decay, U0, SPAN).tspan = (0.0, 2.0)


def test_the_problem_is_not_changed_by_a_solve():
    u0, p = U0.clone(), tensor(2.0)
    prob = de.ODEProblem(lambda u, p, t: -p * u, u0, SPAN, p)
    first = de.solve(prob).u
    first += 1.0
    assert torch.equal(u0, U0)
    assert torch.equal(de.solve(prob).u + 1.0, first)
