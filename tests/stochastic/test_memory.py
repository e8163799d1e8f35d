"""The memory of a process that solves stochastic equations again and again."""

import gc
import os

import pytest
import torch

import pydiffeqflux as de


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc to read the memory of the process")
@pytest.mark.parametrize("engine", ["embedded", pytest.param("julia", marks=pytest.mark.julia)])
def test_a_thousand_solves_and_gradients_need_no_more_of_it(engine):
    p = torch.tensor([0.7, 0.4], dtype=torch.float64, requires_grad=True)
    u0 = torch.ones(100, dtype=torch.float64)

    def once(seed):
        prob = de.SDEProblem(lambda u, p, t: -p[0] * u, lambda u, p, t: p[1] * u, u0, (0.0, 1.0), p, seed=seed)
        de.solve(prob, de.EM(), dt=0.05, engine=engine, sensealg=de.ReverseDiffAdjoint()).u.sum().backward()

    for seed in range(100):
        once(seed)
    gc.collect()
    before = resident()
    for seed in range(100, 1100):
        once(seed)
    gc.collect()
    # states and noise of a solve are 32 kB: a leak of them would be 32 MB; Julia's collector keeps some pages
    assert resident() - before < (10e6 if engine == "embedded" else 25e6)
