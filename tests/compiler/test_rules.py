"""Rules refuse what they do not cover, and their errors are told from that. None of this needs Julia."""

import pytest
import torch
from lowered import lowered
from uses import INPUTS, KINDS, expressions, function_of, point

from pydiffeqflux._debug import VARIABLE
from pydiffeqflux._engines.julia.compiler._lowering import Lowering, Value
from pydiffeqflux._engines.julia.compiler._observer import Observer
from pydiffeqflux._engines.julia.compiler._rules import RULES
from pydiffeqflux._engines.julia.compiler._source import emit
from pydiffeqflux._engines.julia.compiler._trace import CannotCompileError, trace

U = torch.linspace(0.1, 0.9, 6, dtype=torch.float64).reshape(2, 3)


@pytest.fixture
def production(monkeypatch):
    """As for users: errors of ours are worked around."""
    monkeypatch.delenv(VARIABLE)


@pytest.fixture
def broken(monkeypatch):
    """A rule with an error in it."""

    def lower(lowering: Lowering, a: Value) -> Value:
        raise KeyError("nowhere")

    monkeypatch.setitem(RULES, "prims.sinh", lower)


# ---- uses of all kinds


def _compile(function, u):
    """The program of a function and of its derivative, and what torch refuses to differentiate."""
    programs = [lowered(function, u)]
    graph = trace(Observer(function), (u,), decompose=False)
    cotangents = tuple(torch.ones_like(result) for result in function(u))
    derivative = lambda x, *λ: torch.func.vjp(graph, x)[1](λ)[0]  # noqa: E731
    programs.append(lowered(derivative, u, *cotangents))
    for program in programs:
        emit(program, "f")
        emit(program, "f", generic=True)


def _try(expression, shape, kind):
    """Whether torch itself takes it; an exception other than a refusal passes."""
    function, u = function_of(expression, kind), point(shape)
    try:
        results = function(u)
    except Exception:  # torch raises of all kinds
        return False
    if results:
        try:
            _compile(function, u)
        except CannotCompileError as refusal:
            assert "internal error" not in refusal.reason
    return bool(results)


def _uses(stride, start=0):
    """Every `stride`-th expression, with the tensors that it is to be tried with, another one first for each."""
    combinations = [(shape, kind) for kind in KINDS for shape in INPUTS.values()]
    for number, expression in list(enumerate(expressions()))[start::stride]:
        first = 5 * number % len(combinations)
        yield expression, combinations[first:] + combinations[:first]


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("expression", "combinations"), list(_uses(5)), ids=lambda part: part if isinstance(part, str) else ""
)
def test_a_use_compiles_or_is_refused(expression, combinations):
    any(_try(expression, *combination) for combination in combinations)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", INPUTS)
def test_every_use_compiles_or_is_refused(shape, kind):
    tried = [_try(expression, INPUTS[shape], kind) for expression in expressions()]
    assert sum(tried) > 100
