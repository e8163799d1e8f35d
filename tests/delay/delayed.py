"""Delay equations whose solutions are known, and the reference solutions that Julia has computed."""

import json
import math
from pathlib import Path

import torch

import pydiffeqflux as de

DATA = Path(__file__).parents[1] / "data"
TIGHT = {"abstol": 1e-12, "reltol": 1e-12}


def tensor(values, *, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def reference(name):
    return json.loads((DATA / f"{name}.json").read_text())


def solve(prob, alg=None, **options):
    return de.solve(prob, de.MethodOfSteps(de.Vern7() if alg is None else alg), **options).raise_for_status()


def end(prob, alg=None, **options):
    """The first component at the end of the time span, by default very exactly."""
    u = torch.as_tensor(solve(prob, alg, **(options or TIGHT)).u)
    return u[-1].reshape(-1)[0].item()


def minus_delayed(t):
    """The solution of u' = -u(t - 1) after u = 1: a polynomial between whole numbers."""
    return sum((-1) ** k * (t - (k - 1)) ** k / math.factorial(k) for k in range(int(t) + 2) if t >= k - 1)


def mackey_glass(u, h, p, t):
    a, b, n, tau = p
    delayed = h(p, t - tau)
    return a * delayed / (1 + delayed**n) - b * u


def lotka_volterra(u, h, p, t):
    a, b, d, g, tau = p
    x, y = u
    return torch.stack([(a - b * y) * h(p, t - tau)[0], (d * x - g) * y])
