"""The intermediate form: a program of loops over flat arrays, between the traced graph and Julia source.

Every shape is known. An array is flat and row-major, as torch lays it out; an index is a sum of loop variables times
strides. A value that has no array of its own is an expression of the loop variables.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch


@dataclass(eq=False)
class Array:
    """Memory: an argument of the function, a buffer, or a constant.

    Attributes:
        name: what it is called in the source.
        size: number of elements.
        dtype: of the elements.
        kind: "argument", "buffer" or "constant".
    """

    name: str
    size: int
    dtype: torch.dtype
    kind: str

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Index:
    """`constant + Σ factor * term`, where a term is a loop variable or an integer expression. Counts from 0."""

    constant: int = 0
    terms: tuple[tuple["str | Expr", int], ...] = ()

    def __add__(self, other: "Index | int") -> "Index":
        if isinstance(other, int):
            return Index(self.constant + other, self.terms)
        factors: dict[str | Expr, int] = dict(self.terms)
        for term, factor in other.terms:
            factors[term] = factors.get(term, 0) + factor
        return Index(self.constant + other.constant, tuple((t, f) for t, f in factors.items() if f))

    def __mul__(self, factor: int) -> "Index":
        if factor == 0:
            return Index()
        return Index(self.constant * factor, tuple((term, f * factor) for term, f in self.terms))


Indices = tuple[Index, ...]


class Expr:
    """A scalar expression, at some values of the loop variables."""

    def children(self) -> tuple["Expr", ...]:
        """The expressions that this one is made of."""
        return ()


@dataclass(frozen=True)
class Literal(Expr):
    """A number, as Julia writes it."""

    text: str


@dataclass(frozen=True)
class Load(Expr):
    """An element of an array."""

    array: Array
    index: Index

    def children(self) -> tuple[Expr, ...]:
        return tuple(term for term, _ in self.index.terms if isinstance(term, Expr))


@dataclass(frozen=True)
class Position(Expr):
    """An index as a number."""

    index: Index

    def children(self) -> tuple[Expr, ...]:
        return tuple(term for term, _ in self.index.terms if isinstance(term, Expr))


@dataclass(frozen=True)
class Call(Expr):
    """A Julia expression with `{0}`, `{1}`, ... for its arguments."""

    template: str
    arguments: tuple[Expr, ...]

    def children(self) -> tuple[Expr, ...]:
        return self.arguments


def loads(expr: Expr) -> Iterator[Load]:
    """Every load in an expression, those inside indices too."""
    if isinstance(expr, Load):
        yield expr
    for child in expr.children():
        yield from loads(child)


@dataclass(frozen=True)
class Place:
    """A strided view of an array.

    Attributes:
        array: the memory.
        offset: where the first element lies.
        shape, strides: in elements.
    """

    array: Array
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def at(self, indices: Indices) -> Index:
        """Where an element lies."""
        index = Index(self.offset)
        for position, stride in zip(indices, self.strides, strict=True):
            index = index + position * stride
        return index


@dataclass(eq=False)
class Loop:
    """`target[i...] = value` for all indices i; the variables are named `i0`, `i1`, ..."""

    target: Place
    value: Expr


@dataclass(eq=False)
class Accumulate:
    """`target[i...] = reduce(operator, value for r...)`; the reduced variables are named `r0`, `r1`, ...

    Attributes:
        operator: `"+"`, `"*"`, `"max"` or `"min"`.
        initial: what to start from.
        reduced: the sizes of the reduced dimensions.
    """

    target: Place
    reduced: tuple[int, ...]
    operator: str
    initial: str
    value: Expr


@dataclass(eq=False)
class MatMul:
    """`target = left @ right` for matrices, or for stacks of them with one leading dimension."""

    target: Place
    left: Place
    right: Place


@dataclass(eq=False)
class Scan:
    """`target[..., k, ...] = operator(target[..., k - 1, ...], value)` along one dimension; its variable is last."""

    target: Place
    dim: int
    operator: str
    value: Expr


@dataclass(eq=False)
class ScatterAdd:
    """`target[index...] += value` for all source indices; the target has been filled before."""

    shape: tuple[int, ...]
    array: Array
    index: Index
    value: Expr
    accumulate: bool


@dataclass(eq=False)
class Solve:
    """The solutions of `left @ target = right`, for stacks of small dense matrices."""

    target: Place
    left: Place
    right: Place


Statement = Loop | Accumulate | MatMul | Scan | ScatterAdd | Solve


@dataclass(eq=False)
class Program:
    """A function of flat arrays.

    Attributes:
        arguments: in order, the output first.
        constants: arrays that are given with every solve, and the tensors that they come from.
        buffers: scratch memory.
        statements: what is done, in order.
    """

    arguments: list[Array]
    constants: dict[Array, torch.Tensor] = field(default_factory=dict)
    buffers: list[Array] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))
