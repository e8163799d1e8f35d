"""Reverse mode through the steps of Julia's solvers, for torch functions."""

import pytest
import torch
from problems import EXPLICIT, ROSENBROCK, NestedParameters, relative, tensor, van_der_pol
from sources import KINDS

import pydiffeqflux as de
from pydiffeqflux._engines.julia import _discrete

pytestmark = pytest.mark.julia

ROUNDING = 1e-12
"""The same operations in another order; the coefficients of high-order methods are as large as 100."""
FIXED = {"adaptive": False, "dt": 0.07}
TORCH = ("compiled", "callback")


def driven(u, p, t):
    """Depends on the time, so that the time derivative in a Rosenbrock step counts, and not linearly."""
    x, y = u.unbind(-1)
    a, b, c, d = p.unbind(-1)
    return torch.stack([a * x - b * x * y + 0.1 * torch.sin(3 * t) * y, d * x * y - c * y * t], -1)


def leaves():
    return tensor([1.0, 1.2], grad=True), tensor([1.5, 1.0, 3.0, 0.9], grad=True)


def gradients(engine, alg, *, f=driven, tspan=(0.0, 2.0), inputs=None, loss=None, sensealg=None, **options):
    u0, p = inputs or leaves()
    options = ({} if "dense" in options else {"saveat": [0.0, 0.3, 1.1, 1.12, 1.7, 2.0]}) | options
    sol = de.solve(
        de.ODEProblem(f, u0, tspan, p), alg, sensealg=sensealg or de.ReverseDiffAdjoint(), engine=engine, **options
    )
    value = (sol.u**2).sum() if loss is None else loss(sol)
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, [u0, p])])


# ---- the same numbers as the embedded engine, whose derivatives are compared with finite differences


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("alg", [*EXPLICIT, *ROSENBROCK], ids=repr)
def test_every_method_on_fixed_steps(alg, kind):
    """Save points at both ends, at the end of a step, alone in a step, and two in one."""
    exact = gradients("embedded", alg, **FIXED)
    assert relative(gradients("julia", alg, **FIXED, **KINDS[kind]), exact) < ROUNDING


@pytest.mark.parametrize("alg", [*EXPLICIT, *ROSENBROCK], ids=repr)
def test_backwards_in_time(alg):
    options = {"tspan": (2.0, 0.0), "saveat": [1.7, 0.3, 0.28, 0.0], **FIXED}
    exact = gradients("embedded", alg, **options)
    assert relative(gradients("julia", alg, **options, compile=True), exact) < ROUNDING


@pytest.mark.parametrize("alg", [de.RK4(), de.Tsit5(), de.Vern7(), de.Rodas5P()], ids=repr)
@pytest.mark.parametrize(
    ("times", "loss"),
    [
        ([2.0], lambda sol: sol.u.sum()),
        ([0.3], lambda sol: sol.u.sum()),
        ([0.0], lambda sol: sol.u.square().sum()),
        ([1.97, 2.0], lambda sol: sol.u[0].sum()),
    ],
    ids=["the end", "within", "the start", "the last step"],
)
def test_few_save_points(alg, times, loss):
    exact = gradients("embedded", alg, saveat=times, loss=loss, **FIXED)
    assert relative(gradients("julia", alg, saveat=times, loss=loss, **FIXED, compile=True), exact) < ROUNDING


@pytest.mark.parametrize("kind", TORCH)
def test_the_solution_at_any_time(kind):
    def loss(sol):
        return (sol([1.5, 0.25]) * tensor([[1.0, 2.0], [3.0, 4.0]])).sum()

    exact = gradients("embedded", de.Tsit5(), dense=True, loss=loss, **FIXED)
    assert relative(gradients("julia", de.Tsit5(), dense=True, loss=loss, **FIXED, **KINDS[kind]), exact) < ROUNDING


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("alg", [de.Rodas4(), de.Rodas5P()], ids=repr)
@pytest.mark.parametrize("last", [1.0, 0.0], ids=["regular", "singular"])
def test_mass_matrices(alg, kind, last):
    mass = tensor([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, last]])

    def f(u, p, t):
        x, y, z = u.unbind()
        return torch.stack([-p[0] * x + z * torch.sin(t), p[1] * x - y * y, x + y * p[1] - z])

    def run(engine, **options):
        xy, p = tensor([1.0, 0.5], grad=True), tensor([1.3, 0.7], grad=True)
        u0 = torch.stack([xy[0], xy[1], xy[0] + xy[1] * p[1]])
        prob = de.ODEProblem(f, u0, (0.0, 2.0), p, mass_matrix=mass)
        sol = de.solve(prob, alg, saveat=[0.5, 1.7], sensealg=de.ReverseDiffAdjoint(), engine=engine, **options)
        return torch.cat(torch.autograd.grad((sol.u**2).sum(), [xy, p]))

    assert relative(run("julia", **FIXED, **KINDS[kind]), run("embedded", **FIXED)) < ROUNDING


@pytest.mark.parametrize("kind", TORCH)
def test_float32(kind):
    inputs = [x.detach().float().requires_grad_() for x in leaves()]
    for alg in (de.Tsit5(), de.Rodas5P()):
        actual = gradients("julia", alg, inputs=inputs, **FIXED, **KINDS[kind])
        assert actual.dtype == torch.float32
        # the loss has 300 additions a component
        assert relative(actual.double(), gradients("embedded", alg, **FIXED)) < 300 * 2**-24


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_a_batch_a_module_and_nested_parameters(alg, kind):
    torch.manual_seed(0)
    model, u0 = NestedParameters(), torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    p = {"a": {"b": tensor([[2.0, 1.0]], grad=True)}, "c": (tensor(0.3, grad=True), tensor(1.0))}
    inputs = [u0, p["a"]["b"], p["c"][0], *model.parameters()]

    def run(engine, **options):
        prob = de.ODEProblem(model, u0, (0.0, 1.0), p)
        sol = de.solve(prob, alg, saveat=0.3, sensealg=de.ReverseDiffAdjoint(), engine=engine, **FIXED, **options)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad((sol.u**2).sum(), inputs)])

    assert relative(run("julia", **KINDS[kind]), run("embedded")) < ROUNDING


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("alg", [de.Tsit5(), de.Rodas5P()], ids=repr)
def test_no_parameters(alg, kind):
    def run(engine, **options):
        u0 = tensor([0.5, 2.0], grad=True)
        prob = de.ODEProblem(lambda u, p, t: -(u**2), u0, (0.0, 1.0))
        sol = de.solve(prob, alg, saveat=[0.31, 1.0], sensealg=de.ReverseDiffAdjoint(), engine=engine, **options)
        return torch.autograd.grad(sol.u.sum(), u0)[0]

    assert relative(run("julia", **FIXED, **KINDS[kind]), run("embedded", **FIXED)) < ROUNDING


@pytest.mark.parametrize("kind", TORCH)
def test_a_constant_derivative(kind):
    """Nothing to differentiate in f, neither once nor twice."""
    u0 = tensor([0.5, 2.0], grad=True)
    prob = de.ODEProblem(lambda u, p, t: 0.0 * u + 1.0, u0, (0.0, 1.0))
    for alg in (de.Tsit5(), de.Rodas5P()):
        sol = de.solve(prob, alg, saveat=[1.0], sensealg=de.ReverseDiffAdjoint(), engine="julia", **KINDS[kind])
        assert torch.equal(torch.autograd.grad(sol.u.sum(), u0)[0], torch.ones_like(u0))


def test_a_complex_state_is_called_back():
    def run(engine, **options):
        u0 = torch.tensor([1 + 1j, 2.0], dtype=torch.complex128, requires_grad=True)
        omega = tensor([2.0, 0.5], grad=True)
        prob = de.ODEProblem(lambda u, p, t: 1j * p * u - 0.1 * u * u.abs() ** 2, u0, (0.0, 1.0), omega)
        sol = de.solve(
            prob, de.Rodas5P(), saveat=[0.5, 1.0], sensealg=de.ReverseDiffAdjoint(), engine=engine, **FIXED, **options
        )
        du0, dp = torch.autograd.grad((sol.u.real**2 + 3 * sol.u.imag).sum(), [u0, omega])
        return torch.cat([torch.view_as_real(du0).reshape(-1), dp])

    assert relative(run("julia", compile=False), run("embedded")) < ROUNDING


# ---- adaptive steps: exact for the steps that were made, and so as accurate as the solution


@pytest.mark.parametrize("alg", [de.BS3(), de.DP5(), de.Tsit5(), de.Vern7(), de.Rodas4(), de.Rodas5P()], ids=repr)
def test_adaptive_steps(alg):
    tight = {"abstol": 1e-12, "reltol": 1e-12}
    exact = gradients("julia", de.Vern7(), **tight, compile=True)
    assert relative(gradients("julia", alg, abstol=1e-9, reltol=1e-9, compile=True), exact) < 1e-6


@pytest.mark.parametrize("alg", [None, de.AutoTsit5(de.Rosenbrock23()), de.AutoVern7(de.Rodas5P())], ids=repr)
def test_switches_between_methods(alg):
    """A stiff oscillator with phases where each of the two methods is chosen."""

    def run(engine, sensealg, alg, tol):
        u0, p = tensor([2.0, 0.0], grad=True), tensor([20.0], grad=True)
        options = {"saveat": [0.5, 10.0], "abstol": tol, "reltol": tol, "sensealg": sensealg, "engine": engine}
        sol = de.solve(de.ODEProblem(van_der_pol, u0, (0.0, 12.0), p), alg, **options)
        return torch.cat(torch.autograd.grad(sol.u.square().sum(), [u0, p]))

    exact = run("embedded", de.ReverseDiffAdjoint(), de.Vern7(), 1e-11)
    # of the second order: a thousand steps of a method of order 2 at this tolerance
    bar = 1e-3 if "Rosenbrock23" in repr(alg) else 1e-5
    assert relative(run("julia", de.ReverseDiffAdjoint(), alg, 1e-8), exact) < bar


def test_the_work_is_counted():
    u0, p = leaves()
    prob = de.ODEProblem(driven, u0, (0.0, 2.0), p)
    for options in (KINDS["compiled"], KINDS["callback"]):
        sol = de.solve(prob, de.Tsit5(), saveat=[2.0], sensealg=de.ReverseDiffAdjoint(), engine="julia", **options)
        sol.u.sum().backward()
        # one product a stage: the first stage of a step is the last of the step before
        assert sol.stats.nf_adjoint == 6 * sol.stats.naccept


# ---- the choice


def test_it_is_the_default_for_torch_functions_and_explicit_methods():
    u0, p = leaves()
    prob = de.ODEProblem(driven, u0, (0.0, 0.1), p)
    for alg, expected in ((de.Tsit5(), de.ReverseDiffAdjoint()), (None, de.GaussAdjoint()),
                          (de.Rodas5P(), de.GaussAdjoint()),
                          (de.FBDF(), de.GaussAdjoint()), (de.Vern9(), de.GaussAdjoint())):  # fmt: skip
        assert de.solve(prob, alg, engine="julia", compile=False).sensealg == expected
    source = de.ODEProblem(de.JuliaSource("(u, p, t) -> -p[1] .* u"), u0, (0.0, 0.1), p)
    assert de.solve(source, de.Tsit5(), engine="julia").sensealg == de.GaussAdjoint()


def test_the_default_for_many_states_and_a_stiff_method_is_gauss():
    u0 = torch.ones(2001, dtype=torch.float64, requires_grad=True)
    prob = de.ODEProblem(lambda u, p, t: -u, u0, (0.0, 1e-3))
    options = {"engine": "julia", "compile": False, "save_everystep": False}
    assert de.solve(prob, de.Rosenbrock23(), **options).sensealg == de.GaussAdjoint()
    assert de.solve(prob, de.Tsit5(), **options).sensealg == de.ReverseDiffAdjoint()
    with pytest.raises(de.UnsupportedError, match=r"up to 2000 states.*2001.*GaussAdjoint"):
        de.solve(prob, de.Rosenbrock23(), sensealg=de.ReverseDiffAdjoint(), **options)


@pytest.mark.parametrize("alg", [de.KenCarp4(), de.FBDF(), de.Vern9(), de.AutoVern9(de.Rodas5P())], ids=repr)
def test_other_methods_are_refused(alg):
    with pytest.raises(de.UnsupportedError, match=r"cannot repeat the steps.*Tsit5.*GaussAdjoint"):
        gradients("julia", alg)


# ---- never a wrong gradient


def test_an_f_that_cannot_be_differentiated_twice():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u):
            ctx.save_for_backward(u)
            return u * u

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, v):
            return 2 * ctx.saved_tensors[0] * v

    def run(alg, sensealg=None):
        u0 = tensor([0.5], grad=True)
        prob = de.ODEProblem(lambda u, p, t: -Square.apply(u), u0, (0.0, 1.0))
        options = {"abstol": 1e-8, "reltol": 1e-8, "sensealg": sensealg, "compile": False}
        sol = de.solve(prob, alg, saveat=[1.0], engine="julia", **options)
        return torch.autograd.grad(sol.u.sum(), u0)[0].item()

    # u = u0 / (1 + u0 t)
    assert abs(run(de.Tsit5()) - 1 / 1.5**2) < 1e-6
    assert abs(run(de.Rodas5P(), de.GaussAdjoint()) - 1 / 1.5**2) < 1e-6
    with pytest.raises(de.GradientError, match=r"twice.*GaussAdjoint"):
        run(de.Rodas5P(), de.ReverseDiffAdjoint())


def test_steps_of_another_method_are_noticed(monkeypatch):
    monkeypatch.setattr(de.Rodas5P, "tableau", de.Rodas4.tableau)
    monkeypatch.setattr("pydiffeqflux._engines.julia._choices.Choices.discrete_adjoint",
                        lambda self, alg: _discrete.discrete_adjoint(self._bridge, alg))  # fmt: skip
    with pytest.raises(de.GradientError, match=r"could not be repeated.*GaussAdjoint"):
        gradients("julia", de.Rodas5P(), compile=False)


def test_what_f_raises_in_the_backward_pass_comes_out():
    calls = []

    def f(u, p, t):
        calls.append(t)
        if armed:
            raise RuntimeError("no more")
        return -p * u

    armed = False
    u0, p = tensor([1.0]), tensor([1.0], grad=True)
    sol = de.solve(de.ODEProblem(f, u0, (0.0, 1.0), p), de.Rodas5P(), saveat=[1.0], engine="julia", compile=False)
    armed = True
    with pytest.raises(RuntimeError, match="no more"):
        sol.u.sum().backward()


@pytest.mark.parametrize("kind", TORCH)
def test_parameters_modified_after_the_solve_are_noticed(kind):
    p = tensor([1.0], grad=True)
    prob = de.ODEProblem(lambda u, p, t: -p * u, tensor([1.0]), (0.0, 1.0), p)
    sol = de.solve(prob, de.Tsit5(), saveat=[1.0], engine="julia", **KINDS[kind])
    with torch.no_grad():
        p.mul_(2.0)
    with pytest.raises(de.GradientError, match="modified in place"):
        sol.u.sum().backward()
