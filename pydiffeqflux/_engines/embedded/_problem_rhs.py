"""The problem's right-hand side in the form that methods step with."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..._errors import RightHandSideError
from ..._functions import RightHandSide
from ._linear import DenseJacobian
from ._protocols import Time
from ._time_slope import HiddenTime, time_slope


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
        self._hidden_time = HiddenTime()

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        return self._rhs(u, t)

    def linearise(self, u: Tensor, t: Time, ahead: Time) -> tuple[Tensor, DenseJacobian, Tensor | None]:
        assert isinstance(t, float)
        assert isinstance(ahead, float)
        rhs = self._rhs
        wanted = ahead != 0.0
        k, matrix, slope = self._jacobian(u, t, time_derivative=wanted and not rhs.time_by_differences)
        slope = None if slope is None else slope.view(self.shape)
        if wanted and not rhs.time_by_differences:
            rhs.time_by_differences = self._hidden_time.found(self, u, t, ahead, k, slope)
        if wanted and rhs.time_by_differences:
            slope = time_slope(self, u, t, ahead, k)
        return k, DenseJacobian(matrix, rhs.mass_matrix, self.shape), slope

    def _jacobian(self, u: Tensor, t: float, *, time_derivative: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        graph = self._taped and torch.is_grad_enabled()
        try:
            return self._rhs.jacobian(u, t, create_graph=graph, time_derivative=time_derivative)
        except RuntimeError as error:
            if "numpy() on Tensor that requires grad" not in str(error):
                raise
            if not time_derivative:
                raise RightHandSideError(
                    "f passes u to NumPy, so torch cannot compute the Jacobian that this method needs; write f with "
                    "torch operations, or use an explicit method such as Tsit5()."
                ) from error
            result = self._jacobian(u, t, time_derivative=False)
            self._rhs.time_by_differences = True
            return result


class MappedRhs:
    """`f` for steps that `torch.vmap` maps over: no checks, times are tensors, Jacobians come from `torch.func`."""

    def __init__(self, rhs: RightHandSide, call: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.shape, self.dtype, self.device = rhs.shape, rhs.dtype, rhs.device
        self.mass = mass_product(rhs)
        self._mass_matrix = rhs.mass_matrix
        self._call = call
        self._n = rhs.numel
        self._time_by_differences = rhs.time_by_differences

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        assert isinstance(t, Tensor)
        return self._call(u, t)

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
