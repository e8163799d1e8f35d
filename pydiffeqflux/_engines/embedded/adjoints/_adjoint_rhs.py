r"""Right-hand sides of the adjoint ODE.

For a loss \( L = \sum_i v_i \cdot u(t_i) \) the adjoint state λ solves \( λ' = -λ^T ∂f/∂u \) backwards from t1, jumps
by \( v_i \) at \( t_i \), and ends as \( dL/du_0 \); \( μ' = -λ^T ∂f/∂p \) ends as \( dL/dp \). The states are flat
vectors: λ, then μ; with the forward state in front for the backsolve adjoint.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...._functions import RightHandSide, batched_vjp
from ..._time_slope import time_slope
from .._linear import DenseJacobian
from .._protocols import LinearSystem, Time
from .._trajectory import Forward


def flatten_parameters(gradients: list[Tensor], like: Tensor) -> Tensor:
    """Gradients of all parameters as one real vector of the dtype of `like`."""
    parts = [torch.view_as_real(g.resolve_conj()) if g.is_complex() else g for g in gradients]
    return torch.cat([part.reshape(-1).to(like.dtype) for part in parts]) if parts else like.new_zeros(0)


def unflatten_parameters(flat: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    """The inverse of `flatten_parameters`."""
    result, at = [], 0
    for q in parameters:
        real = torch.view_as_real(q.detach()) if q.is_complex() else q
        part = flat[at : at + real.numel()].reshape(real.shape).to(real.dtype)
        at += real.numel()
        result.append(torch.view_as_complex(part) if q.is_complex() else part)
    return result


def parameter_count(parameters: list[Tensor]) -> int:
    """Real numbers in all parameters."""
    return sum(q.numel() * (2 if q.is_complex() else 1) for q in parameters)


class AdjointRhs(ABC):
    """A right-hand side of the adjoint ODE, in the form that methods step with."""

    mass: Callable[[Tensor], Tensor] | None = None

    def __init__(self, rhs: RightHandSide, size: int) -> None:
        self.shape = torch.Size([size])
        self.dtype, self.device = rhs.dtype, rhs.device
        self._rhs = rhs

    @abstractmethod
    def __call__(self, u: Tensor, t: Time) -> Tensor:
        """The derivative of the adjoint state."""

    @abstractmethod
    def _linear_system(self, u: Tensor, t: float) -> LinearSystem:
        """The Jacobian with respect to the adjoint state."""

    def linearise(self, u: Tensor, t: Time, ahead: Time) -> tuple[Tensor, LinearSystem, Tensor | None]:
        """The derivative, its Jacobian and its time derivative.

        The last is a difference: the right-hand side depends on time through the dense output of the forward solution,
        which is a polynomial between steps.
        """
        assert isinstance(t, float)
        k = self(u, t)
        return k, self._linear_system(u, t), None if ahead == 0.0 else time_slope(self, u, t, ahead, k)


class LambdaRhs(AdjointRhs):
    """λ alone, the forward state read from a solution."""

    def __init__(self, rhs: RightHandSide, forward: Forward) -> None:
        super().__init__(rhs, rhs.numel)
        self._forward = forward

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        assert isinstance(t, float)
        x, k = self._rhs.evaluate_with_graph(self._forward.state(t), t)
        dx, _ = self._rhs.vjp(k, x, u.reshape(self._rhs.shape), parameters=False)
        return -dx.reshape(-1)

    def _linear_system(self, u: Tensor, t: float) -> LinearSystem:
        _, jacobian, _ = self._rhs.jacobian(self._forward.state(t), t, time_derivative=False)
        return DenseJacobian(-jacobian.T, None, self.shape)


class InterpolatingRhs(AdjointRhs):
    """λ and μ, the forward state read from a solution."""

    def __init__(self, rhs: RightHandSide, forward: Forward) -> None:
        super().__init__(rhs, rhs.numel + parameter_count(rhs.parameters))
        self._forward = forward

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        assert isinstance(t, float)
        x, k = self._rhs.evaluate_with_graph(self._forward.state(t), t)
        n = self._rhs.numel
        dx, dp = self._rhs.vjp(k, x, u[:n].reshape(self._rhs.shape), parameters=True)
        return -torch.cat([dx.reshape(-1), flatten_parameters(dp, dx)])

    def _linear_system(self, u: Tensor, t: float) -> LinearSystem:
        rhs, n = self._rhs, self._rhs.numel
        state = self._forward.state(t)
        _, jacobian, _ = rhs.jacobian(state, t, time_derivative=False)
        x, k = rhs.evaluate_with_graph(state, t)

        def feed(v: Tensor) -> Tensor:
            """∂μ'/∂λ · v, which is -vᵀ ∂f/∂p."""
            _, dp = rhs.vjp(k, x, v.reshape(rhs.shape), parameters=True)
            return -flatten_parameters(dp, v)

        return BlockTriangular(-jacobian.T, feed, n)


class BacksolveRhs(AdjointRhs):
    """The forward state, λ and μ, all solved backwards."""

    def __init__(self, rhs: RightHandSide) -> None:
        super().__init__(rhs, 2 * rhs.numel + parameter_count(rhs.parameters))

    def __call__(self, u: Tensor, t: Time) -> Tensor:
        assert isinstance(t, float)
        n, shape = self._rhs.numel, self._rhs.shape
        x, k = self._rhs.evaluate_with_graph(u[:n].reshape(shape), t)
        dx, dp = self._rhs.vjp(k, x, u[n : 2 * n].reshape(shape), parameters=True)
        return torch.cat([k.detach().reshape(-1), -dx.reshape(-1), -flatten_parameters(dp, dx)])

    def _linear_system(self, u: Tensor, t: float) -> LinearSystem:
        rhs, n = self._rhs, self._rhs.numel
        with torch.enable_grad():
            y = u[: 2 * n].detach().requires_grad_()
            k = rhs(y[:n].reshape(rhs.shape), t).reshape(-1)
            inputs = [y, *rhs.parameters]
            if k.requires_grad:
                grads = torch.autograd.grad(k, inputs, y[n:].detach(), create_graph=True, allow_unused=True)
            else:
                grads = (None,) * len(inputs)
            core, slope = _backsolve_core(k, grads, n), _parameter_slope(grads, rhs.parameters, y)
            eye = torch.eye(2 * n, dtype=self.dtype, device=self.device)
            (matrix,) = batched_vjp(core, (y,), eye)
        jacobian = torch.zeros_like(eye) if matrix is None else matrix.clone()
        jacobian[n:, n:] = -jacobian[:n, :n].T

        def feed(v: Tensor) -> Tensor:
            """∂μ'/∂(u, λ) · v by differentiating a vector-Jacobian product with respect to its vector."""
            with torch.enable_grad():
                along_u = _jvp(slope, y, torch.cat([v[:n], torch.zeros_like(v[n:])]))
                direct = rhs.vjp(k, y, v[n:], parameters=True)[1]
            return -(along_u + flatten_parameters(direct, v)).detach()

        return BlockTriangular(jacobian, feed, 2 * n)


def _backsolve_core(k: Tensor, grads: Sequence[Tensor | None], n: int) -> Tensor:
    """(u', λ') as a function of u; the λ half of `y` enters as a constant."""
    dx = grads[0]
    return torch.cat([k, torch.zeros_like(k) if dx is None else -dx[:n]])


def _parameter_slope(grads: Sequence[Tensor | None], parameters: list[Tensor], y: Tensor) -> Tensor:
    """λᵀ ∂f/∂p as a function of u."""
    parts = [torch.zeros_like(q) if g is None else g for g, q in zip(grads[1:], parameters, strict=True)]
    return flatten_parameters(parts, y)


def _jvp(output: Tensor, inputs: Tensor, v: Tensor) -> Tensor:
    """`∂output/∂inputs · v` by two backward passes."""
    if not output.requires_grad:
        return torch.zeros_like(output)
    w = torch.zeros_like(output, requires_grad=True)
    (g,) = torch.autograd.grad(output, inputs, w, create_graph=True, retain_graph=True, allow_unused=True)
    if g is None or not g.requires_grad:
        return torch.zeros_like(output)
    (result,) = torch.autograd.grad(g, w, v, allow_unused=True)
    return torch.zeros_like(output) if result is None else result


class BlockTriangular:
    """The Jacobian [[A, 0], [B, 0]] of a core state and of integrals driven by it.

    W x = b is one dense solve for the core and a product with B for the integrals, however many there are.
    """

    def __init__(self, core: Tensor, feed: Callable[[Tensor], Tensor], n: int) -> None:
        self._core = DenseJacobian(core, None, torch.Size([n]))
        self._feed = feed
        self._n = n

    def norm(self) -> float:
        return self._core.norm()

    @property
    def matrix(self) -> Tensor:
        """Not formed: it would have as many rows as there are parameters."""
        raise NotImplementedError

    def factor_stages(self, matrix: Tensor) -> Callable[[Tensor], Tensor] | None:
        """As in `LinearSystem`."""
        solve = self._core.factor_stages(matrix)
        if solve is None:
            return None
        inverse = torch.linalg.inv(matrix)

        def apply(b: Tensor) -> Tensor:
            core = solve(b[:, : self._n].contiguous())
            fed = torch.stack([self._feed(x) for x in core.unbind()])
            return torch.cat([core, inverse @ (b[:, self._n :] + fed)], dim=1)

        return apply

    def factor(self, scale: Time) -> Callable[[Tensor], Tensor] | None:
        solve = self._core.factor(scale)
        if solve is None:
            return None

        def apply(b: Tensor) -> Tensor:
            core = solve(b[: self._n])
            return torch.cat([core, (b[self._n :] + self._feed(core)) / scale])

        return apply
