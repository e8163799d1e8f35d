"""From a program to Julia source."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ._dtypes import JULIA_TYPES
from ._program import (
    Accumulate,
    Array,
    Call,
    Expr,
    Index,
    Literal,
    Load,
    Loop,
    MatMul,
    Place,
    Position,
    Program,
    Scan,
    ScatterAdd,
    Solve,
    Statement,
    loads,
)
from ._refusals import internal_errors

BLAS_THRESHOLD = 20_000
"""Products of fewer multiplications than this are faster as loops than as a call of BLAS."""


HELPERS = {
    "wrapped(": """# An index that may count from the end; it must lie inside, since bounds are not checked after this.
@inline function wrapped(i, n)
    k = ifelse(i < 0, i + n, i)
    0 <= k < n || throw(BoundsError(1:n, i + 1))
    return Int(k)
end""",
    "truncated(": """truncated(::Type{T}, x::Union{Float32,Float64}) where {T} = unsafe_trunc(T, x)
truncated(::Type{T}, x) where {T} = trunc(T, x)""",
}
"""Julia functions that generated code may call, by what a call of them looks like."""


@dataclass
class _Lines:
    """Source being written, with its indentation."""

    lines: list[str] = field(default_factory=list)
    depth: int = 1

    def add(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def open(self, text: str) -> None:
        self.add(text)
        self.depth += 1

    def close(self) -> None:
        self.depth -= 1
        self.add("end")


@dataclass
class JuliaCode:
    """Julia source, and what its function is called with.

    Attributes:
        text: the function `(arguments..., c, b)`, where `c` are the constants and `b` the buffers.
        buffers: those that are used, in the order of `b`.
        constants: likewise of `c`.
    """

    text: str
    buffers: list[Array]
    constants: list[Array]


def emit(program: Program, name: str, *, generic: bool = False) -> JuliaCode:
    """The source of a program. A generic one takes any number type, and makes its own buffers."""
    with internal_errors("the writing of Julia source"):
        return _emit(program, name, generic=generic)


def _emit(program: Program, name: str, *, generic: bool) -> JuliaCode:
    groups = list(_fuse(program.statements))
    needed = _arrays_read_elsewhere(groups, program)
    body = _Lines(depth=2)
    for group in groups:
        _emit_group(group, needed, body, generic=generic)
    buffers = [array for array in program.buffers if array in needed]
    constants = list(program.constants)
    signature = ", ".join(array.name for array in program.arguments)
    head = [f"function {name}({signature}, c, b)"]
    if constants:
        head.append(f"    ({', '.join(a.name for a in constants)},) = c")
    if buffers and not generic:
        head.append(f"    ({', '.join(a.name for a in buffers)},) = b")
    if buffers and generic:
        head.append(f"    N = promote_type({', '.join(f'eltype({a.name})' for a in program.arguments[1:])})")
        head += [f"    {a.name} = Vector{{{_buffer_type(a)}}}(undef, {a.size})" for a in buffers]
    helpers = [text for call, text in HELPERS.items() if any(call in line for line in body.lines)]
    text = "\n".join([*helpers, *head, "    @inbounds begin", *body.lines, "    end", "    return nothing", "end"])
    return JuliaCode(text, buffers, constants)


def _buffer_type(array: Array) -> str:
    return "N" if array.dtype.is_floating_point else JULIA_TYPES[array.dtype]


# ---- which loops become one


def _fuse(statements: list[Statement]) -> Iterator[list[Statement]]:
    """Consecutive loops over the same shape, where each element needs only its own of the loops before."""
    group: list[Statement] = []
    for statement in statements:
        if group and not (isinstance(statement, Loop) and _fits(statement, group)):
            yield group
            group = []
        group.append(statement)
        if not isinstance(statement, Loop):
            yield group
            group = []
    if group:
        yield group


def _fits(loop: Loop, group: list[Statement]) -> bool:
    first = group[0]
    if not isinstance(first, Loop) or first.target.shape != loop.target.shape:
        return False
    written = {other.target.array: other for other in group if isinstance(other, Loop)}
    if loop.target.array in written:
        return False  # parts of one array: another order of writing could be needed
    own = {array: _element(other.target) for array, other in written.items()}
    return all(load.array not in written or load.index == own[load.array] for load in loads(loop.value))


def _element(place: Place) -> Index:
    return place.at(tuple(Index(0, ((f"i{k}", 1),)) for k in range(len(place.shape))))


def _arrays_read_elsewhere(groups: list[list[Statement]], program: Program) -> set[Array]:
    """The arrays that must be in memory: arguments, and buffers that a later group reads."""
    needed = {*program.arguments, *program.constants}
    for group in groups:
        written: set[Array] = set()
        for statement in group:
            needed |= {array for array in _read(statement) if array not in written}
            if isinstance(statement, Loop):
                written.add(statement.target.array)
            else:
                needed |= _written(statement)
    return needed


def _read(statement: Statement) -> set[Array]:
    match statement:
        case Loop() | Accumulate() | Scan() | ScatterAdd():
            found = {load.array for load in loads(statement.value)}
            if isinstance(statement, ScatterAdd):
                found |= {
                    load.array for term, _ in statement.index.terms if isinstance(term, Expr) for load in loads(term)
                }
            return found
        case MatMul() | Solve():
            return {statement.left.array, statement.right.array}


def _written(statement: Statement) -> set[Array]:
    return {statement.array} if isinstance(statement, ScatterAdd) else {statement.target.array}


# ---- expressions


def _index(index: Index, local: dict[Load, str]) -> str:
    parts = [str(index.constant)] if index.constant or not index.terms else []
    for term, factor in index.terms:
        text = term if isinstance(term, str) else _expression(term, local)
        parts.append(text if factor == 1 else f"{factor} * {text}" if text.isalnum() else f"{factor} * ({text})")
    return " + ".join(parts)


def _expression(expr: Expr, local: dict[Load, str]) -> str:
    match expr:
        case Literal(text):
            return text
        case Load(array, index):
            return local.get(expr) or f"{array.name}[{_index(index + 1, local)}]"
        case Position(index):
            return f"({_index(index, local)})"
        case Call(template, arguments):
            return template.format(*(_expression(argument, local) for argument in arguments))
        case _:
            raise AssertionError(expr)


# ---- statements


def _emit_group(group: list[Statement], needed: set[Array], out: _Lines, *, generic: bool) -> None:
    first = group[0]
    match first:
        case Loop():
            _emit_loops([loop for loop in group if isinstance(loop, Loop)], needed, out)
        case Accumulate():
            _emit_accumulate(first, out)
        case Scan():
            _emit_scan(first, out)
        case ScatterAdd():
            _emit_scatter(first, out)
        case MatMul():
            _emit_matmul(first, out, generic=generic)
        case Solve():
            _emit_solve(first, out)


def _open_loops(shape: tuple[int, ...], out: _Lines, prefix: str = "i", *, simd: bool = True) -> int:
    """Open a loop for every dimension; those of size 1 are assignments. Returns how many to close."""
    opened = 0
    last = max((k for k, size in enumerate(shape) if size > 1), default=-1)
    for k, size in enumerate(shape):
        if size == 1:
            out.add(f"{prefix}{k} = 0")
        else:
            vector = "@simd ivdep " if simd and k == last else ""
            out.open(f"{vector}for {prefix}{k} in 0:{size - 1}")
            opened += 1
    return opened


def _emit_loops(loops: list[Loop], needed: set[Array], out: _Lines) -> None:
    opened = _open_loops(loops[0].target.shape, out)
    local: dict[Load, str] = {}
    for number, loop in enumerate(loops):
        text = _expression(loop.value, local)
        index = _element(loop.target)
        if len(loops) > 1:
            out.add(f"x{number} = {text}")
            local[Load(loop.target.array, index)] = text = f"x{number}"
        if loop.target.array in needed:
            out.add(f"{loop.target.array.name}[{_index(index + 1, local)}] = {text}")
    for _ in range(opened):
        out.close()


def _emit_accumulate(statement: Accumulate, out: _Lines) -> None:
    opened = _open_loops(statement.target.shape, out, simd=False)
    # started from a value of its own type, so that dual numbers can be accumulated
    out.add(f"s = {statement.initial}")
    inner = _open_loops(statement.reduced, out, "r", simd=statement.operator in "+*")
    value = _expression(statement.value, {})
    combined = f"s {statement.operator} {value}" if statement.operator in "+*" else f"{statement.operator}(s, {value})"
    out.add(f"s = {combined}")
    for _ in range(inner):
        out.close()
    out.add(f"{statement.target.array.name}[{_index(_element(statement.target) + 1, {})}] = s")
    for _ in range(opened):
        out.close()


def _emit_scan(statement: Scan, out: _Lines) -> None:
    place, dim = statement.target, statement.dim
    outer = tuple(1 if k == dim else size for k, size in enumerate(place.shape))
    opened = 0
    for k, size in enumerate(outer):
        if k != dim and size > 1:
            out.open(f"for i{k} in 0:{size - 1}")
            opened += 1
        elif k != dim:
            out.add(f"i{k} = 0")
    here = _index(_element(place) + 1, {})
    before = _index(_element(place) + (1 - place.strides[dim]), {})
    value = _expression(statement.value, {})
    out.open(f"for i{dim} in 0:{place.shape[dim] - 1}")
    name = place.array.name
    out.add(f"x = {value}")
    out.add(f"{name}[{here}] = i{dim} == 0 ? x : {name}[{before}] {statement.operator} x")
    out.close()
    for _ in range(opened):
        out.close()


def _emit_scatter(statement: ScatterAdd, out: _Lines) -> None:
    opened = _open_loops(statement.shape, out, simd=False)
    operator = "+=" if statement.accumulate else "="
    out.add(f"{statement.array.name}[{_index(statement.index + 1, {})}] {operator} {_expression(statement.value, {})}")
    for _ in range(opened):
        out.close()


def _emit_matmul(statement: MatMul, out: _Lines, *, generic: bool) -> None:
    target, left, right = statement.target, statement.left, statement.right
    *batch, rows, columns = target.shape
    inner = left.shape[-1]
    if batch:
        out.open(f"for n in 0:{batch[0] - 1}")
    if not generic and rows * columns * inner >= BLAS_THRESHOLD and all(map(_is_matrix, (target, left, right))):
        # what torch stores by rows, Julia reads as the transpose: C = A B is Cᵀ = Bᵀ Aᵀ
        out.add(f"LinearAlgebra.mul!({_matrix(target, batch)}, {_matrix(right, batch)}, {_matrix(left, batch)})")
    else:
        _emit_matmul_loops(statement, bool(batch), (rows, inner, columns), out)
    if batch:
        out.close()


def _emit_matmul_loops(statement: MatMul, batched: bool, sizes: tuple[int, int, int], out: _Lines) -> None:
    rows, inner, columns = sizes

    def element(place: Place, i: str, j: str) -> str:
        indices = [Index(0, ((name, 1),)) for name in (["n"] if batched else []) + [i, j]]
        return f"{place.array.name}[{_index(place.at(tuple(indices)) + 1, {})}]"

    c = element(statement.target, "i", "j")
    a, b = element(statement.left, "i", "k"), element(statement.right, "k", "j")
    if statement.right.strides[-1] == 1 and columns > 1:
        out.open(f"for i in 0:{rows - 1}")
        out.open(f"for j in 0:{columns - 1}")
        out.add(f"{c} = zero(eltype({statement.target.array.name}))")
        out.close()
        out.open(f"for k in 0:{inner - 1}")
        out.add(f"x = {a}")
        out.open(f"@simd ivdep for j in 0:{columns - 1}")
        out.add(f"{c} = muladd(x, {b}, {c})")
        out.close()
        out.close()
        out.close()
        return
    out.open(f"for i in 0:{rows - 1}, j in 0:{columns - 1}")
    out.add(f"s = zero(eltype({statement.target.array.name}))")
    out.open(f"@simd for k in 0:{inner - 1}")
    out.add(f"s = muladd({a}, {b}, s)")
    out.close()
    out.add(f"{c} = s")
    out.close()


def _is_matrix(place: Place) -> bool:
    """Whether BLAS can take it: one of its two strides is 1 and the other spans a row."""
    rows, columns = place.shape[-2:]
    s0, s1 = place.strides[-2:]
    return (s1 == 1 and s0 == columns) or (s0 == 1 and s1 == rows)


def _matrix(place: Place, batch: list[int]) -> str:
    """The Julia matrix whose transpose is the torch matrix at a place."""
    rows, columns = place.shape[-2:]
    start = f"{place.offset + 1}" + (f" + {place.strides[0]} * n" if batch else "")
    piece = f"view({place.array.name}, range({start}; length={rows * columns}))"
    if place.strides[-1] == 1 and place.strides[-2] == columns:
        return f"reshape({piece}, {columns}, {rows})"
    return f"transpose(reshape({piece}, {rows}, {columns}))"


def _emit_solve(statement: Solve, out: _Lines) -> None:
    count, n, columns = statement.target.shape
    target = statement.target
    m, i, j = (Index(0, ((name, 1),)) for name in "mij")
    out.open(f"for m in 0:{count - 1}")
    out.add(f"X = LinearAlgebra.lu({_gather(statement.left, n, n)}) \\ {_gather(statement.right, n, columns)}")
    out.open(f"for i in 0:{n - 1}, j in 0:{columns - 1}")
    out.add(f"{target.array.name}[{_index(target.at((m, i, j)) + 1, {})}] = X[i + 1, j + 1]")
    out.close()
    out.close()


def _gather(place: Place, rows: int, columns: int) -> str:
    """A Julia matrix of the elements at a place."""
    m, i, j = (Index(0, ((name, 1),)) for name in "mij")
    return f"[{place.array.name}[{_index(place.at((m, i, j)) + 1, {})}] for i in 0:{rows - 1}, j in 0:{columns - 1}]"
