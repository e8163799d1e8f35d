"""The worked example of the page on sensitivity algorithms, and the tables of the engines."""

import pytest
from pages import run_page
from problems import decay, tensor

import pydiffeqflux as de
from pydiffeqflux._engines.embedded.adjoints import STRATEGIES
from pydiffeqflux._engines.julia import JuliaEngine
from pydiffeqflux._engines.julia import _strategies as julia

KNOWN = {
    cls
    for cls in vars(de).values()
    if isinstance(cls, type) and issubclass(cls, de.AbstractSensealg) and cls is not de.AbstractSensealg
}


@pytest.fixture
def _own_table():
    before = dict(STRATEGIES)
    yield
    STRATEGIES.clear()
    STRATEGIES.update(before)


@pytest.mark.usefixtures("_own_table")
def test_the_page():
    result = run_page("extending/sensealg.md")
    assert result.attempted > 10
    assert result.failed == 0


def test_every_sensealg_is_in_a_table():
    assert set(STRATEGIES) | set(julia.STRATEGIES) == KNOWN


@pytest.mark.parametrize("cls", sorted(KNOWN, key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_the_docstring_says_which_engine(cls):
    _, _, engines = (cls.__doc__ or "").partition("Engines: ")
    both = engines.startswith(("both", "embedded; julia"))
    assert both == (cls in STRATEGIES)
    assert both or engines.startswith("julia")


def test_both_engines_refuse_an_unknown_one():
    class Guess(de.AbstractSensealg):
        pass

    prob = de.ODEProblem(decay, tensor([1.0]), (0.0, 1.0))
    with pytest.raises(de.UnsupportedError, match=r"the julia engine has no .*Guess\(\); it has GaussAdjoint\(\)"):
        JuliaEngine().check(prob, de.Tsit5(), Guess())
    with pytest.raises(de.UnsupportedError, match=r"the embedded engine has no .*Guess\(\); it has ReverseDiff"):
        de.solve(prob, sensealg=Guess(), engine="embedded")
