"""Every sensealg for every kind of right-hand side: the right gradient, or a refusal with its reason."""

import math

import pytest
import torch
from problems import NestedParameters, lotka_volterra, relative, tensor
from sources import KINDS, SOURCES

import pydiffeqflux as de
from pydiffeqflux._engines.julia._support import SENSEALGS

pytestmark = [pytest.mark.julia, pytest.mark.slow]
BAR = 1e-6
TOL = {"abstol": 1e-10, "reltol": 1e-10}
TIMES = [0.3, 1.1, 1.7]
SPAN = (0.0, 2.0)
CONTINUOUS = [
    de.GaussAdjoint(),
    de.GaussAdjoint(checkpointing=True),
    de.GaussKronrodAdjoint(),
    de.GaussKronrodAdjoint(checkpointing=True),
    de.QuadratureAdjoint(),
    de.InterpolatingAdjoint(),
    de.InterpolatingAdjoint(checkpointing=True),
    de.BacksolveAdjoint(),
    de.BacksolveAdjoint(checkpointing=False),
]
DISCRETE = [de.ForwardDiffSensitivity(), de.ReverseDiffAdjoint(), de.TrackerAdjoint()]
CHOICES = {
    "reverse": de.ReverseDiffVJP(),
    "tape": de.ReverseDiffVJP(compile=True),
    "tracker": de.TrackerVJP(),
    "forward": True,
    "finite": False,
}


def right_hand_side(kind):
    return SOURCES["lotka_volterra"] if kind == "source" else lotka_volterra


def leaves():
    return tensor([1.0, 1.2], grad=True), tensor([1.5, 1.0, 3.0], grad=True)


def gradients(f, sensealg, *, loss=None, tspan=SPAN, alg=None, engine="julia", inputs=None, **options):
    """The gradients with respect to u0 and p behind one another."""
    u0, p = inputs or leaves()
    options = TOL | ({} if "dense" in options else {"saveat": TIMES}) | options
    sol = de.solve(
        de.ODEProblem(f, u0, tspan, p), alg or de.Vern7(), sensealg=sensealg, engine=engine, **options
    ).raise_for_status()
    value = (sol.u**2).sum() if loss is None else loss(sol)
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, [u0, p])])


def expected(**options):
    return gradients(lotka_volterra, de.ReverseDiffAdjoint(), engine="embedded", **options)


# ---- every sensealg


def test_the_lists_above_are_complete():
    assert {type(s) for s in (*CONTINUOUS, *DISCRETE, de.ForwardSensitivity())} == set(SENSEALGS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sensealg", CONTINUOUS, ids=repr)
def test_continuous_adjoints(sensealg, kind):
    assert relative(gradients(right_hand_side(kind), sensealg, **KINDS[kind]), expected()) < BAR


@pytest.mark.parametrize("sensealg", DISCRETE, ids=repr)
def test_differentiation_of_the_solver(sensealg):
    assert relative(gradients(SOURCES["lotka_volterra"], sensealg), expected()) < BAR
    for kind in ("compiled", "callback"):
        if isinstance(sensealg, de.ReverseDiffAdjoint):
            assert relative(gradients(lotka_volterra, sensealg, **KINDS[kind]), expected()) < BAR
            continue
        with pytest.raises(de.UnsupportedError, match=r"use GaussAdjoint.*ReverseDiffAdjoint"):
            gradients(lotka_volterra, sensealg, **KINDS[kind])


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize(
    "cls",
    [de.GaussAdjoint, de.GaussKronrodAdjoint, de.QuadratureAdjoint, de.InterpolatingAdjoint, de.BacksolveAdjoint],
)
def test_choices_of_vector_jacobian_products(cls, name):
    sensealg = cls(autojacvec=CHOICES[name])
    quadrature = cls not in (de.InterpolatingAdjoint, de.BacksolveAdjoint)
    if quadrature and name in ("tracker", "forward"):
        with pytest.raises(de.UnsupportedError, match="ReverseDiffVJP"):
            gradients(SOURCES["lotka_volterra"], sensealg)
        return
    actual = gradients(SOURCES["lotka_volterra"], sensealg)
    # finite differences with steps of sqrt(eps) have an error of 1e-8 times the second derivatives
    assert relative(actual, expected()) < BAR
    with pytest.raises(de.UnsupportedError, match="leave autojacvec out"):
        gradients(lotka_volterra, sensealg)


@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(), de.InterpolatingAdjoint(), de.BacksolveAdjoint()], ids=repr)
@pytest.mark.parametrize("alg", [de.KenCarp4(), de.AutoTsit5(de.Rosenbrock23()), None], ids=repr)
def test_other_algorithms(alg, sensealg):
    tight = {"abstol": 1e-9, "reltol": 1e-9}
    assert relative(gradients(SOURCES["lotka_volterra"], sensealg, alg=alg, **tight), expected()) < BAR


@pytest.mark.parametrize("sensealg", [de.InterpolatingAdjoint(), de.BacksolveAdjoint()], ids=repr)
@pytest.mark.parametrize("alg", [de.KenCarp4(), de.Rodas5P()], ids=repr)
def test_implicit_adjoints_with_parameters_are_repeatable(alg, sensealg):
    """A Jacobian with elements that were never written shows as steps whose number varies."""
    counts, found = set(), []
    for _ in range(4):
        u0, p = leaves()
        prob = de.ODEProblem(lotka_volterra, u0, SPAN, p)
        sol = de.solve(prob, alg, saveat=TIMES, sensealg=sensealg, engine="julia", compile=True, **TOL)
        (sol.u**2).sum().backward()
        counts.add(sol.stats.nf_adjoint)
        found.append(torch.cat([u0.grad, p.grad]))
    assert len(counts) == 1
    assert all(torch.equal(g, found[0]) for g in found)
    assert relative(found[0], expected()) < BAR


def test_the_quadrature_has_tolerances_of_its_own():
    exact = expected()
    loose = de.QuadratureAdjoint(abstol=1e3, reltol=1e3)
    by_default = gradients(lotka_volterra, de.QuadratureAdjoint(), compile=False)
    # one Gauss-Kronrod rule a step of Vern7 is as good as its dense output
    assert relative(by_default, exact) < BAR
    assert relative(gradients(lotka_volterra, loose, compile=False), exact) < BAR


# ---- save points


@pytest.mark.parametrize("kind", ["callback", "source"])
@pytest.mark.parametrize("sensealg", [*CONTINUOUS, de.ForwardDiffSensitivity()], ids=repr)
@pytest.mark.parametrize(
    ("times", "loss"),
    [
        ([0.0, 1.0, 2.0], lambda sol: (sol.u**2).sum()),
        ([0.0, 0.5], lambda sol: (3 * sol.u[0]).sum()),
        ([2.0], lambda sol: sol.u.sum()),
        ([0.3, 0.7, 1.1, 1.9], lambda sol: (sol.u[1] * sol.u[2]).sum()),
    ],
    ids=["both ends", "the start", "the end", "within"],
)
def test_save_points(times, loss, sensealg, kind):
    if kind == "callback" and isinstance(sensealg, de.ForwardDiffSensitivity):
        return
    actual = gradients(right_hand_side(kind), sensealg, saveat=times, loss=loss, **KINDS[kind])
    assert relative(actual, expected(saveat=times, loss=loss)) < BAR


@pytest.mark.parametrize("kind", ["callback", "source"])
@pytest.mark.parametrize("sensealg", CONTINUOUS, ids=repr)
def test_the_solution_at_any_time(sensealg, kind):
    def loss(sol):
        return (sol([1.5, 0.25]) * tensor([[1.0, 2.0], [3.0, 4.0]])).sum()

    actual = gradients(right_hand_side(kind), sensealg, dense=True, loss=loss, **KINDS[kind])
    assert relative(actual, expected(dense=True, loss=loss)) < BAR


@pytest.mark.parametrize("kind", ["callback", "source"])
@pytest.mark.parametrize("sensealg", [*CONTINUOUS, de.ForwardDiffSensitivity()], ids=repr)
def test_backwards_in_time(sensealg, kind):
    if kind == "callback" and isinstance(sensealg, de.ForwardDiffSensitivity):
        return
    options = {"tspan": (2.0, 0.0), "saveat": [1.7, 0.3, 0.0]}
    if getattr(sensealg, "checkpointing", False) and not isinstance(sensealg, de.BacksolveAdjoint):
        with pytest.raises(de.UnsupportedError, match="backwards in time"):
            gradients(right_hand_side(kind), sensealg, **options, **KINDS[kind])
        return
    actual = gradients(right_hand_side(kind), sensealg, **options, **KINDS[kind])
    assert relative(actual, expected(**options)) < BAR


# ---- states and parameters of all kinds


@pytest.mark.parametrize("kind", ["callback", "source"])
@pytest.mark.parametrize("shape", [(), (3,), (4, 3)])
def test_shapes_of_the_state(shape, kind):
    torch.manual_seed(1)
    base, weights = torch.rand(shape, dtype=torch.float64), torch.rand((3, *shape), dtype=torch.float64)
    f = de.JuliaSource("(u, p, t) -> -p .* u .^ 2") if kind == "source" else lambda u, p, t: -p * u**2

    def run(f, engine, sensealg, **options):
        inputs = base.clone().requires_grad_(), tensor(0.5, grad=True)
        return gradients(f, sensealg, inputs=inputs, engine=engine, loss=lambda sol: (weights * sol.u).sum(), **options)

    right = run(lambda u, p, t: -p * u**2, "embedded", de.ReverseDiffAdjoint())
    assert relative(run(f, "julia", None, **KINDS[kind]), right) < BAR


def test_nested_parameters_and_a_module():
    model, u0 = NestedParameters(), tensor([0.5, -0.5], grad=True)
    p = {"a": {"b": tensor([[2.0, 1.0]], grad=True)}, "c": (tensor(0.3, grad=True), tensor(1.0))}
    prob = de.ODEProblem(model, u0[None, :], SPAN, p)
    inputs = [u0, p["a"]["b"], p["c"][0], *model.parameters()]

    def run(engine, sensealg, **options):
        sol = de.solve(prob, de.Vern7(), saveat=TIMES, sensealg=sensealg, engine=engine, **TOL, **options)
        return torch.autograd.grad((sol.u**2).sum(), inputs)

    right = run("embedded", de.ReverseDiffAdjoint())
    for sensealg in (de.GaussAdjoint(), de.InterpolatingAdjoint(), de.QuadratureAdjoint(), de.BacksolveAdjoint()):
        for actual, exact in zip(run("julia", sensealg, compile=False), right, strict=True):
            assert relative(actual, exact) < BAR


@pytest.mark.parametrize("sensealg", [de.GaussAdjoint(), de.GaussAdjoint(autojacvec=de.ReverseDiffVJP())], ids=repr)
@pytest.mark.parametrize(
    ("p", "code"),
    [
        (tensor(2.0), "(u, p, t) -> -p .* u"),
        (tensor([2.0]), "(u, p, t) -> -p[1] .* u"),
        (tensor([[0.0, 2.0]]), "(u, p, t) -> -p[2, 1] .* u"),
        ({"rate": tensor(1.0), "more": {"factor": tensor([2.0])}}, "(u, p, t) -> -p.rate * p.more.factor[1] .* u"),
        ((tensor(1.0), tensor([2.0])), "(u, p, t) -> -p[1] * p[2][1] .* u"),
        ([tensor([[1.0]]), tensor([0.5, 2.0])], "(u, p, t) -> -p[1][1, 1] * p[2][2] .* u"),
    ],
    ids=["scalar", "vector", "matrix", "dict", "tuple", "list"],
)
def test_parameters_of_a_source(p, code, sensealg):
    tensors = list(torch.utils._pytree.tree_leaves(p))
    for leaf in tensors:
        leaf.requires_grad_().grad = None
    sol = de.solve(
        de.ODEProblem(de.JuliaSource(code), tensor([1.0, 3.0]), (0.0, 1.0), p),
        de.Vern7(), saveat=[1.0], sensealg=sensealg, engine="julia", **TOL,
    )  # fmt: skip
    sol.u.sum().backward()
    # u(1) = u0 exp(-r), where r = 2 is the product of all that is used
    for leaf in tensors:
        used = leaf.detach() != 0.5 if leaf.numel() > 1 else torch.ones_like(leaf, dtype=torch.bool)
        used &= leaf.detach() != 0
        right = torch.where(used, -4 * math.exp(-2) * 2 / leaf.detach().clamp(min=0.5), 0.0)
        assert relative(leaf.grad, right) < BAR


def test_a_leaf_that_is_not_asked_for_gets_none():
    p = {"a": tensor([1.0], grad=True), "b": tensor([2.0])}
    prob = de.ODEProblem(de.JuliaSource("(u, p, t) -> -p.a[1] * p.b[1] .* u"), tensor([1.0]), (0.0, 1.0), p)
    sol = de.solve(prob, de.Vern7(), saveat=[1.0], engine="julia", **TOL)
    sol.u.sum().backward()
    assert abs(p["a"].grad.item() + 2 * math.exp(-2)) < BAR
    assert p["b"].grad is None


@pytest.mark.parametrize("kind", ["callback", "source"])
@pytest.mark.parametrize("sensealg", [s for s in CONTINUOUS if not isinstance(s, de.GaussKronrodAdjoint)], ids=repr)
def test_float32_stays_float32(sensealg, kind):
    u0, p = (x.detach().float().requires_grad_() for x in leaves())
    prob = de.ODEProblem(right_hand_side(kind), u0, SPAN, p)
    options = {"sensealg": sensealg, "abstol": 1e-5, "reltol": 1e-5, "engine": "julia", **KINDS[kind]}
    if getattr(sensealg, "checkpointing", False) and not isinstance(sensealg, de.BacksolveAdjoint):
        with pytest.raises(de.UnsupportedError, match="float32"):
            de.solve(prob, de.Tsit5(), saveat=TIMES, **options)
        return
    sol = de.solve(prob, de.Tsit5(), saveat=TIMES, **options)
    (sol.u**2).sum().backward()
    assert {sol.u.dtype, sol.t.dtype, u0.grad.dtype, p.grad.dtype} == {torch.float32}
    # the loss and its derivatives are of size 10: 10 tolerances times 10
    assert relative(torch.cat([u0.grad, p.grad]).double(), expected()) < 1e-3


@pytest.mark.parametrize("sensealg", [None, de.QuadratureAdjoint(), de.InterpolatingAdjoint()], ids=repr)
def test_a_complex_state(sensealg):
    def run(engine, sensealg, **options):
        u0 = torch.tensor([1 + 1j, 2.0], dtype=torch.complex128, requires_grad=True)
        omega = tensor([2.0, 0.5], grad=True)
        prob = de.ODEProblem(lambda u, p, t: 1j * p * u - 0.1 * u * u.abs() ** 2, u0, (0.0, 1.0), omega)
        sol = de.solve(prob, de.Vern7(), saveat=[0.5, 1.0], sensealg=sensealg, engine=engine, **TOL, **options)
        return torch.autograd.grad((sol.u.real**2 + 3 * sol.u.imag).sum(), [u0, omega])

    right = run("embedded", de.ReverseDiffAdjoint())
    for actual, exact in zip(run("julia", sensealg, compile=False), right, strict=True):
        assert actual.dtype == exact.dtype
        assert relative(torch.view_as_real(actual) if actual.is_complex() else actual,
                        torch.view_as_real(exact) if exact.is_complex() else exact) < BAR  # fmt: skip


# ---- mass matrices

REGULAR = tensor([[2.0, 0.0, 0.3], [0.5, 1.0, 0.0], [0.0, 0.2, 1.5]])
SINGULAR = tensor([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
WITH_MASS = de.JuliaSource("""(du, u, p, t) -> begin
    a, b = p
    du[1] = -a * u[1] + u[3] * sin(t)
    du[2] = b * u[1] - u[2]^2
    du[3] = u[1] + u[2] * b - u[3]
end""")


def with_mass(u, p, t):
    x, y, z = u.unbind()
    a, b = p.unbind()
    return torch.stack([-a * x + z * torch.sin(t), b * x - y * y, x + y * b - z])


def gradients_with_mass(f, mass, sensealg, alg=None, engine="julia", tol=1e-8, **options):
    """The algebraic component begins where its equation puts it, so the gradient flows through that too."""
    xy, p = tensor([1.0, 0.5], grad=True), tensor([1.3, 0.7], grad=True)
    u0 = torch.stack([xy[0], xy[1], xy[0] + xy[1] * p[1]])
    sol = de.solve(
        de.ODEProblem(f, u0, SPAN, p, mass_matrix=mass), alg or de.Rodas5P(), saveat=[0.5, 1.0, 1.7],
        sensealg=sensealg, abstol=tol, reltol=tol, engine=engine, **options,
    )  # fmt: skip
    return torch.cat(torch.autograd.grad((sol.u**2).sum(), [xy, p]))


MASS = [
    *((s, "source") for s in CONTINUOUS if not (getattr(s, "checkpointing", False) and "Gauss" in type(s).__name__)),
    (de.ForwardDiffSensitivity(), "source"),
    (None, "source"),
    (None, "callback"),
    (de.GaussKronrodAdjoint(), "callback"),
    (de.QuadratureAdjoint(), "callback"),
    (None, "compiled"),
]


@pytest.mark.parametrize("mass", [REGULAR, SINGULAR], ids=["regular", "singular"])
@pytest.mark.parametrize(("sensealg", "kind"), MASS, ids=repr)
def test_mass_matrices(mass, sensealg, kind):
    right = gradients_with_mass(with_mass, mass, de.ReverseDiffAdjoint(), engine="embedded", tol=1e-10)
    f = WITH_MASS if kind == "source" else with_mass
    assert relative(gradients_with_mass(f, mass, sensealg, **KINDS[kind]), right) < BAR


@pytest.mark.parametrize(
    "sensealg", [de.GaussAdjoint(checkpointing=True), de.TrackerAdjoint(), de.ForwardSensitivity()]
)
def test_what_does_not_take_a_mass_matrix(sensealg):
    with pytest.raises(de.UnsupportedError, match=r"mass matri.*(leave|use)"):
        gradients_with_mass(WITH_MASS, REGULAR, sensealg, de.KenCarp4())


def test_an_explicit_method_does_not_take_a_mass_matrix():
    with pytest.raises(de.UnsupportedError, match="use Rodas5P"):
        gradients_with_mass(WITH_MASS, REGULAR, None, de.Tsit5())


def test_the_gradient_of_a_dae():
    """Robertson's problem with the conservation law in the place of the third equation."""
    mass = torch.diag(tensor([1.0, 1.0, 0.0]))
    source = de.JuliaSource("""(du, u, p, t) -> begin
        r = p[3] * u[2] * u[3]
        du[1] = r - p[1] * u[1]
        du[2] = p[1] * u[1] - r - p[2] * u[2]^2
        du[3] = u[1] + u[2] + u[3] - 1
    end""")

    def run(f, mass, engine, sensealg, tol):
        p = tensor([0.04, 3e7, 1e4], grad=True)
        prob = de.ODEProblem(f, tensor([1.0, 0.0, 0.0]), (0.0, 40.0), p, mass_matrix=mass)
        sol = de.solve(
            prob, de.Rodas5P(), saveat=[4.0, 40.0], abstol=1e-4 * tol, reltol=tol, sensealg=sensealg, engine=engine
        )
        return p.detach() * torch.autograd.grad((sol.u**2).sum(), p)[0]

    right = run(SOURCES["robertson"], None, "julia", de.GaussAdjoint(), 1e-9)
    for sensealg in (de.GaussAdjoint(), de.QuadratureAdjoint(), de.ForwardDiffSensitivity()):
        assert relative(run(source, mass, "julia", sensealg, 1e-9), right) < BAR


# ---- never a wrong gradient


def test_a_second_derivative_is_refused():
    u0, p = leaves()
    sol = de.solve(de.ODEProblem(SOURCES["lotka_volterra"], u0, SPAN, p), de.Tsit5(), saveat=TIMES, engine="julia")
    (first,) = torch.autograd.grad(sol.u.sum(), p, create_graph=True)
    with pytest.raises(de.GradientError, match="second derivatives"):
        first.sum().backward()


@pytest.mark.parametrize("sensealg", [de.InterpolatingAdjoint(), de.GaussAdjoint(), de.QuadratureAdjoint()], ids=repr)
def test_an_adjoint_that_runs_out_of_steps_raises(sensealg):
    p = tensor([1.0], grad=True)
    # the adjoint has an extra component that oscillates, so that it needs many more steps than the solve
    f = de.JuliaSource("(du, u, p, t) -> (du[1] = p[1]; du[2] = 1000 * u[2] * cos(1000 * t); nothing)")
    prob = de.ODEProblem(f, tensor([1.0, 0.0]), (0.0, 1.0), p)
    sol = de.solve(prob, de.Tsit5(), saveat=[1.0], maxiters=100, sensealg=sensealg, engine="julia", **TOL)
    assert sol.retcode.success
    with pytest.raises(de.GradientError, match=r"did not reach the start.*Larger maxiters.*GaussAdjoint") as caught:
        sol.u.sum().backward()
    assert "\n" not in str(caught.value)
    assert p.grad is None


def test_backward_twice_gives_the_same():
    u0, p = leaves()
    for kind in ("callback", "source"):
        prob = de.ODEProblem(right_hand_side(kind), u0, SPAN, p)
        sol = de.solve(prob, de.Tsit5(), saveat=TIMES, engine="julia", **KINDS[kind])
        first = torch.autograd.grad(sol.u.sum(), [u0, p], retain_graph=True)
        second = torch.autograd.grad(sol.u.sum(), [u0, p])
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
