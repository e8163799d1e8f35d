"""The table of an explicit Runge-Kutta method."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from .._errors import InvalidOptionError
from ._row import Row

ROUNDING = 1e-9
"""Sums may miss their values by this share of the largest entry: digits are often printed to ten or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplicitTableau:
    r"""The coefficients of an explicit Runge-Kutta method.

    A step of size h from \( (t, u) \) has the stages \( k_i = f(u + h \sum_{j<i} a_{ij} k_j,\ t + c_i h) \) and ends at
    \( u + h \sum_i b_i k_i \). Lists, arrays and fractions are taken too, and become tuples of floats.

    Arguments:
        order: order of the method.
        c: abscissae, one a stage; the first is 0.
        a: stage weights, row i of length i (counted from 0); its sum is `c[i]`.
        b: weights of the step.
        btilde: weights of the error estimate, `b` minus those of the embedded method; `None` for a fixed-step method.
        error_order: order of the embedded method, 0 where there is none.
        dense: for every stage, the extra ones included, the coefficients of θ¹, θ², … of its weight bᵢ(θ) in the dense
            output; left out, it is the cubic Hermite polynomial through both ends of the step.
        extra_c, extra_a: further stages, evaluated only where a step is interpolated.
        stability_size: extent of the stability region along the negative real axis, for `AutoAlgSwitch`; the last two
            stages must both be at the end of the step for that.

    Raises:
        InvalidOptionError: the coefficients are not those of an explicit method; the message says which.

    >>> ExplicitTableau(order=2, c=[0, 0.5], a=[[], [0.5]], b=[0, 1]).dense
    ((1.0, -2.0, 1.0), (0.0, 3.0, -2.0), (0.0, -1.0, 1.0))
    """

    order: int
    c: Row
    a: tuple[Row, ...]
    b: Row
    btilde: Row | None = None
    error_order: int = 0
    dense: tuple[Row, ...] = ()
    extra_c: Row = ()
    extra_a: tuple[Row, ...] = ()
    stability_size: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("order", "error_order", "stability_size"):
                object.__setattr__(self, field.name, _frozen(field.name, getattr(self, field.name)))
        _check_orders(self)
        _check_stages(self)
        if self.dense:
            _check_dense(self)
        else:
            self._interpolate_by_hermite()

    @property
    def fsal(self) -> bool:
        """Whether the last stage is the first one of the next step."""
        return len(self.c) > 1 and self.c[-1] == 1.0 and self.b == (*self.a[-1], 0.0)

    def _interpolate_by_hermite(self) -> None:
        if self.extra_c or self.extra_a:
            raise InvalidOptionError("a tableau with extra stages needs dense, the dense output that they are for.")
        rows = hermite(self.b)
        if self.fsal:
            object.__setattr__(self, "dense", (*rows[:-2], rows[-1]))
            return
        object.__setattr__(self, "dense", rows)
        object.__setattr__(self, "extra_c", (1.0,))
        object.__setattr__(self, "extra_a", (self.b,))


def hermite(b: Sequence[float]) -> tuple[Row, ...]:
    """Dense output by the cubic Hermite polynomial through both ends, for a method with weights `b`.

    The derivative at the end of the step is one extra stage.
    """
    rows = [[0.0, 3.0 * weight, -2.0 * weight] for weight in b]
    rows[0] = [rows[0][0] + 1.0, rows[0][1] - 2.0, rows[0][2] + 1.0]
    return (*(tuple(row) for row in rows), (0.0, -1.0, 1.0))


def _frozen(name: str, values: Any) -> Any:
    """Numbers as a tuple of floats, rows of numbers as a tuple of those."""
    if values is None:
        return None
    try:
        if name in ("a", "extra_a", "dense"):
            return tuple(tuple(float(x) for x in row) for row in values)
        return tuple(float(x) for x in values)
    except (TypeError, ValueError) as error:
        kind = "rows of numbers" if name in ("a", "extra_a", "dense") else "numbers"
        raise InvalidOptionError(f"{name} of a tableau must be {kind}, not {values!r}.") from error


def _check_orders(tableau: ExplicitTableau) -> None:
    if not isinstance(tableau.order, int) or tableau.order < 1:
        raise InvalidOptionError(f"order of a tableau is {tableau.order!r}; it must be a positive whole number.")
    if tableau.btilde is None and tableau.error_order != 0:
        raise InvalidOptionError("error_order of a tableau is the order of an embedded method, which needs btilde.")
    if tableau.btilde is not None and (not isinstance(tableau.error_order, int) or tableau.error_order < 1):
        raise InvalidOptionError(
            f"error_order of a tableau is {tableau.error_order!r}; with btilde it must be the order of the embedded "
            "method."
        )


def _check_stages(tableau: ExplicitTableau) -> None:
    c, stages = tableau.c, len(tableau.c)
    if stages == 0 or c[0] != 0.0:
        raise InvalidOptionError("the first abscissa in c of an explicit tableau must be 0.")
    _check_rows("a", tableau.a, c, first=0)
    _check_length("b", tableau.b, stages)
    _check_sum("b", tableau.b, 1.0)
    if tableau.btilde is not None:
        _check_length("btilde", tableau.btilde, stages)
        _check_sum("btilde", tableau.btilde, 0.0)
    _check_rows("extra_a", tableau.extra_a, tableau.extra_c, first=stages)
    if tableau.stability_size is not None and (stages < 2 or c[-2:] != (1.0, 1.0)):
        raise InvalidOptionError("stability_size needs a tableau whose last two stages are at the end of the step.")


def _check_rows(name: str, rows: tuple[Row, ...], c: Row, *, first: int) -> None:
    """Stage weights; stage number `i`, the first of these being number `first`, depends on those before it."""
    if len(rows) != len(c):
        raise InvalidOptionError(f"{name} of a tableau has {len(rows)} rows for {len(c)} abscissae.")
    for i, (row, abscissa) in enumerate(zip(rows, c, strict=True)):
        # further stages may leave out those that were made just before them
        if len(row) != first + i and not (first and len(row) <= first + i):
            raise InvalidOptionError(
                f"{name}[{i}] of a tableau has {len(row)} weights; stage {first + i} of an explicit method depends on "
                f"the {first + i} before it."
            )
        _check_sum(f"{name}[{i}]", row, abscissa)


def _check_dense(tableau: ExplicitTableau) -> None:
    stages = len(tableau.c) + len(tableau.extra_c)
    _check_length("dense", tableau.dense, stages)
    degrees = {len(row) for row in tableau.dense}
    if len(degrees) != 1 or degrees == {0}:
        raise InvalidOptionError("the rows in dense of a tableau must be of one length, and not empty.")
    weights = (*tableau.b, *(0.0 for _ in tableau.extra_c))
    for i, (row, weight) in enumerate(zip(tableau.dense, weights, strict=True)):
        _check_sum(f"dense[{i}]", row, weight)
    for power, column in enumerate(zip(*tableau.dense, strict=True), start=1):
        _check_sum(f"the coefficients of θ^{power} in dense", column, float(power == 1))


def _check_length(name: str, values: Sequence[Any], length: int) -> None:
    if len(values) != length:
        raise InvalidOptionError(f"{name} of a tableau has {len(values)} entries for {length} stages.")


def _check_sum(name: str, values: Sequence[float], expected: float) -> None:
    size = max(1.0, *map(abs, values)) if values else 1.0
    if not abs(sum(values) - expected) <= ROUNDING * size:
        raise InvalidOptionError(f"{name} of a tableau sums to {sum(values):.12g}; it must be {expected:.12g}.")
