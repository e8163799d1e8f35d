"""What the julia engine does for every sensealg, as far as that can be seen without Julia."""

from types import SimpleNamespace

import pytest
import torch
from problems import tensor

import pydiffeqflux as de
from pydiffeqflux._engines._strategy import Kept
from pydiffeqflux._engines.julia._callbacks import Products
from pydiffeqflux._engines.julia._strategies import STRATEGIES, strategy_for, strategy_of
from pydiffeqflux._engines.julia._strategy import eager
from pydiffeqflux._functions import prepare_right_hand_side


class Recorder:
    """In the place of the objects of Julia: says what would be made."""

    def sensealg(self, sensealg, autojacvec, options):
        return type(sensealg).__name__, autojacvec, options

    def discrete_adjoint(self, alg):
        return "steps", alg

    def algorithm(self, alg, *, finite_differences):
        return alg, finite_differences


def pull_back(sensealg, *, julia_source, has_vjp, alg=None):
    spec = SimpleNamespace(alg=alg or de.Tsit5())
    strategy = strategy_of(sensealg, julia_source=julia_source)
    made = strategy.pull_back(Recorder(), spec, "forward", has_vjp=has_vjp)
    return made.sensealg, made.alg


@pytest.mark.parametrize(
    ("sensealg", "kept"),
    [
        (None, Kept.NOTHING),
        (de.GaussAdjoint(), Kept.STEPS),
        (de.GaussAdjoint(checkpointing=True), Kept.CHECKPOINTS),
        (de.GaussKronrodAdjoint(), Kept.STEPS),
        (de.InterpolatingAdjoint(), Kept.STEPS),
        (de.InterpolatingAdjoint(checkpointing=True), Kept.CHECKPOINTS),
        (de.QuadratureAdjoint(), Kept.STEPS),
        (de.BacksolveAdjoint(), Kept.ENDS),
        (de.BacksolveAdjoint(checkpointing=False), Kept.ENDS),
        (de.ReverseDiffAdjoint(), Kept.STEPS),
    ],
    ids=repr,
)
def test_what_is_kept_for_torch_functions(sensealg, kept):
    assert strategy_of(sensealg, julia_source=False).keep is kept


@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
def test_differentiating_the_solver_keeps_nothing(cls):
    discrete = (de.ForwardDiffSensitivity, de.ForwardSensitivity, de.ReverseDiffAdjoint, de.TrackerAdjoint)
    assert (strategy_of(cls(), julia_source=True).keep is Kept.NOTHING) == issubclass(cls, discrete)


@pytest.mark.parametrize(
    ("sensealg", "alg", "products"),
    [
        (None, de.Tsit5(), Products.NONE),
        (de.ReverseDiffAdjoint(), de.Tsit5(), Products.JOINT),
        (de.ReverseDiffAdjoint(), de.Rodas5P(), Products.JOINT_WITH_TANGENT),
        (de.ReverseDiffAdjoint(), de.AutoTsit5(de.Rodas4()), Products.JOINT_WITH_TANGENT),
        (de.InterpolatingAdjoint(), de.Rodas5P(), Products.JOINT),
        (de.BacksolveAdjoint(), de.Tsit5(), Products.JOINT),
        (de.GaussAdjoint(), de.Tsit5(), Products.SEPARATE),
        (de.GaussKronrodAdjoint(), de.Tsit5(), Products.SEPARATE),
        (de.QuadratureAdjoint(), de.Tsit5(), Products.SEPARATE),
    ],
    ids=repr,
)
def test_products_of_torch_functions(sensealg, alg, products):
    assert strategy_of(sensealg, julia_source=False).products(alg) is products


@pytest.mark.parametrize(
    ("sensealg", "name", "options"),
    [
        (de.GaussAdjoint(), "ReverseDiffVJP", {"checkpointing": False}),
        (de.InterpolatingAdjoint(autojacvec=de.TrackerVJP()), "TrackerVJP", {"checkpointing": False}),
        (de.BacksolveAdjoint(autojacvec=de.ReverseDiffVJP(compile=True)), "ReverseDiffVJP(true)",
         {"checkpointing": True}),
        (de.InterpolatingAdjoint(autojacvec=True), "ForwardDiff", {"checkpointing": False}),
        (de.QuadratureAdjoint(reltol=1e-3, autojacvec=False), "FiniteDiff", {"reltol": 1e-3}),
    ],
    ids=repr,
)  # fmt: skip
def test_choices_of_products_in_julia(sensealg, name, options):
    made = (type(sensealg).__name__, name, options)
    assert pull_back(sensealg, julia_source=True, has_vjp=False) == (made, "forward")
    given = (type(sensealg).__name__, "given", options)
    assert pull_back(sensealg, julia_source=False, has_vjp=True) == (given, "forward")


def test_what_computes_the_gradient():
    through = ("ReverseDiffAdjoint", "", {})
    assert pull_back(de.ReverseDiffAdjoint(), julia_source=True, has_vjp=False) == (through, "forward")
    steps = ("steps", de.Tsit5())
    assert pull_back(de.ReverseDiffAdjoint(), julia_source=False, has_vjp=True) == (steps, "forward")
    equations = ("ForwardSensitivity", "", {})
    assert pull_back(de.ForwardSensitivity(), julia_source=True, has_vjp=False) == (equations, (de.Tsit5(), True))


def spec(sensealg, **changes):
    rhs = SimpleNamespace(numel=2, dtype=torch.float64, mass_matrix=None, u0_requires_grad=True)
    known = {"sensealg": sensealg, "alg": de.Tsit5(), "tspan": (0.0, 1.0), "rhs": rhs}
    for name, value in changes.items():
        if name in known:
            known[name] = value
        else:
            setattr(rhs, name, value)
    return SimpleNamespace(**known)


@pytest.mark.parametrize("cls", [de.GaussAdjoint, de.GaussKronrodAdjoint, de.InterpolatingAdjoint])
def test_checkpoints_where_they_would_fail(cls):
    strategy_for(spec(cls(checkpointing=True))).check(spec(cls(checkpointing=True)))
    for change, message in (({"tspan": (1.0, 0.0)}, "backwards in time"), ({"dtype": torch.float32}, "float32")):
        wrong = spec(cls(checkpointing=True), **change)
        with pytest.raises(de.UnsupportedError, match=rf"cannot checkpoint .*{message}|{message}"):
            strategy_for(wrong).check(wrong)
        for fine in (spec(cls(), **change), spec(de.BacksolveAdjoint(), **change)):
            strategy_for(fine).check(fine)


def test_jacobians_of_many_states():
    large = spec(de.ReverseDiffAdjoint(), alg=de.Rodas5P(), numel=3000)
    with pytest.raises(de.UnsupportedError, match=r"needs the Jacobian in every step of Rodas5P\(\).*not for 3000"):
        strategy_for(large).check(large)
    explicit = spec(de.ReverseDiffAdjoint(), numel=3000)
    strategy_for(explicit).check(explicit)


def test_sensitivity_equations_have_no_gradient_of_the_initial_state():
    strategy = strategy_of(de.ForwardSensitivity(), julia_source=True)
    with pytest.raises(de.GradientError, match="with respect to u0"):
        strategy.check(spec(de.ForwardSensitivity()))
    strategy.check(spec(de.ForwardSensitivity(), u0_requires_grad=False))


def test_lazy_stages_are_made_in_the_solve_where_it_is_repeated():
    vern = de.JuliaAlgorithm("Vern7", lazy=False)
    assert eager(de.Vern7()) == vern
    assert eager(de.Tsit5()) == de.Tsit5()
    assert eager(de.AutoVern7(de.Rodas5P())) == de.AutoAlgSwitch(vern, de.Rodas5P())
    for sensealg in (de.GaussAdjoint(checkpointing=True), de.BacksolveAdjoint()):
        assert strategy_of(sensealg, julia_source=False).algorithm(de.Vern7()) == vern
    assert strategy_of(de.GaussAdjoint(), julia_source=False).algorithm(de.Vern7()) == de.Vern7()


@pytest.mark.parametrize(("size", "brings"), [(3, True), (99, False)])
def test_julia_code_brings_products_where_they_are_cheap(size, brings):
    source = de.JuliaSource("(du, u, p, t) -> (du .= -u; nothing)")
    rhs = prepare_right_hand_side(source, tensor([1.0, 1.0]), (0.0, 1.0), torch.zeros(size, dtype=torch.float64))
    assert strategy_of(de.GaussAdjoint(), julia_source=True).brings_vjp(rhs) == brings
    for other in (None, de.GaussAdjoint(autojacvec=False), de.ReverseDiffAdjoint()):
        assert not strategy_of(other, julia_source=True).brings_vjp(rhs)
