"""The derivative of a stage that is the solution of an equation."""

import torch
from torch import Tensor

from ._protocols import Rhs, Time


def implicit_stage(rhs: Rhs, base: Tensor, k: Tensor, t: Time, gdt: Time) -> Tensor | None:
    """The solution `k` of k = f(base + γ dt k, t), with the derivative of the implicit function theorem.

    One Newton step from the solution leaves it where it is and has the derivative of the exact solution, if the
    Jacobian in it is the exact one. That Jacobian is taken as a constant. `None` where its linear system is singular.
    """
    x = base + gdt * k
    with torch.no_grad():
        _, jacobian, _ = rhs.linearise(x.detach(), t, 0.0)
    solve = jacobian.factor(1.0 / gdt)
    return None if solve is None else k + solve(rhs(x, t) - k) / gdt
