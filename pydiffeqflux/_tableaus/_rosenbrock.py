"""Coefficients of the Rosenbrock methods. Data only; the formulas are in `embedded/_rosenbrock.py`.

Sources: Shampine and Reichelt 1997 (Rosenbrock23, rewritten into the form below); Hairer and Wanner, *Solving ODEs II*,
IV.7 (Rodas4); Steinebach 2023 (Rodas5P). The digits were compared with those of OrdinaryDiffEq.jl.
"""

from dataclasses import dataclass
from math import sqrt

from ._row import Row


@dataclass(frozen=True, slots=True)
class RosenbrockTableau:
    r"""A Rosenbrock method in the form without matrix-vector products of Hairer and Wanner, IV.7.25.

    With \( W = M/(γ h) - J \) the stages are
    \( W k_i = f(u + \sum_j a_{ij} k_j,\ t + c_i h) + M \sum_j (C_{ij}/h) k_j + d_i h\, ∂f/∂t \)
    and the step is \( u + \sum_i b_i k_i \).

    Attributes:
        order: order of the method.
        error_order: order of the embedded method.
        gamma: γ.
        c, a, C, d, b: as above.
        btilde: weights of the error estimate.
        dense: for every stage the coefficients of θ¹, θ², … of its weight bᵢ(θ).
    """

    order: int
    error_order: int
    gamma: float
    c: Row
    a: tuple[Row, ...]
    C: tuple[Row, ...]
    d: Row
    b: Row
    btilde: Row
    dense: tuple[Row, ...]


def _rodas_dense(b: Row, h: tuple[Row, ...]) -> tuple[Row, ...]:
    """Weights of θ u1 + (1 - θ) (u0 + θ (h1 + θ (h2 + θ h3))) around u0, hⱼ = Σᵢ h[j][i] kᵢ."""
    rows = []
    for i, weight in enumerate(b):
        powers = [weight, *(0.0 for _ in h)]
        for j, coefficients in enumerate(h):
            powers[j] += coefficients[i]
            powers[j + 1] -= coefficients[i]
        rows.append(tuple(powers))
    return tuple(rows)


def _rosenbrock23() -> RosenbrockTableau:
    """Shampine's method in the present form.

    With its own stages κ and d its γ, k₁ = d h κ₁, k₂ = d h (κ₂ - κ₁) and k₃ = d h κ₃ - 2 k₁ - c₃₂ k₂. Its third stage
    adds d h ∂f/∂t, which is (d - 2 d) h ∂f/∂t here. OrdinaryDiffEq.jl adds h ∂f/∂t there, so that its error estimate
    is one order low where f depends on time. Only the error estimate reads the third stage.
    """
    d = 1 / (2 + sqrt(2))
    c32 = 6 + sqrt(2)
    s = 1 - 2 * d
    # Shampine's dense output u0 + h (θ (1 - θ) κ₁ + θ (θ - 2d) κ₂) / (1 - 2d).
    k1 = ((1 - 2 * d) / (s * d), 0.0)
    k2 = (-2 * d / (s * d), 1 / (s * d))
    return RosenbrockTableau(
        order=2,
        error_order=2,  # the companion has order 3
        gamma=d,
        c=(0.0, 0.5, 1.0),
        a=((), (0.5 / d,), (1 / d, 1 / d)),
        C=((), (-1 / d,), (-2 / d, -c32 / d)),
        d=(d, 0.0, -d),
        b=(1 / d, 1 / d, 0.0),
        btilde=(1 / (6 * d), (c32 - 2) / (6 * d), 1 / (6 * d)),
        dense=(k1, k2, (0.0, 0.0)),
    )


ROSENBROCK23 = _rosenbrock23()

_RODAS4_LAST = (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.687886036105895)
_RODAS4_B = (*_RODAS4_LAST, 1.0, 1.0)

RODAS4 = RosenbrockTableau(
    order=4,
    error_order=3,
    gamma=0.25,
    c=(0.0, 0.386, 0.21, 0.63, 1.0, 1.0),
    a=(
        (),
        (1.544,),
        (0.9466785280815826, 0.2557011698983284),
        (3.314825187068521, 2.896124015972201, 0.9986419139977817),
        _RODAS4_LAST,
        (*_RODAS4_LAST, 1.0),
    ),
    C=(
        (),
        (-5.6688,),
        (-2.430093356833875, -0.2063599157091915),
        (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
        (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.7089089320616),
        (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
    ),
    d=(0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0),
    b=_RODAS4_B,
    btilde=(0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    dense=_rodas_dense(
        _RODAS4_B,
        (
            (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823, 1.025137723295662, 0.0),
            (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386, -6.594389125716872, 0.0),
        ),
    ),
)

_RODAS5P_LAST = (
    -7.502846399306121,
    2.561846144803919,
    -11.627539656261098,
    -0.18268767659942256,
    0.030198172008377946,
)
_RODAS5P_B = (*_RODAS5P_LAST, 1.0, 1.0, 1.0)

RODAS5P = RosenbrockTableau(
    order=5,
    error_order=4,
    gamma=0.21193756319429014,
    c=(0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0),
    a=(
        (),
        (3.0,),
        (2.849394379747939, 0.45842242204463923),
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        _RODAS5P_LAST,
        (*_RODAS5P_LAST, 1.0),
        (*_RODAS5P_LAST, 1.0, 1.0),
    ),
    C=(
        (),
        (-14.155112264123755,),
        (-17.97296035885952, -2.859693295451294),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
        (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
        (
            30.91273214028599,
            -3.1208243349937974,
            77.79954646070892,
            34.28646028294783,
            -19.097331116725623,
            -28.087943162872662,
        ),
        (
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ),
    ),
    d=(
        0.21193756319429014,
        -0.42387512638858027,
        -0.3384627126235924,
        1.8046452872882734,
        2.325825639765069,
        0.0,
        0.0,
        0.0,
    ),
    b=_RODAS5P_B,
    btilde=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    dense=_rodas_dense(
        _RODAS5P_B,
        (
            (
                25.948786856663858,
                -2.5579724845846235,
                10.433815404888879,
                -2.3679251022685204,
                0.524948541321073,
                1.1241088310450404,
                0.4272876194431874,
                -0.17202221070155493,
            ),
            (
                -9.91568850695171,
                -0.9689944594115154,
                3.0438037242978453,
                -24.495224566215796,
                20.176138334709044,
                15.98066361424651,
                -6.789040303419874,
                -6.710236069923372,
            ),
            (
                11.419903575922262,
                2.8879645146136994,
                72.92137995996029,
                80.12511834622643,
                -52.072871366152654,
                -59.78993625266729,
                -0.15582684282751913,
                4.883087185713722,
            ),
        ),
    ),
)
