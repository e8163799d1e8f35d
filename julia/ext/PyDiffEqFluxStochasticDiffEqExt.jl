"Stochastic equations: what StochasticDiffEq's solvers ask of a path, loaded with that package."
module PyDiffEqFluxStochasticDiffEqExt

using PyDiffEqFlux: PyDiffEqFlux, PathNoise, accept!, draw!
using StochasticDiffEq: StochasticDiffEq

const Noise = StochasticDiffEq.DiffEqNoiseProcess

Noise.setup_next_step!(noise::PathNoise, u, p) = draw!(noise, noise.dt)
Noise.calculate_step!(noise::PathNoise, dt, u, p) = draw!(noise, dt)
Noise.reject_step!(noise::PathNoise, dt, u, p) = draw!(noise, dt)
Noise.accept_step!(noise::PathNoise, dt, u, p, setup_next=true) = accept!(noise, dt, setup_next)
Noise.save_noise!(::PathNoise) = nothing

PyDiffEqFlux.takes_autodiff(::StochasticDiffEq.StochasticDiffEqNewtonAdaptiveAlgorithm) = true
PyDiffEqFlux.takes_autodiff(::StochasticDiffEq.StochasticDiffEqNewtonAlgorithm) = true

end
