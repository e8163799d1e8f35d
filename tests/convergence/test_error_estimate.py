import pytest
import torch
from problems import slope, tensor

import pydiffeqflux as de

TOLERANCES = (1e-5, 1e-6, 1e-7)


def forced(u, p, t):
    return -50.0 * (u - torch.cos(t))


def quadrature(u, p, t):
    return torch.cos(t).expand(1) + 0 * u


@pytest.mark.parametrize("f", [forced, quadrature], ids=lambda f: f.__name__)
def test_the_estimate_of_rosenbrock23_has_order_three_where_f_depends_on_time(f):
    prob = de.ODEProblem(f, tensor([0.0]), (0.0, 10.0))
    steps = [
        de.solve(prob, de.Rosenbrock23(), abstol=tol, reltol=tol, save_everystep=False).stats.naccept
        for tol in TOLERANCES
    ]
    # An estimate c dt³ that is kept at the tolerance means dt ~ tol^(1/3); with c dt² it would be tol^(1/2).
    assert -slope(TOLERANCES, steps) == pytest.approx(1 / 3, abs=0.03)
