"""The problem's right-hand side in the form that methods step with."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..._functions import RightHandSide
from .._linearisation import Linearisation
from .._time_slope import time_slope
from ._linear import DenseJacobian
from ._protocols import Time


class ProblemRhs:
    """`f(u, p, t)` for a solve: checked, counted, with Jacobians from autograd.

    Arguments:
        rhs: the right-hand side.
        taped: whether states carry a graph that Jacobians must be part of.
    """

    def __init__(self, rhs: RightHandSide, *, taped: bool = False) -> None:
        self.shape, self.dtype, self.device = rhs.shape, rhs.dtype, rhs.device
        self.mass = mass_product(rhs)
        self._rhs = rhs
        self._taped = taped
        self._linearisation = Linearisation(rhs)

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        return self._rhs(u, t)

    def diffusion(self, u: Tensor, t: Time) -> Tensor:
        """`g(u, p, t)` of a stochastic equation."""
        assert self._rhs.diffusion is not None
        return self._rhs.diffusion(u, t)

    def linearise(self, u: Tensor, t: Time, ahead: Time) -> tuple[Tensor, DenseJacobian, Tensor | None]:
        assert isinstance(t, float)
        assert isinstance(ahead, float)
        graph = self._taped and torch.is_grad_enabled()
        k, matrix, slope = self._linearisation(u, t, ahead, create_graph=graph)
        return k, DenseJacobian(matrix, self._rhs.mass_matrix, self.shape), slope


class MappedRhs:
    """`f` for steps that `torch.vmap` maps over: no checks, times are tensors, Jacobians come from `torch.func`.

    Arguments:
        rhs: the right-hand side.
        parameters: what stands for its parameters, `None` for these themselves.
    """

    def __init__(self, rhs: RightHandSide, parameters: Sequence[Tensor] | None = None) -> None:
        call, *others = (g.mappable() if parameters is None else g.functional(parameters) for g in rhs.functions)
        self.shape, self.dtype, self.device = rhs.shape, rhs.dtype, rhs.device
        self.mass = mass_product(rhs)
        self._mass_matrix = rhs.mass_matrix
        self._call = call
        self._diffusion = others[0] if others else None
        self._n = rhs.numel
        self._time_by_differences = rhs.time_by_differences

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        assert isinstance(t, Tensor)
        return self._call(u, t)

    def diffusion(self, u: Tensor, t: Time) -> Tensor:
        """`g(u, p, t)` of a stochastic equation."""
        assert isinstance(t, Tensor)
        assert self._diffusion is not None
        return self._diffusion(u, t)

    def linearise(self, u: Tensor, t: Time, ahead: Time) -> tuple[Tensor, DenseJacobian, Tensor]:
        def twice(u: Tensor, t: Time) -> tuple[Tensor, Tensor]:
            k = self(u, t)
            return k, k

        (matrix, dfdt), k = torch.func.jacrev(twice, argnums=(0, 1), has_aux=True)(u, t)
        jacobian = DenseJacobian(matrix.reshape(self._n, self._n), self._mass_matrix, self.shape)
        slope = time_slope(self, u, t, ahead, k) if self._time_by_differences else dfdt.reshape(self.shape)
        return k, jacobian, slope


def mass_product(rhs: RightHandSide) -> Callable[[Tensor], Tensor] | None:
    """The product with the mass matrix, for states of any shape."""
    matrix = rhs.mass_matrix
    if matrix is None:
        return None
    return lambda v: (matrix @ v.reshape(-1)).reshape(v.shape)
