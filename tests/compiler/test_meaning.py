"""The programs of the functions that are tested in Julia, run by torch: values and derivatives. No Julia is needed."""

import pytest
import torch
from evaluated import evaluated
from lowered import flat, lowered, pulled, pulled_tangent, worst
from test_operations import FAMILIES
from test_random_functions import random_function

from pydiffeqflux._engines.julia.compiler._observer import Observer
from pydiffeqflux._engines.julia.compiler._trace import CannotCompileError, trace


def _error(function, u, *, tangent=False):
    """The largest relative error of value and derivative, or of the second derivative."""
    generator = torch.Generator().manual_seed(1)
    λ, g = (torch.randn(x.shape, dtype=u.dtype, generator=generator) for x in (function(u), u))
    graph = trace(Observer(function), (u,), decompose=False)
    made, inputs = (pulled_tangent, (u, λ, g)) if tangent else (pulled, (u, λ))
    return worst(evaluated(lowered(made(graph), *inputs), *inputs), flat(made(function)(*inputs)))


SOME = list(FAMILIES)[1::4]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SOME else pytest.mark.slow) for name in FAMILIES]
)
def test_value_and_derivative(name):
    u = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    assert _error(FAMILIES[name], u) < 1e-12


def _check(seeds, *, tangent=False):
    refused = 0
    for seed in seeds:
        try:
            assert _error(*random_function(seed), tangent=tangent) < 1e-11, seed
        except CannotCompileError:
            refused += 1
    assert refused <= len(seeds) / 20


def test_a_few_random_functions():
    _check(range(20, 30))
    _check(range(30, 33), tangent=True)


@pytest.mark.slow
def test_many_random_functions():
    _check(range(3000, 3060))
    _check(range(4000, 4020), tangent=True)
