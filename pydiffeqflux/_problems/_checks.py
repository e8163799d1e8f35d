"""Checks of what problems are given."""

import math
import weakref
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level

from .._errors import InvalidProblemError, UnsupportedError
from .._functions._nesting import outside_inference_mode
from ._signatures import Arguments, arguments_of

STATE_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
"""The dtypes that a state may have."""


def check_callable(f: Any, name: str = "f", arguments: tuple[str, ...] = ("u", "p", "t")) -> None:
    """Refuse what is not a function of such arguments, as far as its signature tells; the equation calls it `name`."""
    signature = f"{name}({', '.join(arguments)})"
    if not callable(f):
        raise InvalidProblemError(f"{name} must be a function {signature}, not {type(f).__name__}.")
    code = _plain_code(f)
    if code is not None and _ACCEPTED.get(code) == arguments:
        return
    found = arguments_of(f)
    if found is None:
        return
    count, names = len(arguments), ", ".join(arguments)
    order = _order_of_time_first(found, arguments)
    if order:
        raise InvalidProblemError(
            f"{name}{found} has the time before other arguments, as its names tell, but {name} is called as "
            f"{signature}; change the order of its arguments, or wrap it: lambda {names}: {name}({order})."
        )
    if found.required > count or found.keywords or not (len(found.names) >= count or found.more):
        hint = "; NeuralODE does this for networks" if arguments == ("u", "p", "t") else ""
        raise InvalidProblemError(
            f"{name} must take {_COUNTS[count]} arguments {signature}, but its signature is {name}{found}. "
            f"Wrap it, for example lambda {names}: {name}({arguments[0]}){hint}."
        )
    if code is not None:
        _ACCEPTED[code] = arguments


_COUNTS = {2: "two", 3: "three", 4: "four"}
_ACCEPTED: weakref.WeakKeyDictionary[CodeType, tuple[str, ...]] = weakref.WeakKeyDictionary()
"""Code whose signature has been looked at, which takes longer than the solve of a small problem, and for what."""


def _order_of_time_first(found: Arguments, arguments: tuple[str, ...]) -> str:
    """What to call a function with whose names say that it has the time too early; empty where they do not."""
    first = (*found.names, "")[0]
    if "u" not in arguments:
        early = first in ("t", "s", "time") and len(found.names) == len(arguments)
        return ", ".join(arguments[::-1]) if early else ""
    if found.time_is_first:
        known = ("t", *(name for name in arguments if name != "t"))
        return ", ".join(known[: max(2, len(found.names))])
    return "u, t, p" if found.time_is_second and len(arguments) == 3 else ""


def _plain_code(f: Any) -> CodeType | None:
    """The code that is called, where that alone tells the signature."""
    function: Any = f
    if isinstance(f, torch.nn.Module):
        function = None if "forward" in vars(f) else type(f).forward
    if not isinstance(function, FunctionType) or vars(function) or function.__defaults__ or function.__kwdefaults__:
        return None
    return function.__code__


def refuse_transforms() -> None:
    """Refuse to work under the transforms of `torch.func` and forward-mode AD, which do not see into a solve.

    Raises:
        UnsupportedError: one of them is active.
    """
    if maybe_current_level() is not None:
        raise UnsupportedError(
            "torch.func (grad, vjp, jacrev, hessian, vmap) cannot transform a solve; use torch.autograd.grad or "
            "torch.autograd.functional.jacobian and hessian, and pass a batch of initial states as one u0."
        )
    if torch.autograd.forward_ad._current_level >= 0:
        raise UnsupportedError(
            "forward-mode AD of torch cannot pass a solve; use sensealg=ForwardDiffSensitivity() and reverse mode."
        )


def as_state(u0: Any, name: str = "u0") -> Tensor:
    """An initial state as a tensor; the problem calls it `name`."""
    refuse_transforms()
    if isinstance(u0, Tensor):
        state = u0
    elif isinstance(u0, np.ndarray | np.generic):
        state = torch.from_numpy(np.array(u0))
    elif isinstance(u0, list | tuple) and any(isinstance(part, Tensor) for part in u0):
        raise InvalidProblemError(
            f"{name} is a {type(u0).__name__} of tensors; a state is one tensor, so pass torch.stack(u0) or "
            "torch.cat(u0) and take it apart in f."
        )
    else:
        try:
            array = np.asarray(u0)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "iufc":
            raise InvalidProblemError(f"{name} must be a tensor, an array, or numbers, not {type(u0).__name__}.")
        state = torch.from_numpy(np.array(array, dtype=np.complex128 if array.dtype.kind == "c" else np.float64))
    if state.dtype not in STATE_DTYPES:
        raise InvalidProblemError(
            f"{name} has dtype {state.dtype}; a state must be float32, float64, complex64 or complex128. "
            "Convert it, for example with u0.double()."
        )
    if state.layout is not torch.strided:
        raise InvalidProblemError(f"{name} must be a dense tensor, not {state.layout}; use u0.to_dense().")
    if state.numel() == 0:
        raise InvalidProblemError(f"{name} is empty; a state needs at least one element.")
    if not bool(torch.isfinite(state.detach()).all()):
        raise InvalidProblemError(f"{name} has values that are NaN or infinite; give a finite initial state.")
    return outside_inference_mode(state)


def as_tspan(tspan: Any) -> tuple[float, float]:
    """A time span as two numbers."""
    try:
        t0, t1 = (t.detach() if isinstance(t, Tensor) else t for t in tspan)
        span = float(t0), float(t1)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidProblemError(f"tspan must be two numbers (t0, t1), not {tspan!r}.") from None
    if not all(map(math.isfinite, span)):
        raise InvalidProblemError(f"tspan must be finite, not {span}.")
    if span[0] == span[1]:
        raise InvalidProblemError(f"tspan {span} is empty; t1 must differ from t0.")
    return span


def differentiable_times(tspan: Any) -> tuple[Tensor | None, Tensor | None]:
    """The ends of a time span that has been checked, where they are tensors that require a gradient."""
    t0, t1 = (t if isinstance(t, Tensor) and t.requires_grad else None for t in tspan)
    return t0, t1


def as_mass_matrix(matrix: Any, u0: Tensor) -> Tensor:
    """A mass matrix for states like `u0`."""
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
