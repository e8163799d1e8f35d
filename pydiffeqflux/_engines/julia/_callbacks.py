"""A torch right-hand side as C functions that Julia can call."""

import ctypes
from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor

from ..._functions import CheckedFunction, RightHandSide
from ..._progress import ProgressBar
from .._linearisation import Linearisation
from ._arguments import CallbackArguments, address
from ._interrupts import Interrupts

_F = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double)
_VJP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double, ctypes.c_int)
_TANGENT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double, ctypes.c_double)
_WANTS_STATE, _WANTS_PARAMETERS = 1, 2


class Guard:
    """Runs Python code for Julia and keeps what it raises, since no exception can travel through C.

    Attributes:
        error: the exception that stopped the solve, `None` while there is none.
        interrupts: the Ctrl-C of the solve that is running.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.interrupts: Interrupts | None = None

    def __call__(self, body: Callable[..., None], *args: float) -> int:
        """0, or 1 where `body` raised or Ctrl-C waits."""
        interrupts = self.interrupts
        try:
            if interrupts is None:
                body(*args)
                return 0
            if interrupts.requested:
                return 1
            outer, interrupts.allowed = interrupts.allowed, True
            try:
                body(*args)
            finally:
                interrupts.allowed = outer
        except BaseException as error:
            self.error = error
            return 1
        return 0


class Poll:
    """What Julia calls every 50 ms: it lets Python see Ctrl-C, and moves the progress bar."""

    def __init__(self, guard: Guard, progress: ProgressBar | None = None) -> None:
        self.progress = progress
        self._guard = guard
        self._pointer = _F(lambda t: guard(self._tick, t))

    def _tick(self, t: float) -> None:
        if self.progress is not None:
            self.progress.move_to(t)

    @property
    def address(self) -> int:
        """The address of the C function; it lives as long as this object."""
        return _address_of(self._pointer)


class Products(Enum):
    """The vector-Jacobian products of a right-hand side that a gradient asks for."""

    NONE = "none"
    SEPARATE = "one at a time"
    JOINT = "with respect to state and parameters at once"
    JOINT_WITH_TANGENT = "the same, and those of directional derivatives"


class TorchCallbacks:
    """The C functions of a user function, and the tensors through which they take and return states.

    Julia copies a state into a buffer, calls with nothing but a number, and copies the result out of another buffer.
    """

    def __init__(self, rhs: CheckedFunction, guard: Guard, poll: Poll, *, jacobian: bool, products: Products) -> None:
        self.rhs = rhs
        n, n_out, self.n_p = rhs.numel, rhs.returned_shape.numel(), sum(map(_size, rhs.parameters))
        self._u, self._du = self._buffer(n), self._buffer(n_out)
        self._f = _F(lambda t: guard(self._evaluate, t))
        self.arguments = CallbackArguments(
            single=int(rhs.dtype == torch.float32),
            n=n,
            n_out=n_out,
            n_p=self.n_p,
            joint=int(products in (Products.JOINT, Products.JOINT_WITH_TANGENT)),
            f=_address_of(self._f),
            poll=poll.address,
            u=address(self._u),
            du=address(self._du),
        )
        if jacobian:
            self._prepare_jacobian(guard)
        if products is not Products.NONE:
            self._prepare_vjp(guard)
        if products is Products.JOINT_WITH_TANGENT:
            self._prepare_tangent(guard)

    def _prepare_jacobian(self, guard: Guard) -> None:
        assert isinstance(self.rhs, RightHandSide)
        self._linearisation = Linearisation(self.rhs)
        n, a = self.rhs.numel, self.arguments
        self._jac_u, self._jac_time, self._jac_matrix = self._buffer(n), self._buffer(n), self._buffer(n * n).view(n, n)
        self._jac = _F(lambda t: guard(self._linearise, t))
        a.jac, a.jac_u = _address_of(self._jac), address(self._jac_u)
        a.jac_matrix, a.jac_time = address(self._jac_matrix), address(self._jac_time)

    def _prepare_vjp(self, guard: Guard) -> None:
        a = self.arguments
        self._cotangent, self._pulled = self._buffer(a.n_out), self._buffer(self.rhs.numel)
        pulled_p = self._pulled_p = self._buffer(max(self.n_p, 1))
        self._pulled_parts = self.split(pulled_p)
        self._vjp = _VJP(lambda t, wants: guard(self._pull, t, wants))
        a.vjp = _address_of(self._vjp)
        a.λ = address(self._cotangent)
        a.λ_du = address(self._pulled)
        a.λ_dp = address(pulled_p)

    def _prepare_tangent(self, guard: Guard) -> None:
        self._direction = self._buffer(self.rhs.numel)
        self._tangent = _TANGENT(lambda t, τ: guard(self._pull_tangent, t, τ))
        self.arguments.tangent, self.arguments.g = _address_of(self._tangent), address(self._direction)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of a flat vector in the shapes of the parameters; a complex one takes two numbers an element."""
        parts = vector[: self.n_p].split([_size(q) for q in self.rhs.parameters]) if self.rhs.parameters else ()
        return [
            torch.view_as_complex(part.view(*q.shape, 2)) if q.is_complex() else part.view(q.shape)
            for part, q in zip(parts, self.rhs.parameters, strict=True)
        ]

    def _buffer(self, size: int) -> Tensor:
        return torch.zeros(size, dtype=self.rhs.dtype)

    def _state(self, buffer: Tensor) -> Tensor:
        # a copy, since f may keep what it is given
        return buffer.clone().view(self.rhs.shape)

    def _evaluate(self, t: float) -> None:
        self._du.copy_(self.rhs(self._state(self._u), t).reshape(-1))

    def _pull(self, t: float, wants: int) -> None:
        wants_parameters = bool(wants & _WANTS_PARAMETERS)
        x, k = self.rhs.evaluate_with_graph(self._state(self._u), t)
        du, dp = self.rhs.vjp(k, x, self._cotangent.clone().view(self.rhs.returned_shape), parameters=wants_parameters)
        if wants & _WANTS_STATE:
            self._pulled.copy_(du.reshape(-1))
        if wants_parameters:
            self._write_parameters(dp)

    def _pull_tangent(self, t: float, τ: float) -> None:
        assert isinstance(self.rhs, RightHandSide)
        λ, g = self._state(self._cotangent), self._state(self._direction)
        du, dp = self.rhs.vjp_of_tangent(self._state(self._u), t, λ, (g, τ))
        self._pulled.copy_(du.reshape(-1))
        self._write_parameters(dp)

    def _write_parameters(self, dp: list[Tensor]) -> None:
        for part, gradient in zip(self._pulled_parts, dp, strict=True):
            part.copy_(gradient)

    def _linearise(self, t: float) -> None:
        _, jacobian, dfdt = self._linearisation(self._state(self._jac_u), t, self._ahead(t))
        self._jac_matrix.copy_(jacobian.T)  # Julia reads columns
        if dfdt is None:
            self._jac_time.zero_()
        else:
            self._jac_time.copy_(dfdt.reshape(-1))

    def _ahead(self, t: float) -> float:
        """How far a difference in time may look: the step is not known here, and the time span is not left."""
        t0, t1 = self.rhs.tspan
        ahead = 1e-3 * (t1 - t0)
        return ahead if abs(t1 - t) > abs(ahead) else -ahead


def _size(parameter: Tensor) -> int:
    return parameter.numel() * (2 if parameter.is_complex() else 1)


def _address_of(function: "ctypes._FuncPointer") -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
