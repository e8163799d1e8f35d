"""Operations that act on every element by itself."""

from typing import Any

import torch

from ._dtypes import check_dtype, julia_type
from ._lowering import Lowering, Operand, Value
from ._refusals import not_covered
from ._rules import rule

TEMPLATES = {
    # Julia raises a DomainError where torch returns NaN; the functions of TorchMath do as torch does.
    "abs": "abs({0})",
    "acos": "TorchMath.acos({0})",
    "acosh": "TorchMath.acosh({0})",
    "asin": "TorchMath.asin({0})",
    "asinh": "asinh({0})",
    "atan": "atan({0})",
    "atanh": "TorchMath.atanh({0})",
    "atan2": "atan({0}, {1})",
    "ceil": "ceil({0})",
    "cos": "TorchMath.cos({0})",
    "cosh": "cosh({0})",
    "digamma": "TorchMath.digamma({0})",
    "erf": "TorchMath.erf({0})",
    "erfc": "TorchMath.erfc({0})",
    "exp": "TorchMath.exp({0})",
    "exp2": "exp2({0})",
    "expm1": "TorchMath.expm1({0})",
    "floor": "floor({0})",
    "lgamma": "TorchMath.lgamma({0})",
    "log": "TorchMath.log({0})",
    "log10": "TorchMath.log10({0})",
    "log1p": "TorchMath.log1p({0})",
    "log2": "TorchMath.log2({0})",
    "neg": "(-{0})",
    "reciprocal": "inv({0})",
    "round": "round({0})",
    "rsqrt": "inv(TorchMath.sqrt({0}))",
    "sign": "sign({0})",
    "sin": "TorchMath.sin({0})",
    "sinh": "sinh({0})",
    "sqrt": "TorchMath.sqrt({0})",
    "tan": "TorchMath.tan({0})",
    "tanh": "TorchMath.tanh({0})",
    "trunc": "trunc({0})",
    "isfinite": "isfinite({0})",
    "isnan": "isnan({0})",
    "isinf": "isinf({0})",
    "signbit": "signbit({0})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "maximum": "max({0}, {1})",
    "minimum": "min({0}, {1})",
    "fmax": "TorchMath.fmax({0}, {1})",
    "fmin": "TorchMath.fmin({0}, {1})",
    "fmod": "rem({0}, {1})",
    "remainder": "mod({0}, {1})",
    "copysign": "copysign({0}, {1})",
    "hypot": "hypot({0}, {1})",
    "lt": "({0} < {1})",
    "le": "({0} <= {1})",
    "gt": "({0} > {1})",
    "ge": "({0} >= {1})",
    "bitwise_and": "({0} & {1})",
    "bitwise_or": "({0} | {1})",
    "bitwise_xor": "xor({0}, {1})",
    "logical_and": "({0} & {1})",
    "logical_or": "({0} | {1})",
}
"""Operation to Julia expression; `{0}` is the first argument."""


def _register(name: str, template: str) -> None:
    def unary(lowering: Lowering, a: Operand) -> Value:
        return lowering.elementwise(template, a)

    def binary(lowering: Lowering, a: Operand, b: Operand) -> Value:
        return lowering.elementwise(template, a, b)

    rule(f"prims.{name}")(binary if "{1}" in template else unary)


for _name, _template in TEMPLATES.items():
    _register(_name, _template)


EQUAL = "(({0} <= {1}) & ({0} >= {1}))"
"""Of numbers; `==` would compare the derivatives of dual numbers too."""


@rule("prims.eq")
def eq(lowering: Lowering, a: Operand, b: Operand) -> Value:
    """Whether two numbers are the same."""
    return lowering.elementwise(EQUAL, a, b)


@rule("prims.ne")
def ne(lowering: Lowering, a: Operand, b: Operand) -> Value:
    """Whether two numbers differ."""
    return lowering.elementwise(f"(!{EQUAL})", a, b)


@rule("prims.where")
def where(lowering: Lowering, condition: Value, a: Operand, b: Operand) -> Value:
    """One or the other."""
    dtype = lowering.result.dtype
    a, b = (x if isinstance(x, Value) else lowering.literal(x, dtype) for x in (a, b))
    return lowering.elementwise("ifelse({0}, {1}, {2})", condition, a, b)


@rule("prims.add")
def add(lowering: Lowering, a: Operand, b: Operand) -> Value:
    """The sum; of conditions, whether one of them holds."""
    return lowering.elementwise("({0} | {1})" if lowering.result.dtype == torch.bool else "({0} + {1})", a, b)


@rule("prims.div")
def div(lowering: Lowering, a: Operand, b: Operand) -> Value:
    """Division, of integers towards zero."""
    return lowering.elementwise("({0} / {1})" if lowering.result.dtype.is_floating_point else "div({0}, {1})", a, b)


@rule("aten.logical_not")
def logical_not(lowering: Lowering, a: Value) -> Value:
    """Negation of a condition, or whether a number is zero."""
    return lowering.elementwise("(!{0})" if a.dtype == torch.bool else "({0} <= 0 && {0} >= 0)", a)


@rule("prims.bitwise_not")
def bitwise_not(lowering: Lowering, a: Value) -> Value:
    """Negation of a condition, or of the bits of an integer."""
    return lowering.elementwise("(!{0})" if a.dtype == torch.bool else "(~{0})", a)


@rule("prims.pow")
def pow_(lowering: Lowering, a: Operand, b: Operand) -> Value:
    """Powers; those with a small whole exponent by multiplication."""
    if not lowering.result.dtype.is_floating_point and not (isinstance(b, int) and 0 <= b <= 16):
        not_covered("powers of integers")
    if isinstance(b, int | float) and isinstance(a, Value):
        if b == 0.5:
            return lowering.elementwise("TorchMath.sqrt({0})", a)
        if float(b).is_integer() and abs(b) <= 16:
            return lowering.elementwise(f"({{0}}^{int(b)})", a)
    return lowering.elementwise("TorchMath.pow({0}, {1})", a, b)


@rule("aten.polygamma")
def polygamma(lowering: Lowering, order: int, a: Value) -> Value:
    """A derivative of the digamma function."""
    a = convert_element_type(lowering, a, lowering.result.dtype)
    return lowering.elementwise(f"TorchMath.polygamma({order}, {{0}})", a)


@rule("aten.softshrink_backward")
def softshrink_backward(lowering: Lowering, gradient: Value, a: Value, width: float) -> Value:
    """The gradient where the argument lies outside of a band around zero."""
    return lowering.elementwise("ifelse(abs({1}) <= {2}, zero({0}), {0})", gradient, a, width)


@rule("aten.hardshrink_backward")
def hardshrink_backward(lowering: Lowering, gradient: Value, a: Value, width: float) -> Value:
    """The same."""
    return softshrink_backward(lowering, gradient, a, width)


@rule("prims.convert_element_type")
def convert_element_type(lowering: Lowering, a: Value, dtype: torch.dtype) -> Value:
    """A change of dtype."""
    check_dtype(dtype)
    if a.dtype == dtype:
        return a

    def converted(template: str) -> Value:
        return lowering.pointwise(a.shape, dtype, template, [a])

    if dtype == torch.bool:
        return converted("(!({0} <= 0 && {0} >= 0))")
    if not dtype.is_floating_point and a.dtype.is_floating_point:
        return converted(f"truncated({julia_type(dtype)}, {{0}})")
    if a.dtype.is_floating_point:
        return converted(f"TorchMath.convert({julia_type(dtype)}, {{0}})")
    if dtype == torch.int32:
        return converted("({0} % Int32)")
    return converted(f"{julia_type(dtype)}({{0}})")


@rule("prims.clone", "prims.view_of", "aten.alias", "aten.detach", "aten.lift_fresh_copy", "aten.clone")
def same(lowering: Lowering, a: Value, *, memory_format: Any = None) -> Value:
    """A copy; nothing is written in place here, so the original serves."""
    return a
