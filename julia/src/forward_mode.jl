# Derivatives of a source function by forward mode, as functions that the right-hand side can wrap.
#
# Only the user's function is compiled for dual numbers; the solvers and adjoints see plain numbers. The configurations
# have no tag (`nothing`), since nothing is nested here.

"`λᵀ ∂f/∂u`, a chunk of the state at a time."
struct ForwardVjp{F,C}
    f::F
    chunk::ForwardDiff.Chunk{C}
end

function (v::ForwardVjp)(out::Vector{T}, λ::Vector{T}, u::Vector{T}, p::Vector{T}, t::Float64) where {T}
    weighted(x) = (du = similar(x); v.f(du, x, p, t); LinearAlgebra.dot(λ, du))
    ForwardDiff.gradient!(out, weighted, u, ForwardDiff.GradientConfig(nothing, u, v.chunk), Val(false))
    return nothing
end

"`λᵀ ∂f/∂p`, a chunk of the parameters at a time."
struct ForwardVjpP{F,C}
    f::F
    chunk::ForwardDiff.Chunk{C}
end

function (v::ForwardVjpP)(out::Vector{T}, λ::Vector{T}, u::Vector{T}, p::Vector{T}, t::Float64) where {T}
    weighted(x) = (du = similar(x, length(u)); v.f(du, u, x, t); LinearAlgebra.dot(λ, du))
    ForwardDiff.gradient!(out, weighted, p, ForwardDiff.GradientConfig(nothing, p, v.chunk), Val(false))
    return nothing
end

"`∂f/∂u`."
struct ForwardJac{F,C}
    f::F
    chunk::ForwardDiff.Chunk{C}
end

function (j::ForwardJac)(J::Matrix{T}, u::Vector{T}, p::Vector{T}, t::Float64) where {T}
    f!(du, x) = j.f(du, x, p, t)
    du = similar(u)
    ForwardDiff.jacobian!(J, f!, du, u, ForwardDiff.JacobianConfig(nothing, du, u, j.chunk), Val(false))
    return nothing
end

"`∂f/∂t`."
struct ForwardTGrad{F}
    f::F
end

function (g::ForwardTGrad)(dT::Vector{T}, u::Vector{T}, p::Vector{T}, t::Float64) where {T}
    f!(du, s) = g.f(du, u, p, s)
    du = similar(u)
    ForwardDiff.derivative!(dT, f!, du, t, ForwardDiff.DerivativeConfig(nothing, du, t), Val(false))
    return nothing
end
