"""What is to be solved."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ._errors import InvalidProblemError
from ._parameters import as_parameters, outside_inference_mode

STATE_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
"""The dtypes that a state may have."""


@dataclass(frozen=True, eq=False)
class ODEProblem:
    r"""The initial value problem \( M u' = f(u, p, t),\ u(t_0) = u_0 \).

    Arguments:
        f: the right-hand side `f(u, p, t)`, a function of torch tensors or an `nn.Module` with that `forward`. It
            returns a tensor of the shape, dtype and device of `u`, and must not modify `u`. `t` is a 0-d tensor.
        u0: initial state, a tensor, array, number or list of any shape; float32, float64, complex64 or complex128.
            Arrays, numbers and lists give a solution in numpy; numbers and lists are taken as float64.
        tspan: `(t0, t1)`; `t1 < t0` integrates backwards.
        p: parameters: a tensor, an array, a number, any nesting of these in dicts, lists and tuples, or `None`.
            Parameters of a module need not be passed: they are found.
        mass_matrix: `None` for the identity, or a real matrix of shape `(N, N)`, N the number of elements of `u0`.
            It may be singular (an index-1 DAE); `u0` must then be consistent.

    Raises:
        InvalidProblemError: an argument cannot be used; the message says which and why.

    Engines: embedded. Source: SciMLBase's `ODEProblem`.

    >>> import torch
    >>> prob = ODEProblem(lambda u, p, t: -p * u, torch.tensor([1.0]), (0.0, 1.0), torch.tensor(0.5))
    >>> prob.tspan
    (0.0, 1.0)
    """

    f: Callable[[Tensor, Any, Tensor], Tensor]
    u0: Tensor
    tspan: tuple[float, float]
    p: Any = None
    mass_matrix: Tensor | None = None
    numpy_output: bool = dataclasses.field(init=False, default=False)

    def __init__(
        self,
        f: Callable[[Any, Any, Any], Any],
        u0: Tensor | NDArray[Any] | float | Sequence[Any],
        tspan: Sequence[float] | Tensor,
        p: Any = None,
        *,
        mass_matrix: Tensor | NDArray[Any] | None = None,
    ) -> None:
        _check_callable(f)
        state = _as_state(u0)
        real = state.real.dtype if state.is_complex() else state.dtype
        set_ = object.__setattr__
        set_(self, "f", f)
        set_(self, "u0", state)
        set_(self, "tspan", _as_tspan(tspan))
        set_(self, "p", as_parameters(p, dtype=real, device=state.device))
        set_(self, "mass_matrix", None if mass_matrix is None else _as_mass_matrix(mass_matrix, state))
        set_(self, "numpy_output", not isinstance(u0, Tensor))


def remake(prob: ODEProblem, **changes: Any) -> ODEProblem:
    """A copy of `prob` with some of its arguments replaced, as SciMLBase's `remake`.

    Arguments:
        prob: the problem.
        **changes: any of `f`, `u0`, `tspan`, `p`, `mass_matrix`.

    >>> prob = ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0))
    >>> remake(prob, tspan=(0.0, 2.0)).tspan
    (0.0, 2.0)
    """
    names = ("f", "u0", "tspan", "p", "mass_matrix")
    for name in changes:
        if name not in names:
            raise InvalidProblemError(f"remake knows {', '.join(names)}, not {name!r}.")
    arguments = {name: getattr(prob, name) for name in names} | changes
    if "u0" not in changes and prob.numpy_output:
        arguments["u0"] = prob.u0.numpy()
    return ODEProblem(**arguments)


def _check_callable(f: Any) -> None:
    if not callable(f):
        raise InvalidProblemError(f"f must be a function f(u, p, t), not {type(f).__name__}.")
    try:
        signature = inspect.signature(f.forward if isinstance(f, torch.nn.Module) else f)
    except (TypeError, ValueError):
        return  # builtins and C functions have no signature to look at
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise InvalidProblemError(
            f"f must take three arguments f(u, p, t), but its signature is f{signature}. "
            "Wrap it, for example lambda u, p, t: f(u); NeuralODE does this for networks."
        ) from None


def _as_state(u0: Any) -> Tensor:
    if isinstance(u0, Tensor):
        state = u0
    elif isinstance(u0, np.ndarray | np.generic):
        state = torch.from_numpy(np.array(u0))
    else:
        try:
            array = np.asarray(u0)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "iufc":
            raise InvalidProblemError(f"u0 must be a tensor, an array, or numbers, not {type(u0).__name__}.")
        state = torch.from_numpy(np.array(array, dtype=np.complex128 if array.dtype.kind == "c" else np.float64))
    if state.dtype not in STATE_DTYPES:
        raise InvalidProblemError(
            f"u0 has dtype {state.dtype}; a state must be float32, float64, complex64 or complex128. "
            "Convert it, for example with u0.double()."
        )
    if state.layout is not torch.strided:
        raise InvalidProblemError(f"u0 must be a dense tensor, not {state.layout}; use u0.to_dense().")
    if state.numel() == 0:
        raise InvalidProblemError("u0 is empty; a state needs at least one element.")
    if not bool(torch.isfinite(state.detach()).all()):
        raise InvalidProblemError("u0 has values that are NaN or infinite; give a finite initial state.")
    return outside_inference_mode(state)


def _as_tspan(tspan: Any) -> tuple[float, float]:
    if isinstance(tspan, Tensor) and tspan.requires_grad:
        raise InvalidProblemError("tspan requires a gradient, which is not supported; pass tspan.detach().")
    try:
        t0, t1 = tspan
        if any(isinstance(t, Tensor) and t.requires_grad for t in (t0, t1)):
            raise InvalidProblemError("tspan requires a gradient, which is not supported; detach it.")
        span = float(t0), float(t1)
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidProblemError):
            raise
        raise InvalidProblemError(f"tspan must be two numbers (t0, t1), not {tspan!r}.") from None
    if not all(map(math.isfinite, span)):
        raise InvalidProblemError(f"tspan must be finite, not {span}.")
    if span[0] == span[1]:
        raise InvalidProblemError(f"tspan {span} is empty; t1 must differ from t0.")
    return span


def _as_mass_matrix(matrix: Any, u0: Tensor) -> Tensor:
    if u0.is_complex():
        raise InvalidProblemError("a mass matrix needs a real state; split u0 into its real and imaginary part.")
    result = matrix if isinstance(matrix, Tensor) else torch.as_tensor(np.asarray(matrix))
    if result.requires_grad:
        raise InvalidProblemError("mass_matrix requires a gradient, which is not supported; pass mass_matrix.detach().")
    result = result.detach().to(u0)
    if result.shape != (u0.numel(), u0.numel()):
        raise InvalidProblemError(
            f"mass_matrix has shape {tuple(result.shape)}; u0 has {u0.numel()} elements, "
            f"so it must be ({u0.numel()}, {u0.numel()})."
        )
    if not bool(torch.isfinite(result).all()):
        raise InvalidProblemError("mass_matrix has values that are NaN or infinite.")
    return result
