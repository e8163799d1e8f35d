"""What is traced again and what is not."""

import gc
import types

import pytest
import torch

import pydiffeqflux as de
from pydiffeqflux._engines.julia import _bridge, _compiled

pytestmark = pytest.mark.julia


@pytest.fixture
def traced(monkeypatch):
    """A list that grows by one with every function that is traced."""
    found = []
    original = _compiled.TracedFunction

    def counted(*arguments):
        found.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(_compiled, "TracedFunction", counted)
    return found


def _end(f, u0, p=None):
    prob = de.ODEProblem(f, u0, (0.0, 1.0), p)
    found = de.solve(prob, de.Tsit5(), engine="julia", compile=True).u[-1]
    expected = de.solve(prob, de.Tsit5(), engine="embedded").u[-1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    return found


class _Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3, dtype=torch.float64)
        self.scale = 1.0
        self.register_buffer("shift", torch.zeros(3, dtype=torch.float64))

    def forward(self, u, p, t):
        return self.scale * self.layer(u).tanh() + self.shift


@pytest.fixture
def net():
    return _Net()


ONES = torch.ones(3, dtype=torch.float64)


def test_changed_parameter_values_are_seen_without_tracing(net, traced):
    first = _end(net, ONES)
    with torch.no_grad():
        net.layer.weight.mul_(2.0)
    assert not torch.equal(_end(net, ONES), first)
    assert not torch.equal(_end(net, 2 * ONES), first)
    assert len(traced) == 1


def test_a_captured_tensor_changed_in_place_is_seen(net, traced):
    first = _end(net, ONES)
    net.shift.add_(0.5)
    assert not torch.equal(_end(net, ONES), first)
    assert len(traced) == 1


def test_a_replaced_tensor_is_seen(net, traced):
    first = _end(net, ONES)
    net.shift = net.shift + 0.5
    assert not torch.equal(_end(net, ONES), first)
    assert len(traced) == 2


def test_a_changed_attribute_is_seen(net, traced):
    first = _end(net, ONES)
    net.scale = 0.3
    assert not torch.equal(_end(net, ONES), first)
    assert len(traced) == 2
    net.scale = 1.0
    assert torch.equal(_end(net, ONES), first)
    assert len(traced) == 2


def test_a_changed_number_in_a_closure_is_seen(traced):
    rate = 1.0

    def f(u, p, t):
        return -rate * u

    first = _end(f, ONES)
    rate = 2.0
    assert not torch.equal(_end(f, ONES), first)
    assert len(traced) == 2


def test_another_shape_or_dtype_is_traced(traced):
    def f(u, p, t):
        return -u

    _end(f, ONES)
    _end(f, torch.ones(1, 3, dtype=torch.float64))
    _end(f, ONES.float())
    _end(f, ONES)
    assert len(traced) == 3


def test_changed_values_of_p_are_seen_without_tracing(traced):
    def f(u, p, t):
        return -p * u

    first = _end(f, ONES, ONES)
    assert not torch.equal(_end(f, ONES, 2 * ONES), first)
    _end(f, ONES, torch.tensor(2.0, dtype=torch.float64))
    assert len(traced) == 2


RATE = 1.0


class _Settings:
    rate = 1.0


class _ReadsGlobals(torch.nn.Module):
    def forward(self, u, p, t):
        return torch.stack([-RATE * _Settings.rate * x for x in u.unbind()])


def test_what_a_method_reads_from_globals_is_seen(traced, monkeypatch):
    net = _ReadsGlobals()
    first = _end(net, ONES)
    monkeypatch.setattr(f"{__name__}.RATE", 2.0)
    second = _end(net, ONES)
    assert not torch.equal(second, first)
    monkeypatch.setattr(_Settings, "rate", 2.0)
    assert not torch.equal(_end(net, ONES), second)
    assert len(traced) == 3


def test_what_is_read_from_a_module_is_seen(traced):
    settings = types.ModuleType("settings")
    settings.rate = 1.0
    code = "def f(u, p, t):\n    return -settings.rate * u"
    scope = {"settings": settings, "__name__": "users"}
    exec(code, scope)
    first = _end(scope["f"], ONES)
    settings.rate = 2.0
    assert not torch.equal(_end(scope["f"], ONES), first)
    assert len(traced) == 2


def test_what_was_compiled_is_freed_with_its_function():
    def count():
        gc.collect()
        return _bridge.start().call("handle_count")

    def solve_once():
        layer = torch.nn.Linear(3, 3, dtype=torch.float64)
        prob = de.ODEProblem(lambda u, p, t: layer(u), ONES, (0.0, 1.0))
        sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0])
        sol.u.sum().backward()

    solve_once()  # the algorithm and the sensealg stay
    before = count()
    for _ in range(3):
        solve_once()
    assert count() == before


def test_the_memory_of_constants_outlives_a_later_solve():
    """Constants that are not contiguous are copied; a gradient reads the copy that the latest solve made."""
    matrix = torch.arange(9, dtype=torch.float64).reshape(3, 3).T / 10
    u0 = ONES.clone().requires_grad_()

    def f(u, p, t):
        return -matrix @ u

    def gradient(prob, between):
        sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0])
        between()
        return torch.autograd.grad(sol.u.sum(), u0)[0]

    def solve_again():
        de.solve(prob, de.Tsit5(), engine="julia", compile=True)
        gc.collect()
        return [torch.full((3, 3), 7.0, dtype=torch.float64) for _ in range(100)]

    prob = de.ODEProblem(f, u0, (0.0, 1.0))
    assert torch.equal(gradient(prob, solve_again), gradient(prob, lambda: None))
