"""Differential-algebraic equations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from .._errors import InvalidProblemError
from .._functions import RightHandSide, prepare_implicit
from .._functions._nesting import as_parameters
from ._base import AbstractProblem
from ._checks import as_state, as_tspan, check_callable, differentiable_times


@dataclass(frozen=True, eq=False)
class DAEProblem(AbstractProblem):
    r"""The initial value problem \( 0 = f(u', u, p, t),\ u(t_0) = u_0,\ u'(t_0) = u'_0 \), of index 1.

    It is solved as a system with a singular mass matrix, of u and the derivatives that occur in f, by any method that
    takes one; `alg=None` takes `Rodas5P()` or, for many variables on the julia engine, `FBDF()`.

    Arguments:
        f: the residual `f(du, u, p, t)`, a function of torch tensors or an `nn.Module`, of the shape, dtype and device
            of `u`: as many equations as variables.
        du0: initial derivative, of the shape of `u0`. Those of variables whose derivatives do not occur do not matter.
        u0: initial state, real; as for an [`ODEProblem`][].
        tspan: `(t0, t1)`.
        p: parameters, as for an `ODEProblem`.
        differential_vars: for each element of `u` whether its derivative occurs in `f`; `None` finds them by the
            derivative of `f` with respect to `du`.

    Initial values that violate an equation are refused, or changed by the option `initializealg` of [`solve`][].

    Raises:
        InvalidProblemError: an argument cannot be used; the message says which and why.

    Engines: both. Source: SciMLBase's `DAEProblem`.

    >>> import torch
    >>> def f(du, u, p, t):  # u₀' = -u₀, and u₁ = u₀²
    ...     return torch.stack([du[0] + u[0], u[1] - u[0] ** 2])
    >>> prob = DAEProblem(f, [-1.0, 0.0], [1.0, 1.0], (0.0, 1.0))
    >>> from pydiffeqflux import Rodas5P, solve
    >>> [round(float(x), 4) for x in solve(prob, Rodas5P(), reltol=1e-6).u[-1]]
    [0.3679, 0.1353]
    """

    f: Callable[[Tensor, Tensor, Any, Tensor], Tensor]
    du0: Tensor
    differential_vars: tuple[bool, ...] | None
    arguments: ClassVar[tuple[str, ...]] = ("f", "du0", "u0", "tspan", "p", "differential_vars")

    def __init__(
        self,
        f: Callable[..., Any],
        du0: Tensor | NDArray[Any] | float | Sequence[Any],
        u0: Tensor | NDArray[Any] | float | Sequence[Any],
        tspan: Sequence[float],
        p: Any = None,
        *,
        differential_vars: Sequence[bool] | Tensor | NDArray[Any] | None = None,
    ) -> None:
        check_callable(f, arguments=("du", "u", "p", "t"))
        state = as_state(u0)
        if state.is_complex():
            raise InvalidProblemError("a DAEProblem needs a real state; split u0 into its real and imaginary part.")
        derivative = as_state(du0, name="du0").to(state.device, state.dtype)
        if derivative.shape != state.shape:
            raise InvalidProblemError(
                f"du0 has shape {tuple(derivative.shape)}; it must be that of u0, {tuple(state.shape)}."
            )
        span = as_tspan(tspan)
        if any(t is not None for t in differentiable_times(tspan)):
            raise InvalidProblemError("the times of a DAEProblem have no gradient; detach tspan.")
        set_ = object.__setattr__
        set_(self, "f", f)
        set_(self, "du0", derivative)
        set_(self, "u0", state)
        set_(self, "tspan", span)
        set_(self, "tspan_tensors", (None, None))
        set_(self, "p", as_parameters(p, dtype=state.dtype, device=state.device))
        set_(self, "differential_vars", None if differential_vars is None else _as_flags(differential_vars, state))
        set_(self, "numpy_output", not isinstance(u0, Tensor))

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"f": self.f}

    @property
    def needs_mass_matrix(self) -> bool:
        return True

    def prepare(self, *, traced: bool = False) -> RightHandSide:
        flags = self.differential_vars
        places = None if flags is None else tuple(i for i, flag in enumerate(flags) if flag)
        return prepare_implicit(self.f, self.du0, self.u0, self.tspan, self.p, places, traced=traced)


def _as_flags(flags: Any, u0: Tensor) -> tuple[bool, ...]:
    try:
        found = torch.as_tensor(flags)
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0)
    if found.dtype != torch.bool or found.numel() != u0.numel() or not bool(found.any()):
        raise InvalidProblemError(
            f"differential_vars must be {u0.numel()} bools, one for every element of u0 and some of them True, not "
            f"{flags!r}."
        )
    return tuple(found.reshape(-1).tolist())
