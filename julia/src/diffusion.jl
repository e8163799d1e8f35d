# The diffusion of a stochastic equation, and what it returns for several motions.

"""
A matrix of noise coefficients that is block diagonal: each row of a batch, `width` elements of the state, has `motions` of
its own. The blocks lie one behind the other in `values`, row-major as in torch.
"""
struct Blocks{T} <: AbstractMatrix{T}
    values::Vector{T}
    width::Int
    motions::Int
end

count_blocks(b::Blocks) = length(b.values) ÷ (b.width * b.motions)

Base.size(b::Blocks) = (b.width, b.motions) .* count_blocks(b)

"Where an element lies in `values`, 0 for one that belongs to no block."
function place(b::Blocks, i::Int, j::Int)
    (block, row), (other, column) = divrem(i - 1, b.width), divrem(j - 1, b.motions)
    return block == other ? (i - 1) * b.motions + column + 1 : 0
end

function Base.getindex(b::Blocks{T}, i::Int, j::Int) where {T}
    at = place(b, i, j)
    return at == 0 ? zero(T) : b.values[at]
end

function Base.setindex!(b::Blocks, value, i::Int, j::Int)
    at = place(b, i, j)
    at == 0 || (b.values[at] = value)
    return value
end

Base.similar(b::Blocks{T}) where {T} = Blocks{T}(similar(b.values), b.width, b.motions)
Base.copy(b::Blocks{T}) where {T} = Blocks{T}(copy(b.values), b.width, b.motions)
Base.zero(b::Blocks{T}) where {T} = Blocks{T}(zero(b.values), b.width, b.motions)
LinearAlgebra.norm(b::Blocks, order::Real=2) = LinearAlgebra.norm(b.values, order)

# Element by element, on the blocks alone: what is zero outside of them stays so in sums and products with numbers.
Base.BroadcastStyle(::Type{<:Blocks}) = Broadcast.ArrayStyle{Blocks}()

inner(x) = x
inner(b::Blocks) = b.values
inner(bc::Broadcast.Broadcasted) = Broadcast.broadcasted(bc.f, map(inner, bc.args)...)

function Base.copyto!(b::Blocks, bc::Broadcast.Broadcasted{Broadcast.ArrayStyle{Blocks}})
    Broadcast.materialize!(b.values, inner(bc))
    return b
end

function LinearAlgebra.mul!(y::Vector{T}, b::Blocks{T}, w::Vector{T}, α::Number, β::Number) where {T}
    (; values, width, motions) = b
    @inbounds for i in eachindex(y)
        first, total = ((i - 1) ÷ width) * motions, zero(T)
        @simd for j in 1:motions
            total += values[(i-1)*motions+j] * w[first+j]
        end
        y[i] = iszero(β) ? α * total : α * total + β * y[i]
    end
    return y
end

LinearAlgebra.mul!(y::Vector{T}, b::Blocks{T}, w::Vector{T}) where {T} = LinearAlgebra.mul!(y, b, w, true, false)

"""
The diffusion `g`, which has parameters of its own. `motions` is the number of those of every row of the state, of `width`
elements, and 0 where every element has one.
"""
struct Diffusion{T}
    rhs::RightHandSide{T}
    width::Int
    motions::Int
end

"Handle of the diffusion that is evaluated by the right-hand side behind a handle."
diffusion(rhs::Integer, width::Integer, motions::Integer) =
    handle(Diffusion(HANDLES[rhs], Int(width), Int(motions)))

(g::Diffusion{T})(out::Vector{T}, u, p, t) where {T} = g.rhs(out, u, g.rhs.p, t)
(g::Diffusion{T})(out::Blocks{T}, u, p, t) where {T} = g.rhs(out.values, u, g.rhs.p, t)

is_elementwise(g::Diffusion) = g.motions == 0
size_of_output(g::Diffusion, n::Int) = is_elementwise(g) ? n : n * g.motions

"What the solver makes its memory for the coefficients from."
prototype(g::Diffusion{T}, n::Int) where {T} =
    is_elementwise(g) ? nothing : Blocks{T}(zeros(T, size_of_output(g, n)), g.width, g.motions)
