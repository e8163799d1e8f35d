"""Implicit equations: solutions, consistent starts, gradients, layers, refusals."""

import math

import numpy as np
import pytest
import torch

import pydiffeqflux as de

ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]
TIGHT = {"abstol": 1e-12, "reltol": 1e-9}


def tensor(values, *, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def robertson(u, p, t):
    y1, y2, y3 = u
    slow, fast, back = p[0] * y1, p[1] * y2 * y2, p[2] * y2 * y3
    return torch.stack([back - slow, slow - fast - back, fast])


def robertson_residual(du, u, p, t):
    k = robertson(u, p, t)
    return torch.stack([du[0] - k[0], du[1] - k[1], u.sum() - 1])


def robertson_with_mass(u, p, t):
    k = robertson(u, p, t)
    return torch.stack([k[0], k[1], u.sum() - 1])


RATES = [0.04, 3e7, 1e4]


def pendulum(du, u, p, t):
    """x, y, vx, vy and the tension of a pendulum of length 1, whose index is 1 since the constraint is accelerated."""
    x, y, vx, vy, tension = u
    return torch.stack(
        [
            du[0] - vx,
            du[1] - vy,
            du[2] + tension * x,
            du[3] + tension * y + p,
            vx * vx + vy * vy - tension * (x * x + y * y) - p * y,
        ]
    )


# ---- solutions


@pytest.mark.parametrize("engine", ENGINES)
def test_robertson_as_an_implicit_equation_with_a_mass_matrix_and_as_an_ordinary_one(engine):
    p = tensor(RATES, grad=True)
    u0, mass = tensor([1.0, 0.0, 0.0]), torch.diag(tensor([1.0, 1.0, 0.0]))
    problems = [
        de.DAEProblem(robertson_residual, [-0.04, 0.04, 0.0], u0, (0.0, 1e5), p),
        de.ODEProblem(robertson_with_mass, u0, (0.0, 1e5), p, mass_matrix=mass),
        de.ODEProblem(robertson, u0, (0.0, 1e5), p),
    ]
    found = []
    for prob in problems:
        sol = de.solve(prob, de.Rodas5P(), saveat=[1.0, 100.0, 1e5], engine=engine, sensealg=None, **TIGHT)
        assert float((sol.u.detach().sum(-1) - 1).abs().max()) < 10 * 1e-9
        (gradient,) = torch.autograd.grad(sol.u[:, 2].sum() + sol.u[-1, 0], p)
        found.append((sol.u.detach(), gradient * p.detach()))
    for u, gradient in found[:2]:
        assert float((u - found[2][0]).abs().max()) < 1e-8
        assert gradient.tolist() == pytest.approx(found[2][1].tolist(), rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("alg", [de.Rodas5P(), None], ids=repr)
def test_the_residual_vanishes_at_every_save_point(engine, alg):
    angle = 1.0
    start = [math.sin(angle), -math.cos(angle), 0.0, 0.0, 9.81 * math.cos(angle)]
    prob = de.DAEProblem(
        pendulum, [0.0, 0.0, -start[4] * start[0], -start[4] * start[1] - 9.81, 0.0], start, (0.0, 2.0), 9.81
    )
    tol = 1e-8
    sol = de.solve(prob, alg, saveat=0.1, abstol=tol, reltol=tol, engine=engine)
    for t, u in zip(sol.t, tensor(sol.u), strict=True):
        residual = pendulum(torch.zeros(5, dtype=torch.float64), u, tensor(9.81), tensor(t))[4]
        assert abs(float(residual)) < 10 * tol * (1 + float(u.abs().max()))  # abstol + reltol |u|
    x, y, vx, vy, _ = sol.u.T
    energy = 0.5 * (vx**2 + vy**2) + 9.81 * y
    assert np.abs(energy - energy[0]).max() < 1e3 * tol
    assert np.abs(x**2 + y**2 - 1).max() < 1e3 * tol


@pytest.mark.parametrize("alg", [de.Rosenbrock23(), de.Rodas4(), de.Rodas5P()], ids=repr)
def test_the_order_is_that_of_the_method(alg):
    # u₀' = -u₀ u₁, u₁ = cos(t): u₀ = exp(-sin(t))
    def f(du, u, p, t):
        return torch.stack([du[0] + u[0] * u[1], u[1] - torch.cos(t)])

    prob = de.DAEProblem(f, [-1.0, 0.0], [1.0, 1.0], (0.0, 2.0))
    errors = []
    for n in (32, 128):
        u = de.solve(prob, alg, dt=2.0 / n, adaptive=False).u[-1]
        errors.append(abs(u[0] - math.exp(-math.sin(2.0))))
    assert math.log(errors[0] / errors[1], 4) > alg.order - 0.25


def test_shapes_dense_output_and_tolerances_of_components():
    def f(du, u, p, t):
        return torch.stack([du[0] + u[0], u[1] - u[0] ** 2])

    u0 = tensor([[1.0, 2.0], [1.0, 4.0]])
    prob = de.DAEProblem(f, -u0, u0, (0.0, 1.0))
    sol = de.solve(prob, de.Rodas5P(), abstol=tensor([[1e-9], [1e-7]]), reltol=1e-9)
    assert sol.u.shape == (len(sol.t), 2, 2)
    assert sol(0.5)[0].tolist() == pytest.approx([math.exp(-0.5), 2 * math.exp(-0.5)], abs=1e-8)
    assert sol(0.5)[1].tolist() == pytest.approx([math.exp(-1.0), 4 * math.exp(-1.0)], abs=1e-6)
    assert sol(0.5, derivative=1)[0, 0].item() == pytest.approx(-math.exp(-0.5), abs=1e-6)


def test_differential_variables_are_found_or_named():
    prob = de.DAEProblem(robertson_residual, [-0.04, 0.04, 0.0], [1.0, 0.0, 0.0], (0.0, 1.0), RATES_TENSOR)
    named = de.remake(prob, differential_vars=[True, True, False])
    options = {"abstol": 1e-10, "reltol": 1e-8, "saveat": [1.0]}
    assert np.array_equal(de.solve(prob, de.Rodas5P(), **options).u, de.solve(named, de.Rodas5P(), **options).u)


RATES_TENSOR = tensor(RATES)


# ---- starts


def starting(u0, du0, choice, p, engine):
    prob = de.DAEProblem(robertson_residual, du0, u0, (0.0, 10.0), p)
    sol = de.solve(
        prob, de.Rodas5P(), initializealg=choice, abstol=1e-11, reltol=1e-11, saveat=[0.0, 1.0, 10.0], engine=engine
    )
    return (sol.u * tensor([1.0, 1e4, 2.0])).sum()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("choice", [de.BrownFullBasicInit(), de.ShampineCollocationInit(1e-4)], ids=repr)
def test_the_gradient_passes_a_start_that_was_found(choice, engine):
    u0, p, du0 = tensor([0.9, 0.0, 0.3], grad=True), tensor([0.04, 3e3, 1e2], grad=True), torch.zeros(3)
    gradients = torch.autograd.grad(starting(u0, du0, choice, p, engine), [u0, p])
    for x, gradient in zip((u0, p), gradients, strict=True):
        for i in range(3):
            step = torch.zeros(3, dtype=torch.float64)
            step[i] = 1e-4 * (abs(x[i].item()) or 1e-2)
            values = []
            for sign in (1.0, -1.0):
                moved = [y.detach() + sign * step if y is x else y.detach() for y in (u0, p)]
                values.append(starting(moved[0], du0, choice, moved[1], engine).item())
            difference = (values[0] - values[1]) / (2 * step[i].item())
            assert gradient[i].item() == pytest.approx(difference, rel=1e-5, abs=1e-4)


def test_a_start_keeps_what_it_should():
    prob = de.DAEProblem(robertson_residual, torch.zeros(3), tensor([0.9, 0.0, 0.3]), (0.0, 1.0), RATES_TENSOR)
    first = de.solve(prob, initializealg=de.BrownFullBasicInit()).u[0]
    assert first.tolist() == pytest.approx([0.9, 0.0, 0.1], abs=1e-12)


def test_a_start_of_a_singular_mass_matrix():
    prob = de.ODEProblem(
        robertson_with_mass, [1.0, 0.0, 0.5], (0.0, 1.0), RATES_TENSOR, mass_matrix=torch.diag(tensor([1.0, 1.0, 0.0]))
    )
    with pytest.raises(de.InvalidProblemError, match=r"equation 2 by 0\.5"):
        de.solve(prob)
    assert de.solve(prob, initializealg=de.BrownFullBasicInit()).u[0].tolist() == pytest.approx([1.0, 0.0, 0.0])


# ---- layers


@pytest.mark.parametrize("engine", ENGINES)
def test_layers_hold_their_constraints_and_learn(engine):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()
    mass = torch.diag(tensor([1.0, 1.0, 0.0]))
    layer = de.NeuralODEMM(
        network, lambda u, p, t: u.sum(-1, keepdim=True) - 1, (0.0, 1.0), mass, de.Rodas5P(), saveat=[0.5, 1.0],
        abstol=1e-9, reltol=1e-9, engine=engine,
    )  # fmt: skip
    for u0 in (tensor([0.2, 0.3, 0.5]), tensor([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])):
        u = layer(u0).u
        assert u.shape == (2, *u0.shape)
        assert float((u.detach().sum(-1) - 1).abs().max()) < 1e-8
    loss = layer(tensor([0.2, 0.3, 0.5])).u.square().sum()
    gradient = torch.autograd.grad(loss, list(network.parameters()))[0][0, 0].item()
    weight, values = network[0].weight.data, []
    held = weight[0, 0].item()
    for shift in (1e-4, -1e-4):
        weight[0, 0] = held + shift
        with torch.no_grad():
            values.append(layer(tensor([0.2, 0.3, 0.5])).u.square().sum().item())
    weight[0, 0] = held
    assert gradient == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_neural_dae(engine):
    class Residual(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rate = torch.nn.Parameter(tensor(0.7))

        def forward(self, x):
            return x[..., 2:3] + self.rate * x[..., :1]

    model = Residual()
    layer = de.NeuralDAE(
        model, lambda u, p, t: u[..., 1:] - 2 * u[..., :1], (0.0, 1.0), [True, False], abstol=1e-9, reltol=1e-9,
        saveat=[1.0], engine=engine,
    )  # fmt: skip
    u = layer(tensor([[1.0, 0.0], [2.0, 0.0]])).u[0]
    assert u.detach().reshape(-1).tolist() == pytest.approx([math.exp(-0.7) * c for c in (1, 2, 2, 4)], rel=1e-8)
    u.sum().backward()
    assert model.rate.grad.item() == pytest.approx(-9 * math.exp(-0.7), rel=1e-6)


# ---- refusals


def residual(du, u, p, t):
    return torch.stack([du[0] + u[0], u[1] - u[0]])


REFUSED = {
    "f must take four arguments f.du, u, p, t.": lambda: de.DAEProblem(lambda u, p, t: u, [0.0], [1.0], (0.0, 1.0)),
    "du0 has shape": lambda: de.DAEProblem(residual, [0.0], [1.0, 1.0], (0.0, 1.0)),
    "du0 must be a tensor": lambda: de.DAEProblem(residual, None, [1.0, 1.0], (0.0, 1.0)),
    "needs a real state": lambda: de.DAEProblem(residual, [0.0, 0.0], [1j, 1.0], (0.0, 1.0)),
    "differential_vars must be 2 bools": lambda: de.DAEProblem(
        residual, [0.0, 0.0], [1.0, 1.0], (0.0, 1.0), differential_vars=[True]
    ),
    "no derivative occurs": lambda: de.solve(de.DAEProblem(lambda du, u, p, t: u, [0.0], [0.0], (0.0, 1.0))),
    "the index is above 1": lambda: de.solve(
        de.DAEProblem(lambda du, u, p, t: torch.stack([du[0] - u[1], u[0] - t]), [1.0, 0.0], [0.0, 1.0], (0.0, 1.0))
    ),
    "equation 1 by 0.5": lambda: de.solve(de.DAEProblem(residual, [-1.0, 0.0], [1.0, 0.5], (0.0, 1.0))),
    "equation 0 by 1": lambda: de.solve(de.DAEProblem(residual, [0.0, 0.0], [1.0, 1.0], (0.0, 1.0))),
    "no consistent initial values were found": lambda: de.solve(
        de.DAEProblem(
            lambda du, u, p, t: torch.stack([du[0] + u[0], u[1] ** 2 + 1]), [0.0, 0.0], [1.0, 1.0], (0.0, 1.0)
        ),
        initializealg=de.BrownFullBasicInit(),
    ),
    "model must be an nn.Module": lambda: de.NeuralODEMM(residual, residual, (0.0, 1.0), torch.eye(2)),
    "the constraints must be a function": lambda: de.NeuralDAE(torch.nn.Linear(2, 1), 1.0, (0.0, 1.0), [True]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    with pytest.raises(de.InvalidProblemError, match=message):
        REFUSED[message]()
    assert de.solve(de.DAEProblem(residual, [-1.0, 0.0], [1.0, 1.0], (0.0, 1.0))).retcode.success


@pytest.mark.parametrize("choice", [de.BrownFullBasicInit(), de.ShampineCollocationInit()], ids=repr)
def test_an_index_above_1_is_refused_where_a_start_is_sought(choice):
    def f(du, u, p, t):
        return torch.stack([du[0] - u[1], du[1] + u[2] * u[0], u[0] ** 2 - 1])

    with pytest.raises(de.InvalidProblemError, match="the index is above 1"):
        de.solve(de.DAEProblem(f, [0.0] * 3, [1.5, 0.0, 0.0], (0.0, 1.0)), initializealg=choice)


def test_residuals_and_options_of_the_wrong_kind():
    with pytest.raises(de.RightHandSideError, match="as many equations as variables"):
        de.solve(de.DAEProblem(lambda du, u, p, t: du[:1], [0.0, 0.0], [1.0, 1.0], (0.0, 1.0)))
    with pytest.raises(de.RightHandSideError, match="must return a torch tensor"):
        de.solve(de.DAEProblem(lambda du, u, p, t: 0.0, [0.0, 0.0], [1.0, 1.0], (0.0, 1.0)))
    ordinary = de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0))
    with pytest.raises(de.InvalidOptionError, match="has none of"):
        de.solve(ordinary, initializealg=de.CheckInit())
    dae = de.DAEProblem(residual, [-1.0, 0.0], [1.0, 1.0], (0.0, 1.0))
    with pytest.raises(de.InvalidOptionError, match=r"must be CheckInit\(\)"):
        de.solve(dae, initializealg="brown")
    with pytest.raises(de.UnsupportedError, match="mass matrix"):
        de.solve(dae, de.Tsit5())
