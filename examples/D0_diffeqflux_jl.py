"""DiffEqFlux.jl trains a neural ODE that torch has made, and torch takes the weights back.

It needs Julia: `python -m pydiffeqflux setup`. Most of the minute that it runs goes into compiling the solve and its
gradient by Zygote.
"""

import juliacall  # pyright: ignore[reportMissingImports]
import torch
from torch import Tensor, nn

import pydiffeqflux as de

ITERATIONS = 150
A = torch.tensor([[-0.2, 1.5], [-1.5, -0.2]], dtype=torch.float64)
Y0 = torch.tensor([1.5, 0.0], dtype=torch.float64)
TIMES = torch.linspace(0.0, 3.0, 25, dtype=torch.float64)
OPTIONS = {"saveat": TIMES, "abstol": 1e-7, "reltol": 1e-7}

TRAIN = """
using DiffEqFlux, Lux, OrdinaryDiffEqTsit5, Zygote

function train(model, ps, st, y0, times, data, iterations)
    y0, times, data = Array(y0), Array(times), Array(data) # from numpy's memory
    node = NeuralODE(model, extrema(times), Tsit5(); saveat=times, abstol=1e-7, reltol=1e-7)
    loss(ps) = sum(abs2, Array(node(y0, ps, st)[1]) .- data) / length(data)
    before = loss(ps)
    state = Lux.Optimisers.setup(Lux.Optimisers.Adam(0.02), ps)
    for _ in 1:iterations
        gradient = only(Zygote.gradient(loss, ps))
        state, ps = Lux.Optimisers.update(state, ps, gradient)
    end
    return ps, before, loss(ps)
end
"""


def spiral(y: Tensor, p: None, t: Tensor) -> Tensor:
    """The true derivative."""
    return y @ A


def main() -> None:
    """Make the data, train in Julia, and look at the result in torch."""
    torch.manual_seed(0)
    data = de.solve(de.ODEProblem(spiral, Y0, (0.0, 3.0)), de.Tsit5(), **OPTIONS).u
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)).double()

    lux = de.to_lux(net)
    print(lux)
    julia = juliacall.newmodule("Training")
    julia.seval(TRAIN)
    # the adjoints of DiffEqFlux want flat parameters; arrays have their shapes reversed in Julia, where time is last
    ps, before, after = julia.train(
        lux.model, lux.flat(), lux.st, Y0.numpy(), TIMES.numpy(), data.numpy().T, ITERATIONS
    )
    print(f"mean squared error in Julia: {before:.6f} before, {after:.6f} after {ITERATIONS} iterations")

    net.load_state_dict(lux.state_dict(ps))
    with torch.no_grad():
        fit = de.NeuralODE(net, (0.0, 3.0), de.Tsit5(), **OPTIONS)(Y0).u
    print(f"the same in torch, with the weights of Julia: {(fit - data).square().mean().item():.6f}")


if __name__ == "__main__":
    main()
