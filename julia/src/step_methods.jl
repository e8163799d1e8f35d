# One-step methods as tables of numbers, for the discrete adjoint. Python has the tables.

abstract type StepMethod end

"""
An explicit Runge-Kutta method. The stages behind the first `count` serve the dense output only.

`a[i, j]` is the weight of stage j in the input of stage i; `dense[i, m]` the coefficient of θᵐ in the weight of stage i in
the dense output. `last` is the stage that is `f` at the end of the step, 0 where there is none.
"""
struct ExplicitRungeKutta <: StepMethod
    count::Int
    c::Vector{Float64}
    a::Matrix{Float64}
    b::Vector{Float64}
    dense::Matrix{Float64}
    last::Int
end

function ExplicitRungeKutta(count, c, a, b, dense)
    at_end(i) = c[i] == 1 && a[i, :] == b
    return ExplicitRungeKutta(count, c, a, b, dense, something(findfirst(at_end, eachindex(c)), 0))
end

"""
A Rosenbrock method: with `W = M / (γ dt) - J` its stages are
`W gᵢ = f(u + Σ aᵢⱼ gⱼ, t + cᵢ dt) + M Σ Cᵢⱼ / dt gⱼ + dᵢ dt ∂f/∂t`, and the step is `u + Σ bᵢ gᵢ`. The rest is as above.
"""
struct RosenbrockMethod <: StepMethod
    γ::Float64
    c::Vector{Float64}
    a::Matrix{Float64}
    C::Matrix{Float64}
    d::Vector{Float64}
    b::Vector{Float64}
    dense::Matrix{Float64}
end

stages(m::StepMethod) = length(m.c)

"The weight of stage `i` in the dense output at the relative position `θ`."
dense_weight(m::StepMethod, i::Int, θ::Float64) = θ * evalpoly(θ, @view m.dense[i, :])

"Reads one table after the other from an address."
mutable struct TableReader
    numbers::Vector{Float64}
    position::Int
end

function Base.read(r::TableReader, count::Int)
    r.position += count
    return r.numbers[r.position-count+1:r.position]
end

# rows, one after the other
Base.read(r::TableReader, rows::Int, columns::Int) = permutedims(reshape(read(r, rows * columns), columns, rows))

"Handle of an explicit method of which `c`, `a`, `b` and `dense` lie at an address."
function explicit_method(address::Integer, s::Integer, count::Integer, degree::Integer)
    r = TableReader(wrap(Float64, address, s * (s + 2 + degree)), 0)
    return handle(ExplicitRungeKutta(count, read(r, s), read(r, s, s), read(r, s), read(r, s, degree)))
end

"Handle of a Rosenbrock method of which `c`, `a`, `C`, `d`, `b` and `dense` lie at an address."
function rosenbrock_method(address::Integer, s::Integer, γ, degree::Integer)
    r = TableReader(wrap(Float64, address, s * (2s + 3 + degree)), 0)
    tables = (read(r, s), read(r, s, s), read(r, s, s), read(r, s), read(r, s), read(r, s, degree))
    return handle(RosenbrockMethod(γ, tables...))
end
