# Reverse mode through the steps of stochastic methods, on the noise that they were made of.

"""
A method that evaluates drift and diffusion at sums of what was evaluated before: with `k` drifts and `g` diffusions, stage
`i` is evaluated at `u + dt Σ aᵢⱼ kⱼ + Σ gⱼ ∘ (Σₘ b[m]ᵢⱼ noise[m])` and `t + cᵢ dt`. The last row of `a` and of each `b`
makes the end of the step.

The kinds of noise are, with `w` the increment, `i₁₀` the integral of time over it by the step, and `h = √|dt|`: `h`, `w`,
`i₁₀`, `(w² - h²) / 2h`, `(w³ - 3 h² w) / 6h²` and `w² / 2h`. Only `w` and `i₁₀` are there for several motions.
"""
struct StochasticMethod <: StepMethod
    drift::Vector{Bool}
    c::Vector{Float64}
    a::Matrix{Float64}
    b::Vector{Matrix{Float64}}
    inner::Vector{Bool} # whether a stage is an input of another one

    function StochasticMethod(drift, c, a, b)
        is_input(j) = any(weights -> any(!iszero, @view weights[1:end-1, j]), (a, b...))
        return new(drift, c, a, b, map(is_input, eachindex(c)))
    end
end

const NOISES = 6

"Handle of a method of which `drift` (0 or 1), `c`, `a` and each `b` lie at an address."
function stochastic_method(address::Integer, s::Integer)
    r = TableReader(wrap(Float64, address, 2s + (NOISES + 1) * (s + 1) * s), 0)
    drift, c, a = read(r, s) .== 1, read(r, s), read(r, s + 1, s)
    return handle(StochasticMethod(drift, c, a, [read(r, s + 1, s) for _ in 1:NOISES]))
end

"What a sweep backwards through stochastic steps carries, and its memory."
struct StochasticSweep{T}
    rhs::RightHandSide{T}
    g::Diffusion{T}
    method::StochasticMethod
    λ::Vector{T}
    dp::Vector{T}
    dg::Vector{T}
    values::Vector{Vector{T}}
    cotangents::Vector{Vector{T}}
    used::Vector{Bool}
    x::Vector{T}
    noises::Vector{Vector{T}}
    sum::Vector{T}
    products::Vector{T}
    products_g::Vector{T}
end

function StochasticSweep(rhs::RightHandSide{T}, g::Diffusion{T}, method::StochasticMethod, n::Int) where {T}
    motions = is_elementwise(g) ? n : n ÷ g.width * g.motions
    vectors() = [zeros(T, drift ? n : size_of_output(g, n)) for drift in method.drift]
    count = length(method.c)
    return StochasticSweep{T}(
        rhs, g, method, zeros(T, n), zeros(T, length(rhs.p)), zeros(T, length(g.rhs.p)), vectors(), vectors(),
        fill(false, count), zeros(T, n), [zeros(T, motions) for _ in 1:NOISES], zeros(T, motions),
        zeros(T, n + length(rhs.p)), zeros(T, n + length(g.rhs.p)),
    )
end

"The gradient, and behind the one of the parameters of `f` that of those of `g`."
function stochastic_gradients(record::Record{T}, sensealg::DiscreteAdjoint, times, cotangents::Matrix{T}) where {T}
    (; solution) = record
    (; t, u, prob) = solution
    noise = prob.noise::PathNoise{T}
    steps = [Step{T}(t[i], t[i+1], u[i], u[i+1], noise.history[i], Int[]) for i in 1:length(t)-1]
    s = StochasticSweep(record.rhs, prob.g::Diffusion{T}, only(sensealg.methods), length(prob.u0))
    at_start, within, at_end = locate(steps, times, cotangents)
    for i in reverse(eachindex(steps))
        add_columns!(s.λ, cotangents, at_end[i])
        pull_step!(s, steps[i], within[i]; checks=i == 1 || i % CHECKED == 0)
    end
    add_columns!(s.λ, cotangents, at_start)
    return s.λ, s.dp, s.dg
end

"Every so many steps are checked to be what the solver did, which takes more evaluations than the gradient."
const CHECKED = 16

function pull_step!(s::StochasticSweep{T}, step::Step{T}, points::SavePoints{T}; checks::Bool=true) where {T}
    (; method, values, used, λ) = s
    dt, count = step.stop - step.start, length(method.c)
    make_noises!(s, step.stored, dt)
    for i in 1:count
        checks || method.inner[i] || continue
        input!(s, step.u0, i, dt)
        rhs = function_of(s, i)
        rhs(values[i], s.x, rhs.p, step.start + method.c[i] * dt)
    end
    if checks
        input!(s, step.u0, count + 1, dt)
        check_end(s.x, step)
    end
    fill!(used, false)
    rest = add_save_points!(s, points) # what they add to the gradient with respect to the start alone
    spread!(s, λ, count + 1, dt)
    rest === nothing || add!(λ, one(T), rest)
    for i in count:-1:1
        used[i] || continue
        input!(s, step.u0, i, dt)
        pull_stage!(s, i, step.start + method.c[i] * dt)
        add!(λ, one(T), s.x)
        spread!(s, s.x, i, dt)
    end
    return nothing
end

function_of(s::StochasticSweep, i::Int) = s.method.drift[i] ? s.rhs : s.g.rhs

"Between its ends a step is a straight line: add the part of save points that belongs to its end to λ, return the rest."
function add_save_points!(s::StochasticSweep{T}, points::SavePoints{T}) where {T}
    isempty(points) && return nothing
    rest = zeros(T, length(s.λ))
    for (θ, v) in zip(points.θs, cotangents(points))
        add!(s.λ, T(θ), v)
        add!(rest, T(1 - θ), v)
    end
    return rest
end

function make_noises!(s::StochasticSweep{T}, stored::Vector{Vector{T}}, dt::Float64) where {T}
    h², w = T(abs(dt)), stored[1]
    h = sqrt(h²)
    root, plain, i10, i11, i111, half = s.noises
    @inbounds for i in eachindex(w)
        x = w[i]
        root[i], plain[i], half[i] = h, x, x^2 / 2h
        i11[i], i111[i] = (x^2 - h²) / 2h, (x^3 - 3h² * x) / 6h²
    end
    length(stored) > 1 && (i10 .= (w .+ stored[2] ./ sqrt(T(3))) ./ 2)
    return nothing
end

"What multiplies the diffusion of stage `j` in row `i`, in `sum`; whether that is anything."
function noise_of!(s::StochasticSweep{T}, i::Int, j::Int) where {T}
    found = false
    for (weights, noise) in zip(s.method.b, s.noises)
        weight = weights[i, j]
        weight == 0 && continue
        found || fill!(s.sum, zero(T))
        add!(s.sum, T(weight), noise)
        found = true
    end
    return found
end

"The input of stage `i`, in `x`; of the last row the end of the step."
function input!(s::StochasticSweep{T}, u0::Vector{T}, i::Int, dt::Float64) where {T}
    copyto!(s.x, u0)
    for j in 1:i-1
        if s.method.drift[j]
            s.method.a[i, j] == 0 || add!(s.x, T(dt * s.method.a[i, j]), s.values[j])
        elseif noise_of!(s, i, j)
            add_product!(s.x, s.g, s.values[j], s.sum)
        end
    end
    return nothing
end

"Give what `v` says of row `i` on to the stages before."
function spread!(s::StochasticSweep{T}, v::Vector{T}, i::Int, dt::Float64) where {T}
    for j in 1:i-1
        if s.method.drift[j]
            s.method.a[i, j] == 0 && continue
            begin_cotangent!(s, j)
            add!(s.cotangents[j], T(dt * s.method.a[i, j]), v)
        elseif noise_of!(s, i, j)
            begin_cotangent!(s, j)
            add_outer!(s.cotangents[j], s.g, v, s.sum)
        end
    end
    return nothing
end

function begin_cotangent!(s::StochasticSweep{T}, j::Int) where {T}
    s.used[j] || fill!(s.cotangents[j], zero(T))
    s.used[j] = true
    return nothing
end

"`x += g w`."
function add_product!(x::Vector{T}, g::Diffusion{T}, values::Vector{T}, w::Vector{T}) where {T}
    if is_elementwise(g)
        @inbounds @simd for i in eachindex(x)
            x[i] += values[i] * w[i]
        end
    else
        LinearAlgebra.mul!(x, Blocks{T}(values, g.width, g.motions), w, true, true)
    end
    return nothing
end

"The derivative of `vᵀ g w` with respect to `g`, added to `κ`."
function add_outer!(κ::Vector{T}, g::Diffusion{T}, v::Vector{T}, w::Vector{T}) where {T}
    if is_elementwise(g)
        @inbounds @simd for i in eachindex(κ)
            κ[i] += v[i] * w[i]
        end
        return nothing
    end
    (; width, motions) = g
    @inbounds for i in eachindex(v)
        first = ((i - 1) ÷ width) * motions
        @simd for j in 1:motions
            κ[(i-1)*motions+j] += v[i] * w[first+j]
        end
    end
    return nothing
end

"The products of the cotangent of stage `i` at `x`: the one with respect to the state takes its place."
function pull_stage!(s::StochasticSweep{T}, i::Int, t::Float64) where {T}
    n, is_drift = length(s.x), s.method.drift[i]
    rhs, (products, total) = function_of(s, i), is_drift ? (s.products, s.dp) : (s.products_g, s.dg)
    count!(rhs, t)
    rhs.functions.pull_both(products, s.cotangents[i], s.x, rhs.p, seen(rhs, t))
    copyto!(s.x, 1, products, 1, n)
    add!(total, one(T), @view products[n+1:end])
    return nothing
end
