"""The reference problems as Julia code."""

import pydiffeqflux as de

SOURCES = {
    "lotka_volterra": de.JuliaSource("""
        function lotka_volterra(du, u, p, t)
            x, y = u
            a, b, c = p
            du[1] = a * x - b * x * y
            du[2] = -c * y + x * y
        end"""),
    "lorenz": de.JuliaSource("""
        function lorenz(du, u, p, t)
            x, y, z = u
            du[1] = p[1] * (y - x)
            du[2] = x * (p[2] - z) - y
            du[3] = x * y - p[3] * z
        end"""),
    "robertson": de.JuliaSource("""
        function robertson(u, p, t)
            slow, fast, back = p[1] * u[1], p[2] * u[2]^2, p[3] * u[2] * u[3]
            [back - slow, slow - fast - back, fast]
        end"""),
    "van_der_pol_1e3": de.JuliaSource("""
        (du, u, p, t) -> begin
            du[1] = u[2]
            du[2] = p[1] * ((1 - u[1]^2) * u[2] - u[1])
        end"""),
}
SOURCES["robertson_gradient"] = SOURCES["robertson"]

KINDS = {"compiled": {"compile": True}, "callback": {"compile": False}, "source": {}}
"""The ways for a right-hand side to reach Julia, and the options of `solve` that choose them."""


def problem(ref, kind, *, grad=False):
    """A reference problem with its right-hand side of a kind, and its leaves."""
    prob, u0, p = ref.problem(grad=grad)
    return (de.remake(prob, f=SOURCES[ref.name]) if kind == "source" else prob), u0, p
