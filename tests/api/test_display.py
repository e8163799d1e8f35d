import pickle

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from problems import decay, tensor

import pydiffeqflux as de


@pytest.fixture(autouse=True)
def _close_figures():
    mpl.use("Agg")
    yield
    plt.close("all")


def solved(u0, **options):
    return de.solve(de.ODEProblem(decay, u0, (0.0, 1.0)), **options)


def test_plot_draws_every_component():
    ax = solved(tensor([1.0, 2.0])).plot()
    assert [line.get_label() for line in ax.lines] == ["u[0]", "u[1]"]
    assert ax.get_xlabel() == "t"
    x, y = ax.lines[1].get_data()
    assert len(x) >= 200
    assert np.allclose(y, 2 * np.exp(-x), rtol=1e-2)


def test_plot_draws_what_was_saved_where_there_is_no_dense_output():
    ax = solved([1.0, 2.0], saveat=0.25).plot()
    assert ax.lines[0].get_xdata().tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_plot_takes_axes_and_styles():
    _, given = plt.subplots()
    assert solved([1.0]).plot(given, color="red", label="mine") is given
    assert given.lines[0].get_color() == "red"
    assert given.lines[0].get_label() == "mine"


def test_plot_of_a_scalar_a_matrix_and_a_complex_state():
    assert [line.get_label() for line in solved(1.0).plot().lines] == ["u"]
    assert [line.get_label() for line in solved([[1.0, 2.0]]).plot().lines] == ["u[0, 0]", "u[0, 1]"]
    assert [line.get_label() for line in solved([1j]).plot().lines] == ["Re u[0]", "Im u[0]"]


def test_plot_of_many_components_has_no_legend():
    assert solved(np.ones(11)).plot().get_legend() is None


def test_plot_of_a_failed_solve():
    prob = de.ODEProblem(lambda u, p, t: u * u, [1.0], (0.0, 2.0))
    assert len(de.solve(prob, de.Tsit5(), throw=False, verbose=False).plot().lines) == 1


def test_plot_of_a_solution_with_a_gradient():
    p = tensor(1.0, grad=True)
    sol = de.solve(de.ODEProblem(lambda u, p, t: -p * u, tensor([1.0]), (0.0, 1.0), p))
    assert len(sol.plot().lines) == 1


@pytest.mark.parametrize("tspan", [(0.0, 2.0), (2.0, 0.0)], ids=["forwards", "backwards"])
def test_progress_reaches_the_end(capsys, tspan):
    de.solve(de.ODEProblem(decay, [1.0], tspan), progress=True)
    shown = capsys.readouterr().err
    assert "solve: 100%" in shown
    assert f"t = {tspan[1]:.4g}" in shown


def test_no_progress_by_default(capsys):
    solved([1.0])
    assert capsys.readouterr() == ("", "")


def test_progress_is_closed_when_f_raises(capsys):
    def f(u, p, t):
        if t > 0.5:
            raise KeyError
        return -u

    with pytest.raises(KeyError):
        de.solve(de.ODEProblem(f, [1.0], (0.0, 1.0)), progress=True)
    assert capsys.readouterr().err.endswith("\n")
    de.solve(de.ODEProblem(decay, [1.0], (0.0, 1.0)), progress=True)
    assert "100%" in capsys.readouterr().err


def test_repr_is_short():
    status, times, states, steps, engine = repr(solved(torch.ones(2), saveat=0.5)).splitlines()
    assert status == "Solution: Success"
    assert times == "  t: 3 times, 0 to 1"
    assert states == "  u: 3 states of shape (2,), torch.float32"
    assert "steps" in steps
    assert "embedded engine" in engine


def test_components_and_phase_planes():
    sol = solved([1.0, 2.0, 3.0])
    assert [line.get_label() for line in sol.plot(idxs=[2, 0]).lines] == ["u[2]", "u[0]"]
    plane = sol.plot(idxs=(0, 1))
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("u[0]", "u[1]")
    assert np.allclose(plane.lines[0].get_ydata(), 2.0 * plane.lines[0].get_xdata())
    matrix = solved([[1.0, 2.0]])
    assert [line.get_label() for line in matrix.plot(idxs=[(0, 1)]).lines] == ["u[0, 1]"]
    with pytest.raises(de.InvalidOptionError, match="states have shape"):
        sol.plot(idxs=[3])
    with pytest.raises(de.InvalidOptionError, match="phase plane"):
        sol.plot(idxs=(0, 1, 2))


@pytest.mark.parametrize("engine", ["embedded", pytest.param("julia", marks=pytest.mark.julia)])
def test_a_solution_is_saved_and_detached(engine, tmp_path):
    p = tensor(1.0, grad=True)
    prob = de.ODEProblem(lambda u, p, t: -p * u, tensor([1.0]), (0.0, 1.0), p)
    sol = de.solve(prob, de.Tsit5(), engine=engine)
    torch.save(sol, tmp_path / "solution.pt")
    loaded = torch.load(tmp_path / "solution.pt", weights_only=False)
    for other in (loaded, pickle.loads(pickle.dumps(sol)), sol.detach()):
        assert torch.equal(other.u, sol.u)
        assert torch.equal(other.t, sol.t)
        assert not other.u.requires_grad
        assert (other.retcode, other.alg, other.engine, other.prob) == (sol.retcode, sol.alg, engine, None)
        assert repr(other) == repr(sol)
        assert len(other.plot().lines) == 1
        with pytest.raises(de.InvalidOptionError, match="detached or loaded"):
            other(0.5)
    sol.u.sum().backward()
