"""A differential-algebraic equation: Robertson's reactions with "the concentrations sum to one" in place of an ODE.

It is written as M u' = f(u) with a singular mass matrix M, whose last row is zero. The solution is compared with
that of the ODE, and differentiated with respect to the rates.
"""

import torch
from torch import Tensor

import pydiffeqflux as de


def robertson_ode(u: Tensor, k: Tensor, t: Tensor) -> Tensor:
    """Three differential equations."""
    a, b, c = u.unbind(-1)
    slow, fast, medium = k[0] * a, k[1] * b * b, k[2] * b * c
    return torch.stack([medium - slow, slow - medium - fast, fast], dim=-1)


def robertson_dae(u: Tensor, k: Tensor, t: Tensor) -> Tensor:
    """Two differential equations, and 0 = a + b + c - 1."""
    du = robertson_ode(u, k, t)
    return torch.stack([du[0], du[1], u.sum() - 1.0])


def main() -> None:
    """Solve and differentiate both forms."""
    k = torch.tensor([0.04, 3e7, 1e4], dtype=torch.float64, requires_grad=True)
    u0 = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    mass = torch.diag(torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    problems = {
        "ODE": de.ODEProblem(robertson_ode, u0, (0.0, 40.0), k),
        "DAE": de.ODEProblem(robertson_dae, u0, (0.0, 40.0), k, mass_matrix=mass),
    }
    states, gradients = [], []
    for name, prob in problems.items():
        sol = de.solve(prob, de.Rodas5P(), abstol=1e-12, reltol=1e-9)
        states.append(sol.u[-1].detach())
        gradients.append(torch.autograd.grad(sol.u[-1, 0], k)[0])
        print(f"{name}: {sol.stats.naccept} steps, gradient by {sol.sensealg}")
        print(f"  u(40)        = {', '.join(f'{x:.10g}' for x in states[-1].tolist())}")
        print(f"  sum u(40) - 1 = {states[-1].sum().item() - 1.0:.1e}")
        print(f"  ∂u₁(40)/∂k    = {', '.join(f'{x:.8g}' for x in gradients[-1].tolist())}")
    print(f"largest difference of the states, relative:    {_difference(*states):.1e}")
    print(f"largest difference of the gradients, relative: {_difference(*gradients):.1e}")


def _difference(x: Tensor, y: Tensor) -> float:
    return ((x - y) / y).abs().max().item()


if __name__ == "__main__":
    main()
