"""The generated code, which needs no Julia."""

import pytest
import torch

import pydiffeqflux as de

ONES = torch.ones(3, dtype=torch.float64)


def test_the_source_has_the_function_and_its_derivatives():
    net = torch.nn.Linear(3, 3, dtype=torch.float64)
    code = de.julia_source(de.ODEProblem(lambda u, p, t: net(u).tanh(), ONES, (0.0, 1.0)))
    heads = [line for line in code.splitlines() if line.startswith("function")]
    assert heads == [
        "function f(out, u, p, t, c, b)",
        "function pull_state(out, λ, u, p, t, c, b)",
        "function pull_parameters(out, λ, u, p, t, c, b)",
    ]
    assert code.count("TorchMath.tanh") == 3
    # as many numbers as the layer has parameters
    assert "out[10 + i0]" in code


def test_a_julia_source_is_shown_as_it_is():
    prob = de.ODEProblem(de.JuliaSource("(u, p, t) -> -u"), ONES, (0.0, 1.0))
    assert de.julia_source(prob) == "(u, p, t) -> -u"


def test_what_cannot_be_compiled_is_refused():
    def f(u, p, t):
        return u.sort().values  # here

    with pytest.raises(de.UnsupportedError, match=r"aten\.sort.*# here"):
        de.julia_source(de.ODEProblem(f, ONES, (0.0, 1.0)))
