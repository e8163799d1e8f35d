"""Problems with a mass matrix."""

import torch
from torch import Tensor

from ..._errors import InvalidProblemError
from ..._functions import RightHandSide
from ..._options import SolveOptions


def check_consistent(rhs: RightHandSide, k0: Tensor, options: SolveOptions) -> None:
    """Refuse initial values that violate the algebraic equations of a singular mass matrix.

    The algebraic equations are the rows of f in the left null space of M; `k0` is f at t0.

    Raises:
        InvalidProblemError: their residual exceeds the tolerances.
    """
    matrix = rhs.mass_matrix
    assert matrix is not None
    left, singular, _ = torch.linalg.svd(matrix)
    null = singular <= singular.max() * len(singular) * torch.finfo(matrix.dtype).eps
    if not bool(null.any()):
        return
    residual = float((left[:, null].T @ k0.reshape(-1)).abs().max())
    reltol, abstol = (float(torch.as_tensor(tol).max()) for tol in (options.reltol, options.abstol))
    allowed = abstol + reltol * float(rhs.u0.abs().max())
    if not residual <= allowed:
        raise InvalidProblemError(
            f"u0 is inconsistent: the algebraic equations of the singular mass matrix have residual {residual:.3g} at "
            f"t0, more than the tolerance {allowed:.3g}. Choose u0 so that they hold."
        )
