"""The right-hand side of a problem: a checked function of a real state, and its derivatives."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from .._errors import GradientError, GradientWarning
from ._checked_function import CheckedFunction
from ._delayed import Delayed
from ._derivatives import batched_vjp, directional_derivative, graph_nodes, made_after, pull_back
from ._diffusion import Diffusion
from ._start import Start


class RightHandSide(CheckedFunction):
    """`f(u, p, t)` of a problem as a function of a real state and a time, with its derivatives by autograd.

    Attributes:
        mass_matrix: that of the problem.
        diffusion: what multiplies the noise, `None` where there is none.
        delayed: what reads the past, `None` where it is not read.
        equations: for each row what the user calls it, `None` where these are the rows of `f` itself.
        start: how the initial values were found, `None` where they are those that were given.
        njac: Jacobians so far.
        time_by_differences: set where autograd does not see how `f` depends on time.
    """

    mass_matrix: Tensor | None = None
    diffusion: Diffusion | None = None
    delayed: Delayed | None = None
    equations: tuple[int | None, ...] | None = None
    start: Start | None = None
    njac: int = 0
    time_by_differences: bool = False
    _eye: Tensor | None = None

    @property
    def functions(self) -> tuple[CheckedFunction, ...]:
        """All functions of the equation."""
        return (self,) if self.diffusion is None else (self, self.diffusion)

    @property
    def varies(self) -> bool:
        """Whether some function returns something else each time; not known where no gradient can be wanted."""
        return any(function.connection is not None and function.connection.varies for function in self.functions)

    def check_connected(self) -> None:
        """Refuse functions that cut the graph between their outputs and everything that can have a gradient.

        Raises:
            GradientError: the outputs depend on the state or on parameters, and none of them has a gradient.
        """
        connections = [function.connection for function in self.functions if function.connection is not None]
        used = {id(q) for connection in connections for q in connection.leaves}
        connected = any(c.uses_state for c in connections) or any(id(q) in used for q in self.parameters)
        names = " and ".join(function.name for function in self.functions)
        if not connected and any(function.depends_on_inputs() for function in self.functions):
            raise GradientError(
                f"a gradient was asked for, but the output of {names} is connected to neither u nor any parameter. "
                f"Does {names} call .detach(), .item() or numpy, or run under torch.no_grad()?"
            )
        from_p = self.parameters[: self._parameters.n_from_p]
        unused = sum(id(q) not in used for q in from_p)
        if unused:
            warnings.warn(
                f"{names} does not use {unused} of the {len(from_p)} tensors of p that require a gradient; "
                f"their gradient there is zero. Does {names} detach them?",
                GradientWarning,
                stacklevel=5,
            )

    def take_note_of(self, times: Sequence[float], states: Tensor) -> int:
        """As of every function, and for all of them."""
        others = sum(function.take_note_of(times, states) for function in self.functions[1:])
        return super().take_note_of(times, states) + others

    def check_unmodified(self) -> None:
        """As of every function, and for all of them."""
        super().check_unmodified()
        for function in self.functions[1:]:
            function.check_unmodified()

    def supports_forward_mode(self) -> bool:
        """As of every function, and for all of them."""
        return super().supports_forward_mode() and all(g.supports_forward_mode() for g in self.functions[1:])

    # ---- derivatives

    def jacobian(
        self, u: Tensor, t: float, *, create_graph: bool = False, time_derivative: bool = True
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """`f`, its Jacobian `∂f/∂u` of shape (N, N) and its time derivative `∂f/∂t` of shape (N,), at `(u, t)`.

        The time derivative is `None` where `f` does not use the time, or where it is not wanted.
        """
        self.njac += 1
        with torch.enable_grad():
            x = u if create_graph and u.requires_grad else u.detach().requires_grad_()
            time = self.time(t).requires_grad_(time_derivative)
            if time_derivative and create_graph and x is u:
                time = made_after(u, time)
            k = self(x, time)
            unit = self.identity.view(self.numel, *self.shape)
            inputs = (x, time) if time_derivative else (x,)
            rows, dfdt = (*batched_vjp(k, inputs, unit, create_graph=create_graph), None)[:2]
        n = self.numel
        jac = torch.zeros(n, n, dtype=self.dtype, device=self.device) if rows is None else rows.reshape(n, n)
        return (k if create_graph else k.detach()), jac, dfdt

    @property
    def identity(self) -> Tensor:
        """The identity matrix of shape (N, N)."""
        if self._eye is None:
            self._eye = torch.eye(self.numel, dtype=self.dtype, device=self.device)
        return self._eye

    def vjp_of_tangent(
        self, u: Tensor, t: float, v: Tensor, direction: tuple[Tensor, float]
    ) -> tuple[Tensor, list[Tensor]]:
        """`vᵀ ∂d/∂u` and `vᵀ ∂d/∂q` for every parameter q, d being `∂f/∂u g + ∂f/∂t τ` for the direction `(g, τ)`.

        Raises:
            GradientError: `f` cannot be differentiated twice.
        """
        with torch.enable_grad():
            x, time = u.detach().requires_grad_(), self.time(t).requires_grad_()
            slope = directional_derivative(self(x, time), (x, time), v, direction)
        # torch marks a derivative that has none by a node that leads nowhere, so it would pass for a constant
        if any(node.name() == "torch::autograd::Error" for node in graph_nodes(slope)):
            raise GradientError(
                "ReverseDiffAdjoint() of a Rosenbrock method differentiates f twice, and f has an operation that is "
                "marked as once differentiable; use GaussAdjoint()."
            )
        try:
            dx, *dp = pull_back(slope, [x, *self.parameters], keep_graph=False)
        except RuntimeError as error:
            raise GradientError(
                f"ReverseDiffAdjoint() of a Rosenbrock method differentiates f twice, which failed: {error}; use "
                "GaussAdjoint()."
            ) from error
        return dx, dp
