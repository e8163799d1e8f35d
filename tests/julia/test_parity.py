"""Solutions and gradients against the references, and against the embedded engine."""

import pytest
import torch
from problems import half_square_distance, reference, relative
from sources import KINDS, SOURCES, problem

import pydiffeqflux as de

pytestmark = pytest.mark.julia
BAR = 1e-6
ADJOINTS = (
    de.GaussAdjoint(),
    de.GaussKronrodAdjoint(),
    de.QuadratureAdjoint(),
    de.InterpolatingAdjoint(),
    de.InterpolatingAdjoint(checkpointing=True),
    de.GaussAdjoint(checkpointing=True),
    de.BacksolveAdjoint(),
)
BY_JULIA_AD = (
    de.ForwardDiffSensitivity(),
    de.ReverseDiffAdjoint(),
    de.TrackerAdjoint(),
    de.GaussAdjoint(autojacvec=de.ReverseDiffVJP(compile=True)),
    de.InterpolatingAdjoint(autojacvec=de.TrackerVJP()),
    de.InterpolatingAdjoint(autojacvec=True),
    de.InterpolatingAdjoint(autojacvec=False),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "alg"),
    [
        ("lotka_volterra", de.Vern7()),
        ("lorenz", de.Vern7()),
        ("robertson", de.Rodas5P()),
        ("van_der_pol_1e3", de.Rodas5P()),
        ("robertson", None),
    ],
    ids=repr,
)
def test_solutions(name, alg, kind):
    ref = reference(name)
    prob, *_ = problem(ref, kind)
    # chaos multiplies errors by exp(0.906 t): Lorenz is held to what that leaves of the tolerance
    tol = 1e-12 if name == "lorenz" else 1e-8
    growth = 1e5 if name == "lorenz" else 10
    sol = de.solve(prob, alg, saveat=ref.t, abstol=tol, reltol=tol, engine="julia", **KINDS[kind]).raise_for_status()
    assert sol.engine == "julia"
    bound = growth * tol * (1 + ref.u.abs())
    # the relaxation oscillation moves by the speed of its jumps times an error in time
    if name == "van_der_pol_1e3":
        bound = bound * 1e3
    assert bool(((sol.u - ref.u).abs() <= bound).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sensealg", ADJOINTS, ids=repr)
def test_gradients_of_lotka_volterra(sensealg, kind):
    ref = reference("lotka_volterra")
    prob, u0, p = problem(ref, kind, grad=True)
    sol = de.solve(
        prob, de.Tsit5(), saveat=ref.t, abstol=1e-10, reltol=1e-10, sensealg=sensealg, engine="julia", **KINDS[kind]
    )
    half_square_distance(sol.u).backward()
    assert relative(u0.grad, ref.grad_u0) < BAR
    assert relative(p.grad, ref.grad_p) < BAR
    assert sol.stats.nf_adjoint > 0


@pytest.mark.parametrize("sensealg", BY_JULIA_AD, ids=repr)
def test_gradients_by_julias_own_ad(sensealg):
    ref = reference("lotka_volterra")
    prob, u0, p = problem(ref, "source", grad=True)
    sol = de.solve(prob, de.Tsit5(), saveat=ref.t, abstol=1e-10, reltol=1e-10, sensealg=sensealg, engine="julia")
    half_square_distance(sol.u).backward()
    assert relative(u0.grad, ref.grad_u0) < BAR
    assert relative(p.grad, ref.grad_p) < BAR


def test_forward_sensitivity_has_no_gradient_of_u0():
    ref = reference("lotka_volterra")
    prob, _, p = problem(ref, "source", grad=True)
    options = {"saveat": ref.t, "abstol": 1e-10, "reltol": 1e-10, "engine": "julia"}
    with pytest.raises(de.GradientError, match="with respect to u0"):
        de.solve(prob, de.Tsit5(), sensealg=de.ForwardSensitivity(), **options)
    sol = de.solve(de.remake(prob, u0=ref.u0), de.Tsit5(), sensealg=de.ForwardSensitivity(), **options)
    half_square_distance(sol.u).backward()
    assert relative(p.grad, ref.grad_p) < BAR


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(), de.GaussKronrodAdjoint(), de.QuadratureAdjoint()], ids=repr)
def test_gradients_of_robertson(sensealg, kind):
    ref = reference("robertson_gradient")
    prob, u0, p = problem(ref, kind, grad=True)
    sol = de.solve(
        prob, de.Rodas5P(), saveat=ref.t, abstol=1e-12, reltol=1e-9, sensealg=sensealg, engine="julia", **KINDS[kind]
    )
    half_square_distance(sol.u).backward()
    assert relative(u0.grad, ref.grad_u0) < BAR
    # the rate constants differ by nine powers of ten: what can be compared is the effect of a relative change
    assert relative(ref.p * p.grad, ref.p * ref.grad_p) < BAR


@pytest.mark.parametrize("kind", ["compiled", "callback"])
@pytest.mark.parametrize(
    ("name", "alg", "abstol", "reltol"),
    [
        ("lotka_volterra", de.Vern7(), 1e-10, 1e-10),
        ("lotka_volterra", de.Tsit5(), 1e-10, 1e-10),
        ("robertson_gradient", de.Rodas5P(), 1e-12, 1e-9),
        ("robertson_gradient", None, 1e-12, 1e-9),
    ],
    ids=repr,
)
def test_gradients_through_the_steps(name, alg, abstol, reltol, kind):
    ref = reference(name)
    prob, u0, p = problem(ref, kind, grad=True)
    options = {"sensealg": de.ReverseDiffAdjoint(), "engine": "julia", **KINDS[kind]}
    sol = de.solve(prob, alg, saveat=ref.t, abstol=abstol, reltol=reltol, **options)
    half_square_distance(sol.u).backward()
    assert relative(u0.grad, ref.grad_u0) < BAR
    assert relative(ref.p * p.grad, ref.p * ref.grad_p) < BAR


@pytest.mark.parametrize("sensealg", [de.ForwardDiffSensitivity(), de.TrackerAdjoint()])
def test_julias_ad_is_refused_for_torch_functions(sensealg):
    prob, *_ = problem(reference("lotka_volterra"), "callback", grad=True)
    with pytest.raises(de.UnsupportedError, match="cannot see into a torch function"):
        de.solve(prob, de.Tsit5(), sensealg=sensealg, engine="julia")


@pytest.mark.parametrize("sensealg", [de.ReverseDiffAdjoint(), de.TrackerAdjoint()])
def test_recording_is_refused_for_rosenbrock_methods(sensealg):
    prob, *_ = problem(reference("robertson"), "source", grad=True)
    with pytest.raises(de.UnsupportedError, match="KenCarp4"):
        de.solve(prob, de.Rodas5P(), sensealg=sensealg, engine="julia")


def test_an_adjoint_that_fails_raises():
    ref = reference("lorenz")
    prob, u0, _ = problem(ref, "source", grad=True)
    sol = de.solve(
        prob, de.Rodas5P(), saveat=1.0, abstol=1e-10, reltol=1e-10, maxiters=20_000,
        sensealg=de.BacksolveAdjoint(autojacvec=de.ReverseDiffVJP()), engine="julia",
    )  # fmt: skip
    with pytest.raises(de.GradientError, match="did not reach the start"):
        sol.u.sum().backward()
    assert u0.grad is None


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()

    def forward(self, u, p, t):
        return self.layers(u**3) * p["scale"] + torch.sin(t)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_a_network_agrees_with_the_embedded_engine(shape, compiled):
    network = Network()
    u0 = torch.randn(shape, dtype=torch.float64)
    weights = torch.randn(4, *shape, dtype=torch.float64)

    def gradients(engine, **options):
        leaf, scale = u0.clone().requires_grad_(), torch.tensor([0.5, 1.5], dtype=torch.float64, requires_grad=True)
        prob = de.ODEProblem(network, leaf, (1.0, -0.5), {"scale": scale})
        sol = de.solve(prob, de.Vern7(), saveat=0.5, abstol=1e-11, reltol=1e-11, engine=engine, **options)
        return torch.autograd.grad((weights * sol.u).sum(), [leaf, scale, *network.parameters()])

    expected = gradients("embedded", sensealg=de.ReverseDiffAdjoint())
    for actual, right in zip(gradients("julia", compile=compiled), expected, strict=True):
        assert relative(actual, right) < 1e-7


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32(kind):
    ref = reference("lotka_volterra")
    u0, p = ref.u0.float().requires_grad_(), ref.p.float().requires_grad_()
    f = SOURCES["lotka_volterra"] if kind == "source" else ref.problem()[0].f
    sol = de.solve(de.ODEProblem(f, u0, ref.tspan, p), de.Tsit5(), saveat=ref.t, engine="julia", **KINDS[kind])
    sol.u.sum().backward()
    assert sol.u.dtype == sol.t.dtype == u0.grad.dtype == p.grad.dtype == torch.float32
    # the default tolerance is 1e-3 a step
    assert relative(sol.u.detach().double(), ref.u) < 1e-1


def test_a_complex_state_is_called_back():
    omega = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    prob = de.ODEProblem(lambda u, p, t: 1j * p * u, torch.ones(1, dtype=torch.complex128), (0.0, 1.0), omega)
    sol = de.solve(prob, de.Tsit5(), saveat=1.0, abstol=1e-10, reltol=1e-10, engine="julia", compile=False)
    assert abs(sol.u[-1].item() - torch.exp(2j * torch.ones(())).item()) < 1e-6
    sol.u[-1].real.sum().backward()
    assert abs(omega.grad.item() + torch.sin(torch.tensor(2.0)).item()) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_singular_mass_matrix(kind):
    # the conservation law in the place of the third equation
    mass = torch.diag(torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))

    def f(u, p, t):
        y1, y2, y3 = u.unbind()
        r = p[2] * y2 * y3
        return torch.stack([r - p[0] * y1, p[0] * y1 - r - p[1] * y2 * y2, y1 + y2 + y3 - 1])

    source = de.JuliaSource("""(du, u, p, t) -> begin
        r = p[3] * u[2] * u[3]
        du[1] = r - p[1] * u[1]
        du[2] = p[1] * u[1] - r - p[2] * u[2]^2
        du[3] = u[1] + u[2] + u[3] - 1
    end""")
    ref = reference("robertson")
    prob = de.ODEProblem(source if kind == "source" else f, ref.u0, ref.tspan, ref.p, mass_matrix=mass)
    sol = de.solve(prob, de.Rodas5P(), saveat=ref.t, abstol=1e-10, reltol=1e-8, engine="julia", **KINDS[kind])
    assert relative(sol.raise_for_status().u, ref.u) < 1e-7


@pytest.mark.parametrize(
    ("p", "code"),
    [
        (2.0, "(u, p, t) -> -p .* u"),
        (torch.tensor([2.0]), "(u, p, t) -> -p[1] .* u"),
        (torch.tensor([[0.0, 2.0]]), "(u, p, t) -> -p[2, 1] .* u"),
        ({"rate": 1.0, "more": {"factor": torch.tensor([2.0])}}, "(u, p, t) -> -p.rate * p.more.factor[1] .* u"),
        ((1.0, torch.tensor([2.0])), "(u, p, t) -> -p[1] * p[2][1] .* u"),
    ],
)
def test_parameters_of_a_source(p, code):
    prob = de.ODEProblem(de.JuliaSource(code), [1.0, 2.0], (0.0, 1.0), p)
    sol = de.solve(prob, de.Tsit5(), saveat=1.0, abstol=1e-9, reltol=1e-9, engine="julia")
    assert sol.u[-1] == pytest.approx([0.1353352832, 2 * 0.1353352832], rel=1e-7)


def test_a_batch_is_reversed_in_julia():
    code = "(du, u, p, t) -> (du .= 0; for b in axes(u, 2); du[1, b] = u[2, b]; end)"
    u0 = torch.arange(6.0).reshape(3, 2).double()
    sol = de.solve(de.ODEProblem(de.JuliaSource(code), u0, (0.0, 1.0)), de.Tsit5(), saveat=1.0, engine="julia")
    expected = torch.stack([u0[:, 0] + u0[:, 1], u0[:, 1]], dim=1)
    assert relative(sol.u[-1], expected) < 1e-6


def test_the_state_can_be_a_number():
    for f, options in ((lambda u, p, t: -u, {"compile": True}), (de.JuliaSource("(u, p, t) -> -u"), {})):
        u0 = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        sol = de.solve(de.ODEProblem(f, u0, (0.0, 1.0)), de.Vern7(), saveat=1.0, engine="julia", **options)
        sol.u[-1].backward()
        assert sol.u.shape == (2,)
        assert abs(u0.grad.item() - 0.36787944) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["compiled", "callback"])
def test_pollution(kind):
    ref = reference("pollution")
    prob, u0, p = problem(ref, kind, grad=True)
    sol = de.solve(prob, de.Rodas5P(), saveat=ref.t, abstol=1e-11, reltol=1e-9, engine="julia", **KINDS[kind])
    assert relative(sol.u.detach(), ref.u) < BAR
    half_square_distance(sol.u).backward()
    assert relative(u0.grad, ref.grad_u0) < BAR
    # as for Robertson
    assert relative(ref.p * p.grad, ref.p * ref.grad_p) < BAR
