"""What is traced again and what is not."""

import collections
import contextvars
import copy
import functools
import gc
import math
import sys
import types
import warnings
import weakref

import numpy as np
import pytest
import torch

import pydiffeqflux as de
from pydiffeqflux._engines.julia import _bridge, _compiled
from pydiffeqflux._engines.julia.compiler._trace import CannotCompileError
from pydiffeqflux._functions import _tracing

pytestmark = pytest.mark.julia


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    """Functions of one code share what was traced, so that of other tests would count."""
    monkeypatch.setattr(_tracing, "_GROUPS", weakref.WeakKeyDictionary())


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
TIGHT = {"abstol": 1e-9, "reltol": 1e-9}


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
    assert len(traced) == 1


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


def test_what_is_read_from_a_module_is_seen(traced, monkeypatch):
    settings, users = types.ModuleType("settings"), types.ModuleType("users")
    monkeypatch.setitem(sys.modules, "users", users)
    users.settings, settings.rate = settings, 1.0
    exec("def f(u, p, t):\n    return -settings.rate * u", vars(users))
    first = _end(users.f, ONES)
    settings.rate = 2.0
    assert not torch.equal(_end(users.f, ONES), first)
    assert len(traced) == 2


def test_what_was_compiled_is_freed_with_its_function():
    def solve_once():
        layer = torch.nn.Linear(3, 3, dtype=torch.float64)
        prob = de.ODEProblem(lambda u, p, t: layer(u), ONES, (0.0, 1.0))
        sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0])
        sol.u.sum().backward()

    solve_once()  # the algorithm and the sensealg stay
    before = _count()
    for _ in range(3):
        solve_once()
    assert _count() == before


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


def test_the_nesting_of_p_counts():
    """The same tensors under the same names, in another order."""
    a, b = torch.tensor(1.0, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64)

    def f(u, p, t):
        return p["b"] - p["a"] * u

    first = _end(f, ONES, {"a": a, "b": b})
    assert torch.equal(_end(f, ONES, {"b": b, "a": a}), first)


# ---- functions that are made anew for every solve


def test_a_closure_made_anew_is_not_traced_again(net, traced):
    scale = torch.tensor(2.0, dtype=torch.float64)
    for _ in range(3):
        _end(lambda u, p, t: scale * net(u, p, t), ONES)
    assert len(traced) == 1


def test_closures_over_new_tensors_are_not_traced_again(net, traced):
    """As where the context of each batch is in the closure."""
    ends = []
    for k in range(4):
        context = torch.full((3,), 2.0 + k, dtype=torch.float64)
        ends.append(_end(lambda u, p, t, context=context: net(u, p, t) + context, ONES))
        ends.append(_end((lambda c: lambda u, p, t: net(u, p, t) * c)(context), ONES))
    assert len({tuple(end.tolist()) for end in ends}) == 8
    assert len(traced) == 2


def test_each_solution_has_its_own_tensors():
    """Solutions that share compiled code, differentiated after the other has been solved."""
    u0 = ONES.clone().requires_grad_()

    def solve(rate, matrix):
        prob = de.ODEProblem(lambda u, p, t: -rate * (matrix @ u), u0, (0.0, 1.0))
        sol = de.solve(prob, de.Vern7(), engine="julia", compile=True, saveat=[0.5, 1.0], dense=True, **TIGHT)
        return sol, torch.matrix_exp(-torch.diag(rate.detach()) @ matrix).sum(0)

    def arguments(k):
        rate = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) * k
        # one that is not contiguous is copied for each solution
        return rate.requires_grad_(), (torch.eye(3, dtype=torch.float64) + 0.1 * torch.ones(3, 1).double().tril()).T

    pairs = [solve(*arguments(k)) for k in (1.0, 2.0, 0.5)]
    for sol, expected in (*pairs, pairs[0]):
        found = torch.autograd.grad(sol.u[-1].sum(), u0, retain_graph=True)[0]
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    at_saved = [sol(0.5) - sol.u[0] for sol, _ in pairs]
    assert all(difference.abs().max() < 1e-7 for difference in at_saved)


def test_what_was_computed_outside_with_a_graph_has_a_gradient():
    encoder = torch.nn.Linear(2, 3, dtype=torch.float64)
    context = encoder(torch.ones(2, dtype=torch.float64))
    prob = de.ODEProblem(lambda u, p, t: context - u, ONES, (0.0, 1.0))
    sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0], **TIGHT)
    found = torch.autograd.grad(sol.u.sum(), encoder.bias, retain_graph=True)[0]
    torch.testing.assert_close(found, ONES * (1 - math.exp(-1.0)), rtol=1e-7, atol=1e-9)
    # as in p
    prob = de.ODEProblem(lambda u, p, t: p - u, ONES, (0.0, 1.0), context)
    sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0], **TIGHT)
    torch.testing.assert_close(torch.autograd.grad(sol.u.sum(), encoder.bias)[0], found, rtol=1e-9, atol=1e-12)


def test_a_closure_made_anew_with_another_value_is_traced(traced):
    def decay(rate):
        return lambda u, p, t: -rate * u

    ends = [_end(decay(rate), ONES) for rate in (1.0, 2.0, 1.0)]
    assert torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[0], ends[1])
    assert len(traced) == 2


def test_a_bound_method_is_not_traced_again(traced):
    class Model:
        rate = 2.0

        def growth(self, u, p, t):
            return 0.5 * self.rate * u

        def decay(self, u, p, t):
            return -self.rate * u

    model = Model()
    for _ in range(2):
        growth, decay = _end(model.growth, ONES), _end(model.decay, ONES)
        assert not torch.equal(growth, decay)
    assert len(traced) == 2
    model.rate = 3.0
    assert not torch.equal(_end(model.decay, ONES), decay)


def test_a_partial_function_is_known_by_its_arguments(traced):
    def f(rate, u, p, t):
        return -rate * u

    ends = [_end(functools.partial(f, rate), ONES) for rate in (1.0, 2.0, 1.0)]
    assert torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[0], ends[1])
    assert len(traced) == 2


def test_a_distribution_that_changes_is_seen(traced):
    normal = torch.distributions.Normal(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))

    def f(u, p, t):
        return -u * normal.scale

    first = _end(f, ONES)
    normal.scale = torch.full((3,), 2.0, dtype=torch.float64)
    assert not torch.equal(_end(f, ONES), first)
    assert len(traced) == 1


def _count():
    gc.collect()
    return _bridge.start().call("handle_count")


def test_numbers_that_keep_changing_are_not_compiled_for_ever(traced, monkeypatch):
    def decay(rate):
        return lambda u, p, t: -rate * u

    monkeypatch.setattr(_tracing, "VARIANTS", 3)
    for rate in (1.0, 2.0, 3.0):
        _end(decay(rate), ONES)
    prob = de.ODEProblem(decay(4.0), ONES, (0.0, 1.0))
    with pytest.warns(de.JuliaWarning, match=r"compiled 3 times.*pass what changes in p"):
        found = de.solve(prob, de.Tsit5(), engine="julia").u[-1]
    torch.testing.assert_close(found, ONES * math.exp(-4.0), rtol=1e-3, atol=1e-5)
    _end(decay(2.0), ONES)  # known already
    _end(decay(4.0), torch.ones(2, dtype=torch.float64))  # another shape
    assert len(traced) == 4


def test_tensors_of_closures_are_freed_with_them():
    def solve_once():
        scale, shift = torch.ones(3, dtype=torch.float64, requires_grad=True), torch.ones(3, dtype=torch.float64)
        prob = de.ODEProblem(lambda u, p, t: shift - scale * u, ONES, (0.0, 1.0))
        sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0])
        sol.u.sum().backward()
        return weakref.ref(scale), weakref.ref(shift)

    solve_once()  # the algorithm stays
    before = _count()
    for _ in range(3):
        died = solve_once()
        gc.collect()
        assert [reference() for reference in died] == [None, None]
    assert _count() == before


def test_an_object_that_is_gone_takes_its_code_along(traced):
    """Its address may be that of another one later."""

    def make(rate):
        class Settings:
            def __init__(self):
                self.rate = rate

        return Settings()

    def f_of(settings):
        return lambda u, p, t: -settings.rate * u

    ends = []
    for rate in (1.0, 2.0):
        settings = make(rate)
        ends.append(_end(f_of(settings), ONES))
        del settings
        gc.collect()
    assert not torch.equal(*ends)


# ---- f itself


def test_a_compiled_function_is_not_evaluated_in_python(net):
    evaluations = []

    def count(frame, event, argument):
        code = frame.f_code
        if event == "call" and (code is _Net.forward.__code__ or "eval_with_key" in code.co_filename):
            evaluations.append(code)

    u0 = ONES.clone().requires_grad_()

    def gradient():
        prob = de.ODEProblem(net, u0, (0.0, 1.0))
        sys.setprofile(count)
        try:
            sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0])
            return torch.autograd.grad(sol.u.sum(), [u0, *net.parameters()])
        finally:
            sys.setprofile(None)

    first = gradient()
    assert evaluations
    del evaluations[:]
    second = gradient()
    assert not evaluations
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_parameters_in_a_closure_are_found_without_evaluating_f():
    rate = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def gradient():
        prob = de.ODEProblem(lambda u, p, t: -rate * u, ONES, (0.0, 1.0))
        sol = de.solve(prob, de.Tsit5(), engine="julia", compile=True, saveat=[1.0], abstol=1e-10, reltol=1e-10)
        return torch.autograd.grad(sol.u.sum(), rate)[0]

    # 3 exp(-0.5), differentiated
    for _ in range(2):
        assert abs(gradient() + 3 * math.exp(-0.5)) < 1e-8
    rate.requires_grad_(False)
    sol = de.solve(de.ODEProblem(lambda u, p, t: -rate * u, ONES, (0.0, 1.0)), de.Tsit5(), engine="julia")
    assert not sol.u.requires_grad


def test_warnings_of_unused_parameters_are_repeated():
    p = {"used": torch.ones(3, dtype=torch.float64, requires_grad=True),
         "unused": torch.ones(3, dtype=torch.float64, requires_grad=True)}  # fmt: skip
    prob = de.ODEProblem(lambda u, p, t: -p["used"] * u, ONES, (0.0, 1.0), p)
    for _ in range(2):
        with pytest.warns(de.GradientWarning, match="does not use 1 of the 2 tensors"):
            de.solve(prob, de.Tsit5(), engine="julia", compile=True)


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ([[1.0, 2.0], [3.0]], [[1.0], [2.0, 3.0]], 2),
        # what NumPy has is an input as a tensor is
        (np.array([1.0, 2.0]), np.array([1.0, 3.0]), 1),
        (np.float32(1.0), np.float32(2.0), 1),
        (collections.deque([1.0]), collections.deque([2.0]), 2),
    ],
    ids=["nesting", "array", "NumPy number", "deque"],
)
def test_values_in_new_closures_are_told_apart(first, second, count, traced):
    def f_of(values):
        def f(u, p, t):
            head = values[0] if isinstance(values, list | collections.deque) else values
            return -torch.as_tensor(np.sum(head), dtype=u.dtype) * u

        return f

    ends = [_end(f_of(copy.deepcopy(values)), ONES) for values in (first, second, first)]
    assert torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[0], ends[1])
    assert len(traced) == count


def test_an_array_that_changes_in_place_is_seen(traced):
    rates = np.array([1.0, 2.0, 3.0])

    def f(u, p, t):
        return -torch.tensor(rates) * u

    first = _end(f, ONES)
    rates[0] = 5.0
    assert not torch.equal(_end(f, ONES), first)


# ---- tensors that are read as numbers


def test_a_number_read_from_a_tensor_is_seen_to_change(traced):
    rate = torch.tensor(1.0, dtype=torch.float64)

    def f(u, p, t):
        return -rate.item() * u

    first = _end(f, ONES)
    rate.fill_(2.0)
    assert not torch.equal(_end(f, ONES), first)
    rate.fill_(1.0)
    assert torch.equal(_end(f, ONES), first)
    assert len(traced) == 2


def test_a_branch_on_a_buffer_is_called_back(net, traced):
    net.register_buffer("reverse", torch.tensor(False))

    def f(u, p, t):
        return -net(u, p, t) if net.reverse.item() else net(u, p, t)

    prob = de.ODEProblem(f, ONES, (0.0, 1.0))
    with pytest.warns(de.JuliaWarning, match="depends on values"):
        first = de.solve(prob, de.Tsit5(), engine="julia").u[-1]
    net.reverse.fill_(True)
    assert not torch.equal(de.solve(prob, de.Tsit5(), engine="julia").u[-1], first)
    assert len(traced) == 0


# ---- state of the function itself


def test_a_function_that_counts_its_calls_is_called_back(traced):
    class Counting(_Net):
        calls = 0

        def forward(self, u, p, t):
            self.calls += 1
            return super().forward(u, p, t)

    net = Counting()
    prob = de.ODEProblem(net, ONES, (0.0, 1.0))
    with pytest.warns(de.JuliaWarning, match="changes something when it is called"):
        de.solve(prob, de.Tsit5(), engine="julia")
    before = net.calls
    sol = de.solve(prob, de.Tsit5(), engine="julia")
    assert net.calls - before >= sol.stats.nf > 0
    assert len(traced) == 0


def test_a_function_that_fills_a_cache_once_is_compiled(traced):
    class Lazy(_Net):
        factor = None

        def forward(self, u, p, t):
            if self.factor is None:
                self.factor = 2.0
            return self.factor * super().forward(u, p, t)

    net = Lazy()
    for _ in range(2):
        _end(net, ONES)
    assert len(traced) == 1


def test_what_a_function_does_not_read_may_change(traced):
    class Trainer:
        def __init__(self):
            self.net = _Net()
            self.history = []

        def f(self, u, p, t):
            return self.net(u, p, t)

    trainer = Trainer()
    for k in range(3):
        _end(trainer.f, ONES)
        trainer.history.append(k)
    assert len(traced) == 1


# ---- derivatives that cannot be compiled


class _Amplified(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 1.0 * x

    @staticmethod
    def backward(ctx, cotangent):
        return 3.0 * cotangent


def _gradients(f):
    """With respect to u0, on both engines by the same adjoint."""
    u0 = ONES.clone().requires_grad_()
    prob = de.ODEProblem(f, u0, (0.0, 1.0))
    found = []
    for engine in ("julia", "embedded"):
        sol = de.solve(prob, de.Tsit5(), engine=engine, saveat=[1.0], sensealg=de.GaussAdjoint(), **TIGHT)
        found.append(torch.autograd.grad(sol.u.sum(), u0)[0])
    return found


def test_gradients_that_a_hook_changes_are_called_back():
    net = torch.nn.Linear(3, 3, dtype=torch.float64)
    net.register_full_backward_hook(lambda module, before, after: tuple(3.0 * g for g in before))
    with pytest.warns(de.JuliaWarning, match=r"custom autograd.Function or by hooks"):
        found, expected = _gradients(lambda u, p, t: net(u))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_gradients_that_a_hook_of_a_tensor_changes_are_called_back():
    def f(u, p, t):
        x = -0.5 * u
        if x.requires_grad:
            x.register_hook(lambda g: 3.0 * g)
        return x

    with pytest.warns(de.JuliaWarning, match=r"custom autograd.Function or by hooks"):
        found, expected = _gradients(f)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_gradients_are_cut_where_torch_cuts_them():
    def f(u, p, t):
        with torch.no_grad():
            threshold = torch.relu(u - 1.5)  # its derivative is zero at first
        return u * (1 + threshold)

    u0 = ONES.clone().requires_grad_()
    prob = de.ODEProblem(f, u0, (0.0, 1.0))
    found = []
    for options in ({"engine": "julia", "compile": True}, {"engine": "embedded"}):
        sol = de.solve(prob, de.Vern7(), saveat=[1.0], sensealg=de.GaussAdjoint(), **TIGHT, **options)
        found.append(torch.autograd.grad(sol.u.sum(), u0)[0])
    # across the kink both are as accurate as the steps there
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=0.0)


def test_what_has_a_gradient_of_its_own_is_called_back():
    with pytest.warns(de.JuliaWarning, match=r"custom autograd.Function or by hooks"):
        found, expected = _gradients(lambda u, p, t: -0.5 * _Amplified.apply(u))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found, ONES * math.exp(-1.5), rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch, on the embedded engine
def test_what_torch_cannot_differentiate_twice_has_an_error_of_ours():
    heads = torch.nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)

    def f(u, p, t):
        x = (u[:, None] * torch.linspace(0.0, 1.0, 4, dtype=u.dtype))[None]
        return heads(x, x, x, need_weights=False)[0][0].mean(-1)

    u0 = ONES.clone().requires_grad_()
    prob = de.ODEProblem(f, u0, (0.0, 1.0))
    with pytest.warns(de.JuliaWarning, match="cannot differentiate it"):
        sol = de.solve(prob, de.Rodas5P(), engine="julia", sensealg=de.ReverseDiffAdjoint(), saveat=[1.0])
    with pytest.raises(de.GradientError, match="differentiates f twice"):
        sol.u.sum().backward()
    sol = de.solve(prob, de.Rodas5P(), engine="julia", saveat=[1.0], compile=True, **TIGHT)
    found = torch.autograd.grad(sol.u.sum(), u0)[0]
    expected = torch.autograd.grad(
        de.solve(prob, de.Tsit5(), engine="embedded", saveat=[1.0], sensealg=de.GaussAdjoint(), **TIGHT).u.sum(), u0
    )[0]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_a_function_without_compiled_gradient_is_compiled_for_a_solve_alone(net, monkeypatch):
    def refuse(traced):
        raise CannotCompileError("a reason")

    monkeypatch.setitem(_compiled._PROGRAMS, "pull_both", refuse)
    prob = de.ODEProblem(net, ONES.clone().requires_grad_(), (0.0, 1.0))
    with pytest.warns(de.JuliaWarning, match="a reason"):
        de.solve(prob, de.Tsit5(), engine="julia", sensealg=de.ReverseDiffAdjoint())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        de.solve(prob, de.Tsit5(), engine="julia", sensealg=de.ReverseDiffAdjoint())  # warned of already
        de.solve(prob, de.Tsit5(), engine="julia", compile=True, sensealg=de.GaussAdjoint())
        with torch.no_grad():
            de.solve(prob, de.Tsit5(), engine="julia", compile=True)


# ---- what torch is told for all operations


def test_the_default_dtype_counts(traced):
    def f(u, p, t):
        return -u * torch.tensor(0.1)

    u0 = torch.ones(3)
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", de.JuliaWarning)
                de.solve(de.ODEProblem(f, u0, (0.0, 1.0)), de.Tsit5(), engine="julia")
    finally:
        torch.set_default_dtype(before)
    assert len(traced) == 2


# ---- what is done to the function and its tensors


def test_a_cache_that_is_filled_without_gradients_holds_real_tensors():
    @functools.cache
    def grid(n):
        return torch.linspace(0.0, 1.0, n, dtype=torch.float64)

    def f(u, p, t):
        return u * grid(3)

    with torch.no_grad():
        _end(f, ONES)
    assert f(ONES, None, None).tolist() == [0.0, 0.5, 1.0]


def test_what_cannot_be_watched_is_called_back():
    rate = contextvars.ContextVar("rate", default=1.0)
    prob = de.ODEProblem(lambda u, p, t: -u * rate.get(), ONES, (0.0, 1.0))
    with pytest.warns(de.JuliaWarning, match="cannot follow it"):
        found = de.solve(prob, de.Tsit5(), engine="julia", **TIGHT).u[-1]
    torch.testing.assert_close(found, ONES * math.exp(-1.0), rtol=1e-7, atol=0.0)
    rate.set(3.0)
    found = de.solve(prob, de.Tsit5(), engine="julia", **TIGHT).u[-1]
    torch.testing.assert_close(found, ONES * math.exp(-3.0), rtol=1e-7, atol=0.0)
    with pytest.raises(de.UnsupportedError, match="cannot follow it"):
        de.solve(prob, de.Tsit5(), engine="julia", compile=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch advises against TorchScript
def test_modules_in_torchscript_are_called_back():
    script = torch.jit.trace(torch.nn.Linear(3, 3, dtype=torch.float64), ONES)
    with pytest.warns(de.JuliaWarning, match="TorchScript"):
        de.solve(de.ODEProblem(lambda u, p, t: script(u), ONES, (0.0, 1.0)), de.Tsit5(), engine="julia")


def test_a_function_that_is_refused_is_freed():
    class Branching(torch.nn.Linear):
        def forward(self, u, p, t):
            return super().forward(u) if u.sum() > 0 else -u

    net = Branching(3, 3, dtype=torch.float64)
    with pytest.warns(de.JuliaWarning, match="depends on values"):
        de.solve(de.ODEProblem(net, ONES, (0.0, 1.0)), de.Tsit5(), engine="julia")
    died = weakref.ref(net)
    del net
    gc.collect()
    assert died() is None
