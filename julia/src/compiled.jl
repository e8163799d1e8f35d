# Right-hand sides that Python has compiled from torch functions to Julia source.

"""
A function of generated source, with its scratch memory and the constants that it was traced with.

The constants are the user's tensors; Python gives their addresses before every solve.
"""
mutable struct CompiledFunction{F,C,B}
    const f::F
    constants::C
    const buffers::B
end

(c::CompiledFunction)(out, u, p, t) = c.f(out, u, p, t, c.constants, c.buffers)
(c::CompiledFunction)(out, λ, u, p, t) = c.f(out, λ, u, p, t, c.constants, c.buffers)

const ELEMENT_TYPES = Dict(string(T) => T for T in (Float64, Float32, Int64, Int32, Bool))

"\"Float64:3,Bool:2\" as pairs of a type and a length."
function array_types(text::String)
    return map(split(text, ","; keepempty=false)) do part
        name, count = split(part, ":")
        return ELEMENT_TYPES[name], parse(Int, count)
    end
end

"Handle of the function `name` of the source; `buffers` and `constants` list the types and sizes of its arrays."
function compiled_function(source::String, name::String, buffers::String, constants::String)
    place = Module(:CompiledFunction)
    push!(SOURCE_MODULES, place)
    Core.eval(place, :(const LinearAlgebra = $LinearAlgebra))
    Core.eval(place, :(const TorchMath = $TorchMath))
    include_string(place, source, "CompiledFunction")
    f = Base.invokelatest(getfield, place, Symbol(name))
    scratch = Tuple(Vector{T}(undef, count) for (T, count) in array_types(buffers))
    empty_constants = Tuple(T[] for (T, _) in array_types(constants))
    return handle(CompiledFunction(f, empty_constants, scratch))
end

"Let a function read its constants at these addresses, \"140…,140…\"."
function set_constants(f::Integer, addresses::String, constants::String)
    c = HANDLES[f]
    c.constants = Tuple(
        wrap(T, parse(UInt, address), count) for
        (address, (T, count)) in zip(split(addresses, ","; keepempty=false), array_types(constants))
    )
    return nothing
end

"""
Handle of the [`Functions`](@ref) made of compiled ones, 0 for those that are absent; a solve adds parameters to them.
With `n` states given and not 0, the Jacobian comes from the generic function by forward mode.
"""
function compiled_functions(
    single::Bool,
    f::Integer,
    generic::Integer,
    state::Integer,
    p::Integer,
    both::Integer,
    tangent::Integer,
    n::Integer,
)
    functions = map(number -> number == 0 ? nothing : HANDLES[number], (f, generic, state, p, both, tangent))
    return handle(Base.invokelatest(compiled_functions, single ? Float32 : Float64, functions..., Int(n)))
end

function compiled_functions(::Type{T}, f, generic, state, p, both, tangent, n::Int) where {T}
    product(pull) = pull === nothing ? nothing : VjpFunction{T}(pull)
    return Functions{T}(;
        derivative=RhsFunction{T}(f),
        pull_state=product(state),
        pull_parameters=product(p),
        pull_both=product(both),
        pull_tangent=product(tangent),
        jacobian=n == 0 ? nothing : JacFunction{T}(ForwardJac(generic, ForwardDiff.Chunk(n))),
        time_gradient=n == 0 ? nothing : RhsFunction{T}(ForwardTGrad(generic)),
        generic,
    )
end

"Handle of the right-hand side of compiled functions with the `n_p` parameters at `p`."
compiled_rhs(functions::Integer, p::Integer, n_p::Integer, poll::Integer) =
    handle(compiled_rhs(HANDLES[functions], p, n_p, Ptr{Cvoid}(UInt(poll))))

compiled_rhs(functions::Functions{T}, p::Integer, n_p::Integer, poll::Ptr{Cvoid}) where {T} =
    RightHandSide(functions, parameters(T, p, n_p), poll)

"Call a compiled function once, its arrays at addresses; `λ` is 0 for one that takes none."
function evaluate_compiled(
    f::Integer,
    single::Bool,
    out::Integer,
    n_out::Integer,
    λ::Integer,
    n_λ::Integer,
    u::Integer,
    n::Integer,
    p::Integer,
    n_p::Integer,
    t,
)
    T = single ? Float32 : Float64
    arrays = (wrap(T, u, n), parameters(T, p, n_p))
    λ == 0 || (arrays = (wrap(T, λ, n_λ), arrays...))
    Base.invokelatest(HANDLES[f], wrap(T, out, n_out), arrays..., Float64(t))
    return nothing
end
