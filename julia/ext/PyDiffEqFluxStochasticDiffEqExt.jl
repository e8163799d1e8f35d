"Stochastic equations: what StochasticDiffEq's solvers ask of a path, loaded with that package."
module PyDiffEqFluxStochasticDiffEqExt

using PyDiffEqFlux: PyDiffEqFlux, PathNoise, accept!, draw!
using PrecompileTools: @compile_workload, @setup_workload
using StochasticDiffEq: StochasticDiffEq

const Noise = StochasticDiffEq.DiffEqNoiseProcess

Noise.setup_next_step!(noise::PathNoise, u, p) = draw!(noise, noise.dt)
Noise.calculate_step!(noise::PathNoise, dt, u, p) = draw!(noise, dt)
Noise.reject_step!(noise::PathNoise, dt, u, p) = draw!(noise, dt)
Noise.accept_step!(noise::PathNoise, dt, u, p, setup_next=true) = accept!(noise, dt, setup_next)
Noise.save_noise!(::PathNoise) = nothing
Base.copy!(noise::PathNoise{T}, ::PathNoise{T}) where {T} = noise # they are one and the same

PyDiffEqFlux.takes_autodiff(::StochasticDiffEq.StochasticDiffEqNewtonAdaptiveAlgorithm) = true
PyDiffEqFlux.takes_autodiff(::StochasticDiffEq.StochasticDiffEqNewtonAlgorithm) = true

# ---- compiled once, when the package is installed

module Workload

using PyDiffEqFlux: PyDiffEqFlux as P

const W = P.Workload
const w, area = zeros(W.N), zeros(W.N)

draw(a::Float64, b::Float64)::Cint = (w .= 0.1 * sqrt(abs(b - a)); area .= 0.0; 0)

function noise(with_areas, keep)
    arguments = Ref(
        P.NoiseArguments(
            0, W.N, with_areas, keep, 0.0, 0, 0, 0, 0, UInt64(@cfunction(draw, Cint, (Float64, Float64))), W.address(w),
            W.address(area),
        ),
    )
    return GC.@preserve arguments P.path_noise(Int(pointer_from_objref(arguments)))
end

"Euler-Maruyama, with the diffusion at the start of the step."
function euler()
    weights = [zeros(3, 2) for _ in 1:P.NOISES]
    weights[2][3, 2] = 1
    return P.StochasticMethod([true, false], [0.0, 0.0], [0.0 0; 0 0; 1 0], weights)
end

stochastic_algorithm(name) = P.stochastic_algorithm(name, P.options(), true)

function solves()
    for (name, adaptive, areas) in (("EM", 0, 0), ("EulerHeun", 0, 0), ("SOSRI", 1, 1), ("SOSRA", 1, 1), ("LambaEM", 1, 0))
        alg = stochastic_algorithm(name)
        for keep_steps in (0, 1)
            diffusion = P.diffusion(W.callback_rhs(1), W.N, 0)
            W.solve(
                W.callback_rhs(1), alg; keep_steps, dt=0.125, adaptive, diffusion, noise=noise(areas, keep_steps)
            )
        end
    end
end

"A step back, apart from a solve: what the callbacks return is no product of a function."
function gradients()
    f, g = (P.HANDLES[W.callback_rhs(1)] for _ in 1:2)
    sweep = P.StochasticSweep(f, P.Diffusion(g, W.N, 0), euler(), W.N)
    u = [1.0, 0.0]
    step = P.Step{Float64}(0.0, 1e-9, u, u, [zeros(W.N)], Int[])
    P.pull_step!(sweep, step, P.SavePoints{Float64}([0.5], ones(W.N, 1), 1))
    return nothing
end

end

@setup_workload begin
    @compile_workload begin
        Workload.solves()
        Workload.gradients()
    end
end

end
