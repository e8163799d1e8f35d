"""What algorithms declare is what the engines have."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from problems import decay, tensor

import pydiffeqflux as de
from pydiffeqflux import _algorithms as algs
from pydiffeqflux._engines.embedded._methods import make_method
from pydiffeqflux._engines.embedded._norm import ErrorNorm
from pydiffeqflux._engines.julia import JuliaEngine

ROOT = Path(__file__).parents[2]
PROB = de.ODEProblem(decay, tensor([1.0, 2.0]), (0.0, 1.0))
ALL = algs.all_algorithms()


def names(classes):
    return {cls.__name__ for cls in classes}


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_the_embedded_engine_has_what_is_declared(cls):
    if "embedded" in cls.engines:
        method = make_method(cls(), ErrorNorm(1e-6, 1e-3))
        assert (method.order, method.adaptive) == (cls.order, cls.is_adaptive)
    else:
        with pytest.raises(de.UnsupportedError, match=cls.__name__):
            make_method(cls(), ErrorNorm(1e-6, 1e-3))


def test_the_julia_engine_has_what_is_declared():
    code = (ROOT / "julia/src/algorithms.jl").read_text(encoding="utf-8")
    table = code[code.index("const ALGORITHMS") : code.index('"Thrown where')]
    assert set(re.findall(r"OrdinaryDiffEq\w+\.(\w+)", table)) - {"DefaultODEAlgorithm"} == names(
        algs.algorithms_of("julia")
    )


def test_every_exported_algorithm_is_in_the_catalogue():
    exported = {cls for cls in vars(de).values() if isinstance(cls, type) and issubclass(cls, de.AbstractAlgorithm)}
    others = {
        de.AbstractAlgorithm, de.AbstractExplicitRK, de.AutoAlgSwitch, de.DefaultODEAlgorithm, de.JuliaAlgorithm,
        de.AbstractStochasticAlgorithm, de.DefaultSDEAlgorithm, de.MethodOfSteps,
    }  # fmt: skip
    assert exported - others == {*ALL, *algs.stochastic_algorithms()}


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_the_docstring_says_which_engine(cls):
    assert ("Engines: julia." in (cls.__doc__ or "")) == (cls.engines == {"julia"})


def test_the_page_of_algorithms_shows_the_declarations():
    page = (ROOT / "docs/algorithms.md").read_text(encoding="utf-8")
    assert algs.algorithm_table() in page
    assert algs.stochastic_algorithm_table() in page


def test_the_readme_names_the_methods_of_the_embedded_engine():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[2] for line in lines if line.startswith(("| explicit methods |", "| stiff methods |"))]
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == names(algs.algorithms_of("embedded"))
    (noise,) = (line.split("|")[2] for line in lines if line.startswith("| methods for noise"))
    assert set(re.findall(r"`(\w+)`", noise)) == names(algs.stochastic_algorithms())


def test_facts_that_both_engines_read():
    coarse = "TsitPap8 SDIRK2 KenCarp3 KenCarp4 KenCarp5 KenCarp47 KenCarp58 Kvaerno3 Kvaerno4 Kvaerno5"
    assert names(cls for cls in ALL if cls.coarse_dense_output) == set(coarse.split())
    assert names(cls for cls in ALL if cls.lazy_dense_output) == {"Vern6", "Vern7", "Vern8", "Vern9"}
    assert {cls for cls in ALL if cls.contains_jacobian} == {
        cls for cls in ALL if issubclass(cls, algs.AbstractRosenbrock)
    }


# ---- methods of one engine asked of the other


class Own(de.AbstractExplicitRK):
    tableau = de.ExplicitTableau(order=2, c=[0, 1], a=[[], [1]], b=[0.5, 0.5])


@dataclass(frozen=True, slots=True)
class Renamed(de.Tsit5):
    """A method of both engines under another name, which Julia does not know."""


@dataclass(frozen=True, slots=True)
class Unknown(de.AbstractAlgorithm):
    order: ClassVar[int] = 1


@pytest.mark.parametrize("alg", [Own(), Renamed(), de.AutoTsit5(de.Rodas5P())], ids=repr)
def test_the_julia_engine_refuses_a_method_of_the_embedded_one(alg):
    if isinstance(alg, de.AutoAlgSwitch):
        alg = de.AutoAlgSwitch(Renamed(), de.Rodas5P())
    with pytest.raises(de.UnsupportedError, match=r"no (Own|Renamed)\(\); use engine='embedded', which has it"):
        JuliaEngine().check(PROB, alg, None)
    assert de.solve(PROB, alg, dt=0.1, engine="embedded").retcode.success


def test_automatic_choice_goes_where_the_method_is(monkeypatch):
    monkeypatch.setenv("PYDIFFEQFLUX_ENGINE", "auto")
    assert de.solve(PROB, Own(), dt=0.1).engine == "embedded"


def test_the_embedded_engine_says_where_a_method_is():
    with pytest.raises(de.UnsupportedError, match=r"no Vern9\(\); it has Euler.* The julia engine has it"):
        de.solve(PROB, de.Vern9(), engine="embedded")


def test_what_no_engine_has():
    with pytest.raises(de.UnsupportedError, match=r"no Unknown\(\); it has Euler.*\.$") as caught:
        de.solve(PROB, Unknown(), engine="embedded")
    assert "julia" not in str(caught.value)
    with pytest.raises(de.UnsupportedError, match=r"no Unknown\(\); name a method of Julia's by JuliaAlgorithm"):
        JuliaEngine().check(PROB, Unknown(), None)


def test_a_method_under_another_name_makes_the_same_steps():
    renamed, plain = (de.solve(PROB, alg, engine="embedded").u for alg in (Renamed(), de.Tsit5()))
    assert torch.equal(renamed, plain)


def test_a_solution_says_why_its_engine_ran(monkeypatch):
    prob = de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0))
    assert de.solve(prob, engine="embedded").engine_reason == "engine='embedded' was asked for"
    monkeypatch.setenv("PYDIFFEQFLUX_ENGINE", "embedded")
    assert de.solve(prob).engine_reason == "PYDIFFEQFLUX_ENGINE says so"


@pytest.mark.julia
def test_where_neither_engine_can_both_say_why(monkeypatch):
    monkeypatch.delenv("PYDIFFEQFLUX_ENGINE", raising=False)
    u0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    prob = de.ODEProblem(lambda u, p, t: -u, u0, (0.0, 1.0))
    with pytest.raises(de.UnsupportedError, match=r"neither engine can do this\. julia: .* embedded: "):
        de.solve(prob, de.FBDF(), sensealg=de.ForwardDiffSensitivity())
