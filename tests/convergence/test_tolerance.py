import pytest
import torch
from problems import ADAPTIVE, slope, smooth, smooth_solution

import pydiffeqflux as de


def attracted(u, p, t):
    """`smooth` with a pull towards its solution, so that errors are forgotten and not amplified."""
    return smooth(u, p, t) - 2 * (u - smooth_solution(t))


PROB = de.ODEProblem(attracted, smooth_solution(0.0), (0.0, 10.0))
TIMES = torch.linspace(0.0, 10.0, 41, dtype=torch.float64)
CONTROLLERS = [de.IController(), de.PIController(), de.PIDController(), de.PIController(beta1=0.1, beta2=0.0)]


def error(alg, tol, **options):
    sol = de.solve(PROB, alg, saveat=TIMES, abstol=tol, reltol=tol, **options).raise_for_status()
    return float((sol.u - smooth_solution(TIMES)).abs().max()), sol.stats


@pytest.mark.parametrize("alg", ADAPTIVE, ids=repr)
def test_error_follows_the_tolerance(alg):
    # A method of order q with an estimate O(dt^e) has error O(tol^(q/e)), where e = q for all but Rosenbrock23: its
    # estimate is that of a companion of order 3 in smooth components and of lower order in damped ones. Step sizes
    # adapt in their own rhythm: a factor of about 5 over four decades, 0.175 in the exponent.
    least = 2 / 3 if isinstance(alg, de.Rosenbrock23) else 1.0
    tolerances = (1e-3, 1e-4, 1e-5) if alg.order < 3 else (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    measured = slope(tolerances, [error(alg, tol)[0] for tol in tolerances])
    assert least - 0.2 <= measured <= 1.2


@pytest.mark.parametrize("controller", CONTROLLERS, ids=repr)
@pytest.mark.parametrize("alg", [de.DP5(), de.Tsit5(), de.Vern7(), de.Rodas5P(), de.KenCarp4()], ids=repr)
def test_every_controller_meets_the_tolerance(alg, controller):
    tol = 1e-6
    size = 1 + float(smooth_solution(TIMES).max())
    by_default = error(alg, tol)[1]
    reached, stats = error(alg, tol, controller=controller)
    assert reached <= 10 * tol * size
    # No controller may waste: a step a half of what is possible doubles their number.
    assert stats.naccept + stats.nreject <= 2 * (by_default.naccept + by_default.nreject)


def test_the_default_controller_is_pi():
    assert error(de.Tsit5(), 1e-6)[1] == error(de.Tsit5(), 1e-6, controller=de.PIController())[1]


def test_a_component_may_have_its_own_tolerance():
    tight = torch.tensor([1e-9, 1e-2], dtype=torch.float64)
    loose = de.solve(PROB, de.Tsit5(), abstol=1e-2, reltol=1e-2).stats.naccept
    assert de.solve(PROB, de.Tsit5(), abstol=tight, reltol=tight).stats.naccept > 4 * loose


def test_safety_factor_shortens_the_steps():
    careful = error(de.Tsit5(), 1e-6, controller=de.PIController(gamma=0.5))[1]
    assert careful.naccept > 1.3 * error(de.Tsit5(), 1e-6)[1].naccept
