"""What people wrap networks in, and what they do to a layer after it was made."""

import copy
import functools
import pickle
import warnings

import pytest
import torch
from torch import nn

import pydiffeqflux as de

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),  # of the compiler itself
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),  # of weight normalisation
]

U0 = torch.tensor([[0.3, -0.2], [0.1, 0.5]], dtype=torch.float64)
STEPS = 10


def net():
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).double()


class Timed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2).double()

    def forward(self, u, t):
        return torch.sin(t) * self.inner(u)


class Arguments(nn.Module):
    """Hands on whatever it gets."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class First(nn.Module):
    """Two parts, of which the signature says nothing."""

    def __init__(self):
        super().__init__()
        self.one, self.other = net(), net()

    def forward(self, *args):
        return self.one(args[0]) + self.other(args[0])


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x, scale=1.0, **kwargs):
        return scale * self.net(x)


class Adapter(nn.Module):
    """A low-rank change of a layer, which looks like that layer."""

    def __init__(self, base_layer):
        super().__init__()
        self.base_layer = base_layer.requires_grad_(False)
        self.down = nn.Linear(2, 1, bias=False).double()
        self.up = nn.Linear(1, 2, bias=False).double()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.base_layer, name)

    def forward(self, x, *args, **kwargs):
        return self.base_layer(x, *args, **kwargs) + self.up(self.down(x))


def patched(module, **keywords):
    module.forward = functools.partial(module.forward, **keywords)
    return module


def decorated(module):
    forward = module.forward

    @functools.wraps(forward)
    def logged(*args):
        return forward(*args)

    module.forward = logged
    return module


compiled = functools.partial(torch.compile, backend="eager")


def compiled_in_place(module):
    module.compile(backend="eager")
    return module


def parametrized(layer):
    nn.utils.parametrize.register_parametrization(layer, "weight", nn.Softplus())
    return layer


def linear():
    return nn.Linear(2, 2).double()


def ignoring_deprecation(make):
    """TorchScript is on its way out, and says so at every turn."""

    def quiet():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return quiet


MODELS = {
    "compiled": (lambda: compiled(net()), False),
    "compiled, timed": (lambda: compiled(Timed()), True),
    "compiled in place": (lambda: compiled_in_place(net()), False),
    "scripted": (ignoring_deprecation(lambda: torch.jit.script(net())), False),
    "scripted, timed": (ignoring_deprecation(lambda: torch.jit.script(Timed())), True),
    "traced": (ignoring_deprecation(lambda: torch.jit.trace(net(), U0)), False),
    "traced, timed": (ignoring_deprecation(lambda: torch.jit.trace(Timed(), (U0, torch.ones(()).double()))), True),
    "fx": (lambda: torch.fx.symbolic_trace(net()), False),
    "data parallel": (lambda: nn.DataParallel(net()), False),
    "data parallel, timed": (lambda: nn.DataParallel(Timed()), True),
    "averaged": (lambda: torch.optim.swa_utils.AveragedModel(net()), False),
    "adapter": (lambda: Adapter(linear()), False),
    "adapter, timed": (lambda: Adapter(Timed()), True),
    "adapters": (lambda: nn.Sequential(Adapter(linear()), nn.Tanh(), Adapter(linear())), False),
    "arguments": (lambda: Arguments(net()), False),
    "arguments, timed": (lambda: Arguments(Timed()), True),
    "wrapped twice": (lambda: compiled(nn.DataParallel(Arguments(Timed()))), True),
    "first": (First, False),
    "keywords": (Keywords, False),
    "time given": (lambda: patched(Timed(), t=torch.tensor(0.5).double()), False),
    "scale given": (lambda: patched(Keywords(), scale=2.0), False),
    "decorated": (lambda: decorated(Timed()), True),
    "parametrized": (lambda: parametrized(linear()), False),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(linear()), False),
}


def by_hand(model, timed):
    """The classical method with autograd through it."""
    call = model if timed else lambda u, t: model(u)
    u, h = U0, 1.0 / STEPS
    for i in range(STEPS):
        t = torch.tensor(i * h).double()
        k1 = call(u, t)
        k2 = call(u + h / 2 * k1, t + h / 2)
        k3 = call(u + h / 2 * k2, t + h / 2)
        u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + call(u + h * k3, t + h))
    return u


def layer(model, **options):
    return de.NeuralODE(model, (0.0, 1.0), de.RK4(), dt=1.0 / STEPS, adaptive=False, saveat=[1.0], **options)


def trained(model):
    return [q for q in model.parameters() if q.requires_grad]


def is_right(node, model, timed):
    expected = by_hand(model, timed)
    gradients = torch.autograd.grad(expected.sin().sum(), trained(model))
    u = node(U0).u[-1]
    assert torch.allclose(u, expected, rtol=1e-7)
    for actual, gradient in zip(torch.autograd.grad(u.sin().sum(), trained(model)), gradients, strict=True):
        assert torch.allclose(actual, gradient, rtol=1e-6, atol=1e-7)  # float32 times in the reference


@pytest.mark.parametrize("sensealg", [None, de.ReverseDiffAdjoint()], ids=repr)
@pytest.mark.parametrize("name", MODELS)
def test_models_in_wrappers(name, sensealg):
    make, timed = MODELS[name]
    model = make()
    node = layer(model, sensealg=sensealg)
    assert node.time_dependent is timed
    is_right(node, model, timed)


@pytest.mark.parametrize("wrap", ["itself", "around", "in place"])
def test_a_compiled_layer(wrap):
    node = layer(net())
    expected = torch.autograd.grad(node(U0).u.sum(), trained(node))
    if wrap == "itself":
        result = compiled(node)
    elif wrap == "around":
        result = compiled(lambda u0: node(1.0 * u0))
    else:
        result = compiled_in_place(node)
    for _ in range(2):
        actual = torch.autograd.grad(result(U0).u.sum(), trained(node))
        assert all(map(torch.equal, actual, expected))


def test_a_compiled_layer_without_breaks_is_refused():
    from torch._dynamo.exc import Unsupported

    torch._dynamo.reset()
    with pytest.raises(Unsupported, match="steps of pydiffeqflux's solvers depend on values"):
        torch.compile(layer(net()), backend="eager", fullgraph=True)(U0)


class Counting(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class Chain(nn.Sequential):
    """Of a class of its own, for which nothing has been refused before."""


def test_networks_that_cannot_be_traced_do_not_keep_others_from_it():
    for kind in (Counting, Counting, Counting, nn.Linear):
        model = Chain(kind(2, 2), nn.Tanh()).double()
        node = layer(model, sensealg=de.ForwardDiffSensitivity())
        if kind is nn.Linear:
            is_right(node, model, timed=False)
        else:
            node(U0)


# ---- the model is the attribute


def test_a_replaced_model_is_what_runs():
    first, second = net(), net()
    node = layer(first)
    solved = node(U0).u
    node.model = second
    is_right(node, second, timed=False)
    assert {id(q) for q in node.parameters()} == {id(q) for q in second.parameters()}
    solved.sum().backward()  # the gradient of what was solved then
    assert all(q.grad is not None for q in first.parameters())
    assert all(q.grad is None for q in second.parameters())


def test_a_replaced_model_says_anew_whether_it_takes_the_time():
    node = layer(net())
    node.model = model = Timed()
    assert node.time_dependent
    is_right(node, model, timed=True)
    node.model = net()
    assert not node.time_dependent


def test_a_model_cannot_be_replaced_by_nothing():
    node = layer(net())
    node.model = None
    with pytest.raises(de.InvalidProblemError, match=r"must be an nn\.Module, not NoneType"):
        node(U0)


@pytest.mark.parametrize(
    "clone",
    [copy.deepcopy, copy.copy, lambda node: pickle.loads(pickle.dumps(node))],
    ids=["deep", "shallow", "pickle"],
)
def test_copies_of_a_layer_whose_model_was_replaced(clone):
    node = layer(net())
    node(U0)
    node.model = net()
    other = clone(node)
    is_right(other, other.model, timed=False)
    other.model = net()
    is_right(other, other.model, timed=False)


def test_a_part_of_the_model_that_is_replaced():
    node = layer(net())
    node(U0)
    node.model[2] = nn.Linear(4, 2).double()
    is_right(node, node.model, timed=False)


def test_a_parameter_that_is_replaced():
    node = layer(net())
    node(U0)
    node.model[0].weight = nn.Parameter(0.5 * node.model[0].weight.detach())
    is_right(node, node.model, timed=False)


def test_a_model_that_is_parametrized_later():
    node = layer(linear())
    node(U0)
    parametrized(node.model)
    is_right(node, node.model, timed=False)
    nn.utils.parametrize.remove_parametrizations(node.model, "weight")
    is_right(node, node.model, timed=False)


def test_a_layer_that_changes_its_dtype():
    node = layer(net()).float()
    assert node(U0.float()).u.dtype == torch.float32
    is_right(node.double(), node.model, timed=False)


class Target(nn.Sequential):
    """Of a class of its own, for which nothing has been refused before."""


def test_weights_of_another_network():
    node = layer(Target(*net()))
    factor = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    weights = {f"model.{name}": factor * q.detach() for name, q in node.model.named_parameters()}
    u = torch.func.functional_call(node, weights, (U0,)).u[-1]
    other = copy.deepcopy(node.model)
    expected = by_hand(lambda x: torch.func.functional_call(
        other, {name.removeprefix("model."): w for name, w in weights.items()}, (x,)), timed=False)  # fmt: skip
    assert torch.allclose(u, expected)
    actual, right = (torch.autograd.grad(x.sum(), factor, retain_graph=True)[0] for x in (u, expected))
    assert torch.allclose(actual, right)


def test_wrapped_layers_have_the_names_of_their_models():
    node = layer(compiled(linear()))
    assert sorted(node.state_dict()) == ["model._orig_mod.bias", "model._orig_mod.weight"]
    other = layer(compiled(linear()))
    other.load_state_dict(node.state_dict())
    assert torch.equal(other(U0).u, node(U0).u)


def test_a_layer_in_data_parallel():
    node = layer(net())
    assert torch.equal(nn.DataParallel(node)(U0).u, node(U0).u)


# ---- the order of arguments


def forward_of(*names):
    """A module whose forward pass has arguments of these names."""
    scope = {}
    exec(f"def forward(self, {', '.join(names)}):\n    return 0.0 * {names[0].partition('=')[0]}", scope)
    return type("Model", (nn.Module,), {"forward": scope["forward"]})()


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, Arguments, compiled], ids=range(4))
@pytest.mark.parametrize(
    "names",
    [("t", "y"), ("t", "x"), ("time", "state"), ("t", "h_t"), ("t", "inputs"), ("t", "z", "args=None")],
    ids=str,
)
def test_a_model_with_the_time_first_is_refused(names, wrap):
    for time_dependent in (None, True, False):
        with pytest.raises(
            de.InvalidProblemError, match=r"has the time first.*called as model\(u, t\).*change the order"
        ):
            de.NeuralODE(wrap(forward_of(*names)), (0.0, 1.0), time_dependent=time_dependent)


@pytest.mark.parametrize("names", [("t",), ("y", "t"), ("a", "b"), ("t", "b"), ("x", "time"), ("tokens", "x")], ids=str)
def test_models_whose_names_say_nothing_else_are_called(names):
    de.NeuralODE(forward_of(*names), (0.0, 1.0))


def test_a_replaced_model_with_the_time_first_is_refused():
    node = layer(net())
    node.model = forward_of("t", "y")
    with pytest.raises(de.InvalidProblemError, match="has the time first"):
        node(U0)


def other_order(scale, t, y, args):
    return y


@pytest.mark.parametrize(
    ("f", "call"),
    [
        (lambda t, y, args: -y, "f(t, u, p)"),
        (lambda t, y, args=None: -y, "f(t, u, p)"),
        (lambda t, y: -y, "f(t, u)"),
        (lambda time, state, p: -state, "f(t, u, p)"),
        (lambda y, t, args: -y, "f(u, t, p)"),
        (lambda t, y, *args: -y, "f(t, u)"),
        (forward_of("t", "x", "p"), "f(t, u, p)"),
        (functools.partial(other_order, 1.0), "f(t, u, p)"),
        (torch.vmap(lambda t, y, p: y), "f(t, u, p)"),
        (compiled(lambda t, y, p: y), "f(t, u, p)"),
        (Arguments(forward_of("t", "y", "p")), "f(t, u, p)"),
    ],
    ids=range(11),
)
def test_a_function_with_the_time_elsewhere_is_refused(f, call):
    with pytest.raises(de.InvalidProblemError) as caught:
        de.ODEProblem(f, U0, (0.0, 1.0))
    assert f"lambda u, p, t: {call}." in str(caught.value)


@pytest.mark.parametrize(
    "f",
    [
        lambda u, p, t: -u,
        lambda *args: -args[0],
        lambda u, *_: -u,
        lambda a, b, c: -a,
        lambda y, args, time: -y,
        lambda t, b, c: -t,
        lambda t, p, x: -t,
        lambda u, p, t, extra=1: -u,
        compiled(lambda u, p, t: -u),
    ],
    ids=range(9),
)
def test_functions_whose_names_say_nothing_else_are_called(f):
    de.ODEProblem(f, U0, (0.0, 1.0))
