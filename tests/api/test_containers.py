import numpy as np
import pytest
import torch
from problems import decay, tensor

import pydiffeqflux as de


@pytest.mark.parametrize(
    ("u0", "shape", "dtype"),
    [
        (1.0, (), np.float64),
        (1, (), np.float64),
        (1j, (), np.complex128),
        ([1, 2], (2,), np.float64),
        ([[1.0], [2.0]], (2, 1), np.float64),
        (np.ones(3, dtype=np.float32), (3,), np.float32),
        (np.ones((2, 2), dtype=np.complex64), (2, 2), np.complex64),
        (np.float64(1.0), (), np.float64),
    ],
    ids=str,
)
def test_what_is_no_tensor_gives_arrays(u0, shape, dtype):
    sol = de.solve(de.ODEProblem(decay, u0, (0.0, 1.0)), saveat=0.5)
    assert isinstance(sol.u, np.ndarray)
    assert isinstance(sol.t, np.ndarray)
    assert sol.u.shape == (3, *shape)
    assert sol.u.dtype == dtype
    assert np.allclose(sol.u[-1], np.asarray(u0) * np.exp(-1.0), rtol=1e-3)


def test_arrays_are_copied():
    u0 = np.ones(2)
    prob = de.ODEProblem(decay, u0, (0.0, 1.0))
    u0[:] = 7.0
    assert prob.u0.tolist() == [1.0, 1.0]


def test_arrays_with_negative_strides():
    sol = de.solve(de.ODEProblem(lambda u, p, t: -p * u, np.arange(1.0, 3.0)[::-1], (0.0, 1.0), np.ones(4)[::-2]))
    assert np.allclose(sol.u[-1], np.array([2.0, 1.0]) * np.exp(-1.0), rtol=1e-3)


def test_sol_of_t_is_an_array_too():
    sol = de.solve(de.ODEProblem(decay, [1.0], (0.0, 1.0)))
    assert isinstance(sol(0.5), np.ndarray)
    assert sol(0.5).shape == (1,)


@pytest.mark.parametrize("u0", [[1.0, 2.0], tensor([1.0, 2.0])], ids=["list", "tensor"])
def test_numpy_gives_detached_arrays(u0):
    p = tensor(1.0, grad=True)
    t, u = de.solve(de.ODEProblem(lambda u, p, t: -p * u, u0, (0.0, 1.0), p), saveat=0.5).numpy()
    assert t.tolist() == [0.0, 0.5, 1.0]
    assert isinstance(u, np.ndarray)
    assert u.shape == (3, 2)


def test_tensors_give_tensors():
    sol = de.solve(de.ODEProblem(decay, torch.ones(2), (0.0, 1.0)))
    assert isinstance(sol.u, torch.Tensor)
    assert (sol.u.dtype, sol.t.dtype) == (torch.float32, torch.float32)


def test_a_complex_solution_rotates():
    sol = de.solve(
        de.ODEProblem(lambda u, p, t: 1j * u, torch.ones(1, dtype=torch.complex128), (0.0, torch.pi)),
        abstol=1e-9,
        reltol=1e-9,
    )
    assert torch.allclose(sol.u[-1], -torch.ones(1, dtype=torch.complex128), atol=1e-7)


def test_conjugated_views_are_accepted():
    u0 = torch.tensor([1.0 + 2.0j], dtype=torch.complex128).conj()
    sol = de.solve(de.ODEProblem(lambda u, p, t: -u.conj().conj(), u0, (0.0, 1.0)), abstol=1e-9, reltol=1e-9)
    assert torch.allclose(sol.u[-1], u0 * torch.exp(tensor(-1.0)), rtol=1e-7)


def test_float32_is_integrated_to_its_own_precision():
    # Times are kept in float64: 0.1 is not a float32, and a thousand steps of it must not drift.
    sol = de.solve(de.ODEProblem(decay, torch.ones(1), (0.0, 10.0)), de.RK4(), dt=0.01)
    assert len(sol.t) == 1001
    assert abs(sol.u[-1].item() / np.exp(-10.0) - 1) < 1e-4
