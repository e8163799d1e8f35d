using Aqua
using InteractiveUtils: code_llvm
using PyDiffEqFlux
using PyDiffEqFlux: PyDiffEqFlux as P
using Test

# The package is called with addresses, by Python and here alike.
address(x::Array) = Int(pointer(x))
address(x::Ref) = Int(pointer_from_objref(x))

const LORENZ = """
function lorenz(du, u, p, t)
    du[1] = p[1] * (u[2] - u[1])
    du[2] = u[1] * (p[2] - u[3]) - u[2]
    du[3] = u[1] * u[2] - p[3] * u[3]
end
"""
const U0, PARAMETERS, SAVEAT = [1.0, 0.0, 0.0], [10.0, 28.0, 8 / 3], [0.0, 0.5, 1.0]

algorithm(name; finite_differences=false) = P.algorithm(name, "", P.options(), finite_differences)

source(; vjp=false, jacobian=false) = P.source_rhs(
    P.source_function(LORENZ), false, "", 0, address(PARAMETERS), 3, 0, vjp ? 3 : 0, jacobian
)

function solve(rhs, alg; tol=1e-10, keep_steps=1, maxiters=10^6)
    arguments = Ref(
        P.SolveArguments(
            rhs, alg, 0, 3, address(U0), 0, 0.0, 1.0, length(SAVEAT), address(SAVEAT), 0, 0, 0, 0, tol, tol, 0, 0, 0.0,
            0.0, Inf, maxiters, 1, Int(P.takes_jacobian(alg)), 0, 1, 1, keep_steps, 0, 0, 0,
        ),
    )
    result = Ref(P.SolveResult(ntuple(_ -> 0, fieldcount(P.SolveResult))...))
    GC.@preserve arguments result P.solve(address(arguments), address(result))
    return result[]
end

function gradient(result, sensealg, alg)
    cotangents, du0, dp = ones(3, length(SAVEAT)), zeros(3), zeros(3)
    arguments = Ref(
        P.AdjointArguments(
            result.record, sensealg, alg, length(SAVEAT), address(SAVEAT), address(cotangents), address(du0), address(dp), 0
        ),
    )
    GC.@preserve arguments cotangents du0 dp P.adjoint(address(arguments))
    return [du0; dp]
end

const RETCODES = Dict(parse(Int, number) => name for (number, name) in split.(split(P.retcodes(), ","), "="))
retcode(number) = RETCODES[number]

"Central differences of the sum of the saved states."
function numerical_gradient(rhs, alg; h=1e-5)
    loss() = sum(P.wrap(Float64, solve(rhs, alg; tol=1e-13).states, 3, length(SAVEAT)))
    return map([(U0, i) for i in 1:3] ∪ [(PARAMETERS, i) for i in 1:3]) do (array, i)
        old = array[i]
        array[i] = old + h
        up = loss()
        array[i] = old - h
        down = loss()
        array[i] = old
        (up - down) / 2h
    end
end

function map_into!(f::F, out, x) where {F}
    @inbounds @simd ivdep for i in eachindex(x)
        out[i] = f(x[i])
    end
    return nothing
end

@testset "PyDiffEqFlux" begin
    # its packages load others, which is not for this one to stop
    Aqua.test_all(PyDiffEqFlux; ambiguities=(; recursive=false), persistent_tasks=false)

    @testset "solve" begin
        for name in ("Tsit5", "Vern7", "Rodas5P", "KenCarp4", "FBDF")
            result = solve(source(), algorithm(name))
            @test retcode(result.retcode) == "Success"
            @test unsafe_wrap(Array, Ptr{Float64}(result.times), 3) == SAVEAT
            states = P.wrap(Float64, result.states, 3, 3)
            # a tolerance of 1e-10 a step, over at most some thousand steps of an expanding flow
            @test states[:, end] ≈ [-9.408450567, -9.096199071, 28.581627624] rtol = 1e-6
            @test result.nf > 0 && result.naccept > 0
        end
        @test retcode(solve(source(), algorithm("Tsit5"); maxiters=3).retcode) == "MaxIters"
    end

    @testset "gradients" begin
        tsit5 = algorithm("Tsit5")
        # differences of h² = 1e-10 times third derivatives of some thousands
        reference = numerical_gradient(source(), tsit5)
        for name in ("GaussAdjoint", "QuadratureAdjoint", "InterpolatingAdjoint")
            given = gradient(solve(source(; vjp=true), tsit5), P.sensealg(name, "given", P.options()), tsit5)
            @test given ≈ reference rtol = 1e-5
            taped = gradient(solve(source(), tsit5), P.sensealg(name, "ReverseDiffVJP", P.options()), tsit5)
            @test taped ≈ given rtol = 1e-7
        end
        for name in ("ForwardDiffSensitivity", "ReverseDiffAdjoint")
            @test gradient(solve(source(), tsit5), P.sensealg(name, "", P.options()), tsit5) ≈ reference rtol = 1e-5
        end
        rodas = algorithm("Rodas5P"; finite_differences=true)
        stiff = solve(source(; vjp=true, jacobian=true), rodas)
        @test gradient(stiff, P.sensealg("GaussAdjoint", "given", P.options()), rodas) ≈ reference rtol = 1e-5
    end

    @testset "elementary functions" begin
        E = P.TorchMath.Elementary
        ulps(found::T, exact) where {T} = Float64(abs(big(found) - exact) / eps(T(exact)))
        for T in (Float64, Float32)
            far = T == Float64 ? 700 : 87
            line = T.([range(-far, far, 4001); range(-2, 2, 4001); exp10.(range(-30, -1, 500))])
            positive = filter(>(0), [abs.(line); exp.(line); floatmin(T) * T(1e-3)])
            for (name, domain) in (
                :exp => line, :expm1 => line, :tanh => line, :log => positive, :log1p => [positive; range(-T(0.999), 0, 999)]
            )
                exact = x -> getfield(Base, name)(big(x))
                found = getfield(E, name)
                @test maximum(x -> iszero(T(exact(x))) ? 0.0 : ulps(found(x), exact(x)), domain) < 3
                # what is not a number, and where it is infinite or constant
                for x in T[NaN, Inf, -Inf, 0, 1e5, -1e5]
                    log_of_negative = startswith(string(name), "log") && x < (name == :log ? 0 : -1)
                    @test isequal(found(x), log_of_negative ? T(NaN) : getfield(Base, name)(x)) ||
                        found(x) ≈ getfield(Base, name)(x)
                end
            end
            @test E.log1p(T(-1)) == E.log(T(0)) == -Inf
        end
        @test E.exp(big(1.0)) == exp(big(1.0))
        for name in (:exp, :expm1, :tanh, :log, :log1p, :sqrt)
            f = getfield(P.TorchMath, name)
            code = sprint(io -> code_llvm(io, map_into!, (typeof(f), Vector{Float64}, Vector{Float64})))
            @test occursin(r"<\d+ x double>", code)
        end
    end

    @testset "both products at once" begin
        calls = Ref(0)
        function both(out, λ, u, p, t)
            calls[] += 1
            out[1:2] .= p[1] .* λ
            out[3] = λ' * u
            return nothing
        end
        derivative(du, u, p, t) = (du .= p[1] .* u; nothing)
        functions = P.Functions{Float64}(; derivative, pull_both=both)
        rhs = P.RightHandSide(functions, [3.0], C_NULL)
        state, parameters = zeros(2), zeros(1)
        λ, u = [1.0, 2.0], [5.0, 7.0]
        P.Vjp(rhs)(state, λ, u, rhs.p, 0.5)
        P.VjpP(rhs)(parameters, λ, u, rhs.p, 0.5)
        @test state == [3.0, 6.0] && parameters == [19.0]
        @test calls[] == rhs.calls == 1
        λ[1] = 2.0
        P.VjpP(rhs)(view(parameters, 1:1), λ, u, rhs.p, 0.5)
        P.Vjp(rhs)(state, λ, u, rhs.p, 0.25)
        @test state == [6.0, 6.0] && parameters == [24.0]
        @test calls[] == 3
    end

    @testset "steps backwards" begin
        functions = P.Functions{Float64}(;
            derivative=(du, u, p, t) -> (du .= p[1] .* u; nothing),
            pull_both=(out, λ, u, p, t) -> (out .= [p[1] * λ[1], λ[1] * u[1]]; nothing),
            pull_tangent=(out, (λ, g, _), u, p, t) -> (out .= [0, λ * g]; nothing),
            jacobian=(J, u, p, t) -> (J .= p[1]; nothing),
            time_gradient=(dT, u, p, t) -> (dT .= 0; nothing),
        )
        p, u, dt = -0.7, 1.3, 0.1
        rhs = P.RightHandSide(functions, [p], C_NULL)
        "Gradient of twice the state at a quarter of the first of two steps, and of the state at the end."
        function backwards(method, factor)
            states = [[u], [u * factor], [u * factor^2]]
            steps = [P.Step{Float64}(i * dt, (i + 1) * dt, states[i+1], states[i+2], Vector{Float64}[], Int[]) for i in 0:1]
            sweep = P.Sweep(rhs, 1, P.StepMethod[method], P.I)
            P.pull!(sweep, steps, P.StepMethod[method, method], [0.25dt, 2dt], [2.0 1.0])
            return [sweep.λ; sweep.dp]
        end
        z = p * dt
        # u₁ = (1 + z + z²/2) u₀; in between on the cubic with the derivatives at the ends
        heun = P.ExplicitRungeKutta(
            2, [0.0, 1, 1], [0.0 0 0; 1 0 0; 0.5 0.5 0], [0.5, 0.5, 0.0], [1.0 -1.25 0.5; 0 1.5 -1; 0 -0.25 0.5]
        )
        θ = 0.25
        w = heun.dense * [θ, θ^2, θ^3]
        factor, slope = 1 + z + z^2 / 2, dt * (1 + z)
        inner = 1 + z * (w[1] + w[2] * (1 + z) + w[3] * factor)
        inner_slope = dt * (w[1] + w[2] * (1 + z) + w[3] * factor) + z * (w[2] * dt + w[3] * slope)
        @test heun.last == 3
        @test backwards(heun, factor) ≈ [2inner + factor^2, u * (2inner_slope + 2factor * slope)] rtol = 1e-14
        # u₁ = u₀ / (1 - z), between them a line
        euler = P.RosenbrockMethod(1.0, [0.0], zeros(1, 1), zeros(1, 1), [1.0], [1.0], ones(1, 1))
        factor, slope = 1 / (1 - z), dt / (1 - z)^2
        @test backwards(euler, factor) ≈ [2 * (1 + θ * (factor - 1)) + factor^2, u * (2θ * slope + 2factor * slope)] rtol =
            1e-14
        @test_throws P.NotRepeatable backwards(euler, 1.1)
    end

    @testset "blocks" begin
        b = P.Blocks{Float64}(collect(1.0:12.0), 2, 3) # two rows of two states and three motions
        dense = Matrix(b)
        @test size(b) == size(dense) == (4, 6)
        @test dense[1:2, 1:3] == [1 2 3; 4 5 6] && dense[3:4, 4:6] == [7 8 9; 10 11 12]
        @test all(iszero, dense[1:2, 4:6]) && all(iszero, dense[3:4, 1:3])
        w, y = collect(1.0:6.0), collect(1.0:4.0)
        @test P.LinearAlgebra.mul!(zeros(4), b, w) == dense * w
        @test P.LinearAlgebra.mul!(copy(y), b, w, 0.5, 2.0) == dense * w / 2 + 2y
        other = zero(b)
        other .= 2 .* b .- 0.5 .* b
        @test Matrix(other) == 1.5 * dense
        @test P.LinearAlgebra.norm(b, 2) ≈ P.LinearAlgebra.norm(dense)
    end

    @testset "stochastic steps backwards" begin
        f = P.Functions{Float64}(;
            derivative=(du, u, p, t) -> (du .= p[1] .* u; nothing),
            pull_both=(out, λ, u, p, t) -> (out .= [p[1] * λ[1], λ[1] * u[1]]; nothing),
        )
        g = P.Functions{Float64}(;
            derivative=(out, u, p, t) -> (out .= p[1] .* u .^ 2; nothing),
            pull_both=(out, λ, u, p, t) -> (out .= [2p[1] * λ[1] * u[1], λ[1] * u[1]^2]; nothing),
        )
        a, b, u, dt, w = -0.7, 0.4, 1.3, 0.1, 0.25
        # Euler-Maruyama: u₁ = u + a u dt + b u² w
        zero_weights() = zeros(3, 2)
        weights = [zero_weights() for _ in 1:P.NOISES]
        weights[2][3, 2] = 1
        euler = P.StochasticMethod([true, false], [0.0, 0.0], [0.0 0; 0 0; 1 0], weights)
        diffusion = P.Diffusion(P.RightHandSide(g, [b], C_NULL), 1, 0)
        sweep = P.StochasticSweep(P.RightHandSide(f, [a], C_NULL), diffusion, euler, 1)
        sweep.λ .= 2.0
        step = P.Step{Float64}(0.0, dt, [u], [u + a * u * dt + b * u^2 * w], [[w]], Int[])
        P.pull_step!(sweep, step, P.SavePoints{Float64}([0.25], fill(4.0, 1, 1), 1))
        slope = 1 + a * dt + 2b * u * w
        @test sweep.λ ≈ [3slope + 3] # of the point within, a quarter belongs to the end
        @test sweep.dp ≈ [3u * dt]
        @test sweep.dg ≈ [3u^2 * w]
        wrong = P.Step{Float64}(0.0, dt, [u], [2u], [[w]], Int[])
        @test_throws P.NotRepeatable P.pull_step!(sweep, wrong, P.SavePoints{Float64}(Float64[], zeros(1, 0), 1))
    end

    @testset "names" begin
        for name in keys(P.ALGORITHMS)
            order, _, _ = P.algorithm_facts(name)
            @test order >= 1
        end
        @test_throws P.UnknownNameError algorithm("NoSuchAlgorithm")
        @test_throws P.UnknownNameError P.algorithm("Tsit5", "NoSuchPackage", P.options(), false)
        @test_throws P.SourceError P.source_function("1 + 1")
    end

    @testset "handles" begin
        before = P.handle_count()
        number = P.handle([1.0])
        @test P.handle_count() == before + 1
        P.release(number)
        @test P.handle_count() == before
    end
end
