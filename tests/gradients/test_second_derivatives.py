"""Second derivatives, by the steps of the solve made again as one graph."""

import pytest
import torch
from problems import tensor

import pydiffeqflux as de

TIGHT = {"abstol": 1e-10, "reltol": 1e-10}


def riccati(u, p, t):
    """Solved by u0 / (1 + p t u0)."""
    return -p * u**2


def exact(u0, p, times):
    return torch.stack([u0 / (1 + p * t * u0) for t in times])


@pytest.mark.parametrize("alg", [de.Tsit5(), de.Vern7(), de.Rodas5P()], ids=repr)
def test_hessians(alg):
    times = [0.0, 0.4, 1.0]

    def loss(u0, p):
        prob = de.ODEProblem(riccati, u0, (0.0, 1.0), p)
        sol = de.solve(prob, alg, saveat=times, sensealg=de.ReverseDiffAdjoint(), **TIGHT)
        return (sol.u**3).sum() + sol.u[1, 0] * sol.u[2, 1]

    def expected(u0, p):
        u = exact(u0, p, times)
        return (u**3).sum() + u[1, 0] * u[2, 1]

    inputs = tensor([1.0, 0.5]), tensor(0.7)
    found = torch.autograd.functional.hessian(loss, inputs)
    for row, other in zip(found, torch.autograd.functional.hessian(expected, inputs), strict=True):
        for block, wanted in zip(row, other, strict=True):
            torch.testing.assert_close(block, wanted, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("states", [2, 20], ids=["step by step", "taped"])
def test_hessian_vector_products_of_a_network(states):
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(states, 3), torch.nn.Tanh(), torch.nn.Linear(3, states)).double()
    node = de.NeuralODE(net, (0.0, 1.0), de.Tsit5(), sensealg=de.ReverseDiffAdjoint(), saveat=[1.0])
    u0 = torch.linspace(-1.0, 1.0, states, dtype=torch.float64)
    parameters = list(net.parameters())

    def norm(*, create_graph):
        grads = torch.autograd.grad((node(u0).u ** 2).sum(), parameters, create_graph=create_graph)
        return sum((g**2).sum() for g in grads)

    product = torch.autograd.grad(norm(create_graph=True), parameters)
    direction = [torch.randn_like(q) for q in parameters]
    found = sum((h * d).sum() for h, d in zip(product, direction, strict=True)).item()
    eps, values = 1e-5, []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            for q, d in zip(parameters, direction, strict=True):
                q.add_(d, alpha=sign * eps)
        values.append(norm(create_graph=False).item())
        with torch.no_grad():
            for q, d in zip(parameters, direction, strict=True):
                q.sub_(d, alpha=sign * eps)
    assert abs(found - (values[0] - values[1]) / (2 * eps)) < 1e-6 * abs(found)


def test_third_derivatives():
    u0, p = tensor([1.0], grad=True), tensor(0.7, grad=True)
    sol = de.solve(de.ODEProblem(riccati, u0, (0.0, 1.0), p), de.Vern7(), saveat=[1.0],
                   sensealg=de.ReverseDiffAdjoint(), **TIGHT)  # fmt: skip
    first = torch.autograd.grad(sol.u.sum(), p, create_graph=True)[0]
    second = torch.autograd.grad(first, p, create_graph=True)[0]
    third = torch.autograd.grad(second, p)[0]
    # ∂³/∂p³ of 1 / (1 + p)
    assert abs(third + 6 / 1.7**4) < 1e-6


@pytest.mark.parametrize("case", ["twice in p", "captured too", "computed from each other", "u0 and p"])
def test_one_tensor_that_is_several_inputs(case):
    a = tensor(0.7, grad=True)
    one = torch.ones(1, dtype=torch.float64)
    f, u0, p, exact = {
        "twice in p": (lambda u, p, t: -(p[0] + p[1]) * u, one, [a, a], lambda a: (-2 * a).exp()),
        "captured too": (lambda u, p, t: -(p + a) * u, one, a, lambda a: (-2 * a).exp()),
        "computed from each other": (lambda u, p, t: -(p[0] + p[1]) * u, one, [a, a * 1], lambda a: (-2 * a).exp()),
        "u0 and p": (lambda u, p, t: -p * u, a.reshape(1), a, lambda a: a * (-a).exp()),
    }[case]
    sol = de.solve(de.ODEProblem(f, u0, (0.0, 1.0), p), de.Tsit5(), saveat=[1.0], sensealg=de.ReverseDiffAdjoint(),
                   **TIGHT)  # fmt: skip
    (first,) = torch.autograd.grad(sol.u.sum(), a, create_graph=True)
    (second,) = torch.autograd.grad(first, a)
    b = tensor(0.7, grad=True)
    (expected,) = torch.autograd.grad(exact(b), b, create_graph=True)
    assert abs(first - expected) < 1e-8
    assert abs(second - torch.autograd.grad(expected, b)[0]) < 1e-7


def test_complex_states():
    u0 = torch.tensor([1.0 + 0.5j], dtype=torch.complex128)
    p = tensor(0.7, grad=True)
    prob = de.ODEProblem(lambda u, p, t: 1j * p * u, u0, (0.0, 1.0), p)
    sol = de.solve(prob, de.Vern7(), saveat=[1.0], sensealg=de.ReverseDiffAdjoint(), **TIGHT)
    (first,) = torch.autograd.grad(sol.u.real.sum(), p, create_graph=True)
    (second,) = torch.autograd.grad(first, p)
    assert abs(second + (u0 * torch.exp(torch.tensor(0.7j, dtype=torch.complex128))).real.sum()) < 1e-8


@pytest.mark.parametrize(
    ("alg", "sensealg"),
    [
        (de.Tsit5(), de.GaussAdjoint()),
        (de.Tsit5(), de.ForwardDiffSensitivity()),
        (de.KenCarp4(), de.ReverseDiffAdjoint()),
    ],
    ids=repr,
)
def test_elsewhere_the_refusal_is_clear(alg, sensealg):
    p = tensor(0.7, grad=True)
    sol = de.solve(de.ODEProblem(riccati, tensor([1.0]), (0.0, 1.0), p), alg, sensealg=sensealg)
    (first,) = torch.autograd.grad(sol.u[-1].sum(), p, create_graph=True)
    with pytest.raises(de.GradientError, match="second derivatives"):
        first.backward()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of what it imports for these
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: torch.func.grad(lambda u: f(u).sum())(torch.ones(2)),
        lambda f: torch.func.jacrev(f)(torch.ones(2)),
        lambda f: torch.func.hessian(f)(torch.ones(2)),
        lambda f: torch.func.vmap(f)(torch.ones(3, 2)),
        lambda f: torch.func.jvp(f, (torch.ones(2),), (torch.ones(2),)),
        lambda f: torch.func.vjp(f, torch.ones(2)),
    ],
    ids=["grad", "jacrev", "hessian", "vmap", "jvp", "vjp"],
)
def test_transforms_of_torch_func_are_refused(transform):
    with pytest.raises(de.UnsupportedError, match=r"torch.func .* cannot transform a solve"):
        transform(lambda u: de.solve(de.ODEProblem(riccati, u, (0.0, 1.0), 1.0)).u[-1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of what it imports for this
def test_forward_mode_of_torch_is_refused():
    with torch.autograd.forward_ad.dual_level():
        u0 = torch.autograd.forward_ad.make_dual(torch.ones(2), torch.ones(2))
        with pytest.raises(de.UnsupportedError, match="forward-mode AD"):
            de.ODEProblem(riccati, u0, (0.0, 1.0), 1.0)
