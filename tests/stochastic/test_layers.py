"""Neural SDEs as layers, and the relative entropy of paths."""

import pytest
import torch
from torch import nn

import pydiffeqflux as de


def network(outputs):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, outputs))


def test_a_layer_is_the_problem_it_stands_for():
    drift, diffusion = network(2), network(2)
    layer = de.NeuralDSDE(drift, diffusion, (0.0, 1.0), de.EM(), dt=0.1, seed=3, engine="embedded")
    u0 = torch.rand(5, 2)
    prob = de.SDEProblem(lambda u, p, t: drift(u), lambda u, p, t: diffusion(u), u0, (0.0, 1.0), seed=3)
    assert torch.equal(layer(u0).u, de.solve(prob, de.EM(), dt=0.1, engine="embedded").u)


def test_parameters_of_both_networks_get_gradients():
    for layer in (
        de.NeuralDSDE(network(2), network(2), (0.0, 1.0), de.SOSRI(), dt=0.1, adaptive=False),
        de.NeuralSDE(network(2), network(6), (0.0, 1.0), 3, de.EM(), dt=0.1),
    ):
        layer(torch.rand(5, 2)).u[-1].pow(2).sum().backward()
        assert len(list(layer.parameters())) == 8
        assert all(q.grad is not None and q.grad.abs().max() > 0 for q in layer.parameters())


def test_rows_of_the_matrix_follow_each_other():
    class Fixed(nn.Module):
        def forward(self, u):
            return torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=u.dtype).expand(len(u), 4)

    class Zero(nn.Module):
        def forward(self, u):
            return torch.zeros_like(u)

    layer = de.NeuralSDE(Zero(), Fixed(), (0.0, 1.0), 2, de.EM(), dt=0.5, seed=1)
    sol = layer(torch.zeros(3, 2, dtype=torch.float64))
    w = sol.noise(1.0)
    assert torch.allclose(sol.u[-1], torch.stack([w[:, 0] + 2 * w[:, 1], 3 * w[:, 0] + 4 * w[:, 1]], -1))


def test_a_network_can_be_replaced():
    layer = de.NeuralDSDE(network(2), network(2), (0.0, 1.0), de.EM(), dt=0.1, seed=3)
    before = layer(torch.ones(1, 2)).u[-1]
    layer.drift = nn.Linear(2, 2)
    assert not torch.equal(layer(torch.ones(1, 2)).u[-1], before)


def test_bad_arguments_are_refused():
    with pytest.raises(de.InvalidProblemError, match="nbrown is 0"):
        de.NeuralSDE(network(2), network(2), (0.0, 1.0), 0)
    with pytest.raises(de.InvalidProblemError, match=r"nn\.Module"):
        de.NeuralDSDE(network(2), lambda u: u, (0.0, 1.0))
    with pytest.raises(de.InvalidProblemError, match="posterior must be a function"):
        de.with_path_kl(1, lambda u, p, t: u, lambda u, p, t: u)


def test_the_relative_entropy_of_two_ornstein_uhlenbeck_processes():
    """½ E ∫ ((f - h)/g)² dt for f = -u, h = -2u is ½ ∫ E u² dt / g², in closed form."""
    g = 0.5
    f, noise = de.with_path_kl(lambda u, p, t: -u, lambda u, p, t: -2 * u, lambda u, p, t: g + 0 * u)
    u0 = torch.zeros(4000, 2, dtype=torch.float64)
    u0[:, 0] = 1.0
    sol = de.solve(
        de.SDEProblem(f, noise, u0, (0.0, 1.0), seed=1), de.EM(), dt=1 / 200, saveat=[1.0], engine="embedded"
    )
    # E u² = e^{-2t} + g²/2 (1 - e^{-2t})
    decay = (1 - torch.exp(torch.tensor(-2.0, dtype=torch.float64)).item()) / 2
    expected = 0.5 * (decay + g**2 / 2 * (1.0 - decay)) / g**2
    found = sol.u[-1, :, 1]
    assert found.mean().item() == pytest.approx(expected, abs=4 * found.std().item() / 4000**0.5 + expected / 200)
