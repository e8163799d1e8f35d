# From the names that Python sends to Julia's algorithms.

const ALGORITHMS = Dict{String,Any}(
    string(nameof(T)) => T for T in (
        # not stiff
        OrdinaryDiffEqLowOrderRK.Euler,
        OrdinaryDiffEqLowOrderRK.Midpoint,
        OrdinaryDiffEqLowOrderRK.Heun,
        OrdinaryDiffEqLowOrderRK.Ralston,
        OrdinaryDiffEqLowOrderRK.RK4,
        OrdinaryDiffEqLowOrderRK.BS3,
        OrdinaryDiffEqLowOrderRK.BS5,
        OrdinaryDiffEqLowOrderRK.DP5,
        OrdinaryDiffEqTsit5.Tsit5,
        OrdinaryDiffEqVerner.Vern6,
        OrdinaryDiffEqVerner.Vern7,
        OrdinaryDiffEqVerner.Vern8,
        OrdinaryDiffEqVerner.Vern9,
        OrdinaryDiffEqHighOrderRK.DP8,
        OrdinaryDiffEqHighOrderRK.TsitPap8,
        OrdinaryDiffEqAdamsBashforthMoulton.VCABM,
        # strong stability preserving
        OrdinaryDiffEqSSPRK.SSPRK22,
        OrdinaryDiffEqSSPRK.SSPRK33,
        OrdinaryDiffEqSSPRK.SSPRK43,
        OrdinaryDiffEqSSPRK.SSPRK432,
        OrdinaryDiffEqSSPRK.SSPRK53,
        OrdinaryDiffEqSSPRK.SSPRK54,
        OrdinaryDiffEqSSPRK.SSPRK104,
        # mildly stiff, without linear algebra
        OrdinaryDiffEqStabilizedRK.ROCK2,
        OrdinaryDiffEqStabilizedRK.ROCK4,
        OrdinaryDiffEqStabilizedRK.RKC,
        # stiff
        OrdinaryDiffEqRosenbrock.Rosenbrock23,
        OrdinaryDiffEqRosenbrock.Rosenbrock32,
        OrdinaryDiffEqRosenbrock.ROS3P,
        OrdinaryDiffEqRosenbrock.Rodas3,
        OrdinaryDiffEqRosenbrock.Rodas3P,
        OrdinaryDiffEqRosenbrock.Rodas4,
        OrdinaryDiffEqRosenbrock.Rodas42,
        OrdinaryDiffEqRosenbrock.Rodas4P,
        OrdinaryDiffEqRosenbrock.Rodas4P2,
        OrdinaryDiffEqRosenbrock.Rodas5,
        OrdinaryDiffEqRosenbrock.Rodas5P,
        OrdinaryDiffEqSDIRK.ImplicitEuler,
        OrdinaryDiffEqSDIRK.ImplicitMidpoint,
        OrdinaryDiffEqSDIRK.Trapezoid,
        OrdinaryDiffEqSDIRK.TRBDF2,
        OrdinaryDiffEqSDIRK.SDIRK2,
        OrdinaryDiffEqSDIRK.KenCarp3,
        OrdinaryDiffEqSDIRK.KenCarp4,
        OrdinaryDiffEqSDIRK.KenCarp5,
        OrdinaryDiffEqSDIRK.KenCarp47,
        OrdinaryDiffEqSDIRK.KenCarp58,
        OrdinaryDiffEqSDIRK.Kvaerno3,
        OrdinaryDiffEqSDIRK.Kvaerno4,
        OrdinaryDiffEqSDIRK.Kvaerno5,
        OrdinaryDiffEqFIRK.RadauIIA3,
        OrdinaryDiffEqFIRK.RadauIIA5,
        OrdinaryDiffEqFIRK.RadauIIA9,
        OrdinaryDiffEqBDF.QNDF,
        OrdinaryDiffEqBDF.FBDF,
        OrdinaryDiffEqBDF.ABDF2,
        # chosen while it runs
        OrdinaryDiffEqDefault.DefaultODEAlgorithm,
    )
)

"Thrown where a name is not there; the message says what was looked for."
struct UnknownNameError <: Exception
    message::String
end

Base.showerror(io::IO, error::UnknownNameError) = print(io, error.message)

"""
Handle of the algorithm `name`, one of [`ALGORITHMS`](@ref) or, with a `package`, any that this package of the project
has. With `finite_differences`, Jacobians that nobody gives are not taken by AD, which cannot see into a right-hand side
that lives in Python.
"""
function algorithm(name::String, package::String, options::Integer, finite_differences::Bool)
    constructor = isempty(package) ? algorithm_type(name) : lookup(package, name)
    return handle(Base.invokelatest(construct, constructor, take_options(options), finite_differences))
end

function algorithm_type(name::String)
    haskey(ALGORITHMS, name) || throw(
        UnknownNameError("there is no algorithm $name in the table; name the package that it comes from.")
    )
    return ALGORITHMS[name]
end

function construct(constructor, options::NamedTuple, finite_differences::Bool)
    object = constructor(; options...)
    if finite_differences && !haskey(options, :autodiff) && takes_autodiff(object)
        object = constructor(; options..., autodiff=AutoFiniteDiff())
    end
    return object
end

takes_autodiff(::Any) = false
takes_autodiff(alg::OrdinaryDiffEqCore.OrdinaryDiffEqAlgorithm) = OrdinaryDiffEqCore.has_autodiff(alg)
takes_autodiff(alg::OrdinaryDiffEqCore.CompositeAlgorithm) = any(takes_autodiff, alg.algs)

"""
Handle of an algorithm that switches between two: OrdinaryDiffEq's `AutoAlgSwitch`.
"""
switching_algorithm(nonstiff::Integer, stiff::Integer, options::Integer) =
    handle(OrdinaryDiffEqCore.AutoAlgSwitch(HANDLES[nonstiff], HANDLES[stiff]; take_options(options)...))

"""
Handle of a method of StochasticDiffEq. Of its options `split` is an argument there, and `interpretation`, `:ito` or
`:stratonovich`, the member of an enumeration.
"""
function stochastic_algorithm(name::String, options::Integer, finite_differences::Bool)
    constructor = lookup("StochasticDiffEq", name)
    return handle(Base.invokelatest(construct_stochastic, constructor, take_options(options), finite_differences))
end

function construct_stochastic(constructor, options::NamedTuple, finite_differences::Bool)
    haskey(options, :split) && return constructor(options.split)
    if haskey(options, :interpretation)
        (; Ito, Stratonovich) = SciMLBase.AlgorithmInterpretation
        return constructor(; interpretation=options.interpretation == :ito ? Ito : Stratonovich)
    end
    return construct(constructor, options, finite_differences)
end

"The object `name` of a package that is installed in the active project, or loaded as part of another one."
function lookup(package::String, name::String)
    place = package_module(package)
    Base.invokelatest(isdefined, place, Symbol(name)) ||
        throw(UnknownNameError("the Julia package $package has nothing named $name."))
    return Base.invokelatest(getproperty, place, Symbol(name))
end

"Handle of `package.name(; options...)`, for options that are objects themselves."
object(name::String, package::String, options::Integer) =
    handle(Base.invokelatest(construct, lookup(package, name), take_options(options), false))

"Order of convergence, whether the step size adapts, and whether it solves linear systems, of an algorithm by name."
function algorithm_facts(name::String)
    alg = construct(algorithm_type(name), (;), false)
    return (
        SciMLBase.alg_order(alg),
        SciMLBase.isadaptive(alg),
        OrdinaryDiffEqCore.isimplicit(alg) || alg isa OrdinaryDiffEqCore.OrdinaryDiffEqRosenbrockAdaptiveAlgorithm,
    )
end

const CONTROLLERS = Dict{String,Any}(
    "IController" => OrdinaryDiffEqCore.IController,
    "PIController" => OrdinaryDiffEqCore.PIController,
    "PIDController" => OrdinaryDiffEqCore.PIDController,
    "PredictiveController" => OrdinaryDiffEqCore.PredictiveController,
)

"""
Handle of a step size controller; `betas` is "0.7,0.4" or "", and "nothing" stands for one that is the algorithm's.
"""
function controller(name::String, betas::String, alg::Integer, options::Integer)
    coefficients = [part == "nothing" ? nothing : parse(Float64, part) for part in split(betas, ","; keepempty=false)]
    keywords = take_options(options)
    any(isnothing, coefficients) || return handle(CONTROLLERS[name](coefficients...; keywords...))
    return handle(pi_controller(HANDLES[alg], coefficients, keywords))
end

pi_controller(alg, (beta1, beta2), keywords) = OrdinaryDiffEqCore.PIController(alg; beta1, beta2, keywords...)
pi_controller(alg::OrdinaryDiffEqCore.CompositeAlgorithm, betas, keywords) =
    OrdinaryDiffEqCore.CompositeController(map(part -> pi_controller(part, betas, keywords), alg.algs))

"Whether the algorithm behind a handle takes Jacobians."
takes_jacobian(alg::Integer) = takes_autodiff(HANDLES[alg])
