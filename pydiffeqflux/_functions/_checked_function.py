"""A function of the user's with its checks: what it returns, and that it stays what it was for a gradient."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from .._errors import GradientError, RightHandSideError
from ._connection import Connection
from ._derivatives import CannotMapError, map_over, pull_back
from ._evaluation import AbstractEvaluation
from ._nesting import leaves
from ._parameters import Parameters
from ._pure import TORCHSCRIPT, Refusal, Snapshot
from ._reused_outputs import OutputOwner
from ._state import StateSpace
from ._watch import Watch


class CheckedFunction:
    """A function `f(u, p, t)` of a problem as a function of a real state and a time.

    Attributes:
        name: what the equation calls it.
        u0: the initial state, real and detached.
        tspan: the time span.
        space: what states look like.
        function: the user's function.
        connection: what has a gradient, `None` where none can be wanted.
        snapshot: the function as it was traced, `None` where it is called as it is.
        refusal: why it could not be traced, where that was tried.
        output_shape: that of what it must return, in the real form.
        u0_requires_grad: whether the user's initial state does.
        nf: calls so far.
    """

    name: ClassVar[str] = "f"

    def __init__(
        self,
        u0: Tensor,
        tspan: tuple[float, float],
        function: Callable[..., Any],
        evaluation: AbstractEvaluation,
        parameters: Parameters,
        snapshot: Snapshot | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        self.space = space = StateSpace.of(u0)
        self.u0_requires_grad = u0.requires_grad
        self.u0 = space.to_real(u0.detach().clone())  # a function that writes to its argument must not reach the user's
        self.shape, self.numel, self.dtype, self.device = space.shape, space.numel, space.dtype, space.device
        self.output_shape: torch.Size | None = space.shape
        self.is_complex = space.is_complex
        self.function, self.snapshot, self.refusal = function, snapshot, refusal
        self.nf = 0
        self.connection: Connection | None = None
        self._parameters = parameters
        self._evaluation, self._uses_time = evaluation, evaluation.uses_time
        self._outputs = OutputOwner()
        self._call = self._call_complex if space.is_complex else evaluation
        self.tspan = tspan
        self._given = Watch((*parameters.owners, *leaves(parameters.p)))
        self._captured = Watch(())

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors to differentiate with respect to."""
        return self._parameters.tensors

    @property
    def owners(self) -> list[Tensor]:
        """For each of `parameters` the tensor of the user's that the gradient belongs to."""
        return self._parameters.owners

    @property
    def p(self) -> Any:
        """The nesting of parameters."""
        return self._parameters.p

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors of `p`, in order."""
        return list(leaves(self.p))

    @property
    def returned_shape(self) -> torch.Size:
        """The shape of what it returns; that of a diffusion is known after the first evaluation."""
        assert self.output_shape is not None
        return self.output_shape

    # ---- evaluation

    def time(self, t: float | Tensor) -> Tensor:
        """`t` as the 0-d tensor that `f` receives."""
        return t if isinstance(t, Tensor) else torch.full((), t, dtype=self.dtype, device=self.device)

    def __call__(self, u: Tensor, t: float | Tensor) -> Tensor:
        """`f(u, p, t)`, checked. `u` and the result have the shape of `self.u0`.

        Raises:
            RightHandSideError: `f` returned something else, or wrote to `u`.
        """
        self.nf += 1
        version = u._version
        # the tensor of a time that f does not look at is not made
        k = self._call(u, self.time(t) if self._uses_time else t)  # pyright: ignore[reportArgumentType]
        if k.__class__ is not Tensor and not isinstance(k, Tensor):
            raise RightHandSideError(f"{self.name} returned {type(k).__name__}; it must return a torch tensor like u.")
        if k.shape != self.output_shape or k.dtype != self.dtype or k.device != self.device:
            self._judge_output(k)
        if u._version != version:
            raise RightHandSideError(f"{self.name} modified its argument u in place; compute its result out of place.")
        # what a traced function returns is new
        return self._outputs.own(k, u) if self.snapshot is None else k

    def _call_complex(self, u: Tensor, t: Tensor) -> Any:
        """`f` of a complex state in its real form."""
        k = self._evaluation(torch.view_as_complex(u), t)
        return self.space.to_real(k) if isinstance(k, Tensor) else k

    def _judge_output(self, k: Tensor) -> None:
        """Say what is wrong with an output that is not as expected."""
        self._refuse_output(k, "the derivative of u in the same shape, dtype and device")

    def _refuse_output(self, k: Tensor, expected: str) -> NoReturn:
        space = self.space
        shape = k.shape[:-1] if space.is_complex and k.shape == space.shape else k.shape
        raise RightHandSideError(
            f"{self.name} returned a tensor of shape {tuple(shape)}, {k.dtype} on {k.device}; u has shape "
            f"{tuple(space.user_shape)}, {space.user_dtype} on {space.device}. {self.name} must return {expected}."
        )

    def unchecked(self, u: Tensor, t: Tensor) -> Tensor:
        """`f(u, p, t)` without checks or counting."""
        return self._call(u, t)

    def mappable(self) -> Callable[[Tensor, Tensor], Tensor]:
        """`f` as an unchecked function of `(u, t)` for `torch.vmap`.

        Raises:
            CannotMapError: gradients would be lost, of which torch says nothing.
        """
        if self.refusal is not None and self.refusal.reason == TORCHSCRIPT:
            raise CannotMapError(f"{self.name} has parts in TorchScript, whose gradients torch.vmap loses")
        return self._call

    def with_leaves(self, values: Sequence[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """`f` as a function of `(u, t)` with `values` in the place of the tensors of `p`, unchecked."""
        fresh = {id(old): new for old, new in zip(self.leaves, values, strict=True)}
        return self._evaluation.replacing(fresh)

    def at_owners(self, owners: Sequence[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """`f` as a function of `(u, t)`, connected to the tensors of the user's that its parameters belong to."""
        fresh = {id(q): x for q, x in zip(self.parameters, owners, strict=True) if q is not x}
        return self._in_real_form(self._evaluation.replacing(fresh))

    def _in_real_form(self, call: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        if not self.is_complex:
            return call
        return lambda u, t: self.space.to_real(call(torch.view_as_complex(u), t))

    def local_of(self, owner: Tensor) -> Tensor:
        """What stands for a tensor of the user's that `f` has captured."""
        return self._parameters.local_of(owner)

    def functional(self, parameters: Sequence[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """`f` as a function of `(u, t)` with `parameters` in the place of `self.parameters`, for `torch.func`.

        Raises:
            GradientError: some parameters cannot be replaced.
        """
        fresh = {id(old): new for old, new in zip(self.parameters, parameters, strict=True)}
        return self._in_real_form(self._evaluation.replacing(fresh))

    def supports_forward_mode(self) -> bool:
        """Whether `f` can be mapped by `torch.vmap` over states, times and parameters, which must be real."""
        if any(q.is_complex() for q in self.parameters):
            return False

        def evaluate(u: Tensor, t: Tensor, *parameters: Tensor) -> Tensor:
            return self.functional(parameters)(u, t)

        arguments = [x.detach().unsqueeze(0) for x in (self.u0, self.time(self.tspan[0]), *self.parameters)]
        try:
            self.mappable()
            with torch.no_grad():
                map_over(evaluate, *arguments)
        except (CannotMapError, GradientError):
            return False
        return True

    def depends_on_inputs(self) -> bool:
        """Whether other states and parameters give another output, at one of three times."""
        try:
            other = self.functional([moved(q.detach()) for q in self.parameters])
        except GradientError:
            other = self._call
        return self._differs(other, moved(self.u0))

    def _differs(self, other: Callable[[Tensor, Tensor], Tensor], state: Tensor) -> bool:
        """Whether another function of another state is not what this one is of its own, at one of three times."""
        t0, t1 = self.tspan
        with torch.no_grad():
            return any(
                not torch.equal(self._call(self.u0.clone(), t), other(state.clone(), t))
                for t in map(self.time, (t0, 0.5 * (t0 + t1), t1))
            )

    # ---- derivatives

    def evaluate_with_graph(self, u: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """A leaf with the value of `u`, and `f` of it with the graph between them kept."""
        with torch.enable_grad():
            x = u.detach().requires_grad_()
            return x, self(x, t)

    def vjp(self, k: Tensor, x: Tensor, v: Tensor, *, parameters: bool) -> tuple[Tensor, list[Tensor]]:
        """`vᵀ ∂k/∂x` and, on request, `vᵀ ∂k/∂q` for every parameter q, from the graph of `k`."""
        dx, *dp = pull_back(k, [x, *self.parameters] if parameters else [x], v)
        return dx, dp

    # ---- what the gradient is of

    @property
    def varies(self) -> bool:
        """Whether `f` returns something else each time; not known where no gradient can be wanted."""
        return self.connection is not None and self.connection.varies

    def watch(self, captured: Sequence[Tensor]) -> None:
        """Notice from now on when tensors are written to that the gradient will read."""
        owned = {id(q) for q in self.owners}
        self._captured = Watch(x for x in captured if id(x) not in owned)

    def take_note_of(self, times: Sequence[float], states: Tensor) -> int:
        """Note what a gradient will be compared with, after a solve; returns how often `f` was called for that.

        Tensors are left alone that `f` writes to itself, as batch normalisation does. What a function that is called
        as it is returns is noted at some of the states that it was solved for.
        """
        self._captured.forget_modified()
        if self.connection is None or not self.connection.outputs or self.varies or not times:
            return 0
        noted = {len(times) // 2, len(times) - 1}
        with torch.no_grad():
            for i in noted:
                u, t = states[i].clone(), times[i]
                self.connection.outputs.append((u, t, self._call(u.clone(), self.time(t)).clone()))
        return len(noted)

    def check_unmodified(self) -> None:
        """Refuse an `f` that is not what it was: a gradient evaluates it again.

        Raises:
            GradientError: a parameter, or a tensor that `f` has captured and reads, was written to after the solve, or
                an `f` that is called as it is returns something else than before.
        """
        what = ""
        if self._given.modified():
            what = "parameters were"
        elif self._captured.modified() and not (self.snapshot is None and self._returns_the_same()):
            what = f"a tensor that {self.name} reads was"
        if what:
            raise GradientError(
                f"{what} modified in place after the solve, so its gradient cannot be computed any more; call "
                "backward() before optimizer.step() and the like, or solve again."
            )
        if self.snapshot is None and not self._returns_the_same():
            raise GradientError(
                f"{self.name} does not return what it returned in the solve, so something that it reads has changed "
                "since then; call backward() before that, or solve again. Of a function that torch.compile can follow "
                f"the solve keeps what it has read, but here {self.refusal or 'it is called as it is'}."
            )

    def _returns_the_same(self) -> bool:
        """Whether a function that is called as it is returns what it returned when the solve began."""
        if self.connection is None or self.connection.varies:
            return True
        with torch.no_grad():
            return all(
                torch.equal(self._call(u.clone(), self.time(t)), output) for u, t, output in self.connection.outputs
            )


def moved(x: Tensor) -> Tensor:
    """Other numbers of the same size, if they can be moved at all."""
    return x + 1e-3 * (1.0 + x.abs()) if x.is_floating_point() or x.is_complex() else x
