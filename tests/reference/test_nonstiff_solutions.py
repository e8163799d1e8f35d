import pytest
import torch
from problems import reference

import pydiffeqflux as de

# The tolerance that each method is used with in practice: the cost of a method of order q grows like tol^(-1/q).
ALGORITHMS = [
    (de.Midpoint(), 1e-4),
    (de.Heun(), 1e-4),
    (de.BS3(), 1e-6),
    (de.DP5(), 1e-8),
    (de.Tsit5(), 1e-8),
    (de.Vern7(), 1e-11),
    (de.Rodas4(), 1e-7),
    (de.Rodas5P(), 1e-8),
    (de.KenCarp4(), 1e-7),
    (de.AutoTsit5(de.Rosenbrock23()), 1e-8),
    (de.AutoVern7(de.Rodas5P()), 1e-10),
    (None, 1e-8),
]


def name(value):
    return repr(value) if not isinstance(value, float) else f"{value:g}"


@pytest.mark.parametrize(("alg", "tol"), ALGORITHMS, ids=name)
def test_lotka_volterra_is_within_ten_tolerances(alg, tol):
    ref = reference("lotka_volterra")
    prob, _, _ = ref.problem()
    sol = de.solve(prob, alg, saveat=ref.t, abstol=tol, reltol=tol).raise_for_status()
    allowed = 10 * tol * (1 + ref.u.abs().amax(dim=0))
    assert torch.equal(sol.t, ref.t)
    assert float(((sol.u - ref.u).abs() / allowed).max()) <= 1


@pytest.mark.parametrize(("alg", "dt"), [(de.RK4(), 5e-3), (de.Vern7(), 2e-2)], ids=name)
def test_lotka_volterra_with_fixed_steps(alg, dt):
    # The frequency of this orbit is about 4 at its fastest (the y peak), so the local error of a method of order q is
    # of size (4 dt)^(q + 1) / (q + 1)!, collected over 10 / dt steps on a state of size 7.
    ref = reference("lotka_volterra")
    sol = de.solve(ref.problem()[0], alg, saveat=ref.t, dt=dt, adaptive=False)
    factorial = torch.arange(1, alg.order + 2).prod().item()
    allowed = 7 * (4 * dt) ** (alg.order + 1) / factorial * (10 / dt)
    assert float((sol.u - ref.u).abs().max()) < allowed


@pytest.mark.parametrize(
    ("alg", "tol"),
    [(de.BS3(), 1e-6), (de.DP5(), 1e-8), (de.Tsit5(), 1e-8), (de.Vern7(), 1e-11), (None, 1e-8)],
    ids=name,
)
def test_lorenz_stays_within_the_growth_of_chaos(alg, tol):
    # Two orbits of the Lorenz system part like exp(0.906 t), its largest Lyapunov exponent (Sparrow 1982). At t = 10
    # that is a factor of 8600: 10 tolerances at the start may be 86000 at the end, still at most a thousandth of the
    # attractor at the tolerances of DP5, Tsit5 and Vern7.
    ref = reference("lorenz")
    sol = de.solve(ref.problem()[0], alg, saveat=ref.t, abstol=tol, reltol=tol).raise_for_status()
    allowed = 10 * tol * torch.exp(0.906 * ref.t)[:, None] * (1 + ref.u.abs().amax(dim=0))
    assert float(((sol.u - ref.u).abs() / allowed).max()) <= 1


def test_a_looser_tolerance_shows_in_the_lorenz_system():
    # Guards the bound above: with a loose tolerance the solution does leave it.
    ref = reference("lorenz")
    sol = de.solve(ref.problem()[0], de.Tsit5(), saveat=ref.t, abstol=1e-3, reltol=1e-3)
    allowed = 10 * 1e-8 * torch.exp(0.906 * ref.t)[:, None] * (1 + ref.u.abs().amax(dim=0))
    assert float(((sol.u - ref.u).abs() / allowed).max()) > 1
