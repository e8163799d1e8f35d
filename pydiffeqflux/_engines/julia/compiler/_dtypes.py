"""The dtypes that programs have, and numbers of them as Julia writes them."""

import math

import torch

from ._trace import CannotCompileError

JULIA_TYPES = {
    torch.float64: "Float64",
    torch.float32: "Float32",
    torch.int64: "Int64",
    torch.int32: "Int32",
    torch.bool: "Bool",
}


def check_dtype(dtype: torch.dtype, *, stored: bool = False) -> None:
    """Refuse dtypes that have no place in the program; bytes may be computed with, as `torch.eye` does, not stored."""
    if dtype not in JULIA_TYPES and (stored or dtype != torch.uint8):
        raise CannotCompileError(f"{dtype} is not supported")


def julia_type(dtype: torch.dtype) -> str:
    """What a dtype is called in Julia; one that has no name there is refused."""
    check_dtype(dtype, stored=True)
    return JULIA_TYPES[dtype]


def literal(number: float | bool, dtype: torch.dtype) -> str:
    """A number of that dtype as Julia writes it; one that the dtype does not have is refused."""
    name = julia_type(dtype)
    if dtype == torch.bool:
        return "true" if number else "false"
    if dtype.is_floating_point:
        text = _floating(float(number), dtype)
    else:
        if not float(number).is_integer():
            raise CannotCompileError(f"the number {number} among integers is not supported")
        text = str(int(number)) if dtype == torch.int64 else f"{name}({int(number)})"
    return f"({text})" if text.startswith("-") else text  # -1^2 is -(1^2)


def _floating(number: float, dtype: torch.dtype) -> str:
    name = julia_type(dtype)
    # through the type itself, as torch rounds a Python number
    exact = float(torch.tensor(number, dtype=dtype))
    if math.isnan(exact):
        return f"{name}(NaN)"
    if math.isinf(exact):
        return f"{name}({'-' if exact < 0 else ''}Inf)"
    return repr(exact) if dtype == torch.float64 else f"Float32({exact!r})"
