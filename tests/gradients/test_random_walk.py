"""Random sequences of what people do between solves and gradients: every gradient is right, or refused.

The problem is u' = a u + b with a = scale * rate and b = force, so that u(1) is known exactly. What is expected is made
by autograd of the closed form at *shadows*: for each of the user's tensors one leaf for each value that it has had.
"""

import random
import threading
import types
from dataclasses import dataclass, field

import pytest
import torch
from problems import relative, tensor
from torch import nn

import pydiffeqflux as de

FAST, ALL = 13, 160  # for each kind of functions
LENGTH = 12
BAR = 1e-6
ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]
ON_BOTH = (
    None,
    de.ReverseDiffAdjoint(),
    de.GaussAdjoint(),
    de.InterpolatingAdjoint(),
    de.QuadratureAdjoint(),
    de.BacksolveAdjoint(),
)
# forward mode is there for torch functions on the embedded engine only
SENSEALGS = {"embedded": (*ON_BOTH, de.ForwardDiffSensitivity()), "julia": ON_BOTH}
ALGORITHMS = (de.Tsit5(), de.Tsit5(), de.Vern7(), de.Rodas5P())
SCALES = (0.5, 1.0, 1.5)  # few, since a function is traced anew for each


def closed_form(u0, rate, force, scale):
    a = scale * rate
    return torch.exp(a) * u0 + force * torch.expm1(a) / a


# ---- what f computes: the same, but the tracer follows the first only

CALLS = []


def plain(u, t, a, b):
    return a * u + b


def branching(u, t, a, b):
    return a * u + b if t < 0.5 else b + u * a


def counting(u, t, a, b):
    CALLS.append(None)
    return a * u + b


TRACED, UNTRACED = (plain,), (branching, counting)


# ---- where f finds what it reads


class Holder:
    """Some f, and the three things that it reads: `rate`, `force` and `scale`.

    Codes and classes have names of their own in each walk, so that what is known of one does not serve for another.
    """

    can_be_called_functionally = False
    can_be_replaced = False

    def __init__(self, derivative, values, name):
        self.derivative, self.name = derivative, name
        self.f = self.make(values)

    def make(self, values):
        raise NotImplementedError

    def get(self, name):
        raise NotImplementedError

    def put(self, name, value):
        raise NotImplementedError

    def solve(self, u0, alg, **options):
        return de.solve(de.ODEProblem(self.f, u0, (0.0, 1.0)), alg, **options)


class Closure(Holder):
    def make(self, values):
        derivative, rate, force, scale = self.derivative, values["rate"], values["force"], values["scale"]

        def f(u, p, t):
            return derivative(u, t, scale * rate, force)

        code = f.__code__.replace(co_name=self.name)
        return types.FunctionType(code, f.__globals__, closure=f.__closure__)

    def cell(self, name):
        return self.f.__closure__[self.f.__code__.co_freevars.index(name)]

    def get(self, name):
        return self.cell(name).cell_contents

    def put(self, name, value):
        self.cell(name).cell_contents = value


def reads_globals(u, p, t):
    return derivative(u, t, scale * rate, force)  # noqa: F821


class Globals(Holder):
    def make(self, values):
        code = reads_globals.__code__.replace(co_name=self.name)
        return types.FunctionType(code, {"__builtins__": __builtins__, "derivative": self.derivative} | values)

    def get(self, name):
        return self.f.__globals__[name]

    def put(self, name, value):
        self.f.__globals__[name] = value


class Items(Holder):
    def make(self, values):
        derivative, self.settings = (
            self.derivative,
            {"rate": values["rate"], "others": [values["force"], values["scale"]]},
        )
        settings = self.settings

        def f(u, p, t):
            return derivative(u, t, settings["others"][1] * settings["rate"], settings["others"][0])

        code = f.__code__.replace(co_name=self.name)
        return types.FunctionType(code, f.__globals__, closure=f.__closure__)

    def place(self, name):
        return (self.settings, "rate") if name == "rate" else (self.settings["others"], int(name == "scale"))

    def get(self, name):
        container, key = self.place(name)
        return container[key]

    def put(self, name, value):
        container, key = self.place(name)
        container[key] = value


def attributes_of(derivative, name):
    class Model:
        def __init__(self, values):
            self.__dict__.update(values)

        def f(self, u, p, t):
            return derivative(u, t, self.scale * self.rate, self.force)

    Model.f.__code__ = Model.f.__code__.replace(co_name=name)
    return Model


class Method(Holder):
    def make(self, values):
        self.model = attributes_of(self.derivative, self.name)(values)
        return self.model.f

    def get(self, name):
        return getattr(self.model, name)

    def put(self, name, value):
        setattr(self.model, name, value)


class Values(nn.Module):
    """The three as a parameter, a buffer and an attribute."""

    def __init__(self, values):
        super().__init__()
        self.rate = nn.Parameter(values["rate"].detach().clone())
        self.register_buffer("force", values["force"].detach().clone().requires_grad_(values["force"].requires_grad))
        self.scale = values["scale"]

    def put(self, name, value):
        setattr(self, name, nn.Parameter(value.detach().clone()) if name == "rate" else value)


def module_of(derivative, name, *, with_parameters):
    class Model(nn.Module):
        def __init__(self, values):
            super().__init__()
            self.values = Values(values)

    def with_three(self, u, p, t):
        return derivative(u, t, self.values.scale * self.values.rate, self.values.force)

    def with_two(self, u, t):
        return derivative(u, t, self.values.scale * self.values.rate, self.values.force)

    return type(name, (Model,), {"forward": with_three if with_parameters else with_two, "__qualname__": name})


class Solving(nn.Module):
    """A network with a solve in it."""

    def __init__(self, f):
        super().__init__()
        self.model = f

    def forward(self, u0, alg, **options):
        return de.solve(de.ODEProblem(self.model, u0, (0.0, 1.0)), alg, **options)


class Module(Holder):
    can_be_called_functionally = True
    can_be_replaced = True

    def make(self, values):
        self.kind = module_of(self.derivative, self.name, with_parameters=True)
        self.outer = Solving(self.kind(values))
        return self.outer.model

    def get(self, name):
        return getattr(self.outer.model.values, name)

    def put(self, name, value):
        self.outer.model.values.put(name, value)

    def replace(self, values, *, whole):
        if whole:
            self.outer.model = self.kind(values)
        else:
            self.outer.model.values = Values(values)

    def solve(self, u0, alg, **options):
        return self.outer(u0, alg, **options)

    def solve_with_rate(self, rate, u0, alg, **options):
        return torch.func.functional_call(self.outer, {"model.values.rate": rate}, (u0, alg), options)


class Layer(Module):
    def make(self, values):
        self.kind = module_of(self.derivative, self.name, with_parameters=False)
        self.outer = de.NeuralODE(self.kind(values), (0.0, 1.0))
        return self.outer.model

    def solve(self, u0, alg, **options):
        self.outer.alg = alg
        return self.outer(u0, **options)

    def solve_with_rate(self, rate, u0, alg, **options):
        self.outer.alg = alg
        return torch.func.functional_call(self.outer, {"model.values.rate": rate}, (u0,), options)


HOLDERS = (Closure, Globals, Items, Method, Module, Layer)


# ---- the walk


@dataclass
class Solved:
    """A solve that gradients can be asked of, and what it should be."""

    sol: de.Solution
    end: torch.Tensor
    expected: torch.Tensor
    weights: torch.Tensor
    read: set[int]
    is_modified: bool = False
    may_be_refused: bool = False  # what it read was written to

    @property
    def loss(self):
        return (self.weights * self.end).sum()

    @property
    def expected_loss(self):
        return (self.weights * self.expected).sum()


@dataclass
class Shadows:
    """For each leaf of the user's those that stand for it in the closed form, one for each value."""

    known: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = field(default_factory=dict)

    def of(self, leaf):
        _, values = self.known.setdefault(id(leaf), (leaf, []))
        if not values or not torch.equal(values[-1], leaf):
            values.append(leaf.detach().clone().requires_grad_(leaf.requires_grad))
        return values[-1]

    def leaves(self):
        return [leaf for leaf, _ in self.known.values() if leaf.requires_grad]

    def gradient(self, leaf, expected):
        values = self.known[id(leaf)][1]
        grads = torch.autograd.grad(expected, values, retain_graph=True, allow_unused=True)
        return sum((g for g in grads if g is not None), torch.zeros_like(leaf))


def plainly(loss, leaves):
    gradients = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)]


def accumulated(loss, leaves):
    for leaf in leaves:
        leaf.grad = torch.ones_like(leaf)
    loss.backward(retain_graph=True)
    return [leaf.grad - 1.0 for leaf in leaves]


class Walk:
    def __init__(self, seed, engine, derivatives):
        self.random = random.Random(seed)
        self.engine = engine
        holder, derivative = self.random.choice(HOLDERS), self.random.choice(derivatives)
        self.holder = holder(derivative, self.values(), f"f_{seed}")
        self.shadows, self.solved = Shadows(), []
        self.is_traced = derivative is plain
        self.done = [f"{holder.__name__}, {derivative.__name__}"]
        self.actions = {
            self.solve: 4,
            self.rebind: 4,
            self.write: 2,
            self.predict: 1,
            self.modify_a_solution: 1,
            self.write_to_an_initial_state: 1,
            self.differentiate_one: 3,
            self.differentiate_again: 1,
            self.differentiate_all: 2,
            self.accumulate: 1,
            self.differentiate_while_another_thread_predicts: 1,
        }
        if self.holder.can_be_replaced:
            self.actions[self.replace] = 2
        if self.holder.can_be_called_functionally:
            self.actions[self.solve_functionally] = 2

    def run(self):
        self.solve()
        for action in self.random.choices(list(self.actions), list(self.actions.values()), k=LENGTH):
            action()
        self.differentiate_all()

    # what there is

    def numbers(self, low, high):
        return tensor([self.random.uniform(low, high) for _ in range(2)])

    def value(self, name):
        if name == "scale":
            return self.random.choice(SCALES)
        value = self.numbers(-1.2, -0.3) if name == "rate" else self.numbers(0.5, 1.5)
        return value.requires_grad_(name == "rate" or self.random.random() < 0.5)

    def values(self):
        return {name: self.value(name) for name in ("rate", "force", "scale")}

    def now(self, u0, rate=None):
        """The closed form with what f would read now."""
        rate = self.shadows.of(self.holder.get("rate")) if rate is None else rate
        return closed_form(u0, rate, self.shadows.of(self.holder.get("force")), self.holder.get("scale"))

    def options(self):
        return {
            "saveat": self.random.choice(([1.0], [0.3, 1.0])),
            "abstol": 1e-10,
            "reltol": 1e-10,
            "engine": self.engine,
            "alg": self.random.choice(ALGORITHMS),
        }

    def note(self, text):
        self.done.append(text)

    # solves

    def start(self):
        """An initial state: a new one, or the end of another solve."""
        usable = [s for s in self.solved if not s.is_modified]
        if usable and self.random.random() < 0.3:
            before = self.random.choice(usable)
            return before.end, before.expected, before
        u0 = self.numbers(0.5, 2.0).requires_grad_(self.random.random() < 0.5)
        return u0, self.shadows.of(u0), None

    def solve(self):
        u0, shadow, before = self.start()
        options = self.noted("solve", before)
        self.keep(self.holder.solve(u0, **options), self.now(shadow), {id(self.holder.get("rate"))}, before)

    def solve_functionally(self):
        u0, shadow, before = self.start()
        options = self.noted("solve with another rate", before)
        other = self.numbers(-0.6, -0.1).requires_grad_()
        sol = self.holder.solve_with_rate(2.0 * other, u0, **options)
        self.keep(sol, self.now(shadow, 2.0 * self.shadows.of(other)), set(), before)

    def noted(self, what, before):
        options = self.options() | {"sensealg": self.random.choice(SENSEALGS[self.engine])}
        where = "a new state" if before is None else f"the end of {self.solved.index(before)}"
        self.note(f"{len(self.solved)} = {what} from {where} by {options['alg']}, {options['sensealg']}")
        return options

    def keep(self, sol, expected, read, before):
        assert relative(sol.u[-1].detach(), expected.detach()) < BAR
        solved = Solved(sol, sol.u[-1], expected, self.numbers(-1.0, 1.0), read | {id(self.holder.get("force"))})
        if before is not None:  # a gradient passes both
            solved.read |= before.read
            solved.may_be_refused = before.may_be_refused
        self.solved.append(solved)

    def predict(self):
        self.note("predict")
        u0 = self.numbers(0.5, 2.0)
        with torch.no_grad():
            sol = self.holder.solve(u0, **self.options())
            assert relative(sol.u[-1], self.now(u0)) < BAR

    # changes

    def rebind(self):
        name = self.random.choice(("rate", "force", "scale"))
        self.note(f"rebind {name}")
        self.holder.put(name, self.value(name))

    def write(self):
        name = self.random.choice(("rate", "force"))
        self.note(f"write to {name}")
        with torch.no_grad():
            self.holder.get(name).mul_(self.random.uniform(0.5, 1.2))
        for solved in self.solved:
            solved.may_be_refused |= id(self.holder.get(name)) in solved.read

    def replace(self):
        whole = self.random.random() < 0.5
        self.note(f"replace {'the model' if whole else 'a part of the model'}")
        self.holder.replace(self.values(), whole=whole)

    def modify_a_solution(self):
        solved = self.random.choice(self.solved)
        self.note(f"modify {self.solved.index(solved)}")
        solved.is_modified = True
        if self.random.random() < 0.5:
            with torch.no_grad():
                solved.sol.u.mul_(3.0)
        else:
            solved.sol.u.detach().numpy()[:] = -1.0

    def write_to_an_initial_state(self):
        solved = self.random.choice(self.solved)
        if solved.sol.prob.u0.is_leaf:
            self.note(f"write to the initial state of {self.solved.index(solved)}")
            with torch.no_grad():
                solved.sol.prob.u0.mul_(0.5)

    # gradients

    def differentiate_one(self):
        solved = self.random.choice(self.solved)
        self.note(f"gradient of {self.solved.index(solved)}")
        self.check([solved])

    def differentiate_again(self):
        solved = self.random.choice(self.solved)
        self.note(f"gradient of {self.solved.index(solved)}, twice")
        self.check([solved])
        self.check([solved])

    def differentiate_all(self):
        self.note("gradient of all")
        self.check(self.solved)

    def accumulate(self):
        """As training does it, with gradients from before in place."""
        solved = self.random.choice(self.solved)
        self.note(f"backward of {self.solved.index(solved)}")
        self.check([solved], differentiate=accumulated)

    def check(self, solved, differentiate=plainly):
        leaves = self.shadows.leaves()
        try:
            gradients = differentiate(sum(s.loss for s in solved), leaves)
        except de.GradientError:
            assert any(s.may_be_refused for s in solved) or not self.is_traced
            return
        expected = sum(s.expected_loss for s in solved)
        for leaf, actual in zip(leaves, gradients, strict=True):
            right = self.shadows.gradient(leaf, expected)
            is_right = float((actual - right).abs().max()) < BAR * max(1.0, float(right.abs().max()))
            assert is_right, f"{actual.tolist()} is not {right.tolist()}"

    def differentiate_while_another_thread_predicts(self):
        self.note("while another thread predicts:")
        u0, errors = self.numbers(0.5, 2.0), []
        options, expected = self.options(), self.now(u0).detach()

        def predict():
            try:
                with torch.no_grad():
                    for _ in range(3):
                        assert relative(self.holder.solve(u0, **options).u[-1], expected) < BAR
            except BaseException as error:  # for the main thread
                errors.append(error)

        thread = threading.Thread(target=predict)
        thread.start()
        try:
            self.differentiate_one()
        finally:
            thread.join()
        if errors:
            raise errors[0]

    def story(self):
        return "\n".join(self.done)


def walk(seed, engine, derivatives):
    path = Walk(seed, engine, derivatives)
    try:
        path.run()
    except Exception as error:
        error.add_note(path.story())
        raise


KINDS = [pytest.param(TRACED, id="traced"), pytest.param(UNTRACED, id="untraced")]


@pytest.mark.parametrize("seed", range(FAST))
@pytest.mark.parametrize("derivatives", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_are_right_or_refused(engine, derivatives, seed):
    walk(seed, engine, derivatives)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FAST, ALL))
@pytest.mark.parametrize("derivatives", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_are_right_or_refused_in_many_walks(engine, derivatives, seed):
    walk(seed, engine, derivatives)
