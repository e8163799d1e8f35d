"""Calling a user function, as it was traced or as it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from .._errors import GradientError
from ._nesting import leaves, replace_leaves
from ._parameters import Parameters
from ._pure import CAPTURED, Snapshot


class AbstractEvaluation(ABC):
    """A function `f(u, p, t)` of the user's at fixed parameters, in the user's form of the state.

    Attributes:
        uses_time: whether the time is looked at; it may be anything where it is not.
    """

    uses_time: bool = True

    @abstractmethod
    def __call__(self, u: Tensor, t: Tensor) -> Any:
        """`f` at a state and a time."""

    @abstractmethod
    def replacing(self, fresh: dict[int, Tensor]) -> Callable[[Tensor, Tensor], Any]:
        """`f` with other tensors in the place of parameters, by the ids of these.

        Raises:
            GradientError: some of them cannot be replaced.
        """


class TracedEvaluation(AbstractEvaluation):
    """A snapshot: everything that it reads is an argument, and nothing of the user's is touched.

    Arguments:
        snapshot: the function, found at arguments `(u, parameters.p, t)`.
        parameters: those of the problem.
    """

    def __init__(self, snapshot: Snapshot, parameters: Parameters) -> None:
        roles = snapshot.function.roles
        last = 1 + sum(1 for _ in leaves(parameters.p))
        self._run = snapshot.function.call
        self._at_u = [i for i, role in enumerate(roles) if role == 0]
        self._at_t = [i for i, role in enumerate(roles) if role == last]
        self._inputs = [
            parameters.local_of(x) if role == CAPTURED else x for x, role in zip(snapshot.inputs, roles, strict=True)
        ]
        self.uses_time = bool(self._at_t)
        self._call = self._with(self._inputs)

    def __call__(self, u: Tensor, t: Tensor) -> Any:
        return self._call(u, t)

    def replacing(self, fresh: dict[int, Tensor]) -> Callable[[Tensor, Tensor], Any]:
        return self._with([fresh.get(id(x), x) for x in self._inputs])

    def _with(self, values: list[Tensor]) -> Callable[[Tensor, Tensor], Any]:
        """The function of a state and a time, at values of all other inputs."""
        run, at_u, at_t = self._run, self._at_u, self._at_t

        def call(u: Tensor, t: Tensor) -> Any:
            inputs = values.copy()
            for i in at_u:
                inputs[i] = u
            for i in at_t:
                inputs[i] = t
            return run(*inputs)[0]

        return call


class DirectEvaluation(AbstractEvaluation):
    """The function as it is: it may read whatever it likes, each time anew.

    Where parameters that it holds have hooks, which must not run for what is computed here, torch's functions are given
    local tensors in their place.
    """

    def __init__(self, function: Callable[..., Any], parameters: Parameters) -> None:
        self._function, self._p = function, parameters.p
        self._substitutes = parameters.substitutes

    def __call__(self, u: Tensor, t: Tensor) -> Any:
        if not self._substitutes:
            return self._function(u, self._p, t)
        with _Substitution(self._substitutes):
            return self._function(u, self._p, t)

    def replacing(self, fresh: dict[int, Tensor]) -> Callable[[Tensor, Tensor], Any]:
        in_p = list(leaves(self._p))
        if not fresh.keys() <= set(map(id, in_p)):
            raise GradientError(
                "ForwardDiffSensitivity cannot reach parameters that f holds itself, since torch.compile cannot follow "
                "f; pass them through p, or use ReverseDiffAdjoint() or GaussAdjoint()."
            )
        p = replace_leaves(self._p, [fresh.get(id(x), x) for x in in_p])
        return lambda u, t: self._function(u, p, t)


class _Substitution(TorchFunctionMode):
    """Gives torch's functions other tensors in the place of some, by the ids of these."""

    def __init__(self, substitutes: dict[int, Tensor]) -> None:
        super().__init__()
        self._substitutes = substitutes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def substituted(x: Tensor) -> Tensor:
            return self._substitutes.get(id(x), x)

        return func(*tree_map_only(Tensor, substituted, args), **tree_map_only(Tensor, substituted, kwargs or {}))


class AutocastEvaluation(AbstractEvaluation):
    """Another evaluation under the `torch.autocast` that was in force when the problem was prepared.

    A gradient is taken later, where it may not be in force any more.
    """

    def __init__(self, evaluation: AbstractEvaluation, device: str) -> None:
        self._evaluation, self.uses_time = evaluation, evaluation.uses_time
        self._options = {"device_type": device, "dtype": torch.get_autocast_dtype(device), "cache_enabled": False}

    def __call__(self, u: Tensor, t: Tensor) -> Any:
        with torch.autocast(**self._options):
            return self._evaluation(u, t)

    def replacing(self, fresh: dict[int, Tensor]) -> Callable[[Tensor, Tensor], Any]:
        call = self._evaluation.replacing(fresh)

        def under_autocast(u: Tensor, t: Tensor) -> Any:
            with torch.autocast(**self._options):
                return call(u, t)

        return under_autocast
