r"""Initial values that fulfil algebraic equations.

For \( M x' = g(x, t) \) with a singular M, the rows of \( L^T g \) are the algebraic equations, L spanning the left
null space of M, and x may be moved along the right one, R, without a change of what is differentiated.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .._errors import InvalidProblemError
from .._initialization import AbstractInitialization, BrownFullBasicInit, CheckInit, ShampineCollocationInit
from ._right_hand_side import RightHandSide
from ._start import Start

ITERATIONS = 50
"""Newton's iteration ends after so many."""

NAMED = 5
"""So many equations are named in an error."""


def start_consistently(
    rhs: RightHandSide,
    choice: AbstractInitialization,
    t0: float,
    abstol: float | Tensor,
    reltol: float | Tensor,
) -> Start | None:
    """Check or find the initial values, which are those of `rhs` afterwards; `None` where they are as given.

    Arguments:
        rhs: the right-hand side, with its mass matrix.
        choice: what to do.
        t0: the start, or the time just after it where `f` is discontinuous there.
        abstol: the absolute tolerance of the solve.
        reltol: its relative tolerance.

    Raises:
        InvalidProblemError: an algebraic equation does not hold, cannot be solved, or the index is above 1.
    """
    matrix = rhs.mass_matrix
    assert matrix is not None
    left, singular, right = torch.linalg.svd(matrix)
    null = singular <= singular.max() * len(singular) * torch.finfo(matrix.dtype).eps
    if not bool(null.any()):
        return None
    algebra = _Algebra(rhs, t0, matrix, left[:, null], right[null].T)
    if isinstance(choice, CheckInit):
        algebra.check(_largest(abstol) + _largest(reltol) * float(rhs.u0.abs().max()))
        algebra.check_index()
        return None
    try:
        if isinstance(choice, BrownFullBasicInit):
            start: Start = _Solved(algebra)
        else:
            assert isinstance(choice, ShampineCollocationInit)
            span = abs(rhs.tspan[1] - rhs.tspan[0])
            start = _EulerStep(algebra, choice.initdt or span * (1e-8 if rhs.dtype == torch.float64 else 1e-4))
    except InvalidProblemError:
        algebra.check_index()  # which may be why
        raise
    algebra.check_index()
    return start


def _largest(tolerance: float | Tensor) -> float:
    return float(torch.as_tensor(tolerance).max())


class _Algebra:
    """The algebraic equations of a problem at its start."""

    def __init__(self, rhs: RightHandSide, t0: float, matrix: Tensor, left: Tensor, right: Tensor) -> None:
        self.rhs, self.t0, self.matrix, self.left, self.right = rhs, t0, matrix, left, right

    def g(self, x: Tensor) -> Tensor:
        """The right-hand side, flat."""
        with torch.no_grad():
            return self.rhs(x.reshape(self.rhs.shape).clone(), self.t0).reshape(-1)

    def jacobian(self, x: Tensor) -> Tensor:
        """∂g/∂x."""
        return self.rhs.jacobian(x.reshape(self.rhs.shape), self.t0, time_derivative=False)[1].detach()

    def check(self, allowed: float) -> None:
        """Refuse initial values that violate an equation."""
        x = self.rhs.u0.reshape(-1)
        residuals = self.left.T @ self.g(x)
        if float(residuals.abs().max()) <= allowed:
            return
        worst = sorted(range(len(residuals)), key=lambda i: -abs(float(residuals[i])))
        violated = [i for i in worst if not abs(float(residuals[i])) <= allowed]
        named = ", ".join(f"{self._name(i)} by {abs(float(residuals[i])):.3g}" for i in violated[:NAMED])
        more = f" and {len(violated) - NAMED} others" if len(violated) > NAMED else ""
        raise InvalidProblemError(
            f"u0 is inconsistent: {named}{more} of the algebraic equations do not hold at t0, where the tolerance is "
            f"{allowed:.3g}. Choose initial values that fulfil them, or pass initializealg=BrownFullBasicInit()."
        )

    def _name(self, i: int) -> str:
        """What a user calls an algebraic equation."""
        column = self.left[:, i].abs()
        row = int(column.argmax())
        if float(column[row]) < 1.0 - 1e-6:
            return f"combination {i}"
        equations = self.rhs.equations
        return f"equation {row if equations is None else equations[row]}"

    def check_index(self) -> None:
        """Refuse equations that do not determine the variables that they are for."""
        matrix = self.left.T @ self.jacobian(self.rhs.u0.reshape(-1)) @ self.right
        rows = matrix.abs().amax(dim=1, keepdim=True)
        scaled = matrix / torch.where(rows > 0.0, rows, 1.0)
        columns = scaled.abs().amax(dim=0, keepdim=True)
        scaled = scaled / torch.where(columns > 0.0, columns, 1.0)
        values = torch.linalg.svdvals(scaled)
        if not bool(torch.isfinite(values).all()):
            return  # the solve itself says what is wrong with f
        if float(values.min()) <= 100.0 * len(values) * torch.finfo(values.dtype).eps * float(values.max()):
            raise InvalidProblemError(
                "the index is above 1: at t0 the algebraic equations do not determine the algebraic variables. Reduce "
                "the index: differentiate the constraints with respect to time until they do, and put them in their "
                "place (Pantelides' algorithm, or by hand)."
            )


class _Solved(Start):
    """The algebraic equations solved for the variables that are not differentiated."""

    def __init__(self, algebra: _Algebra) -> None:
        self._algebra = algebra
        rhs, left, right = algebra.rhs, algebra.left, algebra.right

        def newton(x: Tensor, residual: Tensor) -> Tensor:
            return right @ torch.linalg.solve(left.T @ algebra.jacobian(x) @ right, residual)

        x = _newton(rhs.u0.reshape(-1), lambda x: left.T @ algebra.g(x), newton)
        rhs.u0 = x.reshape(rhs.shape)

    def pull_back(self, cotangent: Tensor) -> tuple[Tensor, list[Tensor]]:
        algebra = self._algebra
        rhs, left, right = algebra.rhs, algebra.left, algebra.right
        x, k = rhs.evaluate_with_graph(rhs.u0, algebra.t0)
        matrix = left.T @ algebra.jacobian(rhs.u0.reshape(-1)) @ right
        w = torch.linalg.solve(matrix.T, right.T @ cotangent.reshape(-1))
        dx, dp = rhs.vjp(k, x, -(left @ w).reshape(k.shape), parameters=True)
        return cotangent + dx, dp


class _EulerStep(Start):
    """A step of the implicit Euler method."""

    def __init__(self, algebra: _Algebra, dt: float) -> None:
        rhs, matrix = algebra.rhs, algebra.matrix
        self._algebra, self._dt = algebra, dt if rhs.tspan[1] > rhs.tspan[0] else -dt
        x0 = rhs.u0.reshape(-1)

        def residual(x: Tensor) -> Tensor:
            return matrix @ (x - x0) - self._dt * algebra.g(x)

        x = _newton(x0, residual, lambda x, r: torch.linalg.solve(self._matrix(x), r))
        rhs.u0 = x.reshape(rhs.shape)

    def _matrix(self, x: Tensor) -> Tensor:
        return self._algebra.matrix - self._dt * self._algebra.jacobian(x)

    def pull_back(self, cotangent: Tensor) -> tuple[Tensor, list[Tensor]]:
        rhs, matrix = self._algebra.rhs, self._algebra.matrix
        x, k = rhs.evaluate_with_graph(rhs.u0, self._algebra.t0)
        w = torch.linalg.solve(self._matrix(rhs.u0.reshape(-1)).T, cotangent.reshape(-1))
        _, dp = rhs.vjp(k, x, (self._dt * w).reshape(k.shape), parameters=True)
        return (matrix.T @ w).reshape(cotangent.shape), dp


def _newton(x: Tensor, residual: Callable[[Tensor], Tensor], direction: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Newton's iteration, with steps that are halved until they make the residual smaller."""
    eps = torch.finfo(x.dtype).eps
    r = residual(x)
    for _ in range(ITERATIONS):
        if not bool(torch.isfinite(r).all()):
            break
        try:
            step = direction(x, r)
        except RuntimeError:  # a singular matrix
            break
        size, share = float(torch.linalg.vector_norm(r)), 1.0
        if size == 0.0:
            return x
        while True:
            moved_to = x - share * step
            after = residual(moved_to)
            smaller = float(torch.linalg.vector_norm(after)) < size
            if smaller or share < 1e-3:
                break
            share *= 0.5
        small = bool((step.abs() <= 1e2 * eps * (1.0 + x.abs())).all())
        if not smaller:
            if small:
                return x
            break
        x, r = moved_to, after
        if small:
            return x
    raise InvalidProblemError(
        "no consistent initial values were found: Newton's iteration for the algebraic equations did not converge from "
        "u0. Give a better guess, or check that the index is 1."
    )
