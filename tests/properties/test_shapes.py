import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import METHODS, SENSEALGS

import pydiffeqflux as de

shapes = st.lists(st.integers(1, 3), max_size=4).map(tuple)
algorithms = st.sampled_from(METHODS)


def logistic(u, p, t):
    return p * u * (1 - u) + 0.1 * torch.sin(t)


def initial(shape, dtype=torch.float64):
    return (torch.arange(1, 1 + math.prod(shape), dtype=dtype) / 100).reshape(shape)


def solve(u0, alg, **options):
    return de.solve(de.ODEProblem(logistic, u0, (0.0, 1.0), 2.0), alg, dt=0.125, adaptive=False, **options)


@given(alg=algorithms, shape=shapes, saveat=st.sampled_from([None, 0.3, [0.2], [0.0, 1.0]]))
def test_time_is_the_first_axis(alg, shape, saveat):
    sol = solve(initial(shape), alg, saveat=saveat, dense=True)
    assert sol.u.shape == (len(sol.t), *shape)
    assert sol(0.4).shape == shape
    assert sol([0.4, 0.1]).shape == (2, *shape)


@given(alg=algorithms, shape=shapes)
def test_a_batch_is_solved_as_its_elements_are(alg, shape):
    # The steps are fixed and f acts by element, so only the order of rounding differs; Newton's iteration of KenCarp4
    # stops by the norm of the whole batch.
    tight = {"abstol": 1e-13, "reltol": 1e-13}
    u0 = initial(shape)
    batch = solve(u0, alg, saveat=0.3, **tight).u.reshape(-1, u0.numel())
    parts = torch.stack([solve(x, alg, saveat=0.3, **tight).u for x in u0.reshape(-1)], dim=1)
    assert torch.allclose(batch, parts, rtol=1e-12, atol=1e-13)


@given(alg=algorithms, shape=shapes, sensealg=st.sampled_from(SENSEALGS))
def test_gradients_have_the_shape_of_their_inputs(alg, shape, sensealg):
    u0 = initial(shape).requires_grad_()
    p = torch.full((1,) * len(shape), 2.0, dtype=torch.float64, requires_grad=True)
    prob = de.ODEProblem(logistic, u0, (0.0, 1.0), p)
    sol = de.solve(prob, alg, dt=0.25, adaptive=False, saveat=[0.3, 1.0], sensealg=sensealg)
    sol.u.sum().backward()
    assert u0.grad.shape == u0.shape
    assert p.grad.shape == p.shape
    # A larger start stays larger, in one dimension.
    assert bool((u0.grad > 0).all())


@given(
    alg=algorithms,
    shape=shapes,
    dtype=st.sampled_from([torch.float32, torch.float64, torch.complex64, torch.complex128]),
)
def test_the_dtype_is_kept(alg, shape, dtype):
    u0 = initial(shape, torch.float64).to(dtype)
    seen = set()

    def f(u, p, t):
        seen.add((u.dtype, t.dtype, tuple(t.shape)))
        return -u

    sol = de.solve(de.ODEProblem(f, u0, (0.0, 1.0)), alg, dt=0.125, adaptive=False)
    real = u0.real.dtype if dtype.is_complex else dtype
    assert (sol.u.dtype, sol.t.dtype) == (dtype, real)
    assert seen == {(dtype, real, ())}
    # Euler's error is dt / 2 times t exp(-t); the others are better.
    assert torch.allclose(sol.u[-1], u0 * math.exp(-1.0), rtol=0.125)


@given(alg=algorithms, shape=st.lists(st.integers(2, 3), min_size=2, max_size=3))
def test_the_memory_layout_does_not_matter(alg, shape):
    strided = initial(tuple(reversed(shape))).permute(*reversed(range(len(shape))))
    assert torch.allclose(solve(strided, alg).u, solve(strided.contiguous(), alg).u, rtol=1e-13)
