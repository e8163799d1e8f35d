"""Ordinary differential equations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor

from .._functions import RightHandSide, prepare_right_hand_side
from .._functions._nesting import as_parameters
from ._base import AbstractProblem
from ._checks import as_mass_matrix, as_state, as_tspan, check_callable, differentiable_times


@dataclass(frozen=True, eq=False)
class ODEProblem(AbstractProblem):
    r"""The initial value problem \( M u' = f(u, p, t),\ u(t_0) = u_0 \).

    Arguments:
        f: the right-hand side `f(u, p, t)`, a function of torch tensors or an `nn.Module` with that `forward`. It
            returns a tensor of the shape, dtype and device of `u`, and must not modify `u`. `t` is a 0-d tensor.
            A function whose arguments have the names of another order, such as `f(t, y, args)`, is refused.
        u0: initial state, a tensor, array, number or list of any shape; float32, float64, complex64 or complex128.
            Arrays, numbers and lists give a solution in numpy; numbers and lists are taken as float64.
        tspan: `(t0, t1)`; `t1 < t0` integrates backwards. Times may be 0-d tensors, which have gradients.
        p: parameters: a tensor, an array, a number, any nesting of these in dicts, lists and tuples, or `None`.
            Parameters of a module need not be passed: they are found.
        mass_matrix: `None` for the identity, or a real matrix of shape `(N, N)`, N the number of elements of `u0`.
            It may be singular (an index-1 DAE); `u0` must then be consistent.

    Raises:
        InvalidProblemError: an argument cannot be used; the message says which and why.

    Engines: both. Source: SciMLBase's `ODEProblem`.

    >>> import torch
    >>> prob = ODEProblem(lambda u, p, t: -p * u, torch.tensor([1.0]), (0.0, 1.0), torch.tensor(0.5))
    >>> prob.tspan
    (0.0, 1.0)
    """

    f: Callable[[Tensor, Any, Tensor], Tensor]
    mass_matrix: Tensor | None
    arguments: ClassVar[tuple[str, ...]] = ("f", "u0", "tspan", "p", "mass_matrix")

    def __init__(
        self,
        f: Callable[[Any, Any, Any], Any],
        u0: Tensor | NDArray[Any] | float | Sequence[Any],
        tspan: Sequence[float] | Tensor,
        p: Any = None,
        *,
        mass_matrix: Tensor | NDArray[Any] | None = None,
    ) -> None:
        check_callable(f)
        state = as_state(u0)
        real = state.real.dtype if state.is_complex() else state.dtype
        set_ = object.__setattr__
        set_(self, "f", f)
        set_(self, "u0", state)
        set_(self, "tspan", as_tspan(tspan))
        set_(self, "tspan_tensors", differentiable_times(tspan))
        set_(self, "p", as_parameters(p, dtype=real, device=state.device))
        set_(self, "mass_matrix", None if mass_matrix is None else as_mass_matrix(mass_matrix, state))
        set_(self, "numpy_output", not isinstance(u0, Tensor))

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"f": self.f}

    @property
    def needs_mass_matrix(self) -> bool:
        return self.mass_matrix is not None

    def prepare(self, *, traced: bool = False) -> RightHandSide:
        return prepare_right_hand_side(self.f, self.u0, self.tspan, self.p, self.mass_matrix, traced=traced)
