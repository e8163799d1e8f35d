"""What `solve` does with equations that have noise, and what it refuses."""

import pickle

import numpy as np
import pytest
import torch
from noisy import ALL, geometric, solve

import pydiffeqflux as de
from pydiffeqflux import _algorithms as algs


def test_a_seed_reproduces_a_solution():
    prob = geometric(4, seed=None)
    first = solve(prob, de.SOSRI(), seed=11, saveat=0.1)
    second = solve(prob, de.SOSRI(), seed=11, saveat=0.1)
    other = solve(prob, de.SOSRI(), seed=12, saveat=0.1)
    assert torch.equal(first.u, second.u)
    assert not torch.equal(first.u, other.u)
    torch.manual_seed(3)
    third = solve(prob, de.SOSRI(), saveat=0.1)
    torch.manual_seed(3)
    assert torch.equal(solve(prob, de.SOSRI(), saveat=0.1).u, third.u)


def test_the_noise_of_a_solution_drives_another_one():
    sol = solve(geometric(4), de.EM(), dt=0.01)
    again = solve(de.remake(geometric(4), noise=pickle.loads(pickle.dumps(sol.noise)), seed=None), de.EM(), dt=0.01)
    assert torch.equal(sol.u, again.u)


@pytest.mark.parametrize(
    ("g", "expected"),
    [
        (lambda u, p, t: 0.1 * u, de.SOSRI),
        (lambda u, p, t: (0.1 * u).unsqueeze(-1), de.SOSRI),
        (lambda u, p, t: 0.1 * torch.ones_like(u), de.SOSRA),
        (lambda u, p, t: torch.stack([0.1 * u, 0.2 * u], -1), de.LambaEM),
        (lambda u, p, t: torch.ones(*u.shape, 2, dtype=u.dtype), de.SOSRA),
    ],
)
def test_the_default_algorithm_follows_the_noise(g, expected):
    prob = de.SDEProblem(lambda u, p, t: -u, g, torch.ones(3, 2, dtype=torch.float64), (0.0, 0.5), seed=1)
    found = prob.prepare().diffusion
    assert isinstance(algs.choose_default_stochastic(found.layout, found.depends_on_state), expected)
    sol = solve(prob, None, saveat=[0.5])
    assert sol.retcode == de.ReturnCode.Success
    assert sol.u.shape == (1, 3, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_algorithm_keeps_dtype_and_shape(dtype):
    for alg in ALL:
        prob = de.SDEProblem(
            lambda u, p, t: -u, lambda u, p, t: 0.1 + 0 * u, torch.ones(2, 3, dtype=dtype), (0.0, 0.2), seed=1
        )
        sol = solve(prob, alg, dt=0.05, adaptive=False, saveat=[0.1, 0.2])
        assert sol.u.shape == (2, 2, 3)
        assert sol.u.dtype == dtype
        assert sol.stats.nf2 > 0


def test_arrays_in_and_out():
    prob = de.SDEProblem(lambda u, p, t: -u, lambda u, p, t: 0.1 * u, [1.0, 2.0], (0.0, 1.0), seed=1)
    sol = solve(prob, de.EM(), dt=0.1)
    assert isinstance(sol.u, np.ndarray)
    assert sol.u.shape == (11, 2)


def test_saved_times_are_ends_of_steps_and_dense_output_is_linear():
    sol = solve(geometric(3), de.EM(), dt=0.1, saveat=[0.25, 1.0])
    assert sol.t.tolist() == [0.25, 1.0]
    dense = solve(geometric(3), de.EM(), dt=0.1)
    middle = (dense.u[1] + dense.u[2]) / 2
    assert torch.allclose(dense(0.15), middle)
    with pytest.raises(de.InvalidOptionError, match="no time derivative"):
        dense(0.15, derivative=1)


def test_stratonovich_runs_backwards_and_ito_does_not():
    prob = de.SDEProblem(
        lambda u, p, t: 0.1 * u, lambda u, p, t: 0.2 * u, torch.ones(3, dtype=torch.float64), (0.0, 1.0), seed=4
    )
    forwards = solve(prob, de.EulerHeun(), dt=1e-3)
    back = de.SDEProblem(prob.f, prob.g, forwards.u[-1], (1.0, 0.0), noise=forwards.noise)
    assert torch.allclose(solve(back, de.EulerHeun(), dt=1e-3).u[-1], prob.u0, atol=1e-3)
    with pytest.raises(de.UnsupportedError, match="Itô's integral looks at the start"):
        solve(back, de.EM(), dt=1e-3)


def test_stiff_drifts_need_few_steps():
    prob = de.SDEProblem(
        lambda u, p, t: -1e4 * (u - torch.cos(t)),
        lambda u, p, t: 0.1 + 0 * u,
        torch.ones(2, dtype=torch.float64),
        (0.0, 1.0),
        seed=1,
    )
    sol = solve(prob, de.ImplicitEM(), dt=0.01)
    assert sol.retcode == de.ReturnCode.Success
    assert (sol.u[-1] - np.cos(1.0)).abs().max() < 0.05
    with pytest.warns(de.SolveWarning):
        assert solve(prob, de.EM(), dt=0.005, throw=False).retcode != de.ReturnCode.Success


def noise_of(g, u0=None, **options):
    u0 = torch.ones(3, dtype=torch.float64) if u0 is None else u0
    return de.SDEProblem(lambda u, p, t: -u, g, u0, (0.0, 1.0), **options)


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: solve(geometric(2), de.EM()), de.InvalidOptionError, "needs a step size"),
        (lambda: solve(geometric(2), de.SOSRI(), adaptive=False), de.InvalidOptionError, "needs a step size"),
        (lambda: solve(geometric(2), de.EM(), dt=0.1, seed=1.5), de.InvalidOptionError, "seed must be"),
        (lambda: solve(geometric(2), de.Tsit5()), de.UnsupportedError, "without noise"),
        (
            lambda: solve(noise_of(lambda u, p, t: u[:2]), de.EM(), dt=0.1),
            de.RightHandSideError,
            r"g returned .*\(3, m\)",
        ),
        (
            lambda: solve(noise_of(lambda u, p, t: torch.ones(3, 2, dtype=u.dtype)), de.SRIW1()),
            de.UnsupportedError,
            "several motions",
        ),
        (lambda: solve(geometric(2), de.SRA1()), de.UnsupportedError, "g depends on u"),
        (
            lambda: solve(noise_of(lambda u, p, t: u, noise=de.BrownianPath((0.0, 1.0), (2,))), de.EM(), dt=0.1),
            de.InvalidProblemError,
            r"noise has shape \(2,\)",
        ),
        (lambda: noise_of(lambda u, p, t: u, noise=1), de.InvalidProblemError, "must be a BrownianPath"),
        (lambda: noise_of(lambda t, u: u), de.InvalidProblemError, r"g\(t, u\) has the time before"),
        (lambda: noise_of(3), de.InvalidProblemError, "g must be a function"),
        (
            lambda: noise_of(lambda u, p, t: u, torch.ones(2, dtype=torch.complex64)),
            de.InvalidProblemError,
            "real state",
        ),
        (
            lambda: solve(
                noise_of(lambda u, p, t: u, noise=de.BrownianPath((0.0, 1.0), (3,), seed=1)), de.EM(), dt=1e-9
            ),
            de.InvalidOptionError,
            "tells times apart",
        ),
        (
            lambda: de.solve(geometric(2), de.EM(), dt=0.1, engine="julia"),
            (de.UnsupportedError, de.EngineUnavailableError),
            "[jJ]ulia",
        ),
        (lambda: de.RKMil("other"), de.InvalidOptionError, "'ito' or 'stratonovich'"),
        (lambda: de.ImplicitEM(theta=0.2), de.InvalidOptionError, "between 0.5 and 1"),
        (
            lambda: solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)), de.EM(), dt=0.1),
            de.UnsupportedError,
            "for equations with noise",
        ),
        (
            lambda: solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)), None, seed=1),
            de.InvalidOptionError,
            "seed is for problems with noise",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(run, error, message):
    with pytest.raises(error, match=message):
        run()


def test_sensealgs_are_compared_on_one_path():
    p = torch.tensor([0.3, 0.2], dtype=torch.float64, requires_grad=True)
    prob = de.SDEProblem(
        lambda u, p, t: p[0] * u, lambda u, p, t: p[1] * u, torch.ones(2, dtype=torch.float64), (0.0, 1.0), p, seed=1
    )
    choices = [de.ReverseDiffAdjoint(), de.ForwardDiffSensitivity(), de.BacksolveAdjoint()]
    result = de.compare_sensealgs(
        prob, de.EM(), lambda sol: sol.u[-1].sum(), choices, dt=1e-2, saveat=[1.0], engine="embedded", repeats=1
    )
    errors = [row.error for row in result.rows]
    assert errors[0] == 0.0
    assert errors[1] < 1e-10
    assert errors[2] < 0.1
