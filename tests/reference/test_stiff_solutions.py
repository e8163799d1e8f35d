import pytest
import torch
from problems import RIGHT_HAND_SIDES, reference

import pydiffeqflux as de

# abstol by problem: y2 of Robertson is of size 1e-5 and smaller, so its abstol must be too.
ABSTOL_RATIO = {"robertson": 1e-6, "van_der_pol_1e3": 1.0, "pollution": 1e-2}

ALGORITHMS = [
    (de.Rosenbrock23(), 1e-3),
    (de.Rodas4(), 1e-5),
    pytest.param(de.Rodas4(), 1e-7, marks=pytest.mark.slow),
    (de.Rodas5P(), 1e-5),
    pytest.param(de.Rodas5P(), 1e-8, marks=pytest.mark.slow),
    (de.KenCarp4(), 1e-5),
    (de.KenCarp4(), 1e-7),
    (de.AutoTsit5(de.Rodas5P()), 1e-6),
    (de.AutoVern7(de.KenCarp4()), 1e-7),
    pytest.param(None, 1e-3, marks=pytest.mark.slow),
    (None, 1e-7),
]


def allowed_error(ref, abstol, reltol):
    """Ten tolerances, in the state and in time.

    A relative error of `reltol` in f is an error of the same size in the clock, which after the time t moves the state
    by `reltol t |f|`: between two jumps of the van der Pol oscillator that is the larger part.
    """
    f = RIGHT_HAND_SIDES[ref.name]
    speed = torch.stack([f(u, ref.p, t) for u, t in zip(ref.u, ref.t, strict=True)]).abs()
    along_the_orbit = ref.t[:, None] * speed
    return 10 * (abstol + reltol * (ref.u.abs().amax(dim=0) + along_the_orbit))


@pytest.mark.parametrize("problem", list(ABSTOL_RATIO))
@pytest.mark.parametrize(("alg", "tol"), ALGORITHMS, ids=lambda v: repr(v) if not isinstance(v, float) else f"{v:g}")
def test_stiff_problem_is_within_ten_tolerances(problem, alg, tol):
    ref = reference(problem)
    abstol = tol * ABSTOL_RATIO[problem]
    sol = de.solve(ref.problem()[0], alg, saveat=ref.t, abstol=abstol, reltol=tol).raise_for_status()
    assert torch.equal(sol.t, ref.t)
    assert float(((sol.u - ref.u).abs() / allowed_error(ref, abstol, tol)).max()) <= 1


@pytest.mark.parametrize("alg", [de.Rodas5P(), de.KenCarp4(), None], ids=repr)
def test_robertson_conserves_mass(alg):
    # y1 + y2 + y3 = 1 is linear, and every linear invariant is kept by these methods up to the Newton tolerance, which
    # is a hundredth of reltol, and rounding.
    ref = reference("robertson")
    sol = de.solve(ref.problem()[0], alg, saveat=ref.t, abstol=1e-12, reltol=1e-6)
    assert float((sol.u.sum(dim=1) - 1).abs().max()) < 1e-8


def test_the_pollution_reactions_are_those_of_the_reference():
    # The difference quotient of the reference over its last half unit of time, where the solution is smooth: the
    # trapezoidal rule has error h^2/12 u''' over u', which is below (0.5 / 60)^2 here.
    ref = reference("pollution")
    f = RIGHT_HAND_SIDES["pollution"]
    quotient = (ref.u[-1] - ref.u[-2]) / (ref.t[-1] - ref.t[-2])
    mean = (f(ref.u[-1], ref.p, ref.t[-1]) + f(ref.u[-2], ref.p, ref.t[-2])) / 2
    assert torch.allclose(quotient, mean, rtol=1e-3, atol=1e-12)


def test_an_explicit_method_gives_up_on_a_stiff_problem_where_the_default_does_not():
    prob, _, _ = reference("robertson").problem()
    with pytest.warns(de.SolveWarning, match="MaxIters"):
        explicit = de.solve(prob, de.Tsit5(), maxiters=500, throw=False)
    assert explicit.retcode is de.ReturnCode.MaxIters
    assert de.solve(prob, maxiters=500, save_everystep=False).retcode is de.ReturnCode.Success
