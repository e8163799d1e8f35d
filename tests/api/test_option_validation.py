import math

import numpy as np
import pytest
import torch
from problems import decay, tensor

import pydiffeqflux as de

PROB = de.ODEProblem(decay, tensor([1.0, 2.0]), (0.0, 1.0))
BACKWARDS = de.ODEProblem(decay, tensor([1.0, 2.0]), (1.0, 0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"abstol": -1e-6}, "abstol is -1e-06; tolerances must not be negative"),
        ({"reltol": -1e-3}, "reltol is -0.001"),
        ({"abstol": math.nan}, "abstol is nan"),
        ({"reltol": math.inf}, "reltol is inf"),
        ({"abstol": "small"}, "abstol must be a number"),
        ({"abstol": 0.0, "reltol": 0.0}, "both zero"),
        ({"abstol": tensor([1e-6, -1e-6])}, "abstol must be non-negative"),
        ({"abstol": tensor([1e-6] * 3)}, "broadcast against u0"),
        ({"saveat": []}, "saveat is empty"),
        ({"saveat": [0.5, 0.2]}, "saveat must strictly increase.*0.5 is followed by 0.2"),
        ({"saveat": [0.5, 0.5]}, "saveat must strictly increase"),
        ({"saveat": [0.5, 1.5]}, "saveat holds 1.5, which is outside the time span"),
        ({"saveat": [-0.1]}, "saveat holds -0.1"),
        ({"saveat": [math.nan]}, "saveat holds nan"),
        ({"saveat": 0.0}, "saveat=0"),
        ({"saveat": math.nan}, "saveat is nan"),
        ({"saveat": "often"}, "saveat must be a number, times, or None"),
        ({"tstops": [0.7, 0.5]}, "tstops must strictly increase"),
        ({"tstops": [2.0]}, "tstops holds 2.0"),
        ({"dt": 0.0}, "dt is 0.0; it must be positive"),
        ({"dt": -0.1}, "dt is -0.1; it must be positive, also when integrating backwards"),
        ({"dtmin": -1.0}, "dtmin is -1.0"),
        ({"dtmax": 0.0}, "dtmax is 0.0"),
        ({"maxiters": 0}, "maxiters is 0"),
        ({"maxiters": 1.5}, "maxiters is 1.5"),
        ({"maxiters": True}, "maxiters is True"),
        ({"adaptive": False}, "needs a step size: pass dt"),
        ({"alg": de.RK4()}, r"RK4\(\) has no error estimate, so it needs a step size"),
        ({"alg": de.Tsit5}, r"alg must be an algorithm .* write Tsit5\(\)"),
        ({"alg": "Tsit5"}, "alg must be an algorithm"),
        ({"sensealg": de.GaussAdjoint}, r"write GaussAdjoint\(\)"),
        ({"sensealg": "adjoint"}, "sensealg must be a sensitivity algorithm"),
        ({"engine": "scipy"}, "engine must be 'auto', 'julia' or 'embedded', not 'scipy'"),
    ],
    ids=str,
)
def test_bad_option_is_named(options, message):
    with pytest.raises(de.InvalidOptionError, match=message):
        de.solve(PROB, **options)
    assert de.solve(PROB).retcode.success


def test_unsorted_means_against_the_direction_of_time():
    with pytest.raises(de.InvalidOptionError, match="saveat must strictly decrease"):
        de.solve(BACKWARDS, saveat=[0.2, 0.5])
    assert de.solve(BACKWARDS, saveat=[0.5, 0.2]).t.tolist() == [0.5, 0.2]


def test_a_problem_is_needed():
    with pytest.raises(
        de.InvalidProblemError, match=r"needs a problem such as ODEProblem\(f, u0, tspan\), not function"
    ):
        de.solve(decay)


def test_option_errors_are_value_errors():
    with pytest.raises(ValueError, match="maxiters"):
        de.solve(PROB, maxiters=0)


@pytest.mark.parametrize("engine", ["auto", "embedded"])
def test_the_engine_is_recorded(engine):
    assert de.solve(PROB, engine=engine).engine == "embedded"


def test_an_unknown_algorithm_is_refused_by_name():
    class Leapfrog(de.AbstractAlgorithm):
        pass

    with pytest.raises(de.UnsupportedError, match=r"Leapfrog.*it has Euler"):
        de.solve(PROB, Leapfrog())


def test_an_unknown_sensealg_is_refused_by_name():
    class Guess(de.AbstractSensealg):
        pass

    with pytest.raises(de.UnsupportedError, match=r"Guess.*it has ReverseDiffAdjoint"):
        de.solve(PROB, sensealg=Guess())


@pytest.mark.parametrize("alg", [de.RK4(), de.BS3(), de.Rodas5P()], ids=repr)
def test_a_switch_needs_a_method_with_a_known_stability_region(alg):
    with pytest.raises(de.UnsupportedError, match="cannot watch the stability"):
        de.solve(PROB, de.AutoAlgSwitch(alg, de.Rodas5P()))


@pytest.mark.parametrize("zero", ["abstol", "reltol"])
def test_one_of_the_tolerances_may_be_zero(zero):
    sol = de.solve(PROB, **({"abstol": 1e-8, "reltol": 1e-8} | {zero: 0.0}))
    assert torch.allclose(sol.u[-1], PROB.u0 * math.exp(-1.0), rtol=1e-7)


@pytest.mark.parametrize("kind", [tuple, np.array, torch.tensor, lambda x: torch.tensor(x, dtype=torch.float32)])
def test_times_in_any_container(kind):
    assert de.solve(PROB, saveat=kind([0.25, 0.5])).t.tolist() == [0.25, 0.5]


def test_a_time_may_miss_the_end_by_rounding():
    # 0.1 + 0.1 + ... ten times is 0.9999999999999999, and three times float32's 0.1 is above 0.3.
    prob = de.ODEProblem(decay, tensor([1.0]), (0.0, 0.3))
    assert de.solve(prob, saveat=[0.1, 0.1 + 0.2]).t.tolist() == [0.1, 0.3]
    assert de.solve(prob, saveat=torch.tensor([0.1, 0.3], dtype=torch.float32)).t[-1].item() == 0.3


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("rtol", "reltol"),
        ("t_eval", "saveat"),
        ("method", "the algorithm"),
        ("y0", "u0 of the problem"),
        ("savat", "saveat"),
    ],
)
def test_names_that_other_libraries_use(name, word):
    prob = de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0))
    with pytest.raises(de.InvalidOptionError, match=rf"solve\(\) has no option '{name}'.*{word}"):
        de.solve(prob, **{name: 1.0})
