"""Programs run by torch in the place of Julia: what a rule means, though not how fast or whether Julia takes it."""

import math
import re
from types import SimpleNamespace

import torch

from pydiffeqflux._engines.julia.compiler._program import (
    Accumulate,
    Call,
    Index,
    Literal,
    Load,
    Loop,
    MatMul,
    Position,
    Scan,
    ScatterAdd,
    Solve,
)

DTYPES = {
    "Float64": torch.float64,
    "Float32": torch.float32,
    "Int64": torch.int64,
    "Int32": torch.int32,
    "Bool": torch.bool,
}


def _wrapped(i, n):
    k = torch.where(i < 0, i + n, i)
    assert bool(((k >= 0) & (k < n)).all()), "an index outside"
    return k


def _number(x):
    return x if isinstance(x, torch.Tensor) else torch.tensor(x, dtype=torch.float64 if isinstance(x, float) else None)


def _extremum(function, x, y):
    x, y = torch.broadcast_tensors(_number(x), _number(y))
    dtype = torch.promote_types(x.dtype, y.dtype)
    return function(x.to(dtype), y.to(dtype))


TORCH_MATH = {name: getattr(torch, name) for name in (
    "acos", "acosh", "asin", "atanh", "cos", "cosh", "digamma", "erf", "erfc", "exp", "expm1", "lgamma", "log", "log10",
    "log1p", "log2", "sin", "sqrt", "tan", "tanh", "fmax", "fmin", "pow", "polygamma",
)}  # fmt: skip
TORCH_MATH["convert"] = lambda dtype, x: x.to(dtype.dtype)


class _Type:
    """A number type of Julia, which converts when it is called."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __call__(self, x):
        return _number(x).to(self.dtype)


NAMES = {name: _Type(dtype) for name, dtype in DTYPES.items()} | {
    "TorchMath": SimpleNamespace(**TORCH_MATH),
    "NaN": float("nan"),
    "Inf": float("inf"),
    "true": torch.tensor(True),
    "false": torch.tensor(False),
    "abs": torch.abs, "asinh": torch.asinh, "ceil": torch.ceil, "cosh": torch.cosh, "exp2": torch.exp2,
    "floor": torch.floor, "round": torch.round, "sign": torch.sign, "sinh": torch.sinh, "trunc": torch.trunc,
    "isfinite": torch.isfinite, "isnan": torch.isnan, "isinf": torch.isinf, "signbit": torch.signbit,
    "copysign": torch.copysign, "hypot": torch.hypot, "abs2": torch.square, "inv": torch.reciprocal,
    "rem": torch.fmod, "mod": torch.remainder, "xor": torch.bitwise_xor, "zero": torch.zeros_like,
    "atan": lambda y, x=None: torch.atan(y) if x is None else torch.atan2(y, x),
    "max": lambda x, y: _extremum(torch.maximum, x, y),
    "min": lambda x, y: _extremum(torch.minimum, x, y),
    "div": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "ifelse": torch.where,
    "truncated": lambda dtype, x: x.trunc().to(dtype.dtype),
    "wrapped": _wrapped,
}  # fmt: skip


def _python(text):
    text = re.sub(r"(\w+) % Int32", r"Int32(\1)", text)
    text = re.sub(r"(\w+) <= 0 && \1 >= 0", r"\1 == 0", text)
    return text.replace("^", "**").replace("!(", "~(").replace("!a", "~a")


class _Run:
    def __init__(self, program, arguments):
        self.memory = dict(zip(program.arguments, arguments, strict=True))
        self.memory |= {array: tensor.detach().reshape(-1) for array, tensor in program.constants.items()}
        # what nobody has written is seen in the result
        self.memory |= {array: torch.full((array.size,), 77).to(array.dtype) for array in program.buffers}

    def run(self, statements):
        for statement in statements:
            getattr(self, type(statement).__name__)(statement)

    def index(self, index, variables):
        total = torch.tensor(index.constant)
        for term, factor in index.terms:
            total = total + factor * (variables[term] if isinstance(term, str) else self.value(term, variables))
        return total

    def value(self, expr, variables):
        match expr:
            case Literal(text):
                return _number(eval(_python(text), NAMES))
            case Load(array, index):
                return self.memory[array][self.index(index, variables)]
            case Position(index):
                return self.index(index, variables)
            case Call(template, arguments):
                values = {f"a{k}": self.value(argument, variables) for k, argument in enumerate(arguments)}
                return _number(eval(_python(template.format(*values)), NAMES, values))

    def filled(self, expr, shape, variables):
        """The values of an expression for all loop variables."""
        if 0 in shape:
            return torch.empty(shape)
        return self.value(expr, variables).expand(shape)

    def write(self, place, value):
        where = self.index(place.at(_indices("i", place.shape)), _variables(i=place.shape))
        self.memory[place.array][where.expand(place.shape).reshape(-1)] = value.reshape(-1).to(place.array.dtype)

    def read(self, place):
        where = self.index(place.at(_indices("i", place.shape)), _variables(i=place.shape))
        return self.memory[place.array][where.expand(place.shape)]

    def Loop(self, loop: Loop):  # noqa: N802 - named as what it runs
        self.write(loop.target, self.filled(loop.value, loop.target.shape, _variables(i=loop.target.shape)))

    def Accumulate(self, statement: Accumulate):  # noqa: N802
        outer, inner = statement.target.shape, statement.reduced
        values = self.filled(statement.value, (*outer, *inner), _variables(i=outer, r=inner))
        values = values.reshape(*outer, math.prod(inner))
        values = values.to(torch.promote_types(values.dtype, statement.target.array.dtype))
        initial = _number(eval(_python(statement.initial), NAMES)).to(values.dtype).expand(*outer, 1)
        values = torch.cat([initial, values], -1)
        reduced = {"+": values.sum, "*": values.prod, "max": values.amax, "min": values.amin}[statement.operator](-1)
        self.write(statement.target, reduced)

    def Scan(self, statement: Scan):  # noqa: N802
        shape = statement.target.shape
        values = self.filled(statement.value, shape, _variables(i=shape))
        self.write(statement.target, {"+": torch.cumsum, "*": torch.cumprod}[statement.operator](values, statement.dim))

    def ScatterAdd(self, statement: ScatterAdd):  # noqa: N802
        if 0 in statement.shape:
            return
        variables = _variables(i=statement.shape)
        values = self.filled(statement.value, statement.shape, variables).reshape(-1).to(statement.array.dtype)
        where = self.index(statement.index, variables).expand(statement.shape).reshape(-1)
        self.memory[statement.array].index_put_((where,), values, accumulate=statement.accumulate)

    def MatMul(self, statement: MatMul):  # noqa: N802
        self.write(statement.target, self.read(statement.left) @ self.read(statement.right))

    def Solve(self, statement: Solve):  # noqa: N802
        self.write(statement.target, torch.linalg.solve(self.read(statement.left), self.read(statement.right)))


def _indices(prefix, shape):
    return tuple(Index(0, ((f"{prefix}{k}", 1),)) for k in range(len(shape)))


def _variables(**shapes):
    """All values of the loop variables, each along its own dimension."""
    count = sum(map(len, shapes.values()))
    result = {}
    for prefix, shape in shapes.items():
        for k, size in enumerate(shape):
            dims = [1] * count
            dims[len(result)] = size
            result[f"{prefix}{k}"] = torch.arange(size).reshape(dims)
    return result


def evaluated(program, *inputs):
    """What a program of `lowered` gives, flat."""
    u = inputs[0].reshape(-1)
    p = torch.cat([x.reshape(-1) for x in inputs[1:]]) if inputs[1:] else u.new_empty(0)
    out = torch.full((program.arguments[0].size,), 12345.0, dtype=u.dtype)
    _Run(program, [out, u, p, torch.tensor([0.5], dtype=torch.float64)]).run(program.statements)
    return out
