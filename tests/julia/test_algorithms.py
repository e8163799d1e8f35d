"""The table of algorithms against Julia's own facts, and each at work."""

import pytest
import torch
from problems import lorenz, slope, smooth, smooth_solution, tensor

import pydiffeqflux as de
from pydiffeqflux._algorithms import algorithms_of
from pydiffeqflux._engines.julia._bridge import start

pytestmark = [pytest.mark.julia, pytest.mark.slow]
CLASSES = algorithms_of("julia")
# a damped rotation
SOURCE = de.JuliaSource("(du, u, p, t) -> (du[1] = -u[1] + 2u[2]; du[2] = -2u[1] - u[2]; nothing)")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_table_agrees_with_julia(cls):
    order, adaptive, implicit = start().call("algorithm_facts", cls.__name__)
    if cls is de.RK4:
        adaptive = False  # Julia's controls the step by the defect of an interpolant; ours takes the step it is given
    assert (order, adaptive, implicit) == (cls.order, cls.is_adaptive, cls.is_stiff)


def solution(t):
    t = torch.as_tensor(t, dtype=torch.float64)
    cos, sin = torch.cos(2 * t), torch.sin(2 * t)
    return torch.exp(-t).unsqueeze(-1) * torch.stack([cos + sin, cos - sin], dim=-1)


PLAIN = """
function (name, dt)
    f(du, u, p, t) = (du[1] = -u[1] + 2u[2]; du[2] = -2u[1] - u[2]; nothing)
    prob = SciMLBase.ODEProblem{true, SciMLBase.FullSpecialize}(f, [1.0, 1.0], (0.0, 2.0))
    steps = dt == 0 ? (;) : (; dt, adaptive=false)
    sol = SciMLBase.solve(
        prob, ALGORITHMS[name](); saveat=[1.0, 2.0], tstops=[1.0], save_start=false, abstol=1e-7, reltol=1e-7,
        maxiters=10^6, steps...
    )
    return join(reduce(vcat, sol.u), ",")
end
"""


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_algorithm_gives_what_julia_gives(cls):
    dt = 0.0 if cls.is_adaptive else 1e-2
    prob = de.ODEProblem(SOURCE, tensor([1.0, 1.0]), (0.0, 2.0))
    sol = de.solve(
        prob, cls(), saveat=[1.0, 2.0], tstops=[1.0], abstol=1e-7, reltol=1e-7, dt=dt or None, engine="julia",
        maxiters=10**6,
    )  # fmt: skip
    plain = start()._module.seval(PLAIN)(cls.__name__, dt)
    expected = tensor([float(number) for number in str(plain).split(",")]).view(2, 2)
    # the same steps; rounding may differ, since the compiler may order the operations of f otherwise
    assert float((sol.raise_for_status().u - expected).abs().max()) < 1e-9


@pytest.mark.parametrize("alg", [de.Euler(), de.Heun(), de.RK4(), de.Tsit5(), de.SSPRK33(), de.Rodas5P()], ids=repr)
def test_measured_order(alg):
    prob = de.ODEProblem(smooth, smooth_solution(0.0), (0.0, 1.0))
    dts = [0.1, 0.05, 0.025, 0.0125]
    errors = []
    for dt in dts:
        sol = de.solve(prob, alg, dt=dt, adaptive=False, saveat=[1.0], engine="julia", compile=True)
        errors.append(float((sol.u[-1] - smooth_solution(1.0)).abs().max()))
    # the errors of order 5 come near round-off at the smallest step
    kept = [(dt, error) for dt, error in zip(dts, errors, strict=True) if error > 1e-11]
    assert slope(*zip(*kept, strict=True)) > alg.order - 0.3


def test_any_algorithm_by_name():
    prob = de.ODEProblem(lorenz, tensor([1.0, 0.0, 0.0]), (0.0, 1.0), tensor([10.0, 28.0, 8 / 3]))
    expected = de.solve(prob, de.Vern7(), saveat=1.0, abstol=1e-11, reltol=1e-11, engine="embedded").u
    for alg in (
        de.JuliaAlgorithm("Vern8", package="OrdinaryDiffEqVerner", lazy=False),
        de.JuliaAlgorithm("BS5"),
        de.JuliaAlgorithm("KenCarp5", autodiff=de.JuliaAlgorithm("AutoFiniteDiff", package="ADTypes")),
        de.AutoVern9(de.Rodas5P()),
    ):
        sol = de.solve(prob, alg, saveat=1.0, abstol=1e-9, reltol=1e-9, engine="julia")
        # the flow expands errors of 1e-9 a step by some thousands, over some hundred steps
        assert float((sol.u - expected).abs().max()) < 1e-3


def test_names_that_are_not_there():
    prob = de.ODEProblem(SOURCE, tensor([1.0, 1.0]), (0.0, 1.0))
    with pytest.raises(de.UnsupportedError, match="no algorithm Tsit6"):
        de.solve(prob, de.JuliaAlgorithm("Tsit6"), engine="julia")
    with pytest.raises(de.UnsupportedError, match="NoSuchPackage is not in the project"):
        de.solve(prob, de.JuliaAlgorithm("Tsit5", package="NoSuchPackage"), engine="julia")
    with pytest.raises(de.UnsupportedError, match="has nothing named Tsit6"):
        de.solve(prob, de.JuliaAlgorithm("Tsit6", package="OrdinaryDiffEqTsit5"), engine="julia")
    with pytest.raises(de.InvalidOptionError, match="no_such_option"):
        de.solve(prob, de.JuliaAlgorithm("Tsit5", no_such_option=1), engine="julia")


@pytest.mark.parametrize(
    "controller",
    [de.IController(), de.PIController(beta1=0.14, beta2=0.08), de.PIDController()],
    ids=repr,
)
def test_controllers(controller):
    prob = de.ODEProblem(SOURCE, tensor([1.0, 1.0]), (0.0, 2.0))
    sol = de.solve(prob, de.Tsit5(), saveat=[2.0], abstol=1e-8, reltol=1e-8, controller=controller, engine="julia")
    assert float((sol.u[-1] - solution(2.0)).abs().max()) < 1e-6


def test_the_predictive_controller_is_for_stiff_methods():
    prob = de.ODEProblem(SOURCE, tensor([1.0, 1.0]), (0.0, 2.0))
    with pytest.raises(de.UnsupportedError, match="methods with Newton's iteration"):
        de.solve(prob, de.Tsit5(), controller=de.PredictiveController(), engine="julia")
    sol = de.solve(
        prob,
        de.KenCarp4(),
        saveat=[2.0],
        abstol=1e-8,
        reltol=1e-8,
        controller=de.PredictiveController(),
        engine="julia",
    )
    # 1e-8 a step, over some dozens of steps; the estimate belongs to the embedded method of order 3
    assert float((sol.u[-1] - solution(2.0)).abs().max()) < 1e-5
