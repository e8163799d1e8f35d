"""Continuous normalizing flows: densities, traces, noise, gradients, both engines."""

import math

import pytest
import torch

import pydiffeqflux as de
from pydiffeqflux._layers._tangents import is_written_out, push_forward

ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]
TIGHT = {"abstol": 1e-9, "reltol": 1e-9}


def network(d=2, width=16, seed=0):
    torch.manual_seed(seed)
    return de.TimeSequential(
        de.ConcatSquashLinear(d, width), torch.nn.Softplus(), de.ConcatSquashLinear(width, width), torch.nn.Tanh(),
        de.ConcatSquashLinear(width, d),
    ).double()  # fmt: skip


class Unknown(torch.nn.Module):
    """The same network, of which the flow does not know what it is made of."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, t):
        return self.net(x, t)


def data(count=5, d=2):
    return torch.linspace(-1.5, 1.5, count * d, dtype=torch.float64).reshape(count, d).sin()


# ---- the Jacobian


ACTIVATIONS = [torch.nn.Tanh(), torch.nn.Sigmoid(), torch.nn.SiLU(), torch.nn.ReLU(), torch.nn.Softplus()]


@pytest.mark.parametrize("activation", [*ACTIVATIONS, torch.nn.Identity()], ids=repr)
def test_products_with_the_jacobian_are_those_of_autograd(activation):
    net = torch.nn.Sequential(torch.nn.Linear(3, 7), activation, torch.nn.Linear(7, 2)).double()
    x, t = data(4, 3), torch.tensor(0.3, dtype=torch.float64)
    y, products = push_forward(net, x, torch.eye(3, dtype=torch.float64).expand(4, 3, 3), t)
    assert torch.equal(y, net(x))
    exact = torch.func.vmap(torch.func.jacrev(net))(x)
    assert torch.allclose(products.transpose(1, 2), exact, rtol=1e-13, atol=1e-14)


def test_what_is_written_out():
    assert is_written_out(network())
    assert not is_written_out(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2)))
    assert not is_written_out(torch.nn.Softplus(beta=2.0))
    assert not is_written_out(Unknown(network()))


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_an_unknown_network_has_the_same_density(trace):
    net, x = network(), data()
    options = {"trace": trace, "alg": de.Tsit5(), "regularize": True, **TIGHT}
    known, unknown = (de.FFJORD(model, **options)(x, seed=3) for model in (net, Unknown(net)))
    for name in ("z", "log_prob", "kinetic", "jacobian"):
        assert torch.allclose(getattr(known, name), getattr(unknown, name), rtol=1e-9, atol=1e-10), name


# ---- densities


@pytest.mark.parametrize("engine", ENGINES)
def test_a_linear_flow_is_the_exponential_of_its_matrix(engine):
    a = torch.tensor([[0.3, -0.8], [0.5, -0.2]], dtype=torch.float64)
    net = torch.nn.Linear(2, 2, bias=False).double()
    net.weight.data.copy_(a)
    x = data()
    result = de.FFJORD(net, (0.0, 1.5), de.Tsit5(), engine=engine, regularize=True, **TIGHT)(x)
    z = x @ torch.matrix_exp(1.5 * a).T
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) + 1.5 * a.trace()
    assert torch.allclose(result.z, z, atol=1e-8)
    assert torch.allclose(result.log_prob, exact, atol=1e-8)
    assert torch.allclose(result.jacobian, 1.5 * a.square().sum().expand(5), atol=1e-8)


def test_a_density_integrates_to_one():
    flow = de.FFJORD(network(seed=2), alg=de.Tsit5())
    line = torch.linspace(-9.0, 9.0, 181, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        total = flow.log_prob(grid).exp().sum() * (line[1] - line[0]) ** 2
    assert total.item() == pytest.approx(1.0, abs=1e-3)


def test_the_inverse_leads_back():
    flow = de.FFJORD(network(), alg=de.Tsit5(), **TIGHT)
    x = data()
    assert float((flow.inverse(flow(x).z) - x).detach().abs().max()) < 10 * 2e-9


def test_samples_have_the_density():
    flow = de.FFJORD(network(seed=4), alg=de.Tsit5())
    samples = flow.sample(4000, 2, seed=1)
    assert torch.equal(samples, flow.sample(4000, 2, seed=1))
    line = torch.linspace(-8.0, 8.0, 161, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        weights = flow.log_prob(grid).exp() * (line[1] - line[0]) ** 2
    mean = (weights[:, None] * grid).sum(0)
    variance = (weights[:, None] * (grid - mean) ** 2).sum(0)
    assert ((samples.mean(0) - mean).abs() < 4 * (variance / 4000).sqrt()).all()


def test_another_base_density():
    base = torch.distributions.Independent(torch.distributions.Laplace(torch.zeros(2).double(), 1.0), 1)
    net = torch.nn.Linear(2, 2).double()
    torch.nn.init.zeros_(net.weight)
    torch.nn.init.constant_(net.bias, 0.5)
    flow = de.FFJORD(net, alg=de.Tsit5(), basedist=base)
    x = data()
    assert torch.allclose(flow.log_prob(x), base.log_prob(x + 0.5), atol=1e-9)
    assert flow.sample(7, 2).shape == (7, 2)


# ---- noise


@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_the_mean_of_hutchinsons_estimate_is_the_trace(probe):
    net, x = network(4), data(3, 4)
    exact = de.FFJORD(net, alg=de.Tsit5(), trace="exact").log_prob(x).detach()
    flow = de.FFJORD(net, alg=de.Tsit5(), trace="hutchinson", probe=probe)
    with torch.no_grad():
        many = flow.log_prob(x.repeat(400, 1), seed=5).reshape(400, 3)
    error = many.std(0) / math.sqrt(400)
    assert ((many.mean(0) - exact).abs() < 4 * error).all()


def test_a_seed_gives_the_same_noise_and_a_solve_draws_once(monkeypatch):
    flow = de.FFJORD(network(), alg=de.Tsit5(), trace="hutchinson")
    x = data()
    assert torch.equal(flow.log_prob(x, seed=7), flow.log_prob(x, seed=7))
    assert not torch.equal(flow.log_prob(x, seed=7), flow.log_prob(x, seed=8))
    draws = []
    draw = torch.randint
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: draws.append(1) or draw(*args, **kwargs))
    flow.log_prob(x).sum().backward()
    assert len(draws) == 1


# ---- gradients


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_gradients_agree_with_differences(engine, trace):
    net, x = network(), data().requires_grad_()
    flow = de.FFJORD(net, alg=de.Tsit5(), trace=trace, regularize=True, engine=engine, abstol=1e-10, reltol=1e-10)

    def loss():
        result = flow(x, seed=3)
        return -result.log_prob.mean() + 0.1 * result.kinetic.mean() + 0.1 * result.jacobian.mean()

    tensors = [x, *net.parameters()]
    for q, gradient in zip(tensors, torch.autograd.grad(loss(), tensors), strict=True):
        flat, i = q.data.reshape(-1), q.numel() // 2
        held, values = flat[i].item(), []
        for shift in (1e-4, -1e-4):
            flat[i] = held + shift
            with torch.no_grad():
                values.append(loss().item())
        flat[i] = held
        expected = (values[0] - values[1]) / 2e-4
        assert gradient.reshape(-1)[i].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_gradients_reach_samples():
    net = network()
    de.FFJORD(net, alg=de.Tsit5()).rsample(6, 2, seed=1).square().sum().backward()
    assert all(q.grad is not None and bool(q.grad.abs().sum() > 0) for q in net.parameters())


@pytest.mark.julia
def test_a_flow_is_compiled_and_agrees_with_the_embedded_engine():
    net, x = network(3), data(6, 3)
    found = []
    for engine, options in (("embedded", {}), ("julia", {"compile": True})):
        flow = de.FFJORD(net, alg=de.Tsit5(), engine=engine, regularize=True, abstol=1e-11, reltol=1e-11, **options)
        result = flow(x)
        found.append((result.log_prob, *torch.autograd.grad(result.log_prob.sum(), list(net.parameters()))))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-9)


# ---- refusals


def test_what_is_refused():
    with pytest.raises(de.InvalidOptionError, match="trace must be"):
        de.FFJORD(network(), trace="approximate")
    with pytest.raises(de.InvalidOptionError, match="probe must be"):
        de.FFJORD(network(), probe="uniform")
    with pytest.raises(de.InvalidProblemError, match="must be an nn"):
        de.FFJORD(lambda x: x)
    flow = de.FFJORD(network())
    with pytest.raises(de.InvalidOptionError, match="takes data of shape"):
        flow.log_prob(torch.zeros(2))
    with pytest.raises(de.InvalidOptionError, match="seed"):
        flow(data(), seed=-1)
