import copy
import pickle

import pytest
import torch
from torch import nn

import pydiffeqflux as de


def net(width=2, dtype=torch.float32):
    return nn.Sequential(nn.Linear(width, 8, dtype=dtype), nn.Tanh(), nn.Linear(8, width, dtype=dtype))


class Timed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, u, t):
        return self.inner(torch.cat([u, t.expand(*u.shape[:-1], 1)], dim=-1))


class OptionalTime(nn.Module):
    def forward(self, u, t=None):
        return -u if t is None else -u * t


class NoState(nn.Module):
    def forward(self):
        return torch.zeros(1)


class TooMany(nn.Module):
    def forward(self, u, p, t):
        return u


@pytest.mark.parametrize("batch", [(), (5,), (5, 3)], ids=str)
def test_shapes(batch):
    node = de.NeuralODE(net(), (0.0, 1.0), de.Tsit5(), saveat=[0.5, 1.0])
    assert node(torch.zeros(*batch, 2)).u.shape == (2, *batch, 2)


def test_parameters_are_registered_once():
    node = de.NeuralODE(net(), (0.0, 1.0))
    assert sorted(node.state_dict()) == ["model.0.bias", "model.0.weight", "model.2.bias", "model.2.weight"]
    assert len(list(node.parameters())) == 4


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda node: pickle.loads(pickle.dumps(node))], ids=["copy", "pickle"]
)
def test_a_copy_is_independent(clone):
    node = de.NeuralODE(net(), (0.0, 1.0), de.Tsit5(), saveat=[1.0])
    other = clone(node)
    u0 = torch.ones(3, 2)
    before = node(u0).u.detach()
    assert torch.equal(other(u0).u, before)
    with torch.no_grad():
        for q in other.parameters():
            q.zero_()
    assert torch.equal(other(u0).u[-1], u0)
    assert torch.equal(node(u0).u, before)
    other(u0).u.sum().backward()
    assert all(q.grad is None for q in node.parameters())
    assert all(q.grad is not None for q in other.parameters())


def test_state_dict_round_trip():
    one, other = (de.NeuralODE(net(), (0.0, 1.0), de.Tsit5()) for _ in range(2))
    other.load_state_dict(one.state_dict())
    u0 = torch.ones(2)
    assert torch.equal(one(u0).u, other(u0).u)


def test_training_lowers_the_loss():
    node = de.NeuralODE(net(dtype=torch.float64), (0.0, 1.0), de.Tsit5(), saveat=[1.0])
    u0 = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    optimizer = torch.optim.Adam(node.parameters(), 0.02)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = ((node(u0).u[-1] - u0.flip(0)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("model", "expected"), [(net(), False), (Timed(), True), (OptionalTime(), False)])
def test_time_dependence_is_read_from_the_signature(model, expected):
    assert de.NeuralODE(model, (0.0, 1.0)).time_dependent is expected
    assert de.NeuralODE(model, (0.0, 1.0))(torch.ones(4, 2)).retcode.success


def test_time_dependence_can_be_chosen():
    # u' = -t u: exp(-t^2 / 2).
    node = de.NeuralODE(OptionalTime(), (0.0, 1.0), de.Tsit5(), time_dependent=True, abstol=1e-8, reltol=1e-8)
    u1 = node(torch.ones(1, dtype=torch.float64)).u[-1]
    assert abs(u1.item() - torch.exp(torch.tensor(-0.5, dtype=torch.float64)).item()) < 1e-7


@pytest.mark.parametrize("model", [NoState(), TooMany()], ids=["none", "three"])
def test_a_model_that_cannot_be_called(model):
    with pytest.raises(de.InvalidProblemError, match="must take u, or u and t"):
        de.NeuralODE(model, (0.0, 1.0))


def test_a_model_must_be_a_module():
    with pytest.raises(de.InvalidProblemError, match="not function"):
        de.NeuralODE(lambda u: -u, (0.0, 1.0))


def test_options_can_be_overridden_in_a_call():
    node = de.NeuralODE(net(), (0.0, 1.0), de.Tsit5(), saveat=[1.0], sensealg=de.GaussAdjoint())
    sol = node(torch.ones(2), saveat=[0.2, 0.4], sensealg=de.BacksolveAdjoint())
    assert torch.allclose(sol.t, torch.tensor([0.2, 0.4]))
    assert sol.sensealg == de.BacksolveAdjoint()
    assert node(torch.ones(2)).t.tolist() == [1.0]


def test_options_are_checked_at_construction():
    with pytest.raises(de.InvalidOptionError, match="has no option 'reltoll'; did you mean reltol"):
        de.NeuralODE(net(), (0.0, 1.0), reltoll=1e-6)
    with pytest.raises(de.InvalidOptionError, match="has no option"):
        de.FFJORD(net(), tolerance=1e-6)
    node = de.NeuralODE(net(), (0.0, 1.0), saveat=[1.0])
    assert node.solve_options == {"saveat": [1.0]}


def test_the_time_span_can_be_overridden_in_a_call():
    node = de.NeuralODE(net(), (0.0, 1.0), de.Tsit5(), saveat=[1.0])
    assert node(torch.ones(2), tspan=(0.0, 2.0), saveat=[1.0, 2.0]).t.tolist() == [1.0, 2.0]
    assert node.tspan == (0.0, 1.0)


def test_double_moves_the_whole_layer():
    node = de.NeuralODE(net(), (0.0, 1.0), de.Tsit5(), saveat=[1.0]).double()
    assert node(torch.ones(2, dtype=torch.float64)).u.dtype == torch.float64
    with pytest.raises((de.RightHandSideError, RuntimeError), match=r"(?i)dtype"):
        node(torch.ones(2))


@pytest.mark.parametrize("where", ["state", "model"])
def test_a_state_and_a_model_on_different_devices(where):
    node = de.NeuralODE(net(), (0.0, 1.0), de.Tsit5())
    u0 = torch.ones(2)
    if where == "model":
        node.to("meta")
    else:
        u0 = u0.to("meta")
    with pytest.raises(RuntimeError, match=r"meta|device"):
        node(u0)


def test_repr_shows_the_settings():
    text = repr(de.NeuralODE(net(), (0, 2), de.Tsit5()))
    assert "tspan=(0.0, 2.0), alg=Tsit5(), time_dependent=False" in text


def test_train_and_eval_reach_the_model():
    node = de.NeuralODE(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), (0.0, 1.0))
    node.eval()
    assert not node.model[1].training
    u0 = torch.ones(2)
    assert torch.equal(node(u0).u, node(u0).u)
