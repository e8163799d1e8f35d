import gc

import pytest
import torch
from problems import tensor

import pydiffeqflux as de
from pydiffeqflux._memory import PeakMemory

# So many that reverse mode records a graph, that states outweigh what is constant, and that the quadrature of
# GaussAdjoint works on few at a time (2^16 numbers, 128 states).
STATES = 512


def rotate(u, p, t):
    return torch.roll(u, 1) * p - p * u


def peak(sensealg, steps):
    """Peak bytes of a forward and a backward pass with a few save points."""
    p = tensor(0.7, grad=True)
    prob = de.ODEProblem(rotate, torch.linspace(0.0, 1.0, STATES, dtype=torch.float64), (0.0, 1.0), p)
    gc.collect()
    with PeakMemory() as memory:
        sol = de.solve(
            prob, de.BS3(), saveat=[0.5, 1.0], sensealg=sensealg, dt=1.0 / steps, adaptive=False, dense=False
        )
        assert sol.stats.naccept == steps
        sol.u.sum().backward()
    assert bool(torch.isfinite(p.grad))
    return memory.peak


def growth(sensealg, steps):
    return peak(sensealg, 10 * steps) / peak(sensealg, steps)


def test_backsolve_does_not_grow_with_the_number_of_steps():
    assert growth(de.BacksolveAdjoint(), 20) < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [de.InterpolatingAdjoint, de.GaussAdjoint])
def test_checkpointed_adjoints_grow_at_most_logarithmically(kind):
    # From 128 steps on two pieces of 64 steps are kept, of about ten states a step; ten times as many steps add the
    # states at fewer than four further checkpoints. What remains of 1.3 is room for garbage not yet collected.
    assert growth(kind(checkpointing=True), 128) < 1.3


@pytest.mark.parametrize("kind", [de.InterpolatingAdjoint, de.GaussAdjoint, de.QuadratureAdjoint])
def test_adjoints_without_checkpoints_keep_every_step(kind):
    # At the least the state and three stages of every step.
    assert peak(kind(), 200) >= 200 * 4 * STATES * 8


def test_reverse_mode_grows_linearly():
    assert 7 < growth(de.ReverseDiffAdjoint(), 20) < 11


@pytest.mark.slow
def test_a_checkpointed_adjoint_takes_less_than_a_plain_one():
    # 128 of 640 steps, and what both need.
    assert peak(de.InterpolatingAdjoint(checkpointing=True), 640) < 0.4 * peak(de.InterpolatingAdjoint(), 640)


def test_a_solve_without_gradient_or_dense_output_keeps_nothing():
    def forward(steps):
        prob = de.ODEProblem(rotate, torch.ones(STATES, dtype=torch.float64), (0.0, 1.0), 0.7)
        with PeakMemory() as memory:
            de.solve(prob, de.Tsit5(), saveat=[1.0], dt=1.0 / steps, adaptive=False)
        return memory.peak

    assert forward(1000) < 1.1 * forward(100)


def test_peak_memory_counts_what_is_alive():
    with PeakMemory() as memory:
        kept = torch.zeros(1000, dtype=torch.float64)
        for _ in range(10):
            torch.zeros(500, dtype=torch.float64)
    # Nine of the ten are gone when the last is made.
    assert 8 * 1500 <= memory.peak < 8 * 2500
    assert kept.numel() == 1000
