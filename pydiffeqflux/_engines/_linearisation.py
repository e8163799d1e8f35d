"""The Jacobian and the time derivative of a torch function, where it may hide how it depends on time from autograd."""

from torch import Tensor

from .._errors import RightHandSideError
from .._functions import RightHandSide
from ._time_slope import HiddenTime, time_slope


class Linearisation:
    """Jacobians of a right-hand side by autograd, and its time derivative, by a difference where autograd misses it.

    Arguments:
        rhs: the right-hand side.
    """

    def __init__(self, rhs: RightHandSide) -> None:
        self._rhs = rhs
        self._hidden_time = HiddenTime()

    def __call__(
        self, u: Tensor, t: float, ahead: float, *, create_graph: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """`f`, `∂f/∂u` of shape (N, N) and `∂f/∂t` like `u`, all at `(u, t)`; `None` for the last where it is zero.

        Where `∂f/∂t` is a difference, it looks no further than `ahead`, and it is not wanted where `ahead` is zero.

        Raises:
            RightHandSideError: torch cannot compute the Jacobian, since `f` passes `u` to NumPy.
        """
        rhs, wanted = self._rhs, ahead != 0.0
        seen = wanted and not rhs.time_by_differences
        k, matrix, slope = self._jacobian(u, t, create_graph=create_graph, time_derivative=seen)
        slope = None if slope is None else slope.view(rhs.shape)
        if wanted and not rhs.time_by_differences:
            rhs.time_by_differences = self._hidden_time.found(self._evaluate, u, t, ahead, k, slope)
        if wanted and rhs.time_by_differences:
            slope = time_slope(self._evaluate, u, t, ahead, k)
        return k, matrix, slope

    def _evaluate(self, u: Tensor, t: float | Tensor) -> Tensor:
        return self._rhs(u, t)

    def _jacobian(
        self, u: Tensor, t: float, *, create_graph: bool, time_derivative: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        try:
            return self._rhs.jacobian(u, t, create_graph=create_graph, time_derivative=time_derivative)
        except RuntimeError as error:
            if "numpy() on Tensor that requires grad" not in str(error):
                raise
            if not time_derivative:
                raise RightHandSideError(
                    "f passes u to NumPy, so torch cannot compute the Jacobian that this method needs; write f with "
                    "torch operations, or use an explicit method such as Tsit5()."
                ) from error
            result = self._jacobian(u, t, create_graph=create_graph, time_derivative=False)
            self._rhs.time_by_differences = True
            return result
