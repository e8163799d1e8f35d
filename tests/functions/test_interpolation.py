"""Tables as functions of the time, alone and in right-hand sides."""

import math

import numpy as np
import pytest
import torch
from problems import tensor

import pydiffeqflux as de

TABLES = [de.LinearInterpolation, de.CubicSpline]
ENGINES = ["embedded", pytest.param("julia", marks=pytest.mark.julia)]
T = [0.0, 0.7, 1.1, 2.0, 3.5]


def natural(t, u, x):
    """The natural cubic spline by the equations of its slopes, another way than that of the class."""
    t, u = np.asarray(t), np.asarray(u)
    n, h, d = len(t), np.diff(t), np.diff(u) / np.diff(t)
    a, b = np.zeros((n, n)), np.zeros(n)
    a[0, :2], b[0] = [2, 1], 3 * d[0]
    a[-1, -2:], b[-1] = [1, 2], 3 * d[-1]
    for i in range(1, n - 1):
        a[i, i - 1 : i + 2] = [h[i], 2 * (h[i - 1] + h[i]), h[i - 1]]
        b[i] = 3 * (h[i] * d[i - 1] + h[i - 1] * d[i])
    m = np.linalg.solve(a, b)
    i = int(np.clip(np.searchsorted(t, x, side="right") - 1, 0, n - 2))
    s = (x - t[i]) / h[i]
    rise = u[i + 1] - u[i]
    c2, c3 = 3 * rise - h[i] * (2 * m[i] + m[i + 1]), h[i] * (m[i] + m[i + 1]) - 2 * rise
    return u[i] + s * (h[i] * m[i] + s * (c2 + s * c3))


def test_values():
    u = np.cos(np.asarray(T))
    line, spline = de.LinearInterpolation(u, T), de.CubicSpline(u, T)
    for x in np.linspace(0.0, 3.5, 29):
        assert line(x).item() == pytest.approx(np.interp(x, T, u), abs=1e-14)
        assert spline(float(x)).item() == pytest.approx(natural(T, u, x), abs=1e-13)
    for table in (line, spline):
        assert table(-1.0).item() == u[0]
        assert table(9.0).item() == pytest.approx(u[-1], abs=1e-13)


def test_a_spline_of_few_entries():
    assert de.CubicSpline([1.0, 3.0], [0.0, 2.0])(0.5).item() == pytest.approx(1.5)
    assert de.CubicSpline([0.0, 1.0, 0.0], [0.0, 1.0, 2.0])(1.5).item() == pytest.approx(0.6875)


@pytest.mark.parametrize("kind", TABLES)
def test_values_of_any_shape_and_their_gradients(kind):
    u, t, x = torch.rand(5, 2, 3, dtype=torch.float64), tensor(T), tensor(1.3)
    assert kind(u, t)(x).shape == (2, 3)
    inputs = [q.requires_grad_() for q in (u, t, x)]
    assert torch.autograd.gradcheck(lambda u, t, x: kind(u, t)(x), inputs)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", TABLES)
def test_a_forcing_by_a_table_is_integrated_and_has_gradients(engine, kind):
    u = tensor(np.sin(T), grad=True)
    rate = tensor(0.3, grad=True)

    def area(values):
        table, x = kind(values, T), torch.linspace(0.0, 3.5, 70001, dtype=torch.float64)
        return torch.trapezoid(torch.stack([table(y) for y in x[::1000]]), x[::1000])

    table = kind(u, T)
    options = {"compile": True} if engine == "julia" else {}
    prob = de.ODEProblem(lambda x, p, t: p * table(t) + 0 * x, tensor([0.0]), (0.0, 3.5), rate)
    sol = de.solve(prob, de.Tsit5(), tstops=T[1:-1], abstol=1e-10, reltol=1e-10, engine=engine, **options)
    value = sol.u[-1, 0]
    assert value.item() == pytest.approx(0.3 * area(u.detach()).item(), rel=2e-3)  # of the trapezoidal rule
    to_rate, to_values = torch.autograd.grad(value, [rate, u])
    assert to_rate.item() == pytest.approx(value.item() / 0.3, rel=1e-9)
    # the integral is linear in the values
    assert float((to_values * u.detach()).sum()) == pytest.approx(value.item(), rel=1e-9)


def test_what_is_refused():
    with pytest.raises(de.InvalidOptionError, match="strictly increase"):
        de.LinearInterpolation([1.0, 2.0], [1.0, 1.0])
    with pytest.raises(de.InvalidOptionError, match=r"values \(T, \*shape\) and at least two times"):
        de.CubicSpline([1.0, 2.0, 3.0], [0.0, 1.0])
    assert math.isfinite(de.LinearInterpolation([1.0, 2.0], [0.0, 1.0])(0.5).item())
