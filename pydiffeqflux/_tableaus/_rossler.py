"""Stochastic Runge-Kutta methods of Rößler's form, as data.

With I₁ the increment, I₁₁ = (I₁² - h)/2, I₁₀ = h (I₁/2 + H) for the space-time Lévy area H, I₁₁₁ = (I₁³ - 3 h I₁)/6:

    X_i = u + h Σ A0_ij f(X_j) + (I₁₀/h) Σ B0_ij g(Y_j)
    Y_i = u + h Σ A1_ij f(X_j) + √h Σ B1_ij g(Y_j)
    u₁  = u + h Σ α_i f(X_i) + Σ (β1_i I₁ + β2_i I₁₁/√h + β3_i I₁₀/h + β4_i I₁₁₁/h) g(Y_i)

where `f` is evaluated at the times t + c0 h and `g` at t + c1 h. Methods for additive noise have no B1, β2, β4, and A1.

Sources: Rößler 2010, *Runge-Kutta methods for the strong approximation of solutions of stochastic differential
equations* (SRIW1, SRA1); Rackauckas, Nie 2020, *Stability-optimized high order methods and stiffness detection for
pathwise stiff stochastic differential equations* (SOSRI, SOSRA), numbers as in StochasticDiffEq.jl.
"""

from dataclasses import dataclass

from ._row import Row


@dataclass(frozen=True, slots=True)
class RosslerTableau:
    """The coefficients of a method; matrices are strictly lower triangular, rows without their zeros at the end.

    Attributes:
        c0, c1: when `f` and `g` are evaluated.
        a0, b0, a1, b1: what the stages are made of.
        alpha, beta1, beta2, beta3, beta4: what the step is made of.
    """

    c0: Row
    c1: Row
    a0: tuple[Row, ...]
    b0: tuple[Row, ...]
    alpha: Row
    beta1: Row
    beta3: Row
    a1: tuple[Row, ...] = ()
    b1: tuple[Row, ...] = ()
    beta2: Row = ()
    beta4: Row = ()


SRIW1 = RosslerTableau(
    c0=(0.0, 3 / 4, 0.0, 0.0),
    c1=(0.0, 1 / 4, 1.0, 1 / 4),
    a0=((), (3 / 4,), (), ()),
    b0=((), (3 / 2,), (), ()),
    # the third stage of f is the first one, so that it is left out: a weight of 1/4 for it stands with the first
    a1=((), (1 / 4,), (1.0,), (1 / 4,)),
    b1=((), (1 / 2,), (-1.0,), (-5.0, 3.0, 1 / 2)),
    alpha=(1 / 3, 2 / 3, 0.0, 0.0),
    beta1=(-1.0, 4 / 3, 2 / 3, 0.0),
    beta2=(-1.0, 4 / 3, -1 / 3, 0.0),
    beta3=(2.0, -4 / 3, -2 / 3, 0.0),
    beta4=(-2.0, 5 / 3, -2 / 3, 1.0),
)

SOSRI = RosslerTableau(
    c0=(0.0, -0.04199224421316468, 0.7898405466170333, 3.7504010171562823),
    c1=(0.0, 0.26204282091330466, 0.05879875232001766, 0.758661169101175),
    a0=(
        (),
        (-0.04199224421316468,),
        (2.842612915017106, -2.0527723684000727),
        (4.338237071435815, -2.8895936137439793, 2.3017575594644466),
    ),
    b0=(
        (),
        (-0.21641093549612528,),
        (1.5336352863679572, 0.26066223492647056),
        (-1.0536037558179159, 1.7015284721089472, -0.20725685784180017),
    ),
    a1=(
        (),
        (0.26204282091330466,),
        (0.20903646383505375, -0.1502377115150361),
        (0.05836595312746999, 0.6149440396332373, 0.08535117634046772),
    ),
    b1=(
        (),
        (-0.5119011827621657,),
        (2.67767339866713, -4.9395031322250995),
        (0.15580956238299215, 3.2361551006624674, -1.4223118283355949),
    ),
    alpha=(1.140099274172029, -0.6401334255743456, 0.4736296532772559, 0.026404498125060714),
    beta1=(-1.8453464565104432, 2.688764531100726, -0.2523866501071323, 0.40896857551684956),
    beta2=(0.4969658141589478, -0.5771202869753592, -0.12919702470322217, 0.2093514975196336),
    beta3=(2.8453464565104425, -2.688764531100725, 0.2523866501071322, -0.40896857551684945),
    beta4=(0.11522663875443433, -0.57877086147738, 0.2857851028163886, 0.17775911990655704),
)

SRA1 = RosslerTableau(
    c0=(0.0, 3 / 4),
    c1=(1.0, 0.0),
    a0=((), (3 / 4,)),
    b0=((), (3 / 2,)),
    alpha=(1 / 3, 2 / 3),
    beta1=(1.0, 0.0),
    beta3=(-1.0, 1.0),
)

SOSRA = RosslerTableau(
    c0=(0.0, 0.6923962376159507, 1.0),
    c1=(0.0, 0.041248171110700504, 1.0),
    a0=((), (0.6923962376159507,), (-3.1609142252828395, 4.1609142252828395)),
    b0=((), (1.3371632704399763,), (1.442371048468624, 1.8632741501139225)),
    alpha=(0.2889874966892885, 0.6859880440839937, 0.025024459226717772),
    beta1=(-16.792534242221663, 17.514995785380226, 0.27753845684143835),
    beta3=(0.4237535769069274, 0.6010381474428539, -1.0247917243497813),
)
