"""Coefficients of the ESDIRK methods. Data only; the formulas are in `embedded/_esdirk.py`.

Source: Kennedy and Carpenter 2003, the implicit part of ARK4(3)6L[2]SA.
"""

from dataclasses import dataclass

from ._row import Row


@dataclass(frozen=True, slots=True)
class EsdirkTableau:
    """An explicit-first-stage singly diagonally implicit Runge-Kutta method, stiffly accurate.

    Attributes:
        order, error_order: orders of the method and of the embedded one.
        gamma: the diagonal.
        c: abscissae.
        a: stage weights below the diagonal; the last row is `b` without its last entry.
        btilde: weights of the error estimate.
    """

    order: int
    error_order: int
    gamma: float
    c: Row
    a: tuple[Row, ...]
    btilde: Row


_B = (82889 / 524892, 0.0, 15625 / 83664, 69875 / 102672, -2260 / 8211, 0.25)
_B_EMBEDDED = (
    4586570599 / 29645900160,
    0.0,
    178811875 / 945068544,
    814220225 / 1159782912,
    -3700637 / 11593932,
    61727 / 225920,
)

KENCARP4 = EsdirkTableau(
    order=4,
    error_order=3,
    gamma=0.25,
    c=(0.0, 0.5, 83 / 250, 31 / 50, 17 / 20, 1.0),
    a=(
        (),
        (0.25,),
        (8611 / 62500, -1743 / 31250),
        (5012029 / 34652500, -654441 / 2922500, 174375 / 388108),
        (15267082809 / 155376265600, -71443401 / 120774400, 730878875 / 902184768, 2285395 / 8070912),
        _B[:-1],
    ),
    btilde=tuple(b - e for b, e in zip(_B, _B_EMBEDDED, strict=True)),
)
