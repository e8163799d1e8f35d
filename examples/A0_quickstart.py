"""Quickstart: define a problem, solve it, evaluate the solution anywhere, differentiate it."""

import torch

import pydiffeqflux as de


def pendulum(u: torch.Tensor, p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A pendulum with friction: u = (angle, speed), p = (gravity / length, friction)."""
    return torch.stack([u[1], -p[0] * torch.sin(u[0]) - p[1] * u[1]])


u0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
p = torch.tensor([9.81, 0.2], dtype=torch.float64, requires_grad=True)

prob = de.ODEProblem(pendulum, u0, (0.0, 5.0), p)
sol = de.solve(prob, abstol=1e-8, reltol=1e-8)
(gradient,) = torch.autograd.grad(sol.u[-1, 0], p)

print(f"{sol.alg} took {sol.stats.naccept} steps and ended with {sol.retcode.name}")
print(f"angle at t = 5:    {sol.u[-1, 0].item():.8f}")
print(f"angle at t = 2.5:  {sol(2.5)[0].item():.8f}")
print(f"∂angle(5)/∂p:      {gradient[0].item():.8f}, {gradient[1].item():.8f}, by {sol.sensealg}")
