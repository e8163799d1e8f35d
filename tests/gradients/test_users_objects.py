"""Nothing of the user's is touched or triggered by the evaluations that solvers and gradients make."""

import threading
import time
from contextlib import suppress

import pytest
import torch
from problems import SENSEALGS, relative, tensor
from torch import nn

import pydiffeqflux as de

ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]
TIGHT = {"abstol": 1e-8, "reltol": 1e-8, "saveat": [1.0]}
LOOSE = {"saveat": [1.0]}  # where only is counted what is called
U0 = tensor([[0.5, -0.2], [0.3, 0.8]])
CALLS = []


class Untraced(nn.Module):
    """A network that the tracer cannot follow."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, u):
        CALLS.append(None)
        return self.inner(u)


def shared():
    """One layer in two places, as in networks with tied weights."""
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.Tanh(), layer).double()


def plain():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).double()


NETWORKS = {
    "plain": plain,
    "shared": shared,
    "untraced": lambda: Untraced(plain()),
    "untraced, shared": lambda: Untraced(shared()),
}
# what cannot be traced is called many times
everything = pytest.mark.parametrize(
    "network", [pytest.param(name, marks=[pytest.mark.slow] if "untraced" in name else []) for name in NETWORKS]
)
every_sensealg = pytest.mark.parametrize("sensealg", [None, *SENSEALGS], ids=repr)
every_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(autouse=True)
def _without_what_is_refused(request):
    chosen = getattr(getattr(request.node, "callspec", None), "params", {})
    sensealg, implicit = chosen.get("sensealg"), chosen.get("alg") == de.Rodas5P()
    forward = isinstance(sensealg, de.ForwardDiffSensitivity)
    if chosen.get("engine") == "julia" and (forward or (implicit and sensealg == de.GaussAdjoint(checkpointing=True))):
        pytest.skip("julia refuses it for torch functions, which another test is about")


def solved(net, sensealg, engine, alg=None, options=TIGHT):
    """A loss, or no loss where the sensealg does not reach weights of networks that cannot be traced."""
    if isinstance(net, Untraced) and isinstance(sensealg, de.ForwardDiffSensitivity):
        pytest.skip("refused, which another test is about")
    node = de.NeuralODE(net, (0.0, 1.0), alg or de.Tsit5(), sensealg=sensealg, engine=engine, **options)
    return node(U0).u.sum()


# ---- hooks


@everything
@every_sensealg
@every_engine
def test_hooks_of_parameters_run_once_on_the_whole_gradient(network, sensealg, engine):
    net = NETWORKS[network]()
    expected = torch.autograd.grad(solved(net, sensealg, engine), list(net.parameters()))
    seen, accumulated = [], []
    for q in net.parameters():
        q.register_hook(lambda g, q=q: seen.append((q, g.clone())))
        q.register_post_accumulate_grad_hook(accumulated.append)
    loss = solved(net, sensealg, engine)
    assert (seen, accumulated) == ([], [])
    loss.backward()
    assert sorted(id(q) for q, _ in seen) == sorted(map(id, net.parameters()))
    assert sorted(map(id, accumulated)) == sorted(map(id, net.parameters()))
    whole = {id(q): g for q, g in seen}
    assert all(relative(whole[id(q)], g) < 1e-5 for q, g in zip(net.parameters(), expected, strict=True))


@every_sensealg
@every_engine
def test_a_hook_that_changes_the_gradient_changes_it_once(sensealg, engine):
    net = plain()
    expected = torch.autograd.grad(solved(net, sensealg, engine), list(net.parameters()))
    for q in net.parameters():
        q.register_hook(lambda g: 2.0 * g)
    solved(net, sensealg, engine).backward()
    assert all(relative(q.grad, 2.0 * g) < 1e-5 for q, g in zip(net.parameters(), expected, strict=True))


@everything
@every_sensealg
@every_engine
def test_hooks_of_the_initial_state_run_once(network, sensealg, engine):
    if network.startswith("untraced") and isinstance(sensealg, de.ForwardDiffSensitivity):
        pytest.skip("refused, which another test is about")
    seen, u0 = [], U0.clone().requires_grad_()
    u0.register_hook(seen.append)
    node = de.NeuralODE(NETWORKS[network](), (0.0, 1.0), de.Tsit5(), sensealg=sensealg, engine=engine, **LOOSE)
    node(u0).u.sum().backward()
    assert len(seen) == 1


@every_sensealg
@every_engine
def test_hooks_of_computed_weights_run_once(sensealg, engine):
    """The graph behind a captured tensor is the user's, too."""
    seen, root = [], tensor([0.3, 0.4]).requires_grad_()
    rate = root**2
    rate.register_hook(seen.append)
    prob = de.ODEProblem(lambda u, p, t: -rate * u, U0, (0.0, 1.0))
    de.solve(prob, de.Tsit5(), sensealg=sensealg, engine=engine, **TIGHT).u.sum().backward()
    assert len(seen) == 1
    assert root.grad is not None


@every_sensealg
@every_engine
def test_a_forward_hook_changes_what_is_solved(sensealg, engine):
    """It is part of the function: both the solution and the gradient are those of the hooked network."""
    hooked, written = plain(), plain()
    written.load_state_dict(hooked.state_dict())
    hooked[0].register_forward_hook(lambda module, inputs, output: 2.0 * output)
    with torch.no_grad():
        written[0].weight.mul_(2.0)
        written[0].bias.mul_(2.0)
    ends = [solved(net, sensealg, engine) for net in (hooked, written)]
    assert relative(ends[0].detach(), ends[1].detach()) < 1e-6
    for end in ends:
        end.backward()
    assert relative(hooked[0].weight.grad, 2.0 * written[0].weight.grad) < 1e-5
    assert relative(hooked[2].weight.grad, written[2].weight.grad) < 1e-5


@every_engine
def test_a_forward_hook_that_counts_is_run_at_every_evaluation(engine):
    net, calls = plain(), []
    net[0].register_forward_hook(lambda *_: calls.append(None))
    node = de.NeuralODE(net, (0.0, 1.0), de.Tsit5(), sensealg=de.GaussAdjoint(), engine=engine, **TIGHT)
    assert node(U0).stats.nf <= len(calls)


@every_sensealg
@every_engine
def test_a_full_backward_hook_does_not_change_the_gradient(sensealg, engine):
    """It runs where its module is evaluated with a graph, as in any other network, or the gradient is refused."""
    net = plain()
    expected = torch.autograd.grad(solved(net, de.GaussAdjoint(), engine), list(net.parameters()))
    net[0].register_full_backward_hook(lambda module, inputs, outputs: None)
    try:
        actual = torch.autograd.grad(solved(net, sensealg, engine), list(net.parameters()))
    except de.GradientError:
        assert isinstance(sensealg, de.ForwardDiffSensitivity)
        return
    assert all(relative(g, right) < 1e-5 for g, right in zip(actual, expected, strict=True))


# ---- modules


class Watcher:
    """A thread that looks at a network all the time."""

    def __init__(self, net):
        self.places = [(module, name) for module in net.modules() for name in (*module._parameters, *module._buffers)]
        self.known = [self.look(place) for place in self.places]
        self.changed, self.looks = [], 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    @staticmethod
    def look(place):
        module, name = place
        value = getattr(module, name)
        return id(value), type(value), None if value is None else (value.requires_grad, value.data_ptr())

    def run(self):
        while not self.is_over.is_set():
            for place, known in zip(self.places, self.known, strict=True):
                found = self.look(place)
                if found != known:
                    self.changed.append((place[1], known, found))
            self.looks += 1
            time.sleep(5e-5)  # without a pause the other thread waits for the interpreter most of the time

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


@everything
@every_sensealg
@every_engine
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_modules_are_not_touched_during_a_gradient(network, sensealg, engine, alg):
    net = NETWORKS[network]()
    net.register_buffer("kept", tensor(1.0))
    before = {name: x.clone() for name, x in net.state_dict().items()}
    with Watcher(net) as watcher:
        loss = solved(net, sensealg, engine, alg, LOOSE)
        loss.backward(retain_graph=True)
        loss.backward()
    assert watcher.looks > 0
    assert watcher.changed == []
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    assert all(type(q) is nn.Parameter and type(q.grad) is torch.Tensor for q in net.parameters())
    net(U0).sum().backward()  # and it can be used


@every_sensealg
@every_engine
def test_a_refused_gradient_leaves_modules_as_they_were(sensealg, engine):
    net = Branching(*shared())
    with suppress(de.DiffEqError):
        solved(net, sensealg, engine, options=LOOSE).backward()
    assert all(type(q) is nn.Parameter for q in net.parameters())
    net(U0).sum().backward()


class Branching(nn.Sequential):
    def forward(self, u):
        return u if u.sum() > 100.0 else super().forward(u)


@every_sensealg
@every_engine
def test_another_thread_predicts_while_a_gradient_is_taken(sensealg, engine):
    net = shared()
    expected = net(U0).detach()
    loss = solved(net, sensealg, engine, options=LOOSE)
    errors, is_over = [], threading.Event()

    def predict():
        try:
            with torch.no_grad():
                while not is_over.is_set():
                    assert torch.equal(net(U0), expected)
        except BaseException as error:  # for the main thread
            errors.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        for _ in range(5):
            loss.backward(retain_graph=True)
    finally:
        is_over.set()
        thread.join()
    assert errors == []


# ---- what f writes itself


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)).double()
        self.inputs = []

    def forward(self, u):
        self.inputs.append(u.detach().clone())
        return self.net(u)


@pytest.mark.parametrize("wanted", [True, False], ids=["grad", "no_grad"])
@every_sensealg
@every_engine
def test_batch_statistics_end_as_after_direct_calls(sensealg, engine, wanted):
    """The evaluations of the solve count, each once and in their order."""
    net, other = Normalised(), Normalised()
    other.load_state_dict(net.state_dict())
    node = de.NeuralODE(net, (0.0, 1.0), de.Tsit5(), sensealg=sensealg, engine=engine, **TIGHT)
    with torch.set_grad_enabled(wanted):
        sol = node(U0)
    with torch.no_grad():
        for u in net.inputs:
            other(u)
    assert len(net.inputs) == sol.stats.nf
    after_the_solve = dict(zip(net.state_dict(), map(torch.clone, net.state_dict().values()), strict=True))
    for name, expected in other.state_dict().items():
        assert torch.allclose(after_the_solve[name], expected, rtol=1e-12), name


@pytest.mark.parametrize("sensealg", [None, de.ReverseDiffAdjoint(), de.GaussAdjoint()], ids=repr)
@every_engine
def test_batch_statistics_in_training_do_not_spoil_the_gradient(sensealg, engine):
    """In training mode they are written and not read: the gradient is that of the same network without them."""
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)).double()
    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.Tanh(), nn.Linear(3, 2))
    other.double().load_state_dict(net.state_dict(), strict=False)
    gradients = [torch.autograd.grad(solved(m, sensealg, engine), list(m.parameters())) for m in (net, other)]
    scale = max(float(g.abs().max()) for g in gradients[1])  # that of a bias before the normalisation is zero
    assert all(float((g - h).abs().max()) < 1e-5 * scale for g, h in zip(*gradients, strict=True))
    assert int(net[1].num_batches_tracked) > 0


class InEvalMode(nn.Sequential):
    """Of a class of its own, for which nothing has been refused before."""


@every_sensealg
@every_engine
def test_batch_statistics_in_eval_mode_stay(sensealg, engine):
    net = InEvalMode(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)).double().eval()
    before = {name: x.clone() for name, x in net.state_dict().items()}
    solved(net, sensealg, engine).backward()
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
