"""Changes that a function can see change its fingerprint, and others do not."""

import argparse
import collections
import dataclasses
import functools
import gc
import operator
import types
import weakref
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pydiffeqflux._fingerprint import Fingerprint, digest

RATE = 1.0


class _Model(torch.nn.Module):
    factor = 1.0

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)
        self.unused_layer = torch.nn.Linear(2, 2)
        self.register_buffer("shift", torch.zeros(3))
        self.scale = 1.0
        self.history = []
        self.optimizer = torch.optim.Adam(self.parameters())

    @property
    def doubled(self):
        return 2 * self.hidden

    hidden = 1.0

    def forward(self, u):
        return self.helper(self.layer(u)) * self.factor + self.shift

    def helper(self, x):
        return x * self.scale * self.doubled

    def train_once(self):
        self.history.append(self.unused)

    unused = 1.0


def _seen(function):
    """The value, and the tensors."""
    found = Fingerprint(function)
    hash(found.value)
    return found.value, [id(tensor) for tensor in found.tensors]


def _changes(function, change):
    before = _seen(function)
    assert _seen(function) == before
    change()
    return _seen(function) != before


@pytest.fixture
def model():
    return _Model()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "scale", 2.0),
        lambda m: setattr(m, "factor", 2.0),
        lambda m: setattr(m, "hidden", 2.0),
        lambda m: setattr(m, "shift", torch.ones(3)),
        lambda m: setattr(m, "layer", torch.nn.Linear(3, 3)),
        lambda m: setattr(m.layer, "weight", torch.nn.Parameter(torch.ones(3, 3))),
        lambda m: setattr(m, "helper", lambda x: x),
        lambda m: m.layer.requires_grad_(False),
        lambda m: m.register_forward_hook(lambda *_: None),
        lambda m: m.layer.register_forward_hook(lambda *_: None),
    ],
    ids=range(10),
)
def test_what_forward_reads_counts(model, change):
    assert _changes(model, lambda: change(model))
    fresh = _Model()
    assert _changes(lambda u: fresh(u), lambda: change(fresh))
    bound = _Model()
    assert _changes(bound.forward, lambda: change(bound))


def _train(m):
    m(torch.randn(3)).sum().backward()
    m.optimizer.step()
    m.optimizer.param_groups[0]["lr"] = 0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.history.append(1.0),
        lambda m: setattr(m, "unused", 2.0),
        lambda m: setattr(m.unused_layer, "in_features", 5),
        lambda m: m.register_buffer("late", torch.zeros(2)),
        lambda m: m.layer.weight.data.mul_(2.0),
        _train,
    ],
    ids=range(6),
)
def test_what_forward_does_not_read_does_not_count(model, change):
    assert not _changes(model, lambda: change(model))


def test_attributes_that_are_not_named_count_where_any_may_be_read(model):
    assert _changes(lambda u: getattr(model, "uns"[:2] + "used") * u, lambda: setattr(model, "unused", 2.0))
    assert _changes(lambda u: sum(p.sum() for p in model.parameters()) * u, lambda: setattr(
        model, "unused_layer", torch.nn.Linear(1, 1)))  # fmt: skip


def test_modules_of_torch_count_whole():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LeakyReLU(0.1), torch.nn.Dropout(0.5))
    assert _changes(net, lambda: setattr(net[1], "negative_slope", 0.2))
    assert _changes(net, net.eval)
    assert _changes(net, lambda: net.append(torch.nn.Tanh()))

    class Chain(torch.nn.Sequential):
        pass

    chain = Chain(torch.nn.Linear(2, 2))
    assert _changes(chain, lambda: chain.append(torch.nn.Tanh()))


@dataclasses.dataclass(slots=True)
class _Slots:
    rate: float


@pytest.mark.parametrize(
    "config",
    [types.SimpleNamespace(rate=1.0), argparse.Namespace(rate=1.0), _Slots(1.0), type("Config", (), {"rate": 1.0})],
    ids=lambda config: type(config).__name__,
)
def test_attributes_of_plain_objects_count(config):
    assert _changes(lambda u: config.rate * u, lambda: setattr(config, "rate", 2.0))


def test_attributes_of_functions_count():
    def f(u):
        return f.rate * u

    f.rate = 1.0
    assert _changes(f, lambda: setattr(f, "rate", 2.0))


def test_globals_count(monkeypatch):
    assert _changes(lambda u: RATE * u, lambda: monkeypatch.setattr(f"{__name__}.RATE", 2.0))


def test_classes_that_are_instantiated_count():
    class Maker:
        rate = 1.0

        def __init__(self):
            self.mine = Maker.rate

    assert _changes(lambda u: Maker().mine * u, lambda: setattr(Maker, "rate", 2.0))


def test_properties_that_are_cached_count():
    class Lazy:
        rate = 1.0

        @functools.cached_property
        def value(self):
            return self.rate

    lazy = Lazy()
    assert _changes(lambda u: lazy.value * u, lambda: setattr(Lazy, "rate", 2.0))


@pytest.mark.parametrize(
    ("first", "second"),
    [(0.0, -0.0), (1, 1.0), (1, True), ([[1.0], 2.0], [[1.0, 2.0]]), (float("nan"), 0.0), ({1: "a"}, {1.0: "a"})],
    ids=range(6),
)
def test_values_are_told_apart(first, second):
    held = [first]
    assert _changes(lambda u: held[0], lambda: held.__setitem__(0, second))


def test_arrays_count_by_value_where_wanted():
    rates = np.ones(3)

    def f(u):
        return torch.tensor(rates) * u

    before, without = Fingerprint(f).value, Fingerprint(f, arrays=False).value
    rates[0] = 2.0
    assert Fingerprint(f).value != before
    assert Fingerprint(f, arrays=False).value == without


def test_a_cycle_ends():
    a = types.SimpleNamespace()
    a.other = types.SimpleNamespace(other=a, rate=1.0)
    assert _changes(lambda u: a.other.other.other.rate * u, lambda: setattr(a.other, "rate", 2.0))


def test_objects_are_not_kept_alive():
    model = _Model()
    died = weakref.ref(model)
    Fingerprint(model)
    del model
    gc.collect()
    assert died() is None


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.complex64, torch.int8]
)
def test_digests(dtype):
    x = torch.ones(3, dtype=dtype)
    assert digest(x) == digest(x.clone())
    assert digest(x) != digest(torch.zeros(3, dtype=dtype))
    assert digest(x[0]) == digest(x[1])


# ---- what the names in the code lead to


class _Config(dict):
    gain = 1.0


class _Pair(NamedTuple):
    rate: float

    def scaled(self):
        return self.rate * RATE


@dataclasses.dataclass
class _Data:
    rate: float = 1.0
    epoch: int = 0


class _Made:
    def __init__(self, rate=None):
        self.rate = RATE if rate is None else rate

    def again(self):
        return type(self)().rate


class _Late(property):
    pass


class _Parts:
    rate = 1.0

    @_Late
    def value(self):
        return self.rate

    half = functools.partialmethod(lambda self, k: self.rate * k, 0.5)


net = "a global by the name of an attribute"


def test_what_names_lead_to(monkeypatch):
    def set_rate():
        monkeypatch.setattr(f"{__name__}.RATE", RATE + 1.0)

    config, pair, data, made, parts = _Config(), _Pair(1.0), _Data(), _Made(), _Parts()
    users = types.ModuleType("users")
    users.rate, users.inner = 1.0, types.ModuleType("users.inner")
    users.inner.rate = 1.0
    name, words, parent = "rate", {"relu": {}}, _Data()
    weak, get, frozen = weakref.ref(parent), words.get, types.MappingProxyType(words)
    wrapped = collections.UserDict(rate=1.0)
    assert _changes(lambda u: config.gain * u, lambda: setattr(_Config, "gain", 2.0))
    assert _changes(lambda u: pair.scaled() * u, set_rate)
    assert _changes(lambda u: made.again() * u, set_rate)
    assert _changes(lambda u: parts.value * u, lambda: setattr(_Parts, "rate", 2.0))
    assert _changes(lambda u: parts.half() * u, lambda: setattr(_Parts, "rate", 3.0))
    assert _changes(lambda u: data.rate * u, lambda: setattr(data, "rate", 2.0))
    assert _changes(lambda u: users.rate * u, lambda: setattr(users, "rate", 2.0))
    assert _changes(lambda u: users.inner.rate * u, lambda: setattr(users.inner, "rate", 2.0))
    assert _changes(lambda u: getattr(users, name) * u, lambda: setattr(users, "rate", 3.0))
    assert _changes(lambda u: eval("RATE * 2") * u, set_rate)
    assert _changes(lambda u: operator.attrgetter("rate")(parent) * u, lambda: setattr(parent, "rate", 2.0))
    assert _changes(lambda u: weak().rate * u, lambda: setattr(parent, "rate", 3.0))
    assert _changes(lambda u: wrapped["rate"] * u, lambda: wrapped.__setitem__("rate", 2.0))
    for read in (lambda u: frozen["tanh"], lambda u: get("relu"), lambda u: "tanh" in words):
        assert _changes(read, lambda: words.__setitem__(f"tanh{len(words)}", {}))


def test_what_only_has_the_name_of_something_else_does_not_count(monkeypatch):
    trainer = types.SimpleNamespace(net=torch.nn.Linear(2, 2))
    assert not _changes(lambda u: trainer.net(u), lambda: monkeypatch.setattr(f"{__name__}.net", "another"))
    data = _Data()
    assert not _changes(lambda u: data.rate * u, lambda: setattr(data, "epoch", 1))


class _Odd:
    __slots__ = ("rate", "unset")

    def __init__(self):
        self.rate = 1.0

    def __getattr__(self, name):
        raise KeyError(name)


def test_odd_objects():
    odd, lazy, record = _Odd(), torch.nn.LazyLinear(3), np.zeros(1, dtype=[("a", float)])[0]
    model = _Model()
    model.__dict__[1] = 2
    nested = torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)], layout=torch.jagged)
    assert _changes(lambda u: odd.rate * u, lambda: setattr(odd, "rate", 2.0))
    assert _changes(lambda u: record["a"] * u, lambda: record.__setitem__("a", 2.0))
    assert not _changes(lambda u: lazy(u) + model(u) + nested.sum() + np.float64("nan"), lambda: None)


def test_a_nesting_that_is_too_deep_is_an_error():
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RecursionError):
        Fingerprint(lambda u: deep)
