using Aqua
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
            rhs, alg, 0, 3, address(U0), 0, 0.0, 1.0, length(SAVEAT), address(SAVEAT), 0, 0, tol, tol, 0, 0, 0.0, 0.0,
            Inf, maxiters, 1, Int(P.takes_jacobian(alg)), 0, 1, 1, keep_steps, 0,
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
            result.record, sensealg, alg, length(SAVEAT), address(SAVEAT), address(cotangents), address(du0), address(dp)
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
