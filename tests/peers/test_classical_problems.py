"""Problems of the textbooks, whose solutions are known, at several tolerances."""

import math
from dataclasses import dataclass, field

import pytest
import torch
from both_engines import ENGINES, keeps_tolerances, on
from problems import tensor

import pydiffeqflux as de


def decay(u, p, t):
    return -u


def oscillator(u, p, t):
    return torch.stack([u[1], -u[0]])


def logistic(u, p, t):
    return u / 4 * (1 - u / 20)


def kepler(u, p, t):
    x, y, vx, vy = u.unbind()
    cube = (x * x + y * y) ** 1.5
    return torch.stack([vx, vy, -x / cube, -y / cube])


MOON = 0.012277471


def arenstorf(u, p, t):
    """A satellite between the earth and the moon, which comes back to where it started."""
    x, y, vx, vy = u.unbind()
    earth = ((x + MOON) ** 2 + y**2) ** 1.5
    moon = ((x - 1 + MOON) ** 2 + y**2) ** 1.5
    ax = x + 2 * vy - (1 - MOON) * (x + MOON) / earth - MOON * (x - 1 + MOON) / moon
    ay = y - 2 * vx - (1 - MOON) * y / earth - MOON * y / moon
    return torch.stack([vx, vy, ax, ay])


MATRIX = tensor([[-0.5, 2.0, 0.0], [-2.0, -0.5, 1.0], [0.0, -1.0, -3.0]])


def linear(u, p, t):
    return MATRIX @ u


START = tensor([1.0, 2.0, -1.0])
ECCENTRICITY = 0.6
ORBIT = tensor([1 - ECCENTRICITY, 0.0, 0.0, math.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY))])
# Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, (0.1)
SATELLITE = tensor([0.994, 0.0, 0.0, -2.00158510637908252240537862224])


@dataclass(frozen=True, eq=False)
class Known:
    """A problem and its solution at some times; `growth` bounds what an error of a step becomes until later ones."""

    f: object
    u0: torch.Tensor
    times: list[float]
    solution: list[torch.Tensor] = field(repr=False)
    growth: float = 1.0


TENS = [2.0, 10.0, 20.0]
KNOWN = {
    "decay": Known(decay, tensor([1.0]), TENS, [tensor([math.exp(-t)]) for t in TENS]),
    "oscillator": Known(
        oscillator,
        tensor([0.0, 1.0]),
        TENS,
        [tensor([math.sin(t), math.cos(t)]) for t in TENS],
        # nothing is damped: the errors of all steps add up over 20 radians
        growth=20.0,
    ),
    # DETEST A4, at its fastest exp(t / 4) until 10 with the solution half of 20
    "logistic": Known(
        logistic, tensor([1.0]), TENS, [tensor([20 / (1 + 19 * math.exp(-t / 4))]) for t in TENS], growth=2.0
    ),
    "linear": Known(
        linear, START, [0.5, 3.0], [torch.linalg.matrix_exp(t * MATRIX) @ START for t in (0.5, 3.0)], growth=1.0
    ),
}


def solvers():
    """Explicit methods of every kind, and implicit ones, with tolerances that each is used with."""
    grid = {
        de.BS3(): (1e-4, 1e-6),
        de.DP5(): (1e-4, 1e-6, 1e-8),
        de.Tsit5(): (1e-3, 1e-6, 1e-9),
        de.Vern7(): (1e-6, 1e-9, 1e-12),
        de.Rodas4(): (1e-4, 1e-6),
        de.Rodas5P(): (1e-4, 1e-8),
        de.KenCarp4(): (1e-4, 1e-6),
        None: (1e-4, 1e-8),
    }
    return [
        on(engine, alg, tol)
        for engine in ENGINES
        for alg, tolerances in grid.items()
        for tol in tolerances
        if keeps_tolerances(engine, alg)
    ]


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize(("engine", "alg", "tol"), solvers(), ids=repr)
def test_the_error_is_within_ten_tolerances(engine, alg, tol, name):
    known = KNOWN[name]
    prob = de.ODEProblem(known.f, known.u0, (0.0, known.times[-1]))
    sol = de.solve(prob, alg, saveat=known.times, abstol=tol, reltol=tol, engine=engine).raise_for_status()
    exact = torch.stack(known.solution)
    size = 1 + max(float(exact.abs().max()), float(known.u0.abs().max()))
    assert float((sol.u - exact).abs().max()) <= 10 * tol * size * known.growth


# ---- orbits


def growth_along(f, u0, period):
    """The largest norm of what a change of the state at some time becomes at the end, to two digits at least."""
    jacobian = torch.func.jacrev(lambda u: f(u, None, None))

    def with_variations(u, p, t):
        state, variations = u[:4], u[4:].reshape(4, 4)
        return torch.cat([f(state, p, t), (jacobian(state) @ variations).reshape(-1)])

    start = torch.cat([u0, torch.eye(4, dtype=torch.float64).reshape(-1)])
    prob = de.ODEProblem(with_variations, start, (0.0, period))
    u = de.solve(prob, de.Vern7(), saveat=period / 64, abstol=1e-7, reltol=1e-7, engine="embedded").u
    variations = u[:, 4:].reshape(-1, 4, 4)
    return float(torch.linalg.matrix_norm(variations[-1] @ torch.linalg.inv(variations), ord=2).max())


ORBITS = {"kepler": (kepler, ORBIT, 2 * math.pi), "arenstorf": (arenstorf, SATELLITE, 17.0652165601579625588917206249)}


@pytest.fixture(scope="module", params=ORBITS)
def orbit(request):
    f, u0, period = ORBITS[request.param]
    return f, u0, period, growth_along(f, u0, period)


EXPLICIT = [(de.DP5(), 1e-7), (de.Tsit5(), 1e-6), (de.Tsit5(), 1e-9), (de.Vern7(), 1e-8), (de.Vern7(), 1e-12)]
IMPLICIT = [(de.Rodas5P(), 1e-7), (de.KenCarp4(), 1e-6), (None, 1e-8)]


@pytest.mark.parametrize(
    ("engine", "alg", "tol"),
    [
        *(on(e, *case) for e in ENGINES for case in EXPLICIT),
        *(on(e, *case, slow=e == "embedded") for e in ENGINES for case in IMPLICIT if keeps_tolerances(e, case[0])),
    ],
    ids=repr,
)
def test_orbits_close(engine, alg, tol, orbit):
    f, u0, period, growth = orbit
    sol = de.solve(de.ODEProblem(f, u0, (0.0, period)), alg, saveat=[period], abstol=tol, reltol=tol, engine=engine)
    size = 1 + float(u0.abs().max())
    # What the literature gives of the orbit of the satellite is good to all digits of a number, which grow as well.
    assert float((sol.raise_for_status().u[0] - u0).abs().max()) <= (10 * tol * size + 4e-16) * growth


@pytest.mark.parametrize("tol", [1e-6, 1e-9])
@pytest.mark.parametrize(("engine", "alg"), [on(e, a) for e in ENGINES for a in (de.Tsit5(), de.Vern7())], ids=repr)
def test_energy_and_angular_momentum_of_kepler(engine, alg, tol):
    prob = de.ODEProblem(kepler, ORBIT, (0.0, 2 * math.pi))
    u = de.solve(prob, alg, saveat=0.1, abstol=tol, reltol=tol, engine=engine).u
    x, y, vx, vy = u.unbind(-1)
    energy = (vx**2 + vy**2) / 2 - (x**2 + y**2) ** -0.5
    momentum = x * vy - y * vx
    # Ten tolerances of the states at their largest, where the planet is closest: there the slope of the energy is the
    # gravity 1 / r² = 6.25 and the speed 2, that of the momentum less. They are not damped: the 2 π radians add up.
    allowed = 10 * tol * (1 + 2) * (6.25 + 2) * 2 * math.pi
    assert float((energy + 0.5).abs().max()) <= allowed
    assert float((momentum - math.sqrt(1 - ECCENTRICITY**2)).abs().max()) <= allowed


@pytest.mark.parametrize(("engine", "alg"), [on(e, a) for e in ENGINES for a in (de.Vern7(), de.Rodas5P())], ids=repr)
def test_the_matrix_exponential_column_by_column_and_its_inverse(engine, alg):
    tol, eye = 1e-9, torch.eye(3, dtype=torch.float64)
    options = {"saveat": [1.0], "abstol": tol, "reltol": tol, "engine": engine}
    there = de.solve(de.ODEProblem(lambda u, p, t: MATRIX @ u, eye, (0.0, 1.0)), alg, **options).u[0]
    exact = torch.linalg.matrix_exp(MATRIX)
    assert float((there - exact).abs().max()) <= 10 * tol * 2
    back = de.solve(de.ODEProblem(lambda u, p, t: MATRIX @ u, eye, (1.0, 0.0)), alg, **options | {"saveat": [0.0]}).u[0]
    inverse = torch.linalg.matrix_exp(-MATRIX)
    # Its largest eigenvalue is near exp(3): the last steps decide.
    assert float((back - inverse).abs().max()) <= 10 * tol * (1 + float(inverse.abs().max()))
