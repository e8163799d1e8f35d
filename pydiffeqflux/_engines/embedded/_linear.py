"""Dense Jacobians and the solution of the linear systems of implicit methods."""

from collections.abc import Callable

import torch
from torch import Tensor

from ._step import Time

INVERSE_LIMIT = 24
"""Up to this many states the inverse of W is formed: eight products with it cost less than eight pairs of triangular
solves, whose fixed cost dominates at this size."""


class DenseJacobian:
    """A Jacobian held as a matrix of shape (N, N), with the mass matrix of the problem."""

    def __init__(self, matrix: Tensor, mass: Tensor | None, shape: torch.Size) -> None:
        self._matrix = matrix
        self._mass = mass
        self._shape = shape
        self._blocks: Tensor | None = None

    @property
    def matrix(self) -> Tensor:
        """J itself, `(N, N)`."""
        return self._matrix

    def factor_stages(self, matrix: Tensor) -> Callable[[Tensor], Tensor] | None:
        """As in `LinearSystem`; stages are solved together as one system."""
        s, n = len(matrix), len(self._matrix)
        blocks = self._blocks
        if blocks is None or len(blocks) != s * n:
            blocks = self._blocks = torch.block_diag(*[self._matrix] * s)
        if self._mass is not None:
            w = torch.kron(matrix, self._mass) - blocks
        else:
            w = -blocks
            w.view(s, n, s, n).diagonal(dim1=1, dim2=3).add_(matrix.unsqueeze(-1))
        return _solver(w, torch.Size([len(matrix), *self._shape]))

    def norm(self) -> float:
        return float(torch.linalg.matrix_norm(self._matrix, torch.inf))

    def factor(self, scale: Time) -> Callable[[Tensor], Tensor] | None:
        n = self._matrix.shape[-1]
        shape = self._shape
        if self._mass is not None:
            w = self._mass * scale - self._matrix
        elif isinstance(scale, Tensor) or self._matrix.requires_grad:
            eye = torch.eye(n, dtype=self._matrix.dtype, device=self._matrix.device)
            w = eye * scale - self._matrix
        else:
            w = -self._matrix
            w.diagonal().add_(scale)
        if isinstance(scale, Tensor):  # under vmap, where a test for singularity cannot branch
            inverse = torch.linalg.inv_ex(w)[0]
            return lambda b: (inverse @ b.reshape(n)).reshape(shape)
        return _solver(w, shape)


def _solver(w: Tensor, shape: torch.Size) -> Callable[[Tensor], Tensor] | None:
    """A function that solves W x = b for tensors of that shape, or `None` where W is singular."""
    n = len(w)
    if n <= INVERSE_LIMIT:
        inverse, info = torch.linalg.inv_ex(w)
        if int(info):
            return None
        if len(shape) == 1:
            return inverse.mv
        return lambda b: inverse.mv(b.reshape(n)).view(shape)
    lu, pivots, info = torch.linalg.lu_factor_ex(w)
    if int(info):
        return None
    return lambda b: torch.linalg.lu_solve(lu, pivots, b.reshape(n, 1)).reshape(shape)
