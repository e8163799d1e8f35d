# A right-hand side that lives in Python, reached through C function pointers.
#
# Arguments and results travel through buffers that Python owns and knows as tensors: a call passes numbers only. Every
# function returns 0, or anything else where Python has caught an exception.

check(status::Cint) = status == 0 ? nothing : throw(PythonError())

"`int f(double t)`: reads `u`, writes `du`."
struct CFunction{T}
    pointer::Ptr{Cvoid}
    u::Vector{T}
    du::Vector{T}
end

function (c::CFunction{T})(du::Vector{T}, u::Vector{T}, ::Vector{T}, t::Float64) where {T}
    copyto!(c.u, u)
    check(ccall(c.pointer, Cint, (Float64,), t))
    copyto!(du, c.du)
    return nothing
end

const WANTS_STATE = Cint(1)
const WANTS_PARAMETERS = Cint(2)

"""
`int vjp(double t, int wants)`: reads `u` and `λ`, writes `λᵀ ∂f/∂u` to `du` and `λᵀ ∂f/∂p` to `dp`. What is wanted of the
two comes out one behind the other.
"""
struct CVjp{T}
    pointer::Ptr{Cvoid}
    wants::Cint
    u::Vector{T}
    λ::Vector{T}
    du::Vector{T}
    dp::Vector{T}
end

function (c::CVjp{T})(out::Vector{T}, λ::Vector{T}, u::Vector{T}, ::Vector{T}, t::Float64) where {T}
    copyto!(c.u, u)
    copyto!(c.λ, λ)
    check(ccall(c.pointer, Cint, (Float64, Cint), t, c.wants))
    first = 1
    if c.wants & WANTS_STATE != 0
        copyto!(out, c.du)
        first += length(c.du)
    end
    c.wants & WANTS_PARAMETERS == 0 || copyto!(out, first, c.dp, 1, length(c.dp))
    return nothing
end

"""
`int tangent(double t, double τ)`: reads `u`, `λ` and `g`, writes the products of λ with the derivatives of
`∂f/∂u g + ∂f/∂t τ` as [`CVjp`](@ref) does those of `f`.
"""
struct CTangent{T}
    pointer::Ptr{Cvoid}
    g::Vector{T}
    vjp::CVjp{T}
end

function (c::CTangent{T})(out::Vector{T}, direction::Vector{T}, u::Vector{T}, ::Vector{T}, t::Float64) where {T}
    (; vjp) = c
    n = length(u)
    copyto!(vjp.u, u)
    copyto!(vjp.λ, 1, direction, 1, n)
    copyto!(c.g, 1, direction, n + 1, n)
    check(ccall(c.pointer, Cint, (Float64, Float64), t, direction[2n+1]))
    copyto!(out, vjp.du)
    copyto!(out, n + 1, vjp.dp, 1, length(vjp.dp))
    return nothing
end

"`int jac(double t)`: reads `u`, writes the Jacobian to `J` and `∂f/∂t` to `dT`; both are kept for the next request."
mutable struct CJac{T}
    const pointer::Ptr{Cvoid}
    const u::Vector{T}
    const J::Matrix{T}
    const dT::Vector{T}
    t::Float64
end

function refresh!(c::CJac{T}, u::Vector{T}, t::Float64) where {T}
    c.t == t && c.u == u && return nothing
    copyto!(c.u, u)
    c.t = NaN
    check(ccall(c.pointer, Cint, (Float64,), t))
    c.t = t
    return nothing
end

struct CJacMatrix{T}
    c::CJac{T}
end

function (j::CJacMatrix{T})(J::Matrix{T}, u::Vector{T}, ::Vector{T}, t::Float64) where {T}
    refresh!(j.c, u, t)
    copyto!(J, j.c.J)
    return nothing
end

struct CTGrad{T}
    c::CJac{T}
end

function (g::CTGrad{T})(dT::Vector{T}, u::Vector{T}, ::Vector{T}, t::Float64) where {T}
    refresh!(g.c, u, t)
    copyto!(dT, g.c.dT)
    return nothing
end

"""
What Python passes to [`callback_rhs`](@ref): sizes (`n_out` is that of what the function returns), C functions, and the addresses of the buffers.

The fields are those of `CallbackArguments` in `_arguments.py`, in the same order. A pointer of 0 is absent.
"""
struct CallbackArguments
    single::Int64
    n::Int64
    n_out::Int64
    n_p::Int64
    joint::Int64
    f::UInt64
    vjp::UInt64
    tangent::UInt64
    jac::UInt64
    poll::UInt64
    u::UInt64
    du::UInt64
    λ::UInt64
    g::UInt64
    λ_du::UInt64
    λ_dp::UInt64
    jac_u::UInt64
    jac_matrix::UInt64
    jac_time::UInt64
end

"A handle to the right-hand side that these C functions make."
function callback_rhs(address::Integer)
    a = unsafe_load(Ptr{CallbackArguments}(UInt(address)))
    return handle(a.single == 1 ? callback_rhs(Float32, a) : callback_rhs(Float64, a))
end

function callback_rhs(::Type{T}, a::CallbackArguments) where {T}
    buffer(address) = wrap(T, address, a.n)
    output(address) = wrap(T, address, a.n_out)
    f = CFunction{T}(Ptr{Cvoid}(a.f), buffer(a.u), output(a.du))
    vjp = vjp_p = both = tangent = jac = tgrad = nothing
    p = zeros(T, max(a.n_p, 1)) # Python has them; only their number counts here
    if a.vjp != 0
        buffers = (buffer(a.u), output(a.λ), buffer(a.λ_du), wrap(T, a.λ_dp, length(p)))
        product(wants) = CVjp{T}(Ptr{Cvoid}(a.vjp), wants, buffers...)
        if a.joint == 1
            pull = product(WANTS_STATE | WANTS_PARAMETERS)
            both = VjpFunction{T}(pull)
            a.tangent == 0 || (tangent = VjpFunction{T}(CTangent{T}(Ptr{Cvoid}(a.tangent), buffer(a.g), pull)))
        else
            vjp, vjp_p = VjpFunction{T}(product(WANTS_STATE)), VjpFunction{T}(product(WANTS_PARAMETERS))
        end
    end
    if a.jac != 0
        c = CJac{T}(Ptr{Cvoid}(a.jac), buffer(a.jac_u), wrap(T, a.jac_matrix, a.n, a.n), buffer(a.jac_time), NaN)
        jac, tgrad = JacFunction{T}(CJacMatrix(c)), RhsFunction{T}(CTGrad(c))
    end
    functions = Functions{T}(;
        derivative=RhsFunction{T}(f),
        pull_state=vjp,
        pull_parameters=vjp_p,
        pull_both=both,
        pull_tangent=tangent,
        jacobian=jac,
        time_gradient=tgrad,
    )
    return RightHandSide(functions, p, Ptr{Cvoid}(a.poll))
end
