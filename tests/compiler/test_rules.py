"""Rules refuse what they do not cover, and their errors are told from that. None of this needs Julia."""

import contextlib
import gc
import inspect
import weakref
from collections.abc import Sequence
from typing import Any, get_type_hints

import pytest
import torch
from evaluated import evaluated
from lowered import flat, lowered, worst
from uses import INPUTS, KINDS, brief, expressions, function_of, point

from pydiffeqflux._debug import VARIABLE, debugging
from pydiffeqflux._engines.julia.compiler._emission import emit
from pydiffeqflux._engines.julia.compiler._location import operation_name
from pydiffeqflux._engines.julia.compiler._lowering import Lowering, Value
from pydiffeqflux._engines.julia.compiler._observer import Observer
from pydiffeqflux._engines.julia.compiler._program import Literal, Program
from pydiffeqflux._engines.julia.compiler._refusals import NotCoveredError
from pydiffeqflux._engines.julia.compiler._rules import RULES, check_arguments, rule
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


def _derivative(function):
    """`(x, *λ)` to the sum of each λᵀ times the derivative of its result."""
    return lambda x, *λ: torch.func.vjp(function, x)[1](λ)[0]


def _compile(function, u):
    """Compile a function and its derivative, and compare with torch what the programs mean."""
    _check(lowered(function, u), function, u)
    graph = trace(Observer(function), (u,), decompose=False)
    cotangents = tuple(torch.randn(result.shape, dtype=u.dtype) for result in function(u))
    program = lowered(_derivative(graph), u, *cotangents)
    with contextlib.suppress(RuntimeError):  # torch itself cannot differentiate all that it can trace
        _check(program, _derivative(function), u, *cotangents)


def _check(program, function, *inputs):
    for generic in (False, True):
        emit(program, "f", generic=generic)
    expected = flat(function(*inputs))
    assert not expected.numel() or worst(evaluated(program, *inputs), expected) < 1e-5


def _try(expression, shape, kind):
    """Whether torch itself takes an expression; it compiles then, or is refused with a reason."""
    function, u = function_of(expression, kind), point(shape)
    try:
        results = function(u)
    except Exception:  # torch raises of all kinds
        return False
    if results:
        # an error of ours is raised as it is, for that is what the debug setting asks for
        with contextlib.suppress(CannotCompileError):
            _compile(function, u)
    return bool(results)


COMBINATIONS = [(shape, kind) for kind in KINDS for shape in INPUTS]
SOME = [pytest.param(expression, number, id=expression) for number, expression in list(enumerate(expressions()))[::6]]


@pytest.mark.parametrize(("expression", "number"), SOME)
@pytest.mark.filterwarnings("ignore")
def test_a_use_compiles_or_is_refused(expression, number):
    first = 5 * number % len(COMBINATIONS)  # other tensors for each, the first that torch takes
    for shape, kind in COMBINATIONS[first:] + COMBINATIONS[:first]:
        if _try(expression, INPUTS[shape], kind):
            return


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "kind"), COMBINATIONS)
@pytest.mark.filterwarnings("ignore")
def test_many_uses_compile_or_are_refused(shape, kind):
    first = COMBINATIONS.index((shape, kind)) % 12
    tried = [_try(expression, INPUTS[shape], kind) for expression in list(expressions())[first::12]]
    assert sum(tried) > 20


NOT_TRACED = {
    "aten._reshape_alias", "aten.chunk", "aten.copy", "aten.empty_strided", "aten.new_empty_strided",
    "aten.reshape", "aten.squeeze_", "aten.unsqueeze_", "prims.amax", "prims.amin", "prims.as_strided",
    "prims.as_strided_scatter", "prims.cat", "prims.clone", "prims.collapse", "prims.collapse_view",
    "prims.copysign", "prims.empty_permuted", "prims.empty_strided", "prims.full", "prims.full_like",
    "prims.iota", "prims.isfinite", "prims.isinf", "prims.isnan", "prims.logical_and", "prims.logical_or",
    "prims.reshape", "prims.rev", "prims.slice", "prims.slice_in_dim", "prims.split_dim", "prims.squeeze",
    "prims.transpose", "prims.view_of",
}  # fmt: skip
"""Operations with rules that no use above is traced to, some of them only by other versions of torch."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_rule_is_used():
    reached = set()
    for expression in brief():
        for shape in ("square", "images", "scalar"):
            function, u = function_of(expression, "float64"), point(INPUTS[shape])
            with contextlib.suppress(Exception):
                graph = trace(Observer(function), (u,), decompose=False)
                cotangents = tuple(map(torch.ones_like, function(u)))
                for derived, inputs in ((graph, (u,)), (_derivative(graph), (u, *cotangents))):
                    nodes = trace(derived, inputs, RULES).graph.nodes
                    reached |= {operation_name(node.target) for node in nodes}
    assert RULES.keys() - reached <= NOT_TRACED


# ---- what rules take


@pytest.mark.parametrize("name", RULES)
def test_signatures_say_what_a_rule_covers(name):
    _, *parameters = inspect.signature(RULES[name]).parameters.values()
    hints = get_type_hints(RULES[name])
    for parameter in parameters:
        options = parameter.kind is parameter.VAR_KEYWORD or parameter.name == "memory_format"
        ignored = name in ("aten._linalg_check_errors",) or RULES[name].__name__ == "empty"
        assert options or ignored or hints[parameter.name] is not Any, parameter


def _example(
    lowering: Lowering, a: Value, dims: Sequence[int] | None = None, *rest: float, flag: bool = False
) -> Value:
    return a


LOWERING = Lowering(Program([]))
VALUE = Value((), torch.float64, lambda indices: Literal("1.0"))


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [((VALUE,), {}), ((VALUE, None), {}), ((VALUE, [1, 2]), {"flag": True}), ((VALUE, (), 1, 2.5, True), {})],
)
def test_arguments_that_fit(arguments, keywords):
    check_arguments(_example, (LOWERING, *arguments), keywords)


@pytest.mark.parametrize(
    ("arguments", "keywords", "reason"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((VALUE,), {"reduce": "add"}, "unexpected keyword argument 'reduce'"),
        ((None,), {}, "its argument a is None"),
        ((2.0,), {}, "its argument a is 2.0"),
        ((VALUE, 1), {}, "its argument dims is 1"),
        ((VALUE, [VALUE]), {}, "its argument dims is a list"),
        ((VALUE, None, VALUE), {}, "its argument rest is a Value"),
        ((VALUE, None), {"flag": torch.float32}, "its argument flag is a dtype"),
    ],
)
def test_arguments_that_do_not_fit(arguments, keywords, reason):
    with pytest.raises(NotCoveredError, match=reason):
        check_arguments(_example, (LOWERING, *arguments), keywords)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda u: u.scatter(0, torch.zeros(1, 3, dtype=torch.long), u, reduce="add"), r"aten\.scatter .*'reduce'"),
        (lambda u: u.view(torch.int64).double(), r"aten\.view is used in a way .* is a dtype"),
        (lambda u: (u.long() ** u.long()).double(), r"prims\.pow .*powers of integers"),
        (lambda u: torch.linalg.inv_ex(u[:, :2])[1].double(), "is None"),
        (lambda u: torch.eye(2, dtype=u.dtype).to_sparse() @ u, "sparse|no rule|dense"),
    ],
)
def test_refusals_name_what_is_not_covered(function, reason):
    with pytest.raises(CannotCompileError, match=reason) as caught:
        lowered(function, U)
    assert "internal error" not in str(caught.value)


def test_one_rule_an_operation():
    with pytest.raises(ValueError, match=r"aten\.mm has a rule already, in .*_matrix_rules"):
        rule("aten.mm")(_example)


# ---- errors in rules


def test_the_debug_setting(monkeypatch):
    assert debugging()
    for value, on in (("0", False), ("", False), ("1", True)):
        monkeypatch.setenv(VARIABLE, value)
        assert debugging() is on
    monkeypatch.delenv(VARIABLE)
    assert not debugging()


@pytest.mark.usefixtures("broken")
def test_an_error_in_a_rule_is_raised_under_the_debug_setting():
    with pytest.raises(KeyError, match="nowhere") as caught:
        lowered(torch.sinh, U)
    assert "in the rule for prims.sinh" in caught.value.__notes__


@pytest.mark.usefixtures("broken", "production")
def test_an_error_in_a_rule_is_a_refusal_with_its_cause():
    with pytest.raises(CannotCompileError) as caught:
        lowered(torch.sinh, U)
    refusal = caught.value
    assert refusal.reason == (
        "there is an internal error in the rule for prims.sinh (KeyError: 'nowhere'); please report it"
    )
    assert refusal.operation == "prims.sinh"
    kept = refusal.at("here")
    assert (kept.where, kept.operation, kept.reason) == ("here", refusal.operation, refusal.reason)
    assert isinstance(kept.__cause__, KeyError)
    assert kept.__cause__.__traceback__ is None
    assert any("test_rules.py" in note for note in kept.__cause__.__notes__)


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize(
    ("lower", "reason"),
    [
        (lambda lowering, a: lowering.reshape(a, (6,)), r"AssertionError: it gives \(\(6,\), torch.float64\)"),
        (lambda lowering, a: lowering.elementwise("{0}", a, None), "TypeError"),
        (lambda lowering, a: Value(a.shape, a.dtype, lambda indices: a.at(())), "ValueError"),
    ],
)
def test_wrong_results_of_rules_are_errors(monkeypatch, lower, reason):
    monkeypatch.setitem(RULES, "prims.sinh", lower)
    with pytest.raises(CannotCompileError, match=rf"internal error in the rule for prims.sinh \({reason}"):
        lowered(torch.sinh, U)


@pytest.mark.usefixtures("production")
def test_an_error_in_writing_the_source_is_a_refusal(monkeypatch):
    monkeypatch.setitem(RULES, "prims.sinh", lambda lowering, a: lowering.elementwise("sinh({1})", a))
    with pytest.raises(CannotCompileError, match=r"internal error in the writing of Julia source \(IndexError"):
        emit(lowered(torch.sinh, U), "f")


@pytest.mark.usefixtures("production")
def test_what_failed_is_not_kept_alive(monkeypatch):
    def lower(lowering, a):
        return torch.ones(3).nothing

    monkeypatch.setitem(RULES, "prims.sinh", lower)

    def refused():
        table = torch.ones(3, dtype=torch.float64)
        with pytest.raises(CannotCompileError) as caught:
            lowered(lambda u: table * u.sinh(), U)
        return caught.value.at(""), weakref.ref(table)

    kept, table = refused()
    gc.collect()
    assert isinstance(kept.__cause__, AttributeError)
    assert table() is None


# ---- what has been wrong


def _repeated(function, x, count=600):
    for _ in range(count):
        x = function(x)
    return x


@pytest.mark.parametrize(
    "function",
    [
        lambda u: u.reshape(3, 2)[:, [0, 1, 0]].unbind(0)[1],
        lambda u: u[:, 0].sum().flip(0),
        lambda u: u.sum().gather(0, torch.tensor([0, 0])),
        lambda u: (u > 0).amax(0).double() + (u > 1).amin(0).double(),
        lambda u: u.all(0).double() + u.long().all().double(),
        lambda u: u.long().logical_not().double(),
        lambda u: torch.polygamma(1, (9 * u).long()).double(),
        lambda u: _repeated(torch.sin, u),
        lambda u: _repeated(lambda x: x.flip(0), u),
    ],
    ids=range(9),
)
def test_what_rules_mean(function):
    program = lowered(function, U)
    assert emit(program, "f").text
    assert worst(evaluated(program, U), flat(function(U))) < 1e-6
