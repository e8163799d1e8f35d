"""Steps, forwards and backwards, end at the stops that the user names, and see f from their own side."""

from itertools import pairwise

import pytest
import torch
from jumps import DOSE, DOSE_GRADIENT, ENDS, STOPS, SWITCHES, dose, switching
from problems import relative, tensor

import pydiffeqflux as de

pytestmark = pytest.mark.julia

CONTINUOUS = [
    de.GaussAdjoint(),
    de.GaussAdjoint(checkpointing=True),
    de.InterpolatingAdjoint(),
    de.InterpolatingAdjoint(checkpointing=True),
    de.QuadratureAdjoint(),
    de.GaussKronrodAdjoint(),
    de.BacksolveAdjoint(),
]
SENSEALGS = [*CONTINUOUS, de.ReverseDiffAdjoint()]
DOSE_SOURCE = de.JuliaSource("(du, u, p, t) -> (du[1] = -0.1 * u[1] + p[1] * (5.0 <= t < 5.02) / 0.02; nothing)")
KINDS = {"compiled": (dose, {"compile": True}), "called": (dose, {"compile": False}), "source": (DOSE_SOURCE, {})}


def together(algs, sensealgs):
    """All pairs but those that are refused: Gauss's checkpoints of implicit methods."""
    refused = de.GaussAdjoint(checkpointing=True)
    pairs = [(alg, sensealg) for alg in algs for sensealg in sensealgs if not (alg.is_stiff and sensealg == refused)]
    return pytest.mark.parametrize(("alg", "sensealg"), pairs, ids=repr)


@pytest.mark.parametrize("kind", KINDS)
@together([de.Tsit5(), de.Vern7(), de.Rodas5P(), de.KenCarp4()], CONTINUOUS)
@pytest.mark.parametrize("stops", STOPS)
def test_a_dose_is_not_stepped_over_on_the_way_back(stops, alg, sensealg, kind):
    f, options = KINDS[kind]
    p = tensor([1.0], grad=True)
    prob = de.ODEProblem(f, tensor([0.0]), (0.0, 10.0), p)
    options |= {stops: DOSE, "abstol": 1e-9, "reltol": 1e-9, "sensealg": sensealg}
    sol = de.solve(prob, alg, saveat=[10.0], engine="julia", **options)
    sol.u.sum().backward()
    assert abs(sol.u.item() - DOSE_GRADIENT) < 1e-7
    assert abs(p.grad.item() - DOSE_GRADIENT) < 1e-7


@pytest.mark.parametrize("compile_", [True, False])
@together([de.Tsit5(), de.Vern7(), de.Rosenbrock23(), de.Rodas5P()], SENSEALGS)
@pytest.mark.parametrize("before", SWITCHES)
def test_steps_that_meet_at_a_switch_see_their_own_side(before, alg, sensealg, compile_):
    p = tensor([1.0, -2.0, 0.5], grad=True)
    prob = de.ODEProblem(switching(SWITCHES[before]), tensor([1.0]), (0.0, ENDS[-1]), p)
    tolerance = 1e-6 if isinstance(alg, de.Rosenbrock23) else 1e-9
    options = {"d_discontinuities": ENDS[:2], "abstol": tolerance, "reltol": tolerance, "compile": compile_}
    sol = de.solve(prob, alg, saveat=[ENDS[-1]], engine="julia", sensealg=sensealg, **options)
    (found,) = torch.autograd.grad(sol.u.sum(), p)
    widths = tensor([b - a for a, b in pairwise((0.0, *ENDS))])
    end = torch.exp((p.detach() * widths).sum())
    assert relative(sol.u[0].detach(), end) < 100 * tolerance
    # in every smooth piece steps and adjoint are as accurate as the tolerance says
    assert relative(found, widths * end) < 100 * tolerance


@pytest.mark.parametrize("span", [(2.0, 0.0), (-2.0, 0.0), (0.0, -2.0)])
@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(), de.ReverseDiffAdjoint()], ids=repr)
def test_any_direction_and_sign(span, sensealg):
    middle = 0.3 * span[0] + 0.7 * span[1]

    def f(u, p, t):
        return torch.where(t < middle, p[0], p[1]) * u

    p = tensor([0.5, -1.0], grad=True)
    prob = de.ODEProblem(f, tensor([1.0]), span, p)
    options = {"tstops": [middle], "abstol": 1e-10, "reltol": 1e-10, "engine": "julia", "sensealg": sensealg}
    sol = de.solve(prob, de.Tsit5(), saveat=[span[1]], **options)
    (found,) = torch.autograd.grad(sol.u.sum(), p)
    widths = tensor([middle - span[0], span[1] - middle])  # signed, in the order of integration
    if span[0] > span[1]:  # the later times come first
        widths = widths.flip(0)
    assert relative(found, widths * torch.exp((p.detach() * widths).sum())) < 1e-8


def test_fixed_steps_end_at_a_switch():
    p = tensor([1.0, -2.0, 0.5], grad=True)
    prob = de.ODEProblem(switching(torch.lt), tensor([1.0]), (0.0, ENDS[-1]), p)
    options = {"d_discontinuities": ENDS[:2], "engine": "julia", "dt": 0.01}
    found = {}
    for sensealg in (de.ReverseDiffAdjoint(), de.GaussAdjoint(), de.InterpolatingAdjoint()):
        sol = de.solve(prob, de.RK4(), adaptive=False, saveat=[ENDS[-1]], sensealg=sensealg, **options)
        found[repr(sensealg)] = torch.autograd.grad(sol.u.sum(), p)[0]
    widths = tensor([b - a for a, b in pairwise((0.0, *ENDS))])
    expected = widths * torch.exp((p.detach() * widths).sum())
    # (p dt)⁴ / 120 relative error a unit of p t, times five for the derivative
    assert all(relative(gradient, expected) < 1e-7 for gradient in found.values())


def test_f_is_not_asked_outside_of_the_time_span_nor_at_a_stop():
    times = []

    @torch.compiler.disable
    def f(u, p, t):
        times.append(t.item())
        return -p * u

    p = tensor([1.0], grad=True)
    prob = de.ODEProblem(f, tensor([1.0]), (0.1, 0.7), p)
    options = {"tstops": [0.2, 0.3], "saveat": [0.25, 0.7], "engine": "julia", "compile": False}
    for sensealg in SENSEALGS:
        sol = de.solve(prob, de.Tsit5(), sensealg=sensealg, abstol=1e-9, reltol=1e-9, **options)
        sol.u.sum().backward()
    assert min(times) >= 0.1
    assert max(times) <= 0.7
    assert not {0.2, 0.3} & set(times)
