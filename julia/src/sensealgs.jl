# From the names that Python sends to SciMLSensitivity's algorithms.

const SENSEALGS = Dict{String,Any}(
    string(nameof(T)) => T for T in (
        SciMLSensitivity.BacksolveAdjoint,
        SciMLSensitivity.InterpolatingAdjoint,
        SciMLSensitivity.QuadratureAdjoint,
        SciMLSensitivity.GaussAdjoint,
        SciMLSensitivity.GaussKronrodAdjoint,
        SciMLSensitivity.ForwardSensitivity,
        SciMLSensitivity.ForwardDiffSensitivity,
        SciMLSensitivity.ReverseDiffAdjoint,
        SciMLSensitivity.TrackerAdjoint,
    )
)

"The ways to compute a vector-Jacobian product; `true` is ForwardDiff, `false` finite differences."
const AUTOJACVEC = Dict{String,Any}(
    "ReverseDiffVJP" => SciMLSensitivity.ReverseDiffVJP(),
    "ReverseDiffVJP(true)" => SciMLSensitivity.ReverseDiffVJP(true),
    "TrackerVJP" => SciMLSensitivity.TrackerVJP(),
    "ForwardDiff" => true,
    "FiniteDiff" => false,
    # For a right-hand side that brings its own products none of these is used, but all others make caches whose types
    # depend on the number of parameters, so that every network would compile its adjoint anew.
    "given" => SciMLSensitivity.ZygoteVJP(),
)

"Handle of the sensitivity algorithm `name`; `autojacvec` is \"\" where there is none to choose."
function sensealg(name::String, autojacvec::String, options::Integer)
    keywords = take_options(options)
    # those of the solve, unless they are given
    name == "QuadratureAdjoint" && (keywords = (; abstol=NaN, reltol=NaN, keywords...))
    isempty(autojacvec) || (keywords = (; keywords..., autojacvec=AUTOJACVEC[autojacvec]))
    return handle(SENSEALGS[name](; keywords...))
end
