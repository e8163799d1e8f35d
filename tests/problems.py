"""The problems that many tests share, and the reference solutions that were computed for them in Julia."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

import pydiffeqflux as de

DATA = Path(__file__).parent / "data"

EXPLICIT = (de.Euler(), de.Midpoint(), de.Heun(), de.RK4(), de.BS3(), de.DP5(), de.Tsit5(), de.Vern7())
ROSENBROCK = (de.Rosenbrock23(), de.Rodas4(), de.Rodas5P())
IMPLICIT = (*ROSENBROCK, de.KenCarp4(), de.RadauIIA5())
METHODS = (*EXPLICIT, *IMPLICIT)
ADAPTIVE = tuple(alg for alg in METHODS if alg.is_adaptive)

DISCRETE = (de.ReverseDiffAdjoint(), de.ForwardDiffSensitivity())
CONTINUOUS = (
    de.InterpolatingAdjoint(),
    de.InterpolatingAdjoint(checkpointing=True),
    de.GaussAdjoint(),
    de.GaussAdjoint(checkpointing=True),
    de.QuadratureAdjoint(),
    de.BacksolveAdjoint(),
    de.BacksolveAdjoint(checkpointing=False),
)
SENSEALGS = (*DISCRETE, *CONTINUOUS)


def tensor(values, *, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def decay(u, p, t):
    return -u


def lotka_volterra(u, p, t):
    x, y = u.unbind()
    a, b, c = p.unbind()
    return torch.stack([a * x - b * x * y, -c * y + x * y])


def lorenz(u, p, t):
    x, y, z = u.unbind()
    s, r, b = p.unbind()
    return torch.stack([s * (y - x), x * (r - z) - y, x * y - b * z])


def robertson(u, p, t):
    y1, y2, y3 = u.unbind()
    k1, k2, k3 = p.unbind()
    slow, fast, back = k1 * y1, k2 * y2 * y2, k3 * y2 * y3
    return torch.stack([back - slow, slow - fast - back, fast])


class NestedParameters(torch.nn.Module):
    """A module with parameters of its own and others in dicts and tuples: `p["a"]["b"]` and `p["c"][0]`."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2, dtype=torch.float64)

    def forward(self, u, p, t):
        return torch.tanh(self.layer(u)) * p["a"]["b"] - p["c"][0] * u


def van_der_pol(u, p, t):
    x, y = u.unbind()
    return torch.stack([y, p[0] * ((1 - x * x) * y - x)])


# The 25 reactions of POLLU: the species (numbered as there, from 1) that each consumes, then those that it makes.
# Source: Verwer 1994, Gauss-Seidel iteration for stiff ODEs from chemical kinetics.
_REACTIONS = (
    ((1,), (2, 3)),
    ((2, 4), (1,)),
    ((5, 2), (1, 6)),
    ((7,), (5, 5, 8)),
    ((7,), (8,)),
    ((7, 6), (5, 8)),
    ((9,), (5, 8, 10)),
    ((9, 6), (11,)),
    ((11, 2), (1, 10, 12)),
    ((11, 1), (13,)),
    ((13,), (1, 11)),
    ((10, 2), (1, 14)),
    ((14,), (5, 7)),
    ((1, 6), (15,)),
    ((3,), (4,)),
    ((4,), (16,)),
    ((4,), (3,)),
    ((16,), (6, 6)),
    ((16,), (3,)),
    ((17, 6), (5, 18)),
    ((19,), (2,)),
    ((19,), (1, 3)),
    ((1, 4), (19,)),
    ((19, 1), (20,)),
    ((20,), (1, 19)),
)


@cache
def _pollution_tables():
    """The species whose product is each rate (0 stands for the number 1), and the stoichiometric matrix."""
    factors = torch.tensor([[*consumed, 0][:2] for consumed, _ in _REACTIONS])
    stoichiometry = torch.zeros(21, len(_REACTIONS), dtype=torch.float64)
    for column, (consumed, made) in enumerate(_REACTIONS):
        for species in consumed:
            stoichiometry[species, column] -= 1
        for species in made:
            stoichiometry[species, column] += 1
    return factors, stoichiometry[1:]


def pollution(u, p, t):
    factors, stoichiometry = _pollution_tables()
    extended = torch.cat([torch.ones_like(u[:1]), u])
    rates = p * extended[factors[:, 0]] * extended[factors[:, 1]]
    return stoichiometry @ rates


RIGHT_HAND_SIDES = {
    "lotka_volterra": lotka_volterra,
    "lorenz": lorenz,
    "robertson": robertson,
    "robertson_gradient": robertson,
    "van_der_pol_1e3": van_der_pol,
    "pollution": pollution,
}


@dataclass(frozen=True)
class Reference:
    """A problem with its solution, and where it has one the gradient of a loss."""

    name: str
    u0: torch.Tensor
    tspan: tuple[float, float]
    p: torch.Tensor
    t: torch.Tensor
    u: torch.Tensor
    loss_value: float | None
    grad_u0: torch.Tensor | None
    grad_p: torch.Tensor | None

    def problem(self, *, grad=False):
        """The problem with fresh leaves, and these leaves."""
        u0, p = self.u0.clone().requires_grad_(grad), self.p.clone().requires_grad_(grad)
        return de.ODEProblem(RIGHT_HAND_SIDES[self.name], u0, self.tspan, p), u0, p


@cache
def reference(name):
    data = json.loads((DATA / f"{name}.json").read_text())
    optional = {key: tensor(data[key]) if key in data else None for key in ("grad_u0", "grad_p")}
    arrays = {key: tensor(data[key]) for key in ("u0", "p", "t", "u")}
    return Reference(name, tspan=tuple(data["tspan"]), loss_value=data.get("loss_value"), **arrays, **optional)


def half_square_distance(u):
    """The loss of the reference gradients."""
    return ((1 - u) ** 2).sum() / 2


def relative(actual, expected):
    """The distance in the maximum norm, relative to the size of what is expected."""
    return float((actual - expected).abs().max() / expected.abs().max())


def smooth(u, p, t):
    """Nonlinear, coupled and non-autonomous, with the solution (exp(sin t), 2 + cos t)."""
    x, y = u.unbind()
    return torch.stack([x * (y - 2) + t * (y - 2 - torch.cos(t)), -torch.log(x) * x * torch.exp(-torch.sin(t))])


def smooth_solution(t):
    t = torch.as_tensor(t, dtype=torch.float64)
    return torch.stack([torch.exp(torch.sin(t)), 2 + torch.cos(t)], dim=-1)


def slope(xs, ys):
    """The slope of the least-squares line through log y over log x: an order of convergence."""
    x, y = torch.log(tensor(list(xs))), torch.log(tensor(list(ys)))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())
