"""What delay equations refuse, each with a sentence of its own; and the next solve works."""

import numpy as np
import pytest
import torch
from delayed import minus_delayed, solve, tensor

import pydiffeqflux as de


def f(u, h, p, t):
    return -h(p, t - 1.0)


PROBLEMS = {
    "f must take four arguments f.u, h, p, t.": lambda: de.DDEProblem(lambda u, p, t: u, [1.0], 1.0, (0.0, 1.0)),
    "has the time before other arguments": lambda: de.DDEProblem(lambda t, u, h, p: u, [1.0], 1.0, (0.0, 1.0)),
    "h.t, p. has the time before": lambda: de.DDEProblem(f, [1.0], lambda t, p: t, (0.0, 1.0)),
    "h must take two arguments": lambda: de.DDEProblem(f, [1.0], lambda t: t, (0.0, 1.0)),
    "h has shape .2,.; it must be that of u0": lambda: de.DDEProblem(f, [1.0], [1.0, 2.0], (0.0, 1.0)),
    "h must be a function": lambda: de.DDEProblem(f, [1.0], "past", (0.0, 1.0)),
    "h has values that are NaN": lambda: de.DDEProblem(f, [1.0], [np.nan], (0.0, 1.0)),
    "a delay must be positive": lambda: de.DDEProblem(f, [1.0], 1.0, (0.0, 1.0), constant_lags=[-1.0]),
    "constant_lags must be numbers": lambda: de.DDEProblem(f, [1.0], 1.0, (0.0, 1.0), constant_lags=[f]),
    "a dependent lag must be a function": lambda: de.DDEProblem(f, [1.0], 1.0, (0.0, 1.0), dependent_lags=[1.0]),
    "have no gradient": lambda: de.DDEProblem(f, [1.0], 1.0, (0.0, tensor(1.0, grad=True))),
    "strictly increase": lambda: de.SampledHistory([0.0, -1.0], [[1.0], [2.0]]),
    "interpolation must be": lambda: de.SampledHistory([-1.0, 0.0], [[1.0], [2.0]], "spline"),
    "at least two times": lambda: de.SampledHistory([-1.0], [[1.0]]),
    "the states of the history have shape": lambda: de.DDEProblem(
        f, [1.0], de.SampledHistory([-1.0, 0.0], [[1.0, 1.0], [2.0, 1.0]]), (0.0, 1.0)
    ),
    "was detached or loaded": lambda: de.DDEProblem(
        f, [1.0], de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (-1.0, 0.0))).detach(), (0.0, 1.0)
    ),
    "model must be an nn.Module": lambda: de.NeuralCDDE(f, (0.0, 1.0), None, [1.0]),
    "it must be positive": lambda: de.NeuralCDDE(torch.nn.Linear(2, 1), (0.0, 1.0), None, [-1.0]),
    "needs at least one lag": lambda: de.NeuralCDDE(torch.nn.Linear(2, 1), (0.0, 1.0), None, []),
}


@pytest.mark.parametrize("message", PROBLEMS)
def test_problems(message):
    with pytest.raises(de.InvalidProblemError, match=message):
        PROBLEMS[message]()


SOLVES = {
    "which is in the future": (lambda u, h, p, t: h(p, t + 1.0), 1.0, {}),
    "one time s, a number or a 0-d tensor": (lambda u, h, p, t: h(p, torch.ones(3)), 1.0, {}),
    "NaN or infinite": (lambda u, h, p, t: h(p, t * torch.nan), 1.0, {}),
    "cannot be negative": (lambda u, h, p, t: h(p, t - 1.0, derivative=-1), 1.0, {}),
    "must return a torch tensor": (f, lambda p, s: 1.0, {}),
    "must be a state like u0": (f, lambda p, s: torch.ones(3), {}),
    "its samples reach from -0.5 to 0": (f, de.SampledHistory([-0.5, 0.0], [[1.0], [1.0]]), {}),
    "a delay must not be negative": (f, 1.0, {"dependent_lags": [lambda u, p, t: -1.0]}),
}


@pytest.mark.parametrize("message", SOLVES)
def test_solves(message):
    function, history, options = SOLVES[message]
    with pytest.raises(de.RightHandSideError, match=message):
        solve(de.DDEProblem(function, [1.0], history, (0.0, 2.0), **options))
    assert float(solve(de.DDEProblem(f, [1.0], 1.0, (0.0, 2.0))).u[-1, 0]) == pytest.approx(minus_delayed(2.0))


def test_algorithms_of_other_equations():
    delayed = de.DDEProblem(f, [1.0], 1.0, (0.0, 2.0))
    ordinary = de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0))
    with pytest.raises(de.UnsupportedError, match=r"use MethodOfSteps\(Tsit5\(\)\)"):
        de.solve(delayed, de.Tsit5())
    with pytest.raises(de.UnsupportedError, match="for equations with delays"):
        de.solve(ordinary, de.MethodOfSteps(de.Tsit5()))
    with pytest.raises(de.InvalidOptionError, match="takes a method for ordinary equations"):
        de.MethodOfSteps(de.EM())
    with pytest.raises(de.InvalidOptionError, match="less accurate than its steps"):
        de.MethodOfSteps(de.KenCarp4())
    with pytest.raises(de.UnsupportedError, match="no equations with delays"):
        de.solve(delayed, de.JuliaAlgorithm("Tsit5"), engine="julia")


def test_times_have_no_gradient():
    prob = de.DDEProblem(f, tensor([1.0]), 1.0, (0.0, 2.0))
    with pytest.raises(de.UnsupportedError, match="with delays"):
        solve(prob, saveat=tensor([1.0, 2.0], grad=True))
