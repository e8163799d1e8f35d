"""Derivatives of functions by torch's autograd."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

SINGLE_PASSES = 2
"""Up to so many vector-Jacobian products cost less one by one than what it takes to batch them."""


class CannotMapError(Exception):
    """`torch.vmap` cannot map a function: it branches on values, draws random numbers, or uses an unknown operation."""


def map_over(fn: Callable[..., Any], *arguments: Tensor) -> Any:
    """`torch.vmap(fn)(*arguments)`.

    Raises:
        CannotMapError: with the reason, in one line.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # it is no slower than a loop
            return torch.vmap(fn)(*arguments)
    except RuntimeError as error:
        raise CannotMapError(str(error).splitlines()[0]) from error


def pull_back(
    output: Tensor, inputs: list[Tensor], v: Tensor | None = None, *, keep_graph: bool = True
) -> list[Tensor]:
    """`vᵀ ∂output/∂input` for every input, zeros where there is no dependence."""
    grads: Any = [None] * len(inputs)
    if output.requires_grad:
        grads = torch.autograd.grad(output, inputs, v, retain_graph=keep_graph, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True)]


def directional_derivative(
    k: Tensor, inputs: tuple[Tensor, ...], v: Tensor, direction: tuple[Tensor | float, ...]
) -> Tensor:
    """`vᵀ (∂k/∂input₁ w₁ + ∂k/∂input₂ w₂ + …)`, 0-d, with a graph.

    By reverse mode alone: `vᵀ ∂k/∂input` is a function of the inputs, too.
    """
    total = v.new_zeros(())
    v = v.detach().requires_grad_()  # else what can be differentiated once only leaves no trace in the graph
    if k.requires_grad:
        pulled = torch.autograd.grad(k, inputs, v, create_graph=True, allow_unused=True)
        for p, w in zip(pulled, direction, strict=True):
            if p is not None:
                total = total + (p * w).sum()
    return total


def batched_vjp(
    output: Tensor, inputs: tuple[Tensor, ...], cotangents: Tensor, *, create_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """`vᵀ ∂output/∂input` for every row v of `cotangents` and every input; `None` where there is no dependence.

    All rows come from one backward pass that `torch.vmap` batches, where that is possible and pays.
    """
    if not output.requires_grad:
        return (None,) * len(inputs)

    def pull(v: Tensor, *, batched: bool) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(
            output,
            inputs,
            v,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=batched,
        )

    if len(cotangents) > SINGLE_PASSES:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop")
                return pull(cotangents, batched=True)
        except RuntimeError:  # an operation that vmap cannot batch: one pass a row gives the same numbers
            pass
    rows = [pull(v, batched=False) for v in cotangents.unbind()]
    return tuple(None if column[0] is None else torch.stack(column) for column in zip(*rows, strict=True))


class _MadeAfter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, earlier: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, None]:
        return cotangents[0], None


def made_after(earlier: Tensor, x: Tensor) -> Tensor:
    """`x` with a place in the graph behind that of `earlier`.

    Where a gradient is wanted with respect to a leaf, torch walks through all of the graph in search of it, for every
    step through all of those before.
    """
    return _MadeAfter.apply(x, earlier)


def graph_leaves(output: Tensor) -> list[Tensor]:
    """The leaf tensors that require a gradient and that `output` was computed from."""
    if output.is_leaf and output.requires_grad:
        return [output]
    variables = (getattr(node, "variable", None) for node in graph_nodes(output))
    return list({id(variable): variable for variable in variables if variable is not None}.values())


def graph_nodes(output: Tensor) -> Iterator[torch.autograd.graph.Node]:
    """The nodes of the graph that `output` was computed by."""
    stack, seen = [output.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            stack.extend(parent for parent, _ in node.next_functions)
