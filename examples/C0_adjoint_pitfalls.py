"""When the famous adjoint is wrong: `BacksolveAdjoint` solves the ODE backwards, which not every ODE allows.

What contracts forwards explodes backwards, and with it the reconstructed solution. (On problems that can be solved
backwards the method is fine, and needs the least memory.) Three experiments, of which the first two have a well-defined
gradient that the other methods find:

1. The time integral x of a linear u that relaxes to cos t with rate k. The gradient is known in closed form.
2. Lorenz's equations over two units of time: volumes shrink like exp(-13.7 t), small errors grow about sevenfold.
3. Lorenz's equations there and back over longer times. Here chaos takes a part too: over 20 units of time gradients
   grow by a factor of about 1e8, and are of little use even where they are right.
"""

import torch
from torch import Tensor

import pydiffeqflux as de

METHODS: dict[str, de.AbstractSensealg] = {
    "ReverseDiff": de.ReverseDiffAdjoint(),
    "Gauss": de.GaussAdjoint(),
    "Interpolating": de.InterpolatingAdjoint(),
    "Quadrature": de.QuadratureAdjoint(),
    "Backsolve": de.BacksolveAdjoint(),
}
TOLERANCE = 1e-8
STEPS = 1000
"""Bound of the steps of a gradient and of the way back, where they explode."""


def relax(u: Tensor, k: Tensor, t: Tensor) -> Tensor:
    """Relaxation to cos t with rate k, and its integral over time."""
    return torch.stack([-k[0] * (u[0] - torch.cos(t)), u[0]])


def integral(k: Tensor, end: float) -> Tensor:
    """The integral of the exact solution of `relax` from u(0) = 0."""
    t = torch.tensor(end, dtype=k.dtype)
    return k / (k**2 + 1) * (k * torch.sin(t) + 1 - torch.cos(t) - (1 - torch.exp(-k * t)))


def lorenz(u: Tensor, p: Tensor, t: Tensor) -> Tensor:
    """Lorenz's equations, p = (σ, ρ, β)."""
    x, y, z = u.unbind(-1)
    return torch.stack([p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z], dim=-1)


def gradient(prob: de.ODEProblem, sensealg: de.AbstractSensealg, tolerance: float = TOLERANCE) -> Tensor:
    """The gradient of the last component of the final state with respect to the parameters."""
    end = prob.tspan[1]
    sol = de.solve(
        prob, de.Vern7(), saveat=[end], sensealg=sensealg, abstol=tolerance, reltol=tolerance, maxiters=STEPS
    )
    return torch.autograd.grad(sol.raise_for_status().u[-1, -1], prob.p)[0]


def errors(prob: de.ODEProblem, exact: Tensor) -> str:
    """The relative error of the gradient by every method, or how the method failed."""
    cells = []
    for method in METHODS.values():
        try:
            error = torch.linalg.vector_norm(gradient(prob, method) - exact) / torch.linalg.vector_norm(exact)
            cells.append(f"{error.item():.1e}")
        except de.SolverError as failure:
            cells.append(getattr(failure.retcode, "name", "failed"))
        except de.DiffEqError as failure:
            cells.append(type(failure).__name__)
    return "".join(f"{cell:>15}" for cell in cells)


def main() -> None:
    """Run the three experiments."""
    header = "".join(f"{name:>15}" for name in METHODS)
    print(f"Relative errors of gradients, tolerances {TOLERANCE:g}.\n")

    print("1. Relaxation, dx(3)/dk, against the closed form")
    print(f"{'rate k':>10}{header}")
    for rate in (1.0, 4.0, 8.0, 16.0):
        k = torch.tensor([rate], dtype=torch.float64, requires_grad=True)
        (exact,) = torch.autograd.grad(integral(k, 3.0).sum(), k)
        prob = de.ODEProblem(relax, torch.zeros(2, dtype=torch.float64), (0.0, 3.0), k)
        print(f"{rate:10g}{errors(prob, exact)}")

    print("\n2. Lorenz, gradient of z(t1) with respect to the three parameters, against tolerances 1e-12")
    print(f"{'t1':>10}{header}")
    u0 = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    p = torch.tensor([10.0, 28.0, 8 / 3], dtype=torch.float64, requires_grad=True)
    for end in (0.5, 1.0, 2.0):
        prob = de.ODEProblem(lorenz, u0, (0.0, end), p)
        print(f"{end:10g}{errors(prob, gradient(prob, de.ReverseDiffAdjoint(), 1e-12))}")

    print("\n3. Lorenz there and back: distance from u(0), the attractor being about 50 wide")
    print(f"{'t1':>10}{'tolerance 1e-8':>16}{'1e-12':>16}")
    for end in (0.5, 1.0, 2.0, 5.0, 20.0):
        print(f"{end:10g}" + "".join(f"{there_and_back(u0, p.detach(), end, tol):>16}" for tol in (1e-8, 1e-12)))


def there_and_back(u0: Tensor, p: Tensor, end: float, tolerance: float) -> str:
    """How far from `u0` a solve to `end` and back arrives, or how the way back ended."""
    prob = de.ODEProblem(lorenz, u0, (0.0, end), p)
    there = de.solve(prob, de.Vern7(), saveat=[end], abstol=tolerance, reltol=tolerance)
    back = de.solve(
        de.remake(prob, u0=there.u[-1], tspan=(end, 0.0)),
        de.Vern7(),
        saveat=[0.0],
        abstol=tolerance,
        reltol=tolerance,
        maxiters=STEPS,
        throw=False,
        verbose=False,
    )
    if not back.retcode.success:
        return back.retcode.name
    return f"{torch.linalg.vector_norm(back.u[-1] - u0).item():.1e}"


if __name__ == "__main__":
    main()
