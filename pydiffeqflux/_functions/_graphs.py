"""Changes to graphs of the tracer before they are used."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node


def simplify(graph: GraphModule) -> None:
    """Take out of a graph what only costs time, warns, or does not pass `torch.vmap`."""
    _inline_checkpoints(graph)
    _copy_arrays(graph)
    if len(results(graph)) == 1:
        _drop_needless_copy(graph)


def arrays_among_inputs(graph: GraphModule) -> frozenset[int]:
    """The positions of those inputs that the tracer makes of arrays of NumPy, on their memory."""
    inputs = graph.graph.find_nodes(op="placeholder")
    sources = (getattr(node.meta.get("grapharg"), "source", None) for node in inputs)
    return frozenset(i for i, source in enumerate(sources) if type(source).__name__ == "NumpyTensorSource")


def _inline_checkpoints(graph: GraphModule) -> None:
    """Have parts under `torch.utils.checkpoint` evaluated as any other.

    What is differentiated here is evaluated again anyway, and `torch.vmap` does not pass a checkpoint.
    """
    for node in graph.graph.find_nodes(op="call_function", target=torch.ops.higher_order.tag_activation_checkpoint):
        node.target = _evaluate_part
        node.kwargs = {}


def _evaluate_part(part: Callable[..., Any], *arguments: Any) -> Any:
    return part(*arguments)


def _copy_arrays(graph: GraphModule) -> None:
    """Let arrays of NumPy, which the tracer makes tensors of, be copied without torch's warning about that."""
    for node in graph.graph.find_nodes(op="call_function", target=torch.tensor):
        if isinstance(node.args[0], Node) and node.kwargs.keys() <= {"dtype", "device"}:
            with graph.graph.inserting_before(node):
                detached = graph.graph.call_method("detach", node.args)
                kwargs = {"dtype": None, **node.kwargs, "copy": True}
                copied = graph.graph.call_method("to", (detached,), kwargs)
            copied.meta = detached.meta = node.meta
            node.replace_all_uses_with(copied)
            graph.graph.erase_node(node)


_MAKE_NEW_TENSORS = frozenset(
    {
        *(getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "neg", "matmul")),
        *(torch.add, torch.sub, torch.mul, torch.div, torch.neg, torch.matmul, torch.stack, torch.cat),
        *(torch.tanh, torch.sin, torch.cos, torch.exp, torch.nn.functional.linear),
    }
)


def results(graph: GraphModule) -> list[Any]:
    """The nodes of what a graph returns; more than one where the function stores something."""
    (output,) = graph.graph.find_nodes(op="output")
    returned: Any = output.args[0]
    return list(returned)


def _drop_needless_copy(graph: GraphModule) -> None:
    """Return the result of the last operation itself where that is new, and not a copy of it."""
    (copy,) = results(graph)
    result = copy.args[0]
    makes_new = result.target in _MAKE_NEW_TENSORS and "out" not in result.kwargs
    if copy.target == "clone" and makes_new and list(result.users) == [copy]:
        copy.replace_all_uses_with(result)
        graph.graph.erase_node(copy)
