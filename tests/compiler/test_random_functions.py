"""Random torch functions: the compiled code gives what torch gives, or there is none."""
# ruff: noqa: E501 - tables of functions

import random

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from lowered import flat, lowered, pulled, pulled_tangent, run, worst

from pydiffeqflux._engines.julia.compiler._trace import CannotCompileError, trace

pytestmark = pytest.mark.julia
BAR = 1e-12
POINTWISE = (
    "sin", "cos", "tanh", "sigmoid", "relu", "abs", "square", "erf", "sinc", "atan", "asinh", "expm1", "neg", "floor",
    "sign", "frac", "trunc",
)  # fmt: skip
FUNCTIONS = (F.gelu, F.silu, F.softplus, F.elu, F.selu, F.leaky_relu, F.hardtanh, F.logsigmoid, F.mish, F.softsign)
PAIRS = (
    torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum, torch.atan2, torch.logaddexp, torch.hypot,
    lambda a, b: a / (1.5 + b * b), lambda a, b: torch.where(a > b, a, 0.5 * b), lambda a, b: a.abs() ** 1.5 * b,
    lambda a, b: a.clamp(max=b), lambda a, b: torch.lerp(a, b, 0.3), lambda a, b: (a <= b) * a + b,
)  # fmt: skip
REDUCTIONS = (
    torch.sum, torch.mean, torch.amax, torch.amin, torch.logsumexp, torch.prod,
    lambda x, dim, keepdim: x.max(dim, keepdim=keepdim).values, lambda x, dim, keepdim: x.norm(dim=dim, keepdim=keepdim),
    lambda x, dim, keepdim: x.argmax(dim, keepdim=keepdim) * x.amin(dim, keepdim=keepdim),
)  # fmt: skip
ALONG = (
    torch.softmax, torch.log_softmax, torch.cumsum, lambda x, dim: x.flip(dim), lambda x, dim: x.roll(1, dim),
    lambda x, dim: x.narrow(dim, 0, 1), lambda x, dim: x.repeat_interleave(2, dim), lambda x, dim: x.diff(dim=dim, prepend=x),
    lambda x, dim: torch.cat([x, x.sin()], dim), lambda x, dim: torch.cat(x.split(2, dim)[::-1], dim),
    lambda x, dim: torch.stack([x, 2 * x], dim), lambda x, dim: x.select(dim, -1), lambda x, dim: x.movedim(dim, 0),
    lambda x, dim: x.index_select(dim, torch.tensor([0, 0])), lambda x, dim: x.unsqueeze(dim),
    lambda x, dim: x - x.mean(dim, keepdim=True), lambda x, dim: x.narrow(dim, x.shape[dim] // 2, x.shape[dim] - x.shape[dim] // 2),
    lambda x, dim: F.normalize(x, dim=dim), lambda x, dim: x.unfold(dim, 1, 1).squeeze(-1),
)  # fmt: skip
LIMIT = 200
"""No tensor in a random function has more elements."""


def _step(rng, known):
    """A function of the list of tensors so far, and what it does."""
    k = rng.randrange(len(known))
    x = known[k]
    kind = rng.choice(("pointwise", "pair", "pair", "reduction", "along", "along", "matmul", "reshape", "other"))
    if kind == "pointwise":
        if rng.random() < 0.6:
            name = rng.choice(POINTWISE)
            return lambda xs: getattr(torch, name)(xs[k])
        function = rng.choice(FUNCTIONS)
        return lambda xs: function(xs[k])
    if kind == "pair":
        function = rng.choice(PAIRS)
        fitting = [j for j, y in enumerate(known) if _broadcasts(x, y)]
        j = rng.choice(fitting)
        return lambda xs: function(xs[k], xs[j])
    if kind == "reduction" and x.ndim:
        function, dim, keepdim = rng.choice(REDUCTIONS), rng.randrange(-x.ndim, x.ndim), rng.random() < 0.5
        return lambda xs: function(xs[k], dim=dim, keepdim=keepdim)
    if kind == "along" and x.ndim:
        function, dim = rng.choice(ALONG), rng.randrange(x.ndim)
        return lambda xs: function(xs[k], dim)
    if kind == "matmul" and x.ndim:
        columns = rng.randrange(1, 5)
        w = torch.linspace(-1, 1, x.shape[-1] * columns, dtype=x.dtype).cos().reshape(x.shape[-1], columns)
        if rng.random() < 0.3 and x.ndim > 1:
            return lambda xs: xs[k] @ xs[k].mT.tanh()
        return lambda xs: xs[k] @ w
    if kind == "reshape":
        sizes = [d for d in (1, 2, 3, 4, 6) if x.numel() % d == 0]
        d = rng.choice(sizes)
        transposed = rng.random() < 0.5
        return lambda xs: (xs[k].mT if transposed and xs[k].ndim > 1 else xs[k]).reshape(d, -1)
    return _other(rng, k, x)


def _other(rng, k, x):
    if x.ndim < 2:
        number = rng.choice((-2.0, 0.5, 3))
        return lambda xs: number * xs[k] ** rng_power(number) - number
    choice = rng.randrange(8)
    if choice == 0:
        return lambda xs: xs[k].triu() + 0.5 * xs[k].tril(-1)
    if choice == 1:
        return lambda xs: F.layer_norm(xs[k], xs[k].shape[-1:])
    if choice == 2:
        return lambda xs: F.pad(xs[k], (1, 0, 0, 1), value=0.3)
    if choice == 3:
        w = torch.linspace(-1, 1, x.shape[-2] * 4, dtype=x.dtype).reshape(2, x.shape[-2], 2)
        return lambda xs: F.conv1d(xs[k].reshape(-1, *xs[k].shape[-2:]), w, padding=1)
    if choice == 4:
        return lambda xs: xs[k].permute(*reversed(range(xs[k].ndim)))
    if choice == 5:
        rows = torch.tensor([x.shape[0] - 1, 0, 0])
        return lambda xs: xs[k][rows, ..., :1]
    if choice == 6:
        return lambda xs: xs[k].diagonal(dim1=-2, dim2=-1)
    return lambda xs: xs[k].new_zeros(xs[k].shape).index_add(0, torch.zeros(xs[k].shape[0], dtype=torch.long), xs[k])


def rng_power(number):
    """A whole exponent for a number."""
    return 2 if number > 0 else 3


def _broadcasts(x, y):
    try:
        return torch.Size(torch.broadcast_shapes(x.shape, y.shape)).numel() <= LIMIT
    except RuntimeError:
        return False


def random_function(seed):
    """A function of one tensor, and a point where it and its derivative are finite and of moderate size."""
    rng = random.Random(seed)
    shape = [rng.choice((1, 2, 3, 4)) for _ in range(rng.randrange(4))]
    u = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    steps, known = [], [u, torch.linspace(0.2, 1.1, 3, dtype=torch.float64)]
    constant = known[1]
    for _ in range(rng.randrange(3, 9)):
        step = _step(rng, known)
        y = step(known)
        if 0 < y.numel() <= LIMIT and bool(y.isfinite().all()) and y.abs().max() < 50 and y.ndim <= 4:
            steps.append(step)
            known.append(y)

    def function(x):
        xs = [x, constant]
        for step in steps:
            xs.append(step(xs))
        return sum((y * (0.3 + 0.1 * k)).sum() for k, y in enumerate(xs[2:])) * x[None] + xs[-1].mean()

    return function, u


def check(seeds):
    """Errors above the bar, and refusals, by seed."""
    wrong, refused = {}, {}
    for seed in seeds:
        function, u = random_function(seed)
        λ = torch.randn(function(u).shape, dtype=u.dtype, generator=torch.Generator().manual_seed(seed))
        both = pulled(function)
        expected = flat(both(u, λ))
        try:
            error = worst(run(lowered(both, u, λ), u, λ), expected)
        except CannotCompileError as reason:
            refused[seed] = str(reason)
            continue
        # what the reference itself can be trusted to, where sums of large terms cancel
        if error > BAR:
            wrong[seed] = error
    return wrong, refused


def check_tangents(seeds):
    """The same of second derivatives."""
    wrong, refused = {}, {}
    for seed in seeds:
        function, u = random_function(seed)
        generator = torch.Generator().manual_seed(seed)
        λ, g = (torch.randn(x.shape, dtype=u.dtype, generator=generator) for x in (function(u), u))
        try:
            graph = trace(function, (u,), decompose=False)
            program = lowered(pulled_tangent(graph), u, λ, g)
        except CannotCompileError as reason:
            refused[seed] = str(reason)
            continue
        error = worst(run(program, u, λ, g), flat(pulled_tangent(function)(u, λ, g)))
        if error > BAR:
            wrong[seed] = error
    return wrong, refused


def test_a_few_random_functions():
    wrong, refused = check(range(20))
    assert not wrong
    assert len(refused) <= 1, refused


def test_second_derivatives_of_a_few_random_functions():
    wrong, refused = check_tangents(range(10))
    assert not wrong
    assert not refused


@pytest.mark.slow
def test_many_random_functions():
    wrong, refused = check(range(1000, 1300))
    assert not wrong
    assert len(refused) <= 6, refused


@pytest.mark.slow
def test_second_derivatives_of_many_random_functions():
    wrong, refused = check_tangents(range(2000, 2100))
    assert not wrong
    assert len(refused) <= 2, refused
