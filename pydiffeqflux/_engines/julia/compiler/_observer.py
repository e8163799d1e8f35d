"""What a function does that its graph does not show: it reads numbers out of tensors, and cuts off gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ._indices import is_captured, select, without_conditions
from ._trace import CannotCompileError, captured

_READS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.allclose.default,
)
"""Operations whose result is a Python number, which the graph takes to be constant."""

_COPIES = (torch.Tensor.tolist, torch.tensor, torch.Tensor.new_tensor)
"""Functions that read numbers without such an operation."""

_CONVERSIONS = (torch.as_tensor, torch.asarray)
"""Functions that do so where they are given lists of tensors, but leave a tensor as it is."""

_DATA: Any = vars(torch._C.TensorBase)["data"]

_OPERATORS_IN_PLACE = frozenset(
    f"__{name}__"
    for name in ("setitem", "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor")
)


class Observer:
    """Calls a function under the tracer, and sees to what the graph does not show.

    What is computed under `torch.no_grad` is detached, so that the graph has the gradient that autograd gives.

    Attributes:
        reads: real tensors whose contents were made Python numbers, which the graph takes to be constant.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.reads: list[Tensor] = []
        self._function = function

    def __call__(self, *arguments: Tensor) -> Any:
        # where gradients are disabled already, the graph will not be differentiated
        calls = _GradientCalls(self.reads) if torch.is_grad_enabled() else _Calls(self.reads)
        with calls, _Operations(self.reads):
            return self._function(*arguments)

    def note_reads(self, graph: GraphModule) -> None:
        """Add the captured tensors that such a number was computed from."""
        stack = [node for node in graph.graph.nodes if node.target in _READS]
        seen = set(stack)
        while stack:
            node = stack.pop()
            if node.op == "get_attr":
                self.reads.append(captured(graph, str(node.target)))
            fresh = set(node.all_input_nodes) - seen
            seen |= fresh
            stack.extend(fresh)


class _Operations(TorchDispatchMode):
    def __init__(self, reads: list[Tensor]) -> None:
        super().__init__()
        self._found = reads

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS:
            self._found.extend(x for x in args if isinstance(x, Tensor) and not isinstance(x, FakeTensor))
        return func(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    """Sees functions that read numbers as the user calls them, not as operations."""

    def __init__(self, reads: list[Tensor]) -> None:
        super().__init__()
        self._found = reads
        self._copies: dict[int, Tensor] = {}  # parts at computed positions, which are views in torch, by their storage

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._copies and _writes(func, kwargs) and _storage(args[0]) in self._copies:
            raise CannotCompileError("it writes in place to a part at a computed position")
        if func in _COPIES or (func in _CONVERSIONS and not isinstance(_first(args, kwargs), Tensor)):
            self._read((args, kwargs))
        elif func in (Tensor.__getitem__, Tensor.__setitem__):
            return self._index(func, *args)
        return func(*args, **kwargs)

    def _index(self, func: Any, x: Tensor, index: Any, *value: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        self._read([part for part in parts if isinstance(part, list)])
        index = without_conditions(index, self._found.append)
        selected = None if value else select(x, index)
        if selected is None:
            return func(x, index, *value)
        self._copies[_storage(selected)] = selected
        return selected

    def _read(self, arguments: Any) -> None:
        for leaf in tree_leaves(arguments):
            if isinstance(leaf, Tensor):
                if not is_captured(leaf):
                    raise CannotCompileError("it makes numbers of tensors that it has computed")
                self._found.append(leaf)


def _first(args: Any, kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("data", kwargs.get("obj"))


def _storage(tensor: Any) -> int:
    return tensor.untyped_storage()._cdata if isinstance(tensor, Tensor) else 0


class _GradientCalls(_Calls):
    """Also cuts gradients where autograd does."""

    def __init__(self, reads: list[Tensor]) -> None:
        super().__init__(reads)
        self._disabled_at = 0  # the level of torch.func's transforms where gradients were switched off

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled:
            self._switch(*args)
        elif func in (_DATA.__get__, _DATA.__set__):
            raise CannotCompileError("it uses the attribute data of a tensor; write detach()")
        elif not torch.is_grad_enabled() and _writes(func, kwargs or {}):
            raise CannotCompileError("it writes in place under torch.no_grad()")
        result = super().__torch_function__(func, types, args, kwargs)
        return result if torch.is_grad_enabled() else tree_map_only(Tensor, Tensor.detach, result)

    def _switch(self, enabled: bool) -> None:
        level = maybe_current_level() or 0
        if not enabled and torch.is_grad_enabled():
            self._disabled_at = level
        elif enabled and not torch.is_grad_enabled() and level > self._disabled_at:
            raise CannotCompileError("it uses torch.func under torch.no_grad()")


def _writes(func: Any, kwargs: dict[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
    return in_place or name in _OPERATORS_IN_PLACE or bool(kwargs.get("inplace")) or kwargs.get("out") is not None
