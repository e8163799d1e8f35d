"""Problems with a mass matrix against the ODE that is left when the matrix is eliminated."""

import math

import pytest
import torch
from both_engines import ADJOINTS, on
from problems import DISCRETE, ROSENBROCK, tensor

import pydiffeqflux as de

SPANS = [(0.0, 1.5), (1.5, 0.0)]
TOL = 1e-9
# The embedded engine has Rosenbrock methods for mass matrices, and their gradients through the steps.
NAMES = ("full", "diagonal", "singular")


def cases():
    """Engines, methods, sensealgs, matrices and time spans that go together."""
    through_steps = [(alg, s) for alg in (de.Rodas4(), de.Rodas5P(), None) for s in DISCRETE]
    backwards = [s for s in ADJOINTS["julia"] if not getattr(s, "checkpointing", False)]
    backwards += [de.BacksolveAdjoint()]
    on_julia = [(de.Rodas5P(), s) for s in backwards]
    return [
        *(
            on("embedded", alg, s, name, span, slow=alg == de.Rodas4())
            for alg, s in through_steps
            for name in NAMES
            for span in SPANS
        ),
        *(
            on("julia", alg, s, name, span)
            for alg, s in on_julia
            for name in NAMES
            for span in SPANS
            # SciMLSensitivity wants the algebraic equations in rows of their own
            if name != "singular" or isinstance(s, de.ReverseDiffAdjoint)
        ),
    ]


def solvers():
    """Engines, methods and matrices that go together; Julia's Rosenbrock23 takes diagonal ones."""
    on_julia = (*ROSENBROCK, de.KenCarp4(), de.FBDF(), de.RadauIIA5(), None)
    both = [("embedded", alg) for alg in (*ROSENBROCK, None)] + [("julia", alg) for alg in on_julia]
    return [
        on(engine, alg, name)
        for engine, alg in both
        for name in NAMES
        if (engine, alg) != ("julia", de.Rosenbrock23()) or name == "diagonal"
    ]


FULL = tensor([[2.0, 1.0, 0.0], [0.5, 1.0, -0.3], [0.2, 0.0, 1.5]])
DIAGONAL = torch.diag(tensor([1.0, 2.0, 0.0]))
LEFT, RIGHT = tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 2.0]]), FULL
SINGULAR = LEFT @ DIAGONAL @ RIGHT  # of rank 2, without a zero in it


def slopes(x, y, z, p, t):
    a, b = p[0], p[1]
    return -a * x * z + torch.sin(t), a * x * z - b * y * torch.cos(t)


def constraint(x, y, p, t):
    """The z at which 0 = z (1 + x²) - c - sin(t) / 2 - y / 4."""
    return (p[2] + torch.sin(t) / 2 + y / 4) / (1 + x * x)


def implicit(u, p, t):
    x, y, z = u.unbind()
    dx, dy = slopes(x, y, z, p, t)
    return torch.stack([dx, 2 * dy, z * (1 + x * x) - p[2] - torch.sin(t) / 2 - y / 4])


def mixed(u, p, t):
    """`implicit` in other coordinates: RIGHT u are its states, and LEFT mixes its equations."""
    return LEFT @ implicit(RIGHT @ u, p, t)


def three(u, p, t):
    x, y, z = u.unbind()
    dx, dy = slopes(x, y, z, p, t)
    return torch.stack([dx, dy, x - z * torch.exp(-t / 2)])


def eliminated(u, p, t):
    x, y = u.unbind()
    return torch.stack(slopes(x, y, constraint(x, y, p, t), p, t))


def leaves():
    return tensor([0.8, 0.5], grad=True), tensor([1.1, 0.7, 0.9], grad=True)


def consistent(x, p, t):
    return torch.cat([x, constraint(x[0], x[1], p, torch.as_tensor(t, dtype=torch.float64)).reshape(1)])


def reference(x, p, span, times, name):
    """The states and their graph by an explicit method at tight tolerances, with nothing implicit in it."""
    options = {"saveat": times, "abstol": 1e-12, "reltol": 1e-12, "sensealg": de.ReverseDiffAdjoint()}
    options["engine"] = "embedded"
    if name == "full":
        start = torch.cat([x, x.new_ones(1)])
        return de.solve(de.ODEProblem(three, start, span, p), de.Vern7(), **options).u
    xs = de.solve(de.ODEProblem(eliminated, x, span, p), de.Vern7(), **options).u
    z = torch.stack([constraint(*u, p, tensor(t)) for u, t in zip(xs, times, strict=True)])
    states = torch.cat([xs, z[:, None]], dim=1)
    return states if name == "diagonal" else torch.linalg.solve(RIGHT, states.T).T


def problem(x, p, span, name):
    if name == "full":
        return de.ODEProblem(
            lambda u, p, t: FULL @ three(u, p, t), torch.cat([x, x.new_ones(1)]), span, p, mass_matrix=FULL
        )
    start = consistent(x, p, span[0])
    if name == "diagonal":
        return de.ODEProblem(implicit, start, span, p, mass_matrix=DIAGONAL)
    return de.ODEProblem(mixed, torch.linalg.solve(RIGHT, start), span, p, mass_matrix=SINGULAR)


def save_points(span):
    (t0, t1) = span
    return [t0, t0 + 0.4 * (t1 - t0), t1]


@pytest.mark.parametrize("span", SPANS, ids=str)
@pytest.mark.parametrize(("engine", "alg", "name"), solvers(), ids=repr)
def test_solutions(engine, alg, name, span):
    # The error estimate of Rosenbrock23 is of first order in algebraic variables: it is meant for loose tolerances.
    tol = 1e-4 if isinstance(alg, de.Rosenbrock23) else 1e-7
    times = save_points(span)
    with torch.no_grad():
        x, p = leaves()
        sol = de.solve(problem(x, p, span, name), alg, saveat=times, abstol=tol, reltol=tol, engine=engine)
        exact = reference(x, p, span, times, name)
    assert sol.raise_for_status().t.tolist() == times
    # Backwards in time x grows like exp(1.1 * 1.5) at most, since z is below 1, and errors with it.
    growth = 1.0 if span[1] > span[0] else math.exp(1.1 * 1.5)
    assert float((sol.u - exact).abs().max()) <= 10 * tol * (1 + float(exact.abs().max())) * growth


COSTS = {
    "everything": lambda u, w: (w * u**2).sum(),
    "the last state of the end": lambda u, w: u[-1, 2],
    "the last state, the end without weight": lambda u, w: (u[:2, 2] ** 2).sum(),
    "the first state of the end": lambda u, w: u[-1, 0] ** 2,
}


@pytest.mark.parametrize(("engine", "alg", "sensealg", "name", "span"), cases(), ids=repr)
def test_gradients(engine, alg, sensealg, name, span):
    times, w = save_points(span), tensor([[1.0, 2.0, 3.0], [-1.0, 1.0, 2.0], [3.0, 1.0, -2.0]])
    inputs = leaves()
    prob = problem(*inputs, span, name)
    sol = de.solve(prob, alg, saveat=times, abstol=TOL, reltol=TOL, sensealg=sensealg, engine=engine)
    exact = reference(*inputs, span, times, name)
    for what, cost in COSTS.items():
        found = torch.autograd.grad(cost(sol.u, w), inputs, retain_graph=True)
        right = torch.autograd.grad(cost(exact, w), inputs, retain_graph=True)
        for g, h in zip(found, right, strict=True):
            # Ten tolerances for each of the two solves, times the slopes of the cost, at most 3 * 2 at three times.
            assert float((g - h).abs().max()) <= 2 * 10 * TOL * 18 * (1 + float(h.abs().max())), what


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
@pytest.mark.parametrize("alg", ROSENBROCK, ids=repr)
def test_a_batch_of_mass_matrices_is_one_of_blocks(alg, sensealg):
    # Fixed steps: nothing but rounding tells the batch from its parts.
    options = {"dt": 0.1, "adaptive": False, "saveat": [0.5, 1.0], "sensealg": sensealg, "engine": "embedded"}
    starts = tensor([[0.8, 0.5], [0.3, -0.2]], grad=True)
    p = tensor([1.1, 0.7, 0.9], grad=True)

    def batched(u, p, t):
        return torch.stack([implicit(row, p, t) for row in u.unbind()])

    blocks = torch.block_diag(DIAGONAL, DIAGONAL)
    u0 = torch.stack([consistent(x, p, 0.0) for x in starts])
    batch = de.solve(de.ODEProblem(batched, u0, (0.0, 1.0), p, mass_matrix=blocks), alg, **options).u
    single = [
        de.solve(de.ODEProblem(implicit, consistent(x, p, 0.0), (0.0, 1.0), p, mass_matrix=DIAGONAL), alg, **options).u
        for x in starts
    ]
    assert torch.allclose(batch, torch.stack(single, dim=1), rtol=1e-12)
    for g, h in zip(
        torch.autograd.grad((batch**2).sum(), (starts, p)),
        torch.autograd.grad(sum((u**2).sum() for u in single), (starts, p)),
        strict=True,
    ):
        assert torch.allclose(g, h, rtol=1e-10, atol=1e-12)


# ---- what SciMLSensitivity and Julia's solvers would give wrong numbers for


@pytest.mark.julia
@pytest.mark.parametrize("sensealg", [s for s in ADJOINTS["julia"] if s != de.ReverseDiffAdjoint()], ids=repr)
def test_adjoints_of_mixed_equations_are_refused(sensealg):
    prob = problem(*leaves(), SPANS[0], "singular")
    words = "checkpoint" if isinstance(sensealg, de.GaussAdjoint) and sensealg.checkpointing else "rows of zeros"
    with pytest.raises(de.UnsupportedError, match=words):
        de.solve(prob, de.Rodas5P(), saveat=[1.5], sensealg=sensealg, engine="julia")
    assert de.solve(prob, de.Rodas5P(), saveat=[1.5], engine="julia").sensealg == de.ReverseDiffAdjoint()


@pytest.mark.julia
@pytest.mark.parametrize("alg", [de.KenCarp4(), de.KenCarp47()], ids=repr)
def test_states_between_steps_that_are_wrong_are_refused(alg):
    prob = problem(*leaves(), SPANS[0], "full")
    with pytest.raises(de.UnsupportedError, match="reads the states between steps"):
        de.solve(prob, alg, saveat=[1.5], sensealg=de.GaussAdjoint(), engine="julia")
    with torch.no_grad():
        sol = de.solve(prob, alg, engine="julia")
    with pytest.raises(de.UnsupportedError, match="name the times in saveat"):
        sol(0.3)
