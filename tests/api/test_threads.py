from concurrent.futures import ThreadPoolExecutor

import torch
from problems import lotka_volterra, tensor

import pydiffeqflux as de

CASES = [(alg, 1.0 + 0.1 * i) for i, alg in enumerate([de.Tsit5(), de.Vern7(), de.Rodas5P(), de.KenCarp4()] * 3)]


def gradient(case):
    alg, start = case
    u0, p = tensor([start, 1.0], grad=True), tensor([1.5, 1.0, 3.0], grad=True)
    sol = de.solve(de.ODEProblem(lotka_volterra, u0, (0.0, 1.0), p), alg, saveat=0.25)
    (sol.u**2).sum().backward()
    return torch.cat([sol.u.detach().reshape(-1), u0.grad, p.grad])


def test_solves_in_threads_are_those_in_sequence():
    expected = [gradient(case) for case in CASES]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(gradient, CASES))
    assert all(torch.equal(one, other) for one, other in zip(results, expected, strict=True))


def test_a_module_shared_by_threads():
    node = de.NeuralODE(torch.nn.Linear(2, 2, dtype=torch.float64), (0.0, 1.0), de.Tsit5(), saveat=[1.0])
    starts = [torch.full((2,), 0.1 * i, dtype=torch.float64) for i in range(12)]
    expected = [node(u0).u.detach() for u0 in starts]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda u0: node(u0).u.detach(), starts))
    assert all(torch.equal(one, other) for one, other in zip(results, expected, strict=True))


def test_grad_mode_of_the_caller_is_restored():
    prob = de.ODEProblem(lotka_volterra, tensor([1.0, 1.0]), (0.0, 1.0), tensor([1.5, 1.0, 3.0], grad=True))
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            for sensealg in (de.ReverseDiffAdjoint(), de.GaussAdjoint()):
                de.solve(prob, sensealg=sensealg)
                assert torch.is_grad_enabled() is enabled


def test_inference_mode():
    prob = de.ODEProblem(lotka_volterra, tensor([1.0, 1.0]), (0.0, 1.0), tensor([1.5, 1.0, 3.0], grad=True))
    expected = de.solve(prob, de.Tsit5(), saveat=0.5).u.detach()
    with torch.inference_mode():
        assert torch.equal(de.solve(prob, de.Tsit5(), saveat=0.5).u, expected)
