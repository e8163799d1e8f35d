"""The worked example of the page on methods, and what is wrong with tables that are."""

import numpy as np
import pytest
from pages import run_page
from problems import decay, lotka_volterra, relative, tensor

import pydiffeqflux as de
from pydiffeqflux import _tableaus

MIDPOINT = {"order": 2, "c": [0, 0.5], "a": [[], [0.5]], "b": [0, 1]}


def test_the_page():
    result = run_page("extending/algorithm.md")
    assert result.attempted > 10
    assert result.failed == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": 0}, "order of a tableau is 0"),
        ({"order": "2"}, "order of a tableau is '2'"),
        ({"c": []}, "first abscissa in c .* must be 0"),
        ({"c": [0.1, 0.5]}, "first abscissa in c .* must be 0"),
        ({"c": [0, "half"]}, "c of a tableau must be numbers, not"),
        ({"c": 0.5}, "c of a tableau must be numbers, not 0.5"),
        ({"a": [[0.5]]}, "a of a tableau has 1 rows for 2 abscissae"),
        ({"a": [[], [0.5, 0.0]]}, r"a\[1\] of a tableau has 2 weights; stage 1 .* depends on the 1 before it"),
        ({"a": [0, 0.5]}, "a of a tableau must be rows of numbers"),
        ({"a": [[], [0.4]]}, r"a\[1\] of a tableau sums to 0.4; it must be 0.5"),
        ({"b": [0, 1, 0]}, "b of a tableau has 3 entries for 2 stages"),
        ({"b": [0, 0.9]}, "b of a tableau sums to 0.9; it must be 1"),
        ({"b": [0, float("nan")]}, "b of a tableau sums to nan"),
        ({"btilde": [-1, 1]}, "error_order of a tableau is 0; with btilde"),
        ({"error_order": 1}, "needs btilde"),
        ({"btilde": [-1, 2], "error_order": 1}, "btilde of a tableau sums to 1; it must be 0"),
        ({"btilde": [0], "error_order": 1}, "btilde of a tableau has 1 entries for 2 stages"),
        ({"extra_c": [1]}, "extra_a of a tableau has 0 rows for 1 abscissae"),
        ({"extra_c": [1], "extra_a": [[0, 1]]}, "extra stages needs dense"),
        ({"dense": [[1, -1]]}, "dense of a tableau has 1 entries for 2 stages"),
        ({"dense": [[1, -1], [1]]}, "rows in dense of a tableau must be of one length"),
        ({"dense": [[1, -1], [0, 2]]}, r"dense\[1\] of a tableau sums to 2; it must be 1"),
        ({"dense": [[0.5, -0.5], [0, 1]]}, r"coefficients of θ\^1 in dense of a tableau sums to 0.5; it must be 1"),
        ({"stability_size": 2.0}, "last two stages are at the end of the step"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_table_is_said(change, message):
    with pytest.raises(de.InvalidOptionError, match=message):
        de.ExplicitTableau(**MIDPOINT | change)


def test_arrays_are_taken():
    arrays = de.ExplicitTableau(order=2, c=np.array([0, 0.5]), a=[np.empty(0), np.array([0.5])], b=np.array([0, 1]))
    assert arrays == de.ExplicitTableau(**MIDPOINT) == de.ExplicitTableau(**MIDPOINT, dense=arrays.dense,
        extra_c=arrays.extra_c, extra_a=arrays.extra_a)  # fmt: skip


def test_a_class_without_a_table_says_so():
    class Empty(de.AbstractExplicitRK):
        pass

    with pytest.raises(de.InvalidOptionError, match=r"Empty has no coefficients: write `tableau = "):
        Empty()


def without_dense_output(tableau):
    names = ("order", "error_order", "c", "a", "b", "btilde")
    return de.ExplicitTableau(**{name: getattr(tableau, name) for name in names})


class OwnTsit5(de.AbstractExplicitRK):
    """Tsitouras' method by Hermite's polynomial."""

    tableau = without_dense_output(_tableaus.TSIT5)


class OwnBS3(de.AbstractExplicitRK):
    tableau = without_dense_output(_tableaus.BS3)


def test_what_a_table_says_by_itself():
    assert OwnTsit5.tableau.fsal
    assert not OwnTsit5.tableau.extra_c  # the last stage is the derivative at the end
    assert OwnTsit5.coarse_dense_output
    assert not OwnBS3.coarse_dense_output
    assert np.allclose(OwnBS3.tableau.dense, _tableaus.BS3.dense, atol=1e-15)


def test_steps_of_a_coarse_dense_output_end_at_the_saved_times():
    prob = de.ODEProblem(decay, tensor([1.0]), (0.0, 1.0))
    options = {"saveat": [0.3, 0.7, 1.0], "abstol": 1e-10, "reltol": 1e-10, "engine": "embedded"}
    own, interpolated = (de.solve(prob, alg, **options) for alg in (OwnTsit5(), de.Tsit5()))
    assert own.stats.naccept > interpolated.stats.naccept
    assert relative(own.u, (-tensor([[0.3], [0.7], [1.0]])).exp()) < 1e-9


@pytest.mark.parametrize(
    "sensealg",
    [de.ReverseDiffAdjoint(), de.ForwardDiffSensitivity(), de.InterpolatingAdjoint(checkpointing=True),
     de.GaussAdjoint(), de.BacksolveAdjoint()],
    ids=repr,
)  # fmt: skip
def test_every_gradient(sensealg):
    def gradient(alg):
        p = tensor([1.5, 1.0, 3.0], grad=True)
        prob = de.ODEProblem(lotka_volterra, tensor([1.0, 1.0]), (0.0, 1.0), p)
        sol = de.solve(prob, alg, sensealg=sensealg, abstol=1e-9, reltol=1e-9, engine="embedded")
        sol.u[-1].sum().backward()
        return p.grad

    assert relative(gradient(OwnTsit5()), gradient(de.Tsit5())) < 1e-6


def test_a_switch_from_a_method_of_ones_own():
    class Stable(de.AbstractExplicitRK):
        tableau = _tableaus.TSIT5

    def stiff(u, p, t):
        return -1e3 * (u - t.cos())

    prob = de.ODEProblem(stiff, tensor([1.0]), (0.0, 2.0))
    assert de.solve(prob, de.AutoAlgSwitch(Stable(), de.Rodas5P()), engine="embedded").stats.njac > 0
    with pytest.raises(de.UnsupportedError, match="cannot watch the stability"):
        de.solve(prob, de.AutoAlgSwitch(OwnTsit5(), de.Rodas5P()), engine="embedded")
