# Compiles the common paths once, when the package is installed.
#
# The callbacks stand for those of Python, and are reached through C pointers in the same way, so that the compiled code
# is exactly what a solve from Python runs.

module Workload

using ..PyDiffEqFlux: PyDiffEqFlux as P

const N = 2
const u, du, λ, g, λ_du, λ_dp, jac_u, jac_time = (zeros(N) for _ in 1:8)
const jac_matrix = zeros(N, N)

# u' = (u₂, -u₁) with the frequency as parameter
f(t::Float64)::Cint = (du .= (u[2], -u[1]); 0)
vjp(t::Float64, ::Cint)::Cint = (λ_du .= (-λ[2], λ[1]); λ_dp .= 0; 0)
tangent(t::Float64, τ::Float64)::Cint = (λ_du .= 0; λ_dp .= 0; 0)
jac(t::Float64)::Cint = (jac_matrix .= [0.0 1.0; -1.0 0.0]; jac_time .= 0; 0)
poll(t::Float64)::Cint = 0

address(x::Array) = UInt64(pointer(x))

function callback_rhs(products::Int)
    arguments = P.CallbackArguments(
        0,
        N,
        N,
        N,
        Int(products > 0),
        UInt64(@cfunction(f, Cint, (Float64,))),
        UInt64(@cfunction(vjp, Cint, (Float64, Cint))),
        products > 1 ? UInt64(@cfunction(tangent, Cint, (Float64, Float64))) : UInt64(0),
        UInt64(@cfunction(jac, Cint, (Float64,))),
        UInt64(@cfunction(poll, Cint, (Float64,))),
        map(address, (u, du, λ, g, λ_du, λ_dp, jac_u, jac_matrix, jac_time))...,
    )
    box = Ref(arguments)
    return GC.@preserve box P.callback_rhs(Int(pointer_from_objref(box)))
end

# the source of a user cannot be evaluated while this package is being compiled
oscillator(du, u, p, t) = (du[1] = p[1] * u[2]; du[2] = -p[2] * u[1]; nothing)

algorithm(name, finite_differences) = P.algorithm(name, "", P.options(), finite_differences)

function switch(nonstiff, stiff, finite_differences)
    options = P.options()
    for (name, value) in (("maxstiffstep", 10), ("maxnonstiffstep", 3))
        P.set_option(options, name, value)
    end
    for (name, value) in (("nonstifftol", 0.9), ("stifftol", 0.9), ("dtfac", 2.0))
        P.set_option(options, name, value)
    end
    return P.switching_algorithm(
        algorithm(nonstiff, finite_differences), algorithm(stiff, finite_differences), options
    )
end

"Solve, and return the record."
function solve(
    rhs, alg; keep_steps=0, keep_ends=0, implicit=Int(P.takes_jacobian(alg)), dt=0.0, adaptive=1, diffusion=0, noise=0
)
    u0, saveat = [1.0, 0.0], [0.0, 0.5, 1.0]
    arguments = Ref(
        P.SolveArguments(
            rhs, alg, 0, N, address(u0), 0, 0.0, 1.0, 3, address(saveat), 0, 0, 0, 0, 1e-6, 1e-3, 0, 0, dt, 0.0, Inf, 10^5,
            adaptive, implicit, 0, 1, 1, keep_steps, keep_ends, diffusion, noise,
        ),
    )
    result = Ref(P.SolveResult(ntuple(_ -> 0, fieldcount(P.SolveResult))...))
    GC.@preserve u0 saveat arguments result P.solve(
        Int(pointer_from_objref(arguments)), Int(pointer_from_objref(result))
    )
    return result[].record
end

function evaluate(record)
    times, out = [0.25, 0.75], zeros(N, 2)
    for derivative in (0, 1)
        P.evaluate(record, Int(address(times)), 2, derivative, Int(address(out)))
    end
end

function adjoint(record, alg, sensealg)
    times, cotangents, du0, dp, dg = [0.0, 0.5, 1.0], ones(N, 3), zeros(N), zeros(N), zeros(N)
    arguments = Ref(
        P.AdjointArguments(
            record, sensealg, alg, 3, address(times), address(cotangents), address(du0), address(dp), address(dg)
        ),
    )
    GC.@preserve times cotangents du0 dp dg arguments P.adjoint(Int(pointer_from_objref(arguments)))
end

sensealg(name, autojacvec) = P.sensealg(name, autojacvec, P.options())

"The paths of right-hand sides that bring their own derivatives."
function callbacks()
    gauss = sensealg("GaussAdjoint", "given")
    algs = (
        algorithm("Tsit5", true),
        algorithm("Vern7", true),
        algorithm("Rodas5P", true),
        switch("Tsit5", "Rodas5P", true),
        switch("Vern7", "Rodas5P", true),
    )
    for alg in algs
        rhs = callback_rhs(0)
        solve(rhs, alg)
        record = solve(rhs, alg; keep_steps=1)
        evaluate(record)
        adjoint(record, alg, gauss)
    end
    tsit5 = first(algs)
    for name in ("InterpolatingAdjoint", "QuadratureAdjoint", "BacksolveAdjoint")
        rhs = callback_rhs(Int(name != "QuadratureAdjoint"))
        backsolve = Int(name == "BacksolveAdjoint")
        record = solve(rhs, tsit5; keep_steps=1 - backsolve, keep_ends=backsolve)
        adjoint(record, tsit5, sensealg(name, "given"))
    end
end

"Reverse mode through steps, of one method of each kind."
function discrete()
    heun = P.ExplicitRungeKutta(2, [0.0, 1.0, 1.0], [0.0 0 0; 1 0 0; 0.5 0.5 0], [0.5, 0.5, 0.0], [1.0 -0.5; 0 0.5; 0 0])
    # Rosenbrock23 as its table in Python has it
    d = 1 / (2 + sqrt(2))
    c32, s = 6 + sqrt(2), 1 - 2d
    a = [0.0 0 0; 0.5/d 0 0; 1/d 1/d 0]
    C = [0.0 0 0; -1/d 0 0; -2/d -c32/d 0]
    b, dense = [1 / d, 1 / d, 0.0], [1/d 0.0; -2/s 1/(s*d); 0 0]
    rosenbrock = P.RosenbrockMethod(d, [0.0, 0.5, 1.0], a, C, [d, 0.0, s], b, dense)
    for (name, method) in (("Heun", heun), ("Rosenbrock23", rosenbrock))
        alg = algorithm(name, true)
        record = solve(callback_rhs(2), alg; keep_steps=1)
        adjoint(record, alg, P.handle(P.DiscreteAdjoint([method])))
    end
end

"The paths of right-hand sides in Julia."
function sources()
    p = ones(N)
    rhs = P.source_rhs(P.handle(oscillator), false, "", 0, Int(address(p)), N, 0, 0, false)
    algs = (
        algorithm("Tsit5", false),
        algorithm("Vern7", false),
        algorithm("Rodas5P", false),
        switch("Tsit5", "Rodas5P", false),
    )
    # Solves only. ForwardDiff orders its tags by when they were first compiled, and an order that is fixed here is wrong
    # beside tags that are made later; an image with ReverseDiff's tapes crashes Julia 1.10 when it is loaded.
    for alg in algs
        solve(rhs, alg)
        evaluate(solve(rhs, alg; keep_steps=1))
    end
    GC.@preserve p nothing
end

end

@setup_workload begin
    @compile_workload begin
        Workload.callbacks()
        Workload.discrete()
        Workload.sources()
        retcodes()
    end
    # nothing that Python was to hold may be left in the image
    empty!(HANDLES)
    empty!(SOURCE_MODULES)
    LAST_HANDLE[] = 0
end
