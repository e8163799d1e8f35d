import pytest
import torch
from problems import SENSEALGS, lotka_volterra, tensor

import pydiffeqflux as de

TOL = 1e-8


def compared(sensealgs=SENSEALGS, **options):
    p = tensor([1.5, 1.0, 3.0], grad=True)
    prob = de.ODEProblem(lotka_volterra, tensor([1.0, 1.2], grad=True), (0.0, 1.0), p)
    options = {"saveat": 0.5, "abstol": TOL, "reltol": TOL, "repeats": 1} | options
    return de.compare_sensealgs(prob, de.Tsit5(), lambda sol: (sol.u**2).sum(), sensealgs, **options), p


@pytest.fixture(scope="module")
def result():
    return compared()[0]


def test_one_row_a_method_in_order(result):
    assert [row.sensealg for row in result.rows] == list(SENSEALGS)
    assert all(row.failure is None for row in result.rows)


def test_rows_are_plausible(result):
    for row in result.rows:
        # Ten tolerances for each of the two solves, and a factor 10 for the second derivative of the loss.
        assert 0 < row.error < 200 * TOL
        assert row.forward > 0
        assert row.backward > 0
        assert row.memory > 8 * (2 * 2 + 3)  # state, adjoint state and parameters
        assert row.nf > 0
        assert row.nf_adjoint > 0


def test_the_table_names_every_method(result):
    lines = str(result).splitlines()
    assert lines[0].split() == [
        *("sensealg", "gradient", "error", "forward", "ms", "backward", "ms", "peak", "MiB", "nf", "nf", "adjoint")
    ]
    assert all(repr(s) in line for s, line in zip(SENSEALGS, lines[2:], strict=False))
    assert lines[-1] == "errors relative to ReverseDiffAdjoint() at tolerance 1e-11"


def test_plot(result):
    from matplotlib import pyplot as plt

    figure = result.plot()
    assert len(figure.axes) == 2
    assert len(figure.axes[0].lines) == len(SENSEALGS)
    plt.close(figure)


def test_gradients_of_the_user_are_left_alone():
    _, p = compared([de.GaussAdjoint()])
    assert p.grad is None


def test_a_method_that_fails_gets_a_row_that_says_why():
    k, calls = tensor(0.5, grad=True), []

    def f(u, p, t):
        calls.append(t)  # so that it cannot be traced
        return -k * u

    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 1.0))
    result = de.compare_sensealgs(
        prob, None, lambda sol: sol.u[-1].sum(), [de.ForwardDiffSensitivity(), de.GaussAdjoint()], repeats=1
    )
    failed, worked = result.rows
    assert "parameters that f holds itself" in failed.failure
    assert worked.failure is None
    assert "ForwardDiffSensitivity() failed: " in str(result)


def test_nothing_to_differentiate():
    prob = de.ODEProblem(lotka_volterra, tensor([1.0, 1.2]), (0.0, 1.0), tensor([1.5, 1.0, 3.0]))
    with pytest.raises(de.GradientError, match="nothing in the problem requires a gradient"):
        de.compare_sensealgs(prob, None, lambda sol: sol.u.sum())


def test_sensealg_is_not_an_option():
    with pytest.raises(de.InvalidOptionError, match="chooses sensealg itself"):
        compared(sensealg=de.GaussAdjoint())


def test_module_parameters_are_compared():
    class F(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.k = torch.nn.Parameter(tensor(0.5))

        def forward(self, u, p, t):
            return -self.k * u

    result = de.compare_sensealgs(
        de.ODEProblem(F(), tensor([1.0]), (0.0, 1.0)),
        de.Tsit5(),
        lambda sol: sol.u[-1].sum(),
        [de.GaussAdjoint()],
        abstol=TOL,
        reltol=TOL,
        repeats=1,
    )
    assert result.rows[0].error < 200 * TOL
