"""A function that has been traced is known for as long as what it reads is unchanged."""

import argparse
import array
import collections
import contextvars
import ctypes
import dataclasses
import decimal
import functools
import gc
import operator
import os
import sys
import threading
import types
import weakref
from typing import NamedTuple

import numpy as np
import pytest
import torch
from problems import tensor

from pydiffeqflux._functions import _tracing
from pydiffeqflux._functions._pure import Snapshot
from pydiffeqflux._functions._tracing import Refusal, find, trace

RATE = 1.0
U = tensor([1.0, 2.0, 3.0])
ARGUMENTS = (U, None, tensor(0.5))


def _known(f, arguments=ARGUMENTS):
    """What is found out of a function, which must compute what the function does."""
    before = _tracing_count()
    found = trace(f, arguments)
    if isinstance(found, Snapshot):
        inputs = [x if role < 0 else (arguments[0], arguments[2])[role] for x, role in _inputs(found)]
        assert torch.equal(found.function.call(*inputs)[0], f(*arguments))
    return found, _tracing_count() - before


def _inputs(snapshot):
    return zip(snapshot.inputs, snapshot.function.roles, strict=True)


_count = [0]


def _tracing_count():
    return _count[0]


@pytest.fixture(autouse=True)
def _counted(monkeypatch):
    original = _tracing._Tracer._trace

    def counted(*arguments):
        _count[0] += 1
        return original(*arguments)

    monkeypatch.setattr(_tracing._Tracer, "_trace", counted)


def _is_seen(f, change):
    """Whether a change is noticed; what is found out is right before it and after it."""
    first, _ = _known(f)
    assert isinstance(first, Snapshot), first
    _, again = _known(f)
    assert again == 0
    change()
    _, again = _known(f)
    return again > 0


def _is_right(f, change):
    """As `_is_seen`, where the function may also be refused, or the change made visible to what is known already."""
    _known(f)
    change()
    _known(f)


# ---- everything that can change


class _Slots:
    __slots__ = ("rate",)


class _Property:
    hidden = 1.0

    @property
    def rate(self):
        return self.hidden


class _Lazy:
    rate = 1.0

    @functools.cached_property
    def value(self):
        return self.rate


class _Meta(type):
    rate = 1.0


class _OfMeta(metaclass=_Meta):
    pass


class _Dynamic:
    def __init__(self):
        self.values = {"rate": 1.0}

    def __getattr__(self, name):
        return self.__dict__["values"][name]


class _Pair(NamedTuple):
    rate: float


class _MakesOthers:
    rate = 1.0

    def __init__(self):
        self.mine = self.rate

    def again(self):
        return type(self)().mine


class _Config(dict):
    gain = 1.0


def _slots():
    thing = _Slots()
    thing.rate = 1.0
    return thing


def _cases():
    """Pairs of a function and a change of what it reads, by what that is."""
    variable = contextvars.ContextVar("rate", default=1.0)
    yield "ContextVar", lambda u, p, t: -variable.get() * u, lambda: variable.set(3.0)
    numbers = array.array("d", [1.0])
    yield "array.array", lambda u, p, t: -numbers[0] * u, lambda: numbers.__setitem__(0, 3.0)
    for name, read in (
        ("[]", lambda: os.environ["PYDIFFEQFLUX_TEST"]),
        ("get", lambda: os.environ.get("PYDIFFEQFLUX_TEST")),
        ("getenv", lambda: os.getenv("PYDIFFEQFLUX_TEST")),
    ):
        yield (
            f"os.environ {name}",
            lambda u, p, t, read=read: -float(read()) * u,
            lambda: os.environ.__setitem__("PYDIFFEQFLUX_TEST", "3.0"),
        )
    name = "pydiffeqflux_test_module"
    module = sys.modules.setdefault(name, types.ModuleType(name))
    module.rate = 1.0
    yield (
        "sys.modules",
        lambda u, p, t: -sys.modules["pydiffeqflux_test_module"].rate * u,
        lambda: setattr(module, "rate", 3.0),
    )
    number = ctypes.c_double(1.0)
    yield "ctypes", lambda u, p, t: -number.value * u, lambda: setattr(number, "value", 3.0)
    local = threading.local()
    local.rate = 1.0
    yield "threading.local", lambda u, p, t: -local.rate * u, lambda: setattr(local, "rate", 3.0)
    raw = bytearray(b"\x01\x02")
    view = memoryview(raw)
    yield "memoryview", lambda u, p, t: -view[0] * u, lambda: raw.__setitem__(0, 7)
    yield "bytearray", lambda u, p, t: -raw[1] * u, lambda: raw.__setitem__(1, 7)
    rates = np.array([1.0, 2.0, 3.0])
    yield "array", lambda u, p, t: -torch.tensor(rates) * u, lambda: rates.__setitem__(0, 3.0)
    yield "array item", lambda u, p, t: -rates[1] * u, lambda: rates.__setitem__(1, 7.0)
    yield "array shared", lambda u, p, t: -torch.from_numpy(rates) * u, lambda: rates.__setitem__(2, 7.0)
    single = [np.float32(1.0)]
    yield "NumPy number", lambda u, p, t: -single[0] * u, lambda: single.__setitem__(0, np.float32(3.0))
    record = np.zeros(1, dtype=[("a", float)])[0]
    yield "record", lambda u, p, t: record["a"] * u, lambda: record.__setitem__("a", 2.0)
    things = {
        "slots": _slots(),
        "namespace": types.SimpleNamespace(rate=1.0),
        "argparse": argparse.Namespace(rate=1.0),
        "dynamic attribute": _Dynamic(),
        "class": type("Config", (), {"rate": 1.0}),
    }
    for name, thing in things.items():
        change = (lambda thing=thing: thing.values.update(rate=3.0)) if name.startswith("dyn") else (
            lambda thing=thing: setattr(thing, "rate", 3.0))  # fmt: skip
        yield name, lambda u, p, t, thing=thing: -thing.rate * u, change
        yield f"{name}, getattr", lambda u, p, t, thing=thing: -getattr(thing, "ra" + "te") * u, change
    plain = types.SimpleNamespace(rate=1.0)
    yield "vars", lambda u, p, t: -vars(plain)["rate"] * u, lambda: setattr(plain, "rate", 3.0)
    yield "attrgetter", lambda u, p, t: -operator.attrgetter("rate")(plain) * u, lambda: setattr(plain, "rate", 5.0)
    strong = _Property()
    weak = weakref.ref(strong)
    yield "weak reference", lambda u, p, t: -weak().rate * u * len([strong]), lambda: setattr(strong, "hidden", 7.0)
    with_property = _Property()
    yield "property", lambda u, p, t: -with_property.rate * u, lambda: setattr(with_property, "hidden", 3.0)
    lazy = _Lazy()
    yield "cached property", lambda u, p, t: -lazy.value * u, lambda: lazy.__dict__.update(value=3.0)
    yield "metaclass", lambda u, p, t: -_OfMeta.rate * u, lambda: setattr(_Meta, "rate", 3.0)
    yield "made objects", lambda u, p, t: -_MakesOthers().again() * u, lambda: setattr(_MakesOthers, "rate", 3.0)
    config = _Config()
    yield "attribute of a dict", lambda u, p, t: -config.gain * u, lambda: setattr(_Config, "gain", 3.0)
    pairs = [_Pair(1.0)]
    yield "named tuple", lambda u, p, t: -pairs[0].rate * u, lambda: pairs.__setitem__(0, _Pair(3.0))
    for name, values in {
        "list": [1.0],
        "deque": collections.deque([1.0]),
        "dict": {0: 1.0},
        "OrderedDict": collections.OrderedDict({0: 1.0}),
        "defaultdict": collections.defaultdict(float, {0: 1.0}),
        "UserDict": collections.UserDict({0: 1.0}),
        "nested": [[1.0]],
    }.items():
        inner = values[0] if name == "nested" else values
        yield (
            name,
            lambda u, p, t, values=values, name=name: -(values[0][0] if name == "nested" else values[0]) * u,
            lambda inner=inner: inner.__setitem__(0, 3.0),
        )
    words = {"relu": 1.0}
    frozen = types.MappingProxyType(words)
    yield "mapping proxy", lambda u, p, t: -frozen["relu"] * u, lambda: words.update(relu=3.0)
    yield "key of a dict", lambda u, p, t: -u if "tanh" in words else u, lambda: words.update(tanh=1.0)
    members = {1}
    yield "set", lambda u, p, t: -len(members) * u, lambda: members.add(2)
    for name, first, second in (
        ("signed zero", 0.0, -0.0),
        ("int for float", 2, 2.0),
        ("bool for int", 1, True),
        ("not a number", float("nan"), 0.0),
        ("decimal", decimal.Decimal("1.0"), decimal.Decimal("3.0")),
        ("text", "tanh", "sin"),
    ):
        held = [first]
        if name == "text":
            yield (
                name,
                lambda u, p, t, held=held: getattr(torch, held[0])(u),
                lambda held=held: held.__setitem__(0, "sin"),
            )
        elif name == "signed zero":
            yield name, lambda u, p, t, held=held: u / held[0], lambda held=held, x=second: held.__setitem__(0, x)
        else:
            yield (
                name,
                lambda u, p, t, held=held: torch.nan_to_num(u * float(held[0]), nan=-1.0),
                lambda held=held, x=second: held.__setitem__(0, x),
            )
    scale = tensor(2.0)
    yield "tensor", lambda u, p, t: scale * u, lambda: scale.fill_(3.0)
    yield "number in a tensor", lambda u, p, t: scale.item() * u, lambda: scale.fill_(5.0)
    yield "branch on a tensor", lambda u, p, t: -u if scale > 0 else u, lambda: scale.fill_(-1.0)
    yield "attribute of a tensor", lambda u, p, t: u * getattr(scale, "rate", 1.0), lambda: setattr(scale, "rate", 3.0)
    yield "eval", lambda u, p, t: eval("plain.rate * u", {"plain": plain, "u": u}), lambda: setattr(plain, "rate", 9.0)
    yield "iterator", (lambda numbers: lambda u, p, t: u * 0 * next(numbers))(iter(range(100))), lambda: None
    layers = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LeakyReLU(0.1), torch.nn.Dropout(0.0)).double()
    yield "weight", lambda u, p, t: layers(u), lambda: layers[0].weight.data.mul_(2.0)
    fresh = torch.nn.Parameter(torch.ones(3, 3).double())
    yield "replaced weight", lambda u, p, t: layers(u), lambda: setattr(layers[0], "weight", fresh)
    yield "option of a layer", lambda u, p, t: layers(u), lambda: setattr(layers[1], "negative_slope", 0.2)
    yield "training", lambda u, p, t: layers(u), lambda: layers.eval()
    yield "replaced layer", lambda u, p, t: layers(u), lambda: layers.__setitem__(0, torch.nn.Linear(3, 3).double())
    yield "appended layer", lambda u, p, t: layers(u), lambda: layers.append(torch.nn.Tanh())
    yield "hook", lambda u, p, t: layers(u), lambda: layers[0].register_forward_hook(lambda module, x, y: 2 * y)


def _rate(u, p, t):
    return -RATE * u


@pytest.mark.parametrize(("f", "change"), [pytest.param(f, change, id=name) for name, f, change in _cases()])
def test_a_change_of_what_is_read_is_seen_or_the_function_is_refused(f, change, monkeypatch):
    monkeypatch.setenv("PYDIFFEQFLUX_TEST", "1.0")
    _is_right(f, change)


def test_globals_are_seen_to_change(monkeypatch):
    assert _is_seen(_rate, lambda: monkeypatch.setattr(f"{__name__}.RATE", 3.0))


def test_a_spline_that_changes_in_place_is_refused_or_seen():
    interpolate = pytest.importorskip("scipy.interpolate")
    spline = interpolate.CubicSpline([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    _is_right(lambda u, p, t: -float(spline(float(t))) * u, lambda: spline.c.__setitem__((3, 0), 9.0))


# ---- what a function does not read


class _Trainer:
    def __init__(self):
        self.net = torch.nn.Linear(3, 3).double()
        self.losses = []
        self.rate = 1e-3
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=self.rate)

    def f(self, u, p, t):
        return self.net(u)

    def train(self):
        self.net(U).sum().backward()
        self.optimizer.step()
        self.losses.append(1.0)
        self.rate *= 0.5
        self.optimizer.param_groups[0]["lr"] = self.rate


mean = 1.0


def test_what_is_not_read_is_not_seen(monkeypatch):
    trainer = _Trainer()
    for _ in range(3):
        assert not _is_seen(trainer.f, trainer.train)
    assert not _is_seen(
        lambda u, p, t: u - u.mean(), lambda: monkeypatch.setattr(f"{__name__}.mean", 2.0)
    )  # the method has the name of a global


def test_functions_that_do_the_same_with_other_tensors_share_what_is_known():
    def make(scale):
        layer = torch.nn.Linear(3, 3).double()
        return lambda u, p, t: scale * layer(u)

    first, _ = _known(make(tensor(1.0)))
    second, again = _known(make(tensor(2.0)))
    assert again == 0
    assert first.function is second.function
    assert not set(map(id, first.captured)) & set(map(id, second.captured))


def test_modules_of_one_class_share_what_is_known():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 3).double()

        def forward(self, u, p, t):
            return self.layer(u)

    assert [_known(Net())[1] for _ in range(3)] == [1, 0, 0]


def test_another_shape_or_dtype_is_traced():
    def f(u, p, t):
        return -u

    for arguments in (ARGUMENTS, (U[:2], None, ARGUMENTS[2]), (U.float(), None, ARGUMENTS[2].float()), ARGUMENTS):
        _known(f, arguments)
    assert find(f, ARGUMENTS) is not None
    assert find(f, (U[:1], None, ARGUMENTS[2])) is None


def test_numbers_that_keep_changing_are_not_traced_for_ever(monkeypatch):
    monkeypatch.setattr(_tracing, "VARIANTS", 3)

    def decay(rate):
        return lambda u, p, t: -rate * u

    found = [_known(decay(rate))[0] for rate in (1.0, 2.0, 3.0, 4.0)]
    assert "compiled 3 times" in str(found.pop())
    assert all(isinstance(snapshot, Snapshot) for snapshot in found)
    assert _known(decay(2.0))[0].function is found[1].function


def test_functions_of_one_code_are_refused_after_some_attempts():
    """A closure that is made anew for each batch is not traced for each batch."""

    def make(k):
        seen = []

        def f(u, p, t):
            seen.append(t)
            return -k * u

        return f

    counts = [_known(make(float(k)))[1] for k in range(6)]
    assert counts == [1, 1, 1, 0, 0, 0]


# ---- what functions do


def test_a_function_that_changes_something_is_refused():
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, u, p, t):
            self.calls += 1
            return -u

    counting, log = Counting(), []
    for f in (counting, lambda u, p, t: log.append(t) or -u):
        found, _ = _known(f)
        assert isinstance(found, Refusal)
        assert "changes something" in found.reason
    assert (counting.calls, log) == (0, [])  # tracing has not called them


def test_a_function_is_not_called_to_be_found():
    calls = []

    class Layer(torch.nn.Linear):
        def forward(self, x):
            if not torch.compiler.is_compiling():
                calls.append(x)
            return super().forward(x)

    layer = Layer(3, 3).double()
    trace(lambda u, p, t: layer(u), ARGUMENTS)
    trace(lambda u, p, t: layer(u), ARGUMENTS)
    assert calls == []


def test_refusals_name_the_line():
    def f(u, p, t):
        return u if u.sum() > 0 else -u

    found, _ = _known(f)
    assert "depends on values" in found.reason
    assert "return u if u.sum() > 0 else -u" in found.where


def test_graphs_leave_the_gradient_mode_as_it_is():
    def f(u, p, t):
        with torch.no_grad():
            shift = u.sum()
        return u * shift

    found, _ = _known(f)
    with torch.no_grad():
        assert not found.function.call(U.clone().requires_grad_())[0].requires_grad
        assert not torch.is_grad_enabled()
    x = U.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(found.function.call(x)[0].sum(), x)
    assert torch.equal(gradient, torch.full((3,), 6.0, dtype=torch.float64))


def test_the_settings_of_the_user_are_left_alone():
    from torch._dynamo import config

    before = {name: getattr(config, name) for name in _tracing._SETTINGS}
    _known(lambda u, p, t: u * 1.25)
    assert {name: getattr(config, name) for name in _tracing._SETTINGS} == before


def test_what_the_user_compiles_is_apart():
    def f(u, p, t):
        return u * 1.5

    compiled = torch.compile(f, backend="eager")
    assert torch.equal(compiled(*ARGUMENTS), U * 1.5)
    assert isinstance(_known(f)[0], Snapshot)
    assert isinstance(_known(compiled)[0], Snapshot)
    assert torch.equal(compiled(*ARGUMENTS), U * 1.5)


def test_a_reset_of_the_tracer_does_no_harm():
    def f(u, p, t):
        return u * 1.75

    _known(f)
    torch._dynamo.reset()
    assert _known(f)[1] == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda u, p, t: u if t < 1.0 else -u,
        lambda u, p, t: u if float(t) < 1.0 else -u,
        lambda u, p, t: u if int(t) == 0 else -u,
        lambda u, p, t: u * [1.0, 2.0, 3.0][int(t)],
        lambda u, p, t: u * {0: 1.0, 1: 2.0, 2: 3.0}[int(t)],
        lambda u, p, t: u * p[min(int(t), 1)],
        lambda u, p, t: u if float(p[0]) < 1.5 else -u,
        lambda u, p, t: u if u.sum() < 4.0 else -u,
        lambda u, p, t: u[: int(p[1])].sum() * u,
        lambda u, p, t: sum((u for _ in range(int(t))), u),
        lambda u, p, t: u * float(t),
        lambda u, p, t: u * max(0.0, t.item() - 1.0),
        lambda u, p, t: u * round(float(t)),
        lambda u, p, t: u * bool(t),
    ],
    ids=range(14),
)
def test_what_is_traced_serves_for_all_values_of_the_arguments(f):
    p = [tensor(1.0), tensor(2.0)]
    found = trace(f, (U, p, tensor(0.5)))
    if isinstance(found, Refusal):
        return
    for u in (U, -U):
        for t in (0.0, 1.25, 2.5):
            for values in (p, [tensor(2.0), tensor(1.0)]):
                arguments = (u, *values, tensor(t))
                inputs = [x if role < 0 else arguments[role] for x, role in _inputs(found)]
                assert torch.equal(found.function.call(*inputs)[0], f(u, values, tensor(t)))


# ---- memory


def test_nothing_of_the_users_is_kept_alive():
    def make():
        layer, factor = torch.nn.Linear(3, 3).double(), tensor(2.0)

        def template(u, p, t):
            return layer(u) * factor

        f = types.FunctionType(template.__code__.replace(), globals(), closure=template.__closure__)
        return f, layer, factor

    things = make()
    snapshot, _ = _known(things[0])
    references = list(map(weakref.ref, things))
    del things, snapshot
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_functions_that_are_refused_are_not_kept_alive():
    class Branching(torch.nn.Linear):
        def forward(self, u, p, t):
            return super().forward(u) if u.sum() > 0 else -u

    net = Branching(3, 3).double()
    found, _ = _known(net)
    assert isinstance(found, Refusal)
    died = weakref.ref(net)
    del net
    gc.collect()
    assert died() is None


@dataclasses.dataclass
class _Settings:
    rate: float = 1.0
    epoch: int = 0


def test_fields_of_a_dataclass_count_one_by_one():
    settings = _Settings()
    assert not _is_seen(lambda u, p, t: settings.rate * u, lambda: setattr(settings, "epoch", 1))
    assert _is_seen(lambda u, p, t: settings.rate * u, lambda: setattr(settings, "rate", 2.0))
