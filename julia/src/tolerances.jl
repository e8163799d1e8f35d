# Tolerances of each component of the state.

"""
A vector of tolerances, one a component.

Some solvers hand `reltol` on to a linear solver, which takes a number, or divide by `abstol` as a number; where that
matters, in iterative solvers only, the smallest is the safe one.
"""
struct Tolerances{T} <: AbstractVector{T}
    values::Vector{T}
end

Base.size(x::Tolerances) = size(x.values)
Base.IndexStyle(::Type{<:Tolerances}) = IndexLinear()
Base.@propagate_inbounds Base.getindex(x::Tolerances, i::Int) = x.values[i]
Base.@propagate_inbounds Base.setindex!(x::Tolerances, value, i::Int) = x.values[i] = value
# the solvers take the real part, which is a vector again
Base.Broadcast.broadcasted(::typeof(real), x::Tolerances) = x
Base.copy(x::Tolerances) = Tolerances(copy(x.values))
Base.inv(x::Tolerances) = inv.(x.values)
Base.Float64(x::Tolerances) = Float64(minimum(x.values))
Base.Float32(x::Tolerances) = Float32(minimum(x.values))
# residuals of initial values are compared with it
Base.isless(x::Tolerances, y::Real) = isless(minimum(x.values), y)

"The tolerances of `n` components at an address, or the same number for all of them."
tolerances(::Type{T}, number, address, n) where {T} =
    Tolerances(address == 0 ? fill(T(number), n) : copy(wrap(T, address, n)))
