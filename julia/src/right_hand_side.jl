# The one type of right-hand side that the solvers are compiled for.

"Thrown where Python holds the exception; the Python side raises that one in its place."
struct PythonError <: Exception end

const RhsFunction{T} = FunctionWrapper{Nothing,Tuple{Vector{T},Vector{T},Vector{T},Float64}}
const VjpFunction{T} = FunctionWrapper{Nothing,Tuple{Vector{T},Vector{T},Vector{T},Vector{T},Float64}}
const JacFunction{T} = FunctionWrapper{Nothing,Tuple{Matrix{T},Vector{T},Vector{T},Float64}}

"""
Gives Python a chance, every 50 ms of a solve, to notice Ctrl-C and to move a progress bar.

`pointer` is a C function `int poll(double t)`; anything but 0 stops the solve.
"""
mutable struct Poll
    pointer::Ptr{Cvoid}
    calls::Int
    next::UInt64
end

Poll(pointer::Ptr{Cvoid}) = Poll(pointer, 0, time_ns() + 50_000_000)

@inline function poll(p::Poll, t::Float64)
    p.calls += 1
    # reading the clock costs more than a small right-hand side
    p.calls & 0x1f == 0 && p.pointer != C_NULL && poll_now(p, t)
    return nothing
end

@noinline function poll_now(p::Poll, t::Float64)
    now = time_ns()
    now < p.next && return nothing
    stop = ccall(p.pointer, Cint, (Float64,), t)
    p.next = time_ns() + 50_000_000
    stop == 0 || throw(PythonError())
    return nothing
end

"""
`f` and its derivatives, `nothing` where one is absent. State and parameters are vectors. `pull_both` writes what
`pull_state` does, and behind it what `pull_parameters` does; where it is given, they are not used. `pull_tangent` writes
the same two of the directional derivative `∂f/∂u g + ∂f/∂t τ` in the place of `f`, and takes (λ, g, τ) behind one another.
`generic` is `f` for other number types, those of Julia's AD.
"""
Base.@kwdef struct Functions{T}
    derivative::RhsFunction{T}
    pull_state::Union{Nothing,VjpFunction{T}} = nothing
    pull_parameters::Union{Nothing,VjpFunction{T}} = nothing
    pull_both::Union{Nothing,VjpFunction{T}} = nothing
    pull_tangent::Union{Nothing,VjpFunction{T}} = nothing
    jacobian::Union{Nothing,JacFunction{T}} = nothing
    time_gradient::Union{Nothing,RhsFunction{T}} = nothing
    generic::Any = nothing
end

has_products(f::Functions) = f.pull_state !== nothing || f.pull_both !== nothing

"""
Both vector-Jacobian products of one evaluation, and where it was. Adjoints that carry the gradient of the parameters along
ask for one right after the other.
"""
mutable struct Products{T}
    values::Vector{T}
    λ::Vector{T}
    u::Vector{T}
    t::Float64
end

Products{T}() where {T} = Products{T}(T[], T[], T[], NaN)

is_at(products::Products{T}, λ::Vector{T}, u::Vector{T}, t::Float64) where {T} =
    products.t == t && products.u == u && products.λ == λ

function evaluate!(products::Products{T}, pull_both, λ::Vector{T}, u::Vector{T}, p::Vector{T}, t::Float64) where {T}
    resize!(products.values, length(u) + length(p))
    products.t = NaN # unless it succeeds
    pull_both(products.values, λ, u, p, t)
    copy!(products.λ, λ)
    copy!(products.u, u)
    products.t = t
    return nothing
end

"""
A right-hand side, always of this one type whatever functions are inside.

Solvers specialise on the type of `f`: with a type for every network, every network would compile every solver again.
`calls` counts evaluations of `f` and of its derivatives. `backwards` says in which direction the steps go that ask.
"""
mutable struct RightHandSide{T}
    functions::Functions{T}
    p::Vector{T}
    products::Products{T}
    poll::Poll
    calls::Int
    sides::Sides
    backwards::Bool
end

RightHandSide(functions::Functions{T}, p::Vector{T}, poll::Ptr{Cvoid}) where {T} =
    RightHandSide{T}(functions, p, Products{T}(), Poll(poll), 0, Sides(), false)

seen(r::RightHandSide, t::Float64) = seen(r.sides, t, r.backwards)
seen(::RightHandSide, t) = t # of an AD package

"The `count` parameters at an address; Julia's vector of them is never empty."
parameters(::Type{T}, address::Integer, count::Integer) where {T} =
    count == 0 ? zeros(T, 1) : wrap(T, address, count)

"Thrown where Julia's AD meets a right-hand side that only takes plain numbers."
struct NotGenericError <: Exception end

function count!(r::RightHandSide, t::Float64)
    r.calls += 1
    poll(r.poll, t)
    return nothing
end

function (r::RightHandSide{T})(du::Vector{T}, u::Vector{T}, p::Vector{T}, t::Float64) where {T}
    count!(r, t)
    r.functions.derivative(du, u, p, seen(r, t))
    return nothing
end

# Some adjoints hand over views of a longer state.
function (r::RightHandSide{T})(du::AbstractVector{T}, u::AbstractVector{T}, p::Vector{T}, t::Float64) where {T}
    k = du isa Vector{T} ? du : Vector{T}(undef, length(du))
    r(k, dense(u, T), p, t)
    k === du || copyto!(du, k)
    return nothing
end

function (r::RightHandSide)(du, u, p, t)
    r.functions.generic === nothing && throw(NotGenericError())
    count!(r, plain(t))
    r.functions.generic(du, u, p, seen(r, t))
    return nothing
end

"The number that an AD package has wrapped, however often."
plain(t::AbstractFloat) = Float64(t)
plain(t::ForwardDiff.Dual) = plain(ForwardDiff.value(t))
plain(t::ReverseDiff.TrackedReal) = plain(ReverseDiff.value(t))
plain(t::Tracker.TrackedReal) = plain(Tracker.data(t))

dense(x::Vector{T}, ::Type{T}) where {T} = x
dense(x::AbstractVector, ::Type{T}) where {T} = Vector{T}(x)

for (name, field, first) in ((:Vjp, :pull_state, 1), (:VjpP, :pull_parameters, :(length(u) + 1)))
    @eval begin
        struct $name{T}
            rhs::RightHandSide{T}
        end

        function (v::$name{T})(out, λ, u, p, t) where {T}
            result = out isa Vector{T} ? out : Vector{T}(undef, length(out))
            time = seen(v.rhs, Float64(t))
            pull!(result, v.rhs, v.rhs.functions.$field, $first, dense(λ, T), dense(u, T), p, time)
            result === out || copyto!(out, result)
            return nothing
        end
    end
end

"One product: by `own`, or where both are made at once the part of them that begins at `first`."
function pull!(out, r::RightHandSide{T}, own, first::Int, λ::Vector{T}, u::Vector{T}, p, t::Float64) where {T}
    both = r.functions.pull_both
    if both === nothing
        count!(r, t)
        own(out, λ, u, p, t)
        return nothing
    end
    if !is_at(r.products, λ, u, t)
        count!(r, t)
        evaluate!(r.products, both, λ, u, p, t)
    end
    copyto!(out, 1, r.products.values, first, length(out))
    return nothing
end

struct Jac{T}
    rhs::RightHandSide{T}
end

function (j::Jac{T})(J, u, p, t) where {T}
    count!(j.rhs, Float64(t))
    result = J isa Matrix{T} ? J : Matrix{T}(undef, size(J))
    j.rhs.functions.jacobian(result, dense(u, T), p, seen(j.rhs, Float64(t)))
    result === J || copyto!(J, result)
    return nothing
end

struct TGrad{T}
    rhs::RightHandSide{T}
end

function (g::TGrad{T})(dT, u, p, t) where {T}
    result = dT isa Vector{T} ? dT : Vector{T}(undef, length(dT))
    g.rhs.functions.time_gradient(result, dense(u, T), p, seen(g.rhs, Float64(t)))
    result === dT || copyto!(dT, result)
    return nothing
end
