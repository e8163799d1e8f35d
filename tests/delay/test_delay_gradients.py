"""Gradients of delay equations: to states, parameters, modules, histories and delays, jumps among them."""

import pytest
import torch
from delayed import lotka_volterra, mackey_glass, reference, solve, tensor

import pydiffeqflux as de

TOL = {"abstol": 1e-11, "reltol": 1e-11}


def cosine(p, s):
    return torch.cos(s).reshape(1)


def difference(loss, x, step=2e-3):
    """The derivative by differences of fourth order."""
    with torch.no_grad():
        return float((8 * (loss(x + step) - loss(x - step)) - (loss(x + 2 * step) - loss(x - 2 * step))) / (12 * step))


def difference_of(x, i, value):
    """The derivative of what `value()` returns to element i of a tensor that it reads."""
    flat = x.data.reshape(-1)
    held = flat[i].item()

    def moved(to):
        flat[i] = to.item()
        return torch.tensor(value(), dtype=torch.float64)

    result = difference(moved, tensor(held))
    flat[i] = held
    return result


def assert_gradient(loss, value, rel=1e-7, step=2e-3):
    x = tensor(value, grad=True)
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert gradient.item() == pytest.approx(difference(loss, x.detach(), step), rel=rel)


@pytest.mark.parametrize(("alg", "tol"), [(de.Vern7(), 1e-10), (de.Rodas5P(), 1e-10)], ids=repr)
def test_mackey_glass(alg, tol):
    ref = reference("mackey_glass_gradient")
    p = tensor([ref["p"]["a"], ref["p"]["b"], ref["p"]["n"], ref["tau"]], grad=True)
    prob = de.DDEProblem(mackey_glass, tensor([0.5]), 0.5, (0.0, 100.0), p)
    (0.5 * ((1 - solve(prob, alg, abstol=tol, reltol=tol, saveat=10.0).u) ** 2).sum()).backward()
    expected = [ref["grad"]["a"], ref["grad"]["b"], ref["grad"]["n"]]
    assert p.grad[:3].tolist() == pytest.approx(expected, rel=1e-6)
    assert p.grad[3].item() == pytest.approx(ref["grad_lag"], rel=1e-5)


def test_lotka_volterra():
    ref = reference("delay_lotka_volterra_gradient")
    p = tensor([*ref["p"], ref["tau"]], grad=True)
    prob = de.DDEProblem(lotka_volterra, tensor([1.0, 1.0]), torch.ones(2), (0.0, 10.0), p)
    (0.5 * ((1 - solve(prob, **TOL, saveat=0.5).u) ** 2).sum()).backward()
    assert p.grad[:4].tolist() == pytest.approx(ref["grad_p"], rel=1e-6)
    assert p.grad[4].item() == pytest.approx(ref["grad_lag"], rel=1e-5)


@pytest.mark.parametrize("alg", [de.Vern7(), de.Rodas5P()], ids=repr)
@pytest.mark.parametrize("u0", [1.0, 2.0])
def test_the_gradient_of_a_delay_has_the_jump_where_u0_is_not_what_the_history_ends_with(alg, u0):
    def loss(tau):
        prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - p) * u, tensor([u0]), cosine, (0.0, 3.1), tau)
        return (solve(prob, alg, **TOL, saveat=[0.5, 1.3, 3.1]).u ** 2).sum()

    assert_gradient(loss, 0.7)


def test_the_gradient_of_a_delay_in_a_neutral_equation():
    def loss(tau):
        f = lambda u, h, p, t: 0.5 * h(p, t - p, derivative=1) - u * h(p, t - p)  # noqa: E731
        prob = de.DDEProblem(f, tensor([2.0]), cosine, (0.0, 3.1), tau, neutral=True)
        return (solve(prob, **TOL, saveat=[0.5, 1.3, 3.1]).u ** 2).sum()

    assert_gradient(loss, 0.7, rel=1e-6)


def test_the_gradient_through_a_delay_that_depends_on_the_state():
    # the delay first shrinks and then grows faster than time, so that the kink at 2.1 is passed both ways
    def loss(p, u0=2.0):
        lag = lambda u, p, t: 1.0 + p * u[0] ** 2  # noqa: E731
        f = lambda u, h, p, t: -h(p, t - lag(u, p, t))  # noqa: E731
        prob = de.DDEProblem(f, tensor([u0]), cosine, (0.0, 4.0), p, dependent_lags=[lag])
        return (solve(prob, abstol=1e-12, reltol=1e-12, saveat=[1.0, 4.0]).u ** 2).sum()

    assert_gradient(loss, 0.3, rel=1e-7, step=1e-4)


def test_a_jump_that_is_not_known_is_refused():
    tau = tensor(0.7, grad=True)
    f = lambda u, h, p, t: -h(p, t - tau) * u  # noqa: E731
    for u0, refused in ((2.0, True), (1.0, False)):
        prob = de.DDEProblem(f, tensor([u0]), cosine, (0.0, 3.1), constant_lags=())
        if refused:
            with pytest.raises(de.GradientError, match=r"sees the jump at the start.*constant_lags"):
                solve(prob)
        else:
            solve(prob).u[-1].sum().backward()
    with torch.no_grad():
        solve(de.remake(prob, u0=tensor([2.0])))


def test_steps_that_read_from_themselves():
    def loss(p):
        f = lambda u, h, p, t: -p * h(p, t - 0.02) * (1 + u)  # noqa: E731
        prob = de.DDEProblem(f, tensor([1.0]), cosine, (0.0, 2.0), p, constant_lags=())
        return (solve(prob, **TOL, saveat=[1.0, 2.0]).u ** 2).sum()

    assert_gradient(loss, 1.3, rel=1e-6)


def test_initial_state_and_histories():
    samples = tensor([[0.3], [0.7], [0.2]], grad=True)
    amplitude = tensor(1.5, grad=True)
    constant = tensor([0.4], grad=True)
    histories = {
        "samples": (de.SampledHistory([-2.0, -0.5, 0.0], samples), samples),
        "cubic": (de.SampledHistory([-2.0, -0.5, 0.0], samples, "cubic"), samples),
        "function": (lambda p, s: amplitude * torch.cos(s).reshape(1), amplitude),
        "constant": (constant, constant),
    }

    def loss(history, u0):
        prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 0.7) * u, u0, history, (0.0, 2.0))
        # the kinks of linear samples are seen at 0.2 and 0.7
        return (solve(prob, **TOL, d_discontinuities=[0.2]).u[-1] ** 2).sum()

    for name, (history, owner) in histories.items():
        u0 = tensor([2.0], grad=True)
        to_state, to_history = torch.autograd.grad(loss(history, u0), [u0, owner])
        for x, gradient in ((u0, to_state), (owner, to_history)):
            for i in range(x.numel()):
                expected = difference_of(x, i, lambda h=history, u0=u0: loss(h, u0).item())
                assert gradient.reshape(-1)[i].item() == pytest.approx(expected, rel=1e-6, abs=1e-8), name


def test_one_tensor_as_initial_state_and_history():
    u0 = tensor([2.0], grad=True)
    f = lambda u, h, p, t: -h(p, t - 0.7) * u  # noqa: E731
    (both,) = torch.autograd.grad(solve(de.DDEProblem(f, u0, u0, (0.0, 2.0)), **TOL).u[-1].sum(), u0)
    parts = [tensor([2.0], grad=True), tensor([2.0], grad=True)]
    apart = torch.autograd.grad(solve(de.DDEProblem(f, *parts, (0.0, 2.0)), **TOL).u[-1].sum(), parts)
    assert both.item() == pytest.approx(sum(g.item() for g in apart), rel=1e-9)


def test_a_solution_as_the_history_passes_the_gradient_on():
    def loss(p):
        past = de.solve(de.ODEProblem(lambda u, p, t: -p * u, tensor([1.0]), (-1.0, 0.0), p), de.Vern7(), **TOL)
        prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 1.0), past.u[-1], past, (0.0, 1.5))
        return solve(prob, **TOL).u[-1].sum()

    assert_gradient(loss, 0.8)


def test_dense_output_has_a_gradient():
    def loss(p):
        sol = solve(de.DDEProblem(lambda u, h, p, t: -p * h(p, t - 0.7) * u, tensor([1.0]), 1.0, (0.0, 2.0), p), **TOL)
        return sol(1.234).sum()

    assert_gradient(loss, 1.1)


def test_a_layer_learns_its_network_and_its_delay():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    lag = torch.nn.Parameter(tensor(0.4))
    layer = de.NeuralCDDE(network, (0.0, 1.5), None, [lag], de.MethodOfSteps(de.Vern7()), saveat=[0.7, 1.5], **TOL)
    assert len(list(layer.parameters())) == 5
    u0 = torch.rand(3, 1, dtype=torch.float64)

    def loss():
        return layer(u0).u.square().sum()

    loss().backward()
    for q in layer.parameters():
        i = q.numel() // 2
        expected = difference_of(q, i, lambda: loss().item())
        assert q.grad.reshape(-1)[i].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_what_is_modified_before_the_gradient_is_refused():
    p = tensor(1.0, grad=True)
    sol = solve(de.DDEProblem(lambda u, h, p, t: -p * h(p, t - 0.7), tensor([1.0]), 1.0, (0.0, 2.0), p))
    with torch.no_grad():
        p.add_(1.0)
    with pytest.raises(de.GradientError, match="modified in place"):
        sol.u[-1].sum().backward()


def test_what_is_rebound_before_the_gradient_does_not_matter():
    class Rate:
        value = 0.5

    def gradient(*, rebound):
        Rate.value = 0.5
        p = tensor(1.0, grad=True)
        f = lambda u, h, p, t: -p * Rate.value * h(p, t - 0.7)  # noqa: E731
        sol = solve(de.DDEProblem(f, tensor([1.0]), 1.0, (0.0, 2.0), p))
        if rebound:
            Rate.value = 5.0
        sol.u[-1].sum().backward()
        return p.grad.item()

    assert gradient(rebound=True) == gradient(rebound=False)


@pytest.mark.parametrize(
    "sensealg",
    [de.GaussAdjoint(), de.ForwardDiffSensitivity(), de.BacksolveAdjoint(), de.ReverseDiffAdjoint(checkpointing=True)],
    ids=repr,
)
def test_other_sensealgs_are_refused(sensealg):
    prob = de.DDEProblem(lambda u, h, p, t: -h(p, t - 0.7), tensor([1.0], grad=True), 1.0, (0.0, 2.0))
    with pytest.raises(de.UnsupportedError, match="use ReverseDiffAdjoint"):
        solve(prob, sensealg=sensealg)


def test_second_derivatives_are_refused():
    p = tensor(1.0, grad=True)
    sol = solve(de.DDEProblem(lambda u, h, p, t: -p * h(p, t - 0.7), tensor([1.0]), 1.0, (0.0, 2.0), p))
    (first,) = torch.autograd.grad(sol.u[-1].sum(), p, create_graph=True)
    with pytest.raises(de.GradientError, match="second derivatives"):
        first.backward()


def test_times_of_the_dense_output_have_a_gradient():
    sol = solve(de.DDEProblem(lambda u, h, p, t: -h(p, t - 1.0), tensor([1.0]), 1.0, (0.0, 2.5)), **TOL)
    t = tensor(1.7, grad=True)
    sol(t).sum().backward()
    assert t.grad.item() == pytest.approx(sol(1.7, derivative=1).item(), rel=1e-12)
