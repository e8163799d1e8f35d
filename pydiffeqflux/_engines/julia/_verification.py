"""Comparison of compiled code with torch, before it is used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode

from ..._functions import CheckedFunction, directional_derivative, graph_nodes
from .compiler._trace import CannotCompileError

GENERIC = "f_generic"
"""The function for other number types than that of the state."""


@dataclass(frozen=True, eq=False)
class Point:
    """Where a function and its derivatives are compared.

    Attributes:
        u: a state.
        t: a time.
        λ: a cotangent.
        direction: a direction of the state and of the time.
    """

    u: Tensor
    t: float
    λ: Tensor
    direction: tuple[Tensor, float]

    def cotangent(self, name: str) -> Tensor:
        """What the function of that name takes before the state, flat; empty where it takes nothing."""
        if name == "pull_tangent":
            g, τ = self.direction
            return torch.cat([self.λ.reshape(-1), g.reshape(-1), self.λ.new_tensor([τ])])
        return self.λ.reshape(-1) if name.startswith("pull") else self.λ.new_empty(0)

    def shaken(self) -> "Point":
        """The same up to the rounding of its numbers."""
        eps = torch.finfo(self.u.dtype).eps

        def signs(x: Tensor) -> Tensor:
            return torch.where(torch.arange(x.numel()).reshape(x.shape) % 2 == 0, eps, -eps).to(x.dtype)

        u, λ = self.u * (1 + signs(self.u)), self.λ * (1 - signs(self.λ))
        return Point(u, self.t * (1 + eps), λ, self.direction)


def points(rhs: CheckedFunction) -> Iterator[Point]:
    """Points near the initial state and farther away, at several times."""
    generator = torch.Generator().manual_seed(0)
    t0, t1 = rhs.tspan
    size = 1.0 + rhs.u0.abs()
    for distance, t in ((0.01, t0), (0.1, 0.5 * (t0 + t1)), (1.0, t1)):
        shapes = (rhs.shape, rhs.returned_shape, rhs.shape)
        u, λ, g = (torch.randn(shape, generator=generator, dtype=rhs.dtype) for shape in shapes)
        yield Point(rhs.u0 + distance * size * u, t, λ, (g, 2.0))


def expectation(name: str, rhs: CheckedFunction, captured: Sequence[Tensor], point: Point) -> tuple[Tensor, float]:
    """What torch gives there, flat, and how far rounding moves it.

    Arguments:
        name: the function's name.
        rhs: the function.
        captured: the tensors of the user's that the flat parameters end with, in their order.
        point: where.

    Raises:
        CannotCompileError: torch cannot differentiate the function.
    """
    local = [rhs.local_of(x) for x in captured]
    expected, other = _expected(name, rhs, local, point), _expected(name, rhs, local, point.shaken())
    difference = (expected - other)[expected.isfinite() & other.isfinite()]
    return expected, difference.abs().max().item() if difference.numel() else 0.0


def agrees(found: Tensor, expected: Tensor, noise: float) -> bool:
    """Whether compiled code gives what torch gives: relative to the largest number, and up to what rounding moves.

    Functions of both libraries are a few units in the last place apart, and sums are taken in other orders, which is
    what the noise of a rounded argument is like; ten times as much is let pass.
    """
    finite = expected.isfinite()
    scale = expected[finite].abs().max().item() if bool(finite.any()) else 0.0
    tolerance = (1e-4 if expected.dtype == torch.float32 else 1e-10) * scale + 10.0 * noise
    return torch.allclose(found, expected, rtol=0.0, atol=tolerance, equal_nan=True)


def captured_parameters(rhs: CheckedFunction) -> list[Tensor]:
    """Those of the tensors that the function has captured which gradients belong to."""
    assert rhs.snapshot is not None
    owners = {id(owner) for owner in rhs.owners}
    return [x for x in rhs.snapshot.captured if id(x) in owners]


def _expected(name: str, rhs: CheckedFunction, captured: Sequence[Tensor], point: Point) -> Tensor:
    """What torch gives, flat."""
    u, t, λ = point.u, point.t, point.λ
    if name in ("f", GENERIC):
        with torch.no_grad():
            return rhs.unchecked(u, rhs.time(t)).reshape(-1)
    with torch.enable_grad():
        x, time = u.detach().requires_grad_(), rhs.time(t).requires_grad_()
        leaves = [leaf.detach().requires_grad_() for leaf in rhs.leaves]
        f = rhs.with_leaves(leaves)
        k, cotangent = _without_hooks(lambda: f(x, time)), λ
        if name == "pull_tangent":
            k = directional_derivative(k, (x, time), λ, point.direction)
            cotangent = torch.ones_like(k)
        wanted = [] if name == "pull_parameters" else [x]
        if name != "pull_state":
            # a zero stands for no parameters
            wanted += [*leaves, *captured] or [torch.zeros(1, dtype=rhs.dtype, requires_grad=True)]
        gradients: Sequence[Tensor | None] = [None] * len(wanted)
        if k.requires_grad:
            try:
                gradients = torch.autograd.grad(k, wanted, cotangent, allow_unused=True)
            except RuntimeError as error:  # an operation without second derivative
                raise CannotCompileError(f"torch cannot differentiate it: {error}") from error
    pairs = zip(gradients, wanted, strict=True)
    return torch.cat([(torch.zeros_like(q) if g is None else g.detach()).reshape(-1) for g, q in pairs])


def _without_hooks(evaluate: Callable[[], Tensor]) -> Tensor:
    """What `evaluate` returns, with a graph that only torch's own operations made.

    Raises:
        CannotCompileError: the gradient passes through code of the user's, which tracing does not see.
    """
    with _Hooks() as hooks:
        k = evaluate()
    if hooks.registered or any(isinstance(node, BackwardCFunction) for node in graph_nodes(k)):
        raise CannotCompileError("its gradient is made by a custom autograd.Function or by hooks")
    return k


class _Hooks(TorchFunctionMode):
    """Notes whether tensors are given hooks."""

    registered = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.registered |= func is Tensor.register_hook
        return func(*args, **(kwargs or {}))
