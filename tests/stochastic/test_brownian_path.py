"""A path is one function of time, whoever asks, and that of a Brownian motion."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pydiffeqflux as de

MANY = 20_000
SIGMAS = 5.0


def path(shape=(3,), **options):
    return de.BrownianPath((0.0, 1.0), shape, **({"seed": 7} | options))


GRIDS = [{}, {"dt": 0.07}, {"dt": 0.07, "restarts": (0.1, 0.33, 0.9)}]
times = st.floats(-0.5, 1.5, allow_subnormal=False)


@pytest.mark.parametrize("options", GRIDS, ids=str)
def test_the_order_of_queries_does_not_matter(options):
    asked = np.random.default_rng(0).uniform(-0.5, 1.5, 60).tolist()
    first, second = path(**options), path(**options)
    values = {t: first(t) for t in asked}
    for t in sorted(asked, reverse=True):
        assert torch.equal(second(t), values[t])


@pytest.mark.parametrize("options", GRIDS, ids=str)
@given(a=times, b=times)
def test_increments_are_differences_of_values(options, a, b):
    w = path(**options)
    difference = w(b) - w(a)
    assert torch.allclose(w.increment(a, b), difference, rtol=0.0, atol=1e-13)
    assert torch.allclose(w.increment(b, a), -difference, rtol=0.0, atol=1e-13)


@pytest.mark.parametrize("options", GRIDS, ids=str)
@given(points=st.lists(times, min_size=3, max_size=3, unique=True))
def test_areas_of_intervals_make_up_that_of_their_union(options, points):
    a, b, c = sorted(points)
    w = path(**options)
    tick = w.resolution
    if min(b - a, c - b) < 1e4 * tick:
        return  # there the rounding of the times to ticks is all that is seen
    w1, h1 = w.increment_and_area(a, b)
    w2, h2 = w.increment_and_area(b, c)
    whole, area = w.increment_and_area(a, c)
    integral = (b - a) * (w1 / 2 + h1) + (c - b) * w1 + (c - b) * (w2 / 2 + h2)
    assert torch.allclose(w1 + w2, whole, rtol=0.0, atol=1e-13)
    assert torch.allclose(integral / (c - a) - whole / 2, area, rtol=0.0, atol=1e-3)


@pytest.mark.parametrize("options", GRIDS, ids=str)
@pytest.mark.parametrize(("a", "b"), [(0.1, 0.1003), (0.2, 0.21), (0.3, 0.7), (0.06, 0.11), (-0.2, 0.01)])
def test_increments_and_areas_have_their_distribution(options, a, b):
    w, h = path((MANY,), **options).increment_and_area(a, b)
    dt = b - a
    spread = SIGMAS * (2 / MANY) ** 0.5  # of a variance, relative
    assert w.var().item() / dt == pytest.approx(1.0, abs=spread)
    assert 12 * h.var().item() / dt == pytest.approx(1.0, abs=spread)
    error = SIGMAS / MANY**0.5
    assert abs((w * h).mean().item()) / dt < error / 12**0.5
    assert abs(w.mean().item()) / dt**0.5 < error
    fourth = (w**4).mean().item() / dt**2
    assert fourth == pytest.approx(3.0, abs=SIGMAS * (96 / MANY) ** 0.5)


def test_increments_of_neighbours_are_independent():
    w = path((MANY,))
    a, b = w.increment(0.2, 0.2031), w.increment(0.2031, 0.209)
    assert abs((a * b).mean().item()) / (0.0031 * 0.0059) ** 0.5 < SIGMAS / MANY**0.5


@pytest.mark.parametrize("options", GRIDS, ids=str)
def test_a_pickled_path_is_the_same(options):
    w = path(**options)
    value = w(0.77)
    again = pickle.loads(pickle.dumps(w))
    assert len(pickle.dumps(w)) < 1000
    assert torch.equal(again(0.77), value)


def test_the_path_of_another_seed_is_another():
    assert not torch.equal(path()(0.5), path(seed=8)(0.5))


def test_a_path_passes_its_given_values():
    t = [0.0, 0.25, 1.0]
    values = torch.tensor([[0.0, 1.0], [0.5, 0.2], [-0.3, 0.1]], dtype=torch.float64)
    w = de.BrownianPath.from_values(t, values)
    assert torch.allclose(w.increment(0.0, 0.25), values[1] - values[0])
    parts = w.increment(0.0, 0.1) + w.increment(0.1, 0.6) + w.increment(0.6, 1.0)
    assert torch.allclose(parts, values[2] - values[0])
    again = pickle.loads(pickle.dumps(w))
    assert torch.equal(again.increment(0.1, 0.6), w.increment(0.1, 0.6))
    with pytest.raises(de.InvalidOptionError, match=r"given from t = 0\.0 to 1\.0"):
        w.increment(0.5, 1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: path(seed=-1), "seed must be a non-negative whole number"),
        (lambda: path(seed=1.5), "seed must be a non-negative whole number"),
        (lambda: path(dt=0.0), "need a positive width"),
        (lambda: path(dtype=torch.float16), "dtype float32 or float64"),
        (lambda: path(restarts=(0.5, 0.2)), "strictly increase"),
        (lambda: de.BrownianPath((1.0, 1.0), (2,)), "two different, finite times"),
        (lambda: de.BrownianPath.from_values([0.0, 1.0], torch.zeros(3, 2)), "as many values"),
        (lambda: de.BrownianPath.from_values([1.0, 0.0], torch.zeros(2, 2)), "strictly increase"),
        (lambda: de.BrownianPath.from_values([0.0, 1.0], torch.zeros(2, requires_grad=True)), "no gradient"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(de.InvalidOptionError, match=message):
        make()


def test_float32_paths_are_float32():
    w = path(dtype=torch.float32, dt=0.1)
    assert w.increment(0.1, 0.2).dtype == torch.float32
    assert w(0.123).dtype == torch.float32
