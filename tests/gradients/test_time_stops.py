import math
from itertools import pairwise

import pytest
import torch
from jumps import DOSE, DOSE_GRADIENT, ENDS, STOPS, SWITCHES, dose, switching
from problems import METHODS, relative, slope, tensor

import pydiffeqflux as de

CONTINUOUS = [
    de.GaussAdjoint(),
    de.GaussAdjoint(checkpointing=True),
    de.InterpolatingAdjoint(),
    de.InterpolatingAdjoint(checkpointing=True),
    de.QuadratureAdjoint(),
    de.BacksolveAdjoint(),
]
DISCRETE = [de.ReverseDiffAdjoint(), de.ForwardDiffSensitivity()]
# ---- a dose between two stops


@pytest.mark.parametrize("sensealg", [*CONTINUOUS, *DISCRETE], ids=repr)
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P(), de.KenCarp4(), None], ids=repr)
@pytest.mark.parametrize("stops", STOPS)
def test_a_dose_is_not_stepped_over_on_the_way_back(stops, alg, sensealg):
    p = tensor([1.0], grad=True)
    prob = de.ODEProblem(dose, tensor([0.0]), (0.0, 10.0), p)
    sol = de.solve(prob, alg, saveat=[10.0], sensealg=sensealg, abstol=1e-9, reltol=1e-9, **{stops: DOSE})
    sol.u.sum().backward()
    assert abs(sol.u.item() - DOSE_GRADIENT) < 1e-7
    assert abs(p.grad.item() - DOSE_GRADIENT) < 1e-7


# ---- a rate that switches where only the sensitivity has a kink


def switching_gradient(span, ends=ENDS):
    """With all rates r: u(T) = exp(r (T - t0)), and its derivative is that times the length of each piece."""
    t0, t1 = span
    cuts = [t0, *ends[:2], t1] if t1 > t0 else [t1, *ends[:2], t0]
    lengths = tensor([b - a for a, b in pairwise(cuts)])
    return math.copysign(1.0, t1 - t0) * lengths * math.exp(0.3 * (t1 - t0))


@pytest.mark.slow
@pytest.mark.parametrize("sensealg", [*CONTINUOUS, *DISCRETE], ids=repr)
@pytest.mark.parametrize("span", [(0.0, 2.0), (2.0, 0.0)], ids=str)
@pytest.mark.parametrize("before", SWITCHES.values(), ids=list(SWITCHES))
@pytest.mark.parametrize("stops", STOPS)
def test_steps_that_meet_see_f_from_their_own_side(stops, before, span, sensealg):
    p = torch.full((3,), 0.3, dtype=torch.float64, requires_grad=True)
    times = sorted(ENDS[:2], reverse=span[1] < span[0])
    for alg in (de.Tsit5(), de.Vern7(), de.Rodas5P(), de.KenCarp4()):
        prob = de.ODEProblem(switching(before), tensor([1.0]), span, p)
        sol = de.solve(prob, alg, saveat=[span[1]], sensealg=sensealg, abstol=1e-10, reltol=1e-10, **{stops: times})
        (gradient,) = torch.autograd.grad(sol.u.sum(), p)
        assert relative(gradient, switching_gradient(span)) < 1e-8


@pytest.mark.parametrize("alg", METHODS, ids=repr)
@pytest.mark.parametrize("before", SWITCHES.values(), ids=list(SWITCHES))
def test_fixed_steps_that_end_at_the_switches_know_nothing_of_them(before, alg):
    # All rates are the same, so all steps are: each piece has the share of the gradient that its steps are of all.
    def gradient(f, p):
        prob = de.ODEProblem(f, tensor([1.0]), (0.0, 2.0), p)
        options = {"dt": 0.125, "adaptive": False, "abstol": 1e-13, "reltol": 1e-13}
        sol = de.solve(
            prob, alg, saveat=[2.0], d_discontinuities=[0.5, 1.0], sensealg=de.ReverseDiffAdjoint(), **options
        )
        return torch.autograd.grad(sol.u.sum(), p)[0]

    pieces = gradient(switching(before, (0.5, 1.0, 2.0)), torch.full((3,), 1.5, dtype=torch.float64).requires_grad_())
    whole = gradient(lambda u, p, t: p * u, tensor([1.5], grad=True))
    assert relative(pieces, whole * tensor([0.25, 0.25, 0.5])) < 1e-11


@pytest.mark.parametrize("taped", [False, True])
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_reverse_mode_along_the_graph_and_step_by_step(alg, taped):
    # More states are differentiated along the graph, a branch on values step by step.
    def f(u, p, t):
        return (p[0] if t <= ENDS[0] else p[1] if t <= ENDS[1] else p[2]) * u

    n = 130 if taped else 1
    p = torch.full((3,), 0.3, dtype=torch.float64, requires_grad=True)
    prob = de.ODEProblem(f, torch.ones(n, dtype=torch.float64), (0.0, 2.0), p)
    sol = de.solve(
        prob, alg, saveat=[2.0], sensealg=de.ReverseDiffAdjoint(), abstol=1e-10, reltol=1e-10, tstops=ENDS[:2]
    )
    sol.u.mean().backward()
    assert relative(p.grad, switching_gradient((0.0, 2.0))) < 1e-8


def test_sides_in_single_precision():
    # 0.7 and 1.1 are rounded, to either side of themselves
    for before in SWITCHES.values():
        p = torch.full((3,), 0.3, requires_grad=True)
        prob = de.ODEProblem(switching(before), torch.ones(1), (0.0, 2.0), p)
        for sensealg in (de.ReverseDiffAdjoint(), de.GaussAdjoint()):
            sol = de.solve(prob, de.Tsit5(), saveat=[2.0], sensealg=sensealg, reltol=1e-5, tstops=ENDS[:2])
            (gradient,) = torch.autograd.grad(sol.u.sum(), p)
            assert relative(gradient.double(), switching_gradient((0.0, 2.0))) < 1e-4


def test_nothing_is_lost_where_save_points_and_discontinuities_coincide():
    p = torch.full((3,), 0.3, dtype=torch.float64, requires_grad=True)
    prob = de.ODEProblem(switching(torch.lt), tensor([1.0]), (0.0, 2.0), p)
    expected = 3 * switching_gradient((0.0, 2.0)) + 2 * tensor([0.7, 0.0, 0.0]) * math.exp(0.3 * 0.7)
    for sensealg in (*CONTINUOUS, *DISCRETE):
        sol = de.solve(prob, de.Tsit5(), sensealg=sensealg, abstol=1e-10, reltol=1e-10, tstops=ENDS[:2], dense=True)
        (gradient,) = torch.autograd.grad(sol([0.7, 2.0, 0.7, 2.0, 2.0]).sum(), p)
        assert relative(gradient, expected) < 1e-8


# ---- no time that f is not made for


@pytest.mark.parametrize("sensealg", [*CONTINUOUS, *DISCRETE], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("span", [(0.1, 0.7), (0.7, 0.1), (-0.3, 1.1)], ids=str)
def test_f_is_never_asked_outside_of_the_time_span(span, dtype, sensealg):
    low, high = (float(torch.tensor(t, dtype=dtype)) for t in sorted(span))

    def f(u, p, t):
        return torch.where((t < low) | (t > high), torch.nan, -p * u * torch.cos(t))

    for alg in (de.Tsit5(), de.Vern7(), de.Rosenbrock23(), de.Rodas5P(), de.KenCarp4(), de.RadauIIA5()):
        p = torch.ones(1, dtype=dtype, requires_grad=True)
        prob = de.ODEProblem(f, torch.ones(1, dtype=dtype), span, p)
        sol = de.solve(prob, alg, sensealg=sensealg, abstol=1e-4, reltol=1e-4, tstops=[0.2 + 0.1], dense=True)
        assert sol.retcode.success
        assert sol.u.isfinite().all()
        (sol.u.sum() + sol([span[0], 0.5, span[1]]).sum()).backward()
        assert p.grad.isfinite().all()


@pytest.mark.parametrize("sensealg", [*CONTINUOUS, de.ReverseDiffAdjoint()], ids=repr)
@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_f_is_never_asked_at_a_discontinuity(alg, sensealg):
    times = (0.3, 0.6)
    seen = []

    def f(u, p, t):
        seen.append(t.item())  # this also keeps torch.vmap from mapping
        return -p * u

    p = tensor([1.0], grad=True)
    prob = de.ODEProblem(f, tensor([1.0]), (0.0, 0.9), p)
    sol = de.solve(
        prob, alg, sensealg=sensealg, dt=0.1, adaptive=False, d_discontinuities=times, abstol=1e-4, reltol=1e-4
    )
    sol.u[-1].sum().backward()
    assert set(times).isdisjoint(seen)
    assert {math.nextafter(t, end) for t in times for end in (-1, 1)} & set(seen)


# ---- step sizes of backward solves


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("sensealg", CONTINUOUS, ids=repr)
def test_fixed_steps_backwards_are_those_of_the_option(sensealg, adaptive):
    def error(steps):
        u0, p = tensor([1.0, 0.5], grad=True), tensor([1.0], grad=True)
        prob = de.ODEProblem(lambda u, p, t: p * torch.stack([u[1], -u[0]]), u0, (0.0, 2.0), p)
        sol = de.solve(prob, de.RK4(), dt=2.0 / steps, adaptive=adaptive, saveat=[2.0], sensealg=sensealg)
        sol.u.sum().backward()
        # u + v of the rotation is (c - s) u0 + (c + s) v0 for the angle 2 p
        c, s = math.cos(2.0), math.sin(2.0)
        exact_u0, exact_p = tensor([c - s, c + s]), tensor([2.0 * (-s - c) + (c - s)])
        assert sol.stats.naccept == steps
        # four stages a step, at most five evaluations for quadrature, one for the end of every step's dense output, and
        # with checkpointing the forward steps again
        assert sol.stats.nf_adjoint <= (4 + 5 + 1 + 4) * steps + 50
        return max(relative(u0.grad, exact_u0), relative(p.grad, exact_p))

    counts = (16, 32, 64)
    assert -slope(counts, [error(n) for n in counts]) >= 4 - 0.2


@pytest.mark.parametrize("sensealg", [s for s in CONTINUOUS if "checkpointing" not in repr(s)], ids=repr)
def test_the_first_step_backwards_is_not_tiny(sensealg):
    u0 = tensor([1.0, 0.5], grad=True)
    prob = de.ODEProblem(lambda u, p, t: torch.stack([u[1], -u[0]]), u0, (0.0, 2.0))
    sol = de.solve(prob, de.Tsit5(), saveat=[2.0], sensealg=sensealg)
    sol.u.sum().backward()
    # The adjoint of a rotation is a rotation: as many steps, and not as many again to grow from 1e-6.
    assert sol.stats.nf_adjoint <= sol.stats.nf + 12


@pytest.mark.parametrize("name", STOPS)
def test_bad_stops_are_named(name):
    prob = de.ODEProblem(lambda u, p, t: -u, tensor([1.0]), (0.0, 1.0))
    with pytest.raises(de.InvalidOptionError, match=f"{name} must strictly increase"):
        de.solve(prob, **{name: [0.5, 0.2]})
    with pytest.raises(de.InvalidOptionError, match=f"{name} holds 1.5, which is outside"):
        de.solve(prob, **{name: [1.5]})
