"""Delay differential equations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor

from .._algorithms import EquationKind
from .._errors import InvalidProblemError
from .._functions import Lags, RightHandSide, as_history, prepare_delayed
from .._functions._nesting import as_parameters
from ._base import AbstractProblem
from ._checks import as_state, as_tspan, check_callable, differentiable_times


@dataclass(frozen=True, eq=False)
class DDEProblem(AbstractProblem):
    r"""The initial value problem \( u' = f(u, h, p, t),\ u(t_0) = u_0 \), whose past before \( t_0 \) is given.

    Arguments:
        f: the right-hand side `f(u, h, p, t)`, as for an [`ODEProblem`][] but for `h`: `h(p, s)` is the state at an
            earlier time s, a number or a 0-d tensor, and `h(p, s, derivative=1)` its time derivative. Delays may depend
            on anything; they have gradients where s has. A state in the future is refused.
        u0: initial state, as for an `ODEProblem`. It need not be what the history is at t0.
        h: the states before t0: a function `h(p, s)` of torch tensors, one state for all times, a
            [`SampledHistory`][], or a [`Solution`][]. Gradients flow to what it is made of.
        tspan: `(t0, t1)`; backwards, where `t1 < t0`, the past is what comes later.
        p: parameters, as for an `ODEProblem`.
        constant_lags: the sizes of delays that are the same all the time. Steps end where the history or its end is
            seen through them. `None` finds them by calling `f`; what is not found, or left out of a list, costs steps
            but no accuracy.
        dependent_lags: delays that vary, functions `lag(u, p, t)`; the times at which a discontinuity is seen through
            them are searched while solving.
        neutral: whether `f` reads derivatives of the past, through which a jump never gets smoother.

    Raises:
        InvalidProblemError: an argument cannot be used; the message says which and why.

    Engines: embedded. Source: SciMLBase's `DDEProblem`.

    >>> import torch
    >>> from pydiffeqflux import MethodOfSteps, Tsit5, solve
    >>> prob = DDEProblem(lambda u, h, p, t: -h(p, t - 1.0), [1.0], 1.0, (0.0, 2.0), constant_lags=[1.0])
    >>> sol = solve(prob, MethodOfSteps(Tsit5()), saveat=1.0)
    >>> [round(float(u), 6) for u in sol.u[:, 0]]  # 1 - t, then (t² - 4 t + 3) / 2
    [1.0, 0.0, -0.5]
    """

    f: Callable[[Tensor, Any, Any, Tensor], Tensor]
    h: Any
    constant_lags: tuple[float, ...] | None
    dependent_lags: tuple[Callable[[Any, Any, Any], Any], ...]
    neutral: bool
    arguments: ClassVar[tuple[str, ...]] = (
        "f",
        "u0",
        "h",
        "tspan",
        "p",
        "constant_lags",
        "dependent_lags",
        "neutral",
    )
    kind: ClassVar[EquationKind] = EquationKind.DELAY

    def __init__(
        self,
        f: Callable[..., Any],
        u0: Tensor | NDArray[Any] | float | Sequence[Any],
        h: Any,
        tspan: Sequence[float],
        p: Any = None,
        *,
        constant_lags: Sequence[float | Tensor] | None = None,
        dependent_lags: Sequence[Callable[[Any, Any, Any], Any]] = (),
        neutral: bool = False,
    ) -> None:
        check_callable(f, arguments=("u", "h", "p", "t"))
        state = as_state(u0)
        history = as_history(h, state)
        if callable(h) and history.tensors is None and not hasattr(h, "retcode"):
            check_callable(h, "h", arguments=("p", "t"))
        if any(t is not None for t in differentiable_times(tspan)):
            raise InvalidProblemError("the times of a DDEProblem have no gradient; detach tspan.")
        for lag in dependent_lags:
            check_callable(lag, "a dependent lag")
        real = state.real.dtype if state.is_complex() else state.dtype
        set_ = object.__setattr__
        set_(self, "f", f)
        set_(self, "h", h)
        set_(self, "u0", state)
        set_(self, "tspan", as_tspan(tspan))
        set_(self, "tspan_tensors", (None, None))
        set_(self, "p", as_parameters(p, dtype=real, device=state.device))
        set_(self, "constant_lags", None if constant_lags is None else _as_lags(constant_lags))
        set_(self, "dependent_lags", tuple(dependent_lags))
        set_(self, "neutral", bool(neutral))
        set_(self, "numpy_output", not isinstance(u0, Tensor))
        set_(self, "_history", history)

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"f": self.f, **({"h": self.h} if callable(self.h) else {})}

    @property
    def needs_mass_matrix(self) -> bool:
        return False

    def prepare(self, *, traced: bool = False) -> RightHandSide:
        lags = Lags(self.constant_lags, self.dependent_lags, self.neutral)
        history = getattr(self, "_history")  # noqa: B009 - not a field: it is made of h
        return prepare_delayed(self.f, history, lags, self.u0, self.tspan, self.p)


def _as_lags(lags: Any) -> tuple[float, ...]:
    try:
        sizes = tuple(float(lag.detach() if isinstance(lag, Tensor) else lag) for lag in lags)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidProblemError(
            f"constant_lags must be numbers, not {lags!r}; functions are dependent_lags."
        ) from None
    for lag in sizes:
        if not (math.isfinite(lag) and lag > 0.0):
            raise InvalidProblemError(f"constant_lags holds {lag}; a delay must be positive, also backwards in time.")
    return sizes
