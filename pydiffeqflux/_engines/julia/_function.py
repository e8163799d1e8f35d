"""A right-hand side in Julia, and everything in Python that it points to."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ..._errors import UnsupportedError
from ..._functions import CheckedFunction, SourceRightHandSide
from .._base import SolveSpec
from ._arguments import address
from ._bridge import Bridge
from ._cache import Cache
from ._callbacks import Guard, Poll, TorchCallbacks
from ._compiled import CompiledFunction, Needs
from ._julia_sources import JuliaSources, flatten
from ._strategy import Strategy

JACOBIAN_LIMIT = 2000
"""Above this many states no dense Jacobian is made for Julia; its solvers then take the products that they need by
finite differences."""


class JuliaFunction(ABC):
    """A user function that Julia can evaluate and differentiate: a right-hand side, or a diffusion.

    Arguments:
        bridge: the running Julia.
        guard: that of a function of the same equation.

    Attributes:
        handle: the function in Julia.
        guard: what keeps the exceptions of Python code that Julia calls.
        poll: what Julia calls every 50 ms.
        has_vjp: whether it brings its own vector-Jacobian products.
        n_p: the number of flat parameters.
        counts_calls: whether evaluations are counted in Python.
    """

    has_vjp = True
    counts_calls = False
    n_p: int

    def __init__(self, bridge: Bridge, guard: Guard | None = None) -> None:
        self.guard = Guard() if guard is None else guard
        self.poll = Poll(self.guard)
        self.handle = bridge.keep(self._make())

    @abstractmethod
    def _make(self) -> int:
        """The function in Julia."""

    def activate(self) -> None:  # noqa: B027 - most have nothing to do
        """Let Julia's function read this one's tensors, which may be another's at other times."""

    @abstractmethod
    def split_gradient(self, dp: Tensor, rhs: CheckedFunction) -> list[Tensor]:
        """The gradient of the flat parameters as one tensor a parameter."""


class JuliaSourceFunction(JuliaFunction):
    """A `JuliaSource`."""

    def __init__(
        self, bridge: Bridge, julia_sources: JuliaSources, rhs: SourceRightHandSide, *, vjp: bool, jacobian: bool
    ) -> None:
        self._julia_sources, self._rhs, self._jacobian = julia_sources, rhs, jacobian
        self._parameters = flatten(rhs)
        self.n_p = self._parameters.vector.numel()
        self.has_vjp = vjp
        super().__init__(bridge)

    def _make(self) -> int:
        return self._julia_sources.right_hand_side(
            self._rhs, self._parameters, self.poll, vjp=self.has_vjp, jacobian=self._jacobian
        )

    def split_gradient(self, dp: Tensor, rhs: CheckedFunction) -> list[Tensor]:
        return [dp[place].view(q.shape) for place, q in zip(self._parameters.places, rhs.parameters, strict=True)]


class CallbackFunction(JuliaFunction):
    """A torch function that Julia calls back."""

    counts_calls = True

    def __init__(self, bridge: Bridge, rhs: CheckedFunction, needs: Needs, guard: Guard | None = None) -> None:
        self._bridge, self._rhs, self._needs = bridge, rhs, needs
        super().__init__(bridge, guard)

    def _make(self) -> int:
        self._callbacks = TorchCallbacks(
            self._rhs,
            self.guard,
            self.poll,
            jacobian=self._needs.jacobian,
            products=self._needs.products,
        )
        self.n_p = self._callbacks.n_p
        return self._bridge.call("callback_rhs", address(self._callbacks.arguments))

    def split_gradient(self, dp: Tensor, rhs: CheckedFunction) -> list[Tensor]:
        return self._callbacks.split(dp)


class CompiledTorchFunction(JuliaFunction):
    """A torch function as Julia code."""

    def __init__(
        self,
        bridge: Bridge,
        compiled: CompiledFunction,
        rhs: CheckedFunction,
        needs: Needs,
        guard: Guard | None = None,
    ) -> None:
        self._compiled, self._needs = compiled, needs
        self._constants = compiled.constants(rhs, needs)
        self._parameters = compiled.flat_parameters(rhs)
        self.n_p = self._parameters.numel()
        super().__init__(bridge, guard)

    def _make(self) -> int:
        return self._compiled.right_hand_side(self._parameters, self.poll, self._needs)

    def activate(self) -> None:
        self._compiled.set_constants(self._constants)

    def split_gradient(self, dp: Tensor, rhs: CheckedFunction) -> list[Tensor]:
        return [
            torch.zeros_like(q) if place is None else dp[place].view(q.shape)
            for place, q in zip(self._compiled.places(rhs), rhs.parameters, strict=True)
        ]


def make_function(
    bridge: Bridge,
    julia_sources: JuliaSources,
    cache: Cache,
    spec: SolveSpec,
    strategy: Strategy[Any],
    *,
    implicit: bool,
) -> JuliaFunction:
    """The right-hand side of a solve, with what its gradient needs; `implicit` algorithms need a Jacobian with it.

    Raises:
        UnsupportedError: compilation was required and is not possible.
    """
    rhs, compile_ = spec.rhs, spec.options.compile
    jacobian = implicit and rhs.numel <= JACOBIAN_LIMIT
    if isinstance(rhs, SourceRightHandSide):
        if compile_:
            raise UnsupportedError("a JuliaSource is Julia code already; leave compile out.")
        return JuliaSourceFunction(bridge, julia_sources, rhs, vjp=strategy.brings_vjp(rhs), jacobian=jacobian)
    return _make_torch_function(bridge, cache, rhs, Needs(strategy.products(spec.alg), jacobian), compile_, None)


def make_diffusion(
    bridge: Bridge, cache: Cache, spec: SolveSpec, strategy: Strategy[Any], guard: Guard
) -> JuliaFunction | None:
    """The diffusion of a solve, with what its gradient needs; `None` where there is no noise.

    Raises:
        UnsupportedError: compilation was required and is not possible.
    """
    if spec.rhs.diffusion is None:
        return None
    needs = Needs(strategy.products(spec.alg), jacobian=False)
    return _make_torch_function(bridge, cache, spec.rhs.diffusion, needs, spec.options.compile, guard)


def _make_torch_function(
    bridge: Bridge, cache: Cache, function: CheckedFunction, needs: Needs, compile_: bool | None, guard: Guard | None
) -> JuliaFunction:
    if compile_ is not False:
        compiled = cache.get(function, needs, required=bool(compile_))
        if compiled is not None:
            return CompiledTorchFunction(bridge, compiled, function, needs, guard)
    return CallbackFunction(bridge, function, needs, guard)
