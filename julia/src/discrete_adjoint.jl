# Reverse mode through the steps of a finished solve, for right-hand sides that bring their derivatives.
#
# A step is a function of its initial state and of the parameters; its size is held fixed. λ, the gradient with respect to
# the state, goes from the end of a step to its start, and the gradient of the parameters grows on the way.

"Reverse mode through the steps of methods; of several the one that `alg_choice` of a solution names."
struct DiscreteAdjoint
    methods::Vector{StepMethod}
end

"Handle of a [`DiscreteAdjoint`](@ref); `methods` is \"3,4\"."
discrete_adjoint(methods::String) = handle(DiscreteAdjoint(StepMethod[objects(methods)...]))

"A step from `u0` at `start` to `u1` at `stop`, and what the solver kept of it: of `stored` the `kept` ones are stages."
struct Step{T}
    start::Float64
    stop::Float64
    u0::Vector{T}
    u1::Vector{T}
    stored::Vector{Vector{T}}
    kept::Vector{Int}
end

"The save points within a step: their relative positions, and their cotangents, columns of `matrix` from `first` on."
struct SavePoints{T}
    θs::Vector{Float64}
    matrix::Matrix{T}
    first::Int
end

Base.isempty(points::SavePoints) = isempty(points.θs)
cotangents(points::SavePoints) = (@view(points.matrix[:, points.first+i-1]) for i in eachindex(points.θs))

"What only Rosenbrock steps need. `direction` is what `pull_tangent` takes."
struct RosenbrockMemory{T}
    mass::Union{Nothing,Matrix{T}}
    J::Matrix{T}
    dT::Vector{T}
    sum::Vector{T}
    direction::Vector{T}
end

RosenbrockMemory{T}(n::Int, mass) where {T} = RosenbrockMemory{T}(
    mass isa Matrix ? mass : nothing, zeros(T, n, n), zeros(T, n), zeros(T, n), zeros(T, 2n + 1)
)

"""
What a sweep backwards through the steps carries, and its memory.

`κs` are the gradients with respect to the stages `ks`, and `used` says which of them are not zero. `end_κ` is the one with
respect to the derivative at the end of the step before, as far as the dense output there uses it.
"""
mutable struct Sweep{T}
    const rhs::RightHandSide{T}
    const λ::Vector{T}
    const dp::Vector{T}
    const ks::Vector{Vector{T}}
    const κs::Vector{Vector{T}}
    const used::Vector{Bool}
    const end_κ::Vector{T}
    end_used::Bool
    const x::Vector{T}
    const products::Vector{T}
    const rosenbrock::RosenbrockMemory{T}
end

function Sweep(rhs::RightHandSide{T}, n::Int, methods::Vector{StepMethod}, mass_matrix) where {T}
    n_p, count = length(rhs.p), maximum(stages, methods)
    vectors() = [zeros(T, n) for _ in 1:count]
    rosenbrock = RosenbrockMemory{T}(any(m -> m isa RosenbrockMethod, methods) ? n : 0, mass_matrix)
    return Sweep{T}(
        rhs, zeros(T, n), zeros(T, n_p), vectors(), vectors(), fill(false, count), zeros(T, n), false, zeros(T, n),
        zeros(T, n + n_p), rosenbrock,
    )
end

function gradients(record::Record{T}, alg, sensealg::DiscreteAdjoint, times, cotangents::Matrix{T}) where {T}
    solution = record.solution
    algs = alg isa OrdinaryDiffEqCore.CompositeAlgorithm ? alg.algs : (alg,)
    kept = [kept_stages(a) for a in algs]
    choices = length(algs) == 1 ? fill(1, length(solution.t)) : solution.alg_choice
    (; sides, backwards) = record.rhs
    # what belongs to a step is saved with its end
    steps = map(2:length(solution.t)) do i
        ends = (step_start(sides, solution.t[i-1], backwards), solution.t[i], solution.u[i-1], solution.u[i])
        return Step{T}(ends..., solution.k[i], kept[choices[i]])
    end
    methods = StepMethod[sensealg.methods[choice] for choice in @view choices[2:end]]
    sweep = Sweep(record.rhs, length(solution.prob.u0), sensealg.methods, solution.prob.f.mass_matrix)
    pull!(sweep, steps, methods, times, cotangents)
    return sweep.λ, sweep.dp
end

"""
The stages of a step that the solver keeps. Most keep what their dense output makes of them; of Verner's method the others
share memory.
"""
kept_stages(::Any) = Int[]
kept_stages(::OrdinaryDiffEqTsit5.Tsit5) = collect(1:7)
kept_stages(::OrdinaryDiffEqVerner.Vern7) = [1, 4, 5, 6, 7, 8, 9]

"Take λ from the end of the last step to the start of the first one."
function pull!(s::Sweep{T}, steps::Vector{Step{T}}, methods::Vector{StepMethod}, times, cotangents::Matrix{T}) where {T}
    at_start, within, at_end = locate(steps, times, cotangents)
    final = last(steps)
    use_end!(s, last(methods), final, last(within))
    s.end_used && pull_end!(s, final.u1, final.stop)
    for i in reverse(eachindex(steps))
        add_columns!(s.λ, cotangents, at_end[i])
        s.end_used = false
        i > 1 && use_end!(s, methods[i-1], steps[i-1], within[i-1])
        pull_step!(s, methods[i], steps[i], within[i])
    end
    add_columns!(s.λ, cotangents, at_start)
    return nothing
end

"Save points: the columns of those at the very start, those within every step, and the columns of those at its end."
function locate(steps::Vector{Step{T}}, times, cotangents::Matrix{T}) where {T}
    forwards = first(steps).stop > first(steps).start
    next = 1
    function take(belongs)
        first = next
        while next <= length(times) && belongs(times[next])
            next += 1
        end
        return first:next-1
    end
    at_start = take(==(first(steps).start))
    within, at_end = SavePoints{T}[], UnitRange{Int}[]
    for step in steps
        inside = take(t -> forwards ? t < step.stop : t > step.stop)
        θs = [(times[i] - step.start) / (step.stop - step.start) for i in inside]
        push!(within, SavePoints{T}(θs, cotangents, first(inside)))
        push!(at_end, take(==(step.stop)))
    end
    return at_start, within, at_end
end

"`y += α x`."
function add!(y, α, x)
    @inbounds @simd for i in eachindex(y, x)
        y[i] += α * x[i]
    end
    return nothing
end

function add_columns!(y::Vector{T}, matrix::Matrix{T}, columns) where {T}
    for column in columns
        add!(y, one(T), @view matrix[:, column])
    end
    return nothing
end

"Add `κᵀ ∂f/∂u` at a point to λ, and `κᵀ ∂f/∂p` to the gradient of the parameters; the former is left in `x`."
function pull_point!(s::Sweep{T}, κ::Vector{T}, u::Vector{T}, t::Float64) where {T}
    count!(s.rhs, t)
    s.rhs.functions.pull_both(s.products, κ, u, s.rhs.p, seen(s.rhs, t))
    return add_products!(s)
end

function add_products!(s::Sweep{T}) where {T}
    n = length(s.λ)
    copyto!(s.x, 1, s.products, 1, n)
    add!(s.λ, one(T), s.x)
    add!(s.dp, one(T), @view s.products[n+1:end])
    return nothing
end

# ---- the derivative at the end of a step, which is also the first one of the next step

use_end!(::Sweep, ::StepMethod, ::Step, ::SavePoints) = nothing

function use_end!(s::Sweep{T}, m::ExplicitRungeKutta, step::Step{T}, points::SavePoints{T}) where {T}
    m.last == 0 && return nothing
    fill!(s.end_κ, zero(T))
    for (θ, v) in zip(points.θs, cotangents(points))
        add!(s.end_κ, T((step.stop - step.start) * dense_weight(m, m.last, θ)), v)
        s.end_used = true
    end
    return nothing
end

pull_end!(s::Sweep, u, t) = pull_point!(s, s.end_κ, u, t)

# ---- steps

"Take λ from the end of a step to its start."
function pull_step! end

"Thrown where a step cannot be repeated: its method is not the one that the solver used."
struct NotRepeatable <: Exception
    t::Float64
end

Base.showerror(io::IO, error::NotRepeatable) = print(io, "the step at t = ", error.t, " could not be repeated.")

"The state at the end of a step must be what the stages give."
function check_end(s::Sweep{T}, m::StepMethod, step::Step{T}, scale, count::Int) where {T}
    copyto!(s.x, step.u0)
    for i in 1:count
        m.b[i] == 0 || add!(s.x, T(scale * m.b[i]), s.ks[i])
    end
    check_end(s.x, step)
    return nothing
end

function check_end(x::Vector{T}, step::Step{T}) where {T}
    size, difference = zero(T), zero(T)
    for i in eachindex(x)
        size = max(size, abs(step.u0[i]), abs(step.u1[i]))
        difference = max(difference, abs(x[i] - step.u1[i]))
    end
    # the linear systems of stiff steps magnify rounding
    difference <= eps(T)^0.4 * size || throw(NotRepeatable(step.start))
    return nothing
end

"κ of the stages from λ at the end of the step and from the save points, whose cotangents are added to λ."
function begin_stages!(s::Sweep{T}, m::StepMethod, points::SavePoints{T}, scale, count::Int, skipped::Int) where {T}
    for i in 1:count
        s.used[i] = m.b[i] != 0
        fill!(s.κs[i], zero(T))
        s.used[i] && add!(s.κs[i], T(scale * m.b[i]), s.λ)
    end
    for (θ, v) in zip(points.θs, cotangents(points))
        for i in 1:count
            i == skipped && continue
            add!(s.κs[i], T(scale * dense_weight(m, i, θ)), v)
            s.used[i] = true
        end
        add!(s.λ, one(T), v)
    end
    return nothing
end

"The input of stage `i`, in `x`."
function stage_input!(s::Sweep{T}, m::StepMethod, step::Step{T}, scale, i::Int) where {T}
    copyto!(s.x, step.u0)
    for j in 1:i-1
        m.a[i, j] == 0 || add!(s.x, T(scale * m.a[i, j]), s.ks[j])
    end
    return s.x
end

function pull_step!(s::Sweep{T}, m::ExplicitRungeKutta, step::Step{T}, points::SavePoints{T}) where {T}
    dt = step.stop - step.start
    count = isempty(points) ? m.count : stages(m)
    for i in 1:count
        if i in step.kept
            copyto!(s.ks[i], step.stored[i])
        else
            s.rhs(s.ks[i], stage_input!(s, m, step, dt, i), s.rhs.p, step.start + m.c[i] * dt)
        end
    end
    check_end(s, m, step, dt, m.count)
    begin_stages!(s, m, points, dt, count, m.last)
    if s.end_used
        add!(s.κs[1], one(T), s.end_κ)
        s.used[1] = true
    end
    for i in count:-1:1
        s.used[i] || continue
        pull_point!(s, s.κs[i], stage_input!(s, m, step, dt, i), step.start + m.c[i] * dt)
        for j in 1:i-1
            m.a[i, j] == 0 && continue
            add!(s.κs[j], T(dt * m.a[i, j]), s.x)
            s.used[j] = true
        end
    end
    return nothing
end

function pull_step!(s::Sweep{T}, m::RosenbrockMethod, step::Step{T}, points::SavePoints{T}) where {T}
    dt, n, count = step.stop - step.start, length(s.λ), stages(m)
    factors = linearise!(s, m, step)
    (; mass, dT, sum, direction) = s.rosenbrock
    for i in 1:count
        g = s.ks[i]
        s.rhs(g, stage_input!(s, m, step, 1.0, i), s.rhs.p, step.start + m.c[i] * dt)
        fill!(sum, zero(T))
        for j in 1:i-1
            m.C[i, j] == 0 || add!(sum, T(m.C[i, j] / dt), s.ks[j])
        end
        mass === nothing ? add!(g, one(T), sum) : LinearAlgebra.mul!(g, mass, sum, one(T), one(T))
        m.d[i] == 0 || add!(g, T(m.d[i] * dt), dT)
        LinearAlgebra.ldiv!(factors, g)
    end
    check_end(s, m, step, 1.0, count)
    begin_stages!(s, m, points, 1.0, count, 0)
    for i in count:-1:1
        s.used[i] || continue # a stage for the error estimate only
        w = s.κs[i] # with respect to the right-hand side of the linear system from here on
        LinearAlgebra.ldiv!(transpose(factors), w)
        pull_point!(s, w, stage_input!(s, m, step, 1.0, i), step.start + m.c[i] * dt)
        mass === nothing ? copyto!(sum, w) : LinearAlgebra.mul!(sum, transpose(mass), w)
        for j in 1:i-1
            m.a[i, j] == m.C[i, j] == 0 && continue
            add!(s.κs[j], T(m.a[i, j]), s.x)
            add!(s.κs[j], T(m.C[i, j] / dt), sum)
            s.used[j] = true
        end
        # J and ∂f/∂t depend on the state and the parameters, too
        copyto!(direction, 1, w, 1, n)
        copyto!(direction, n + 1, s.ks[i], 1, n)
        direction[2n+1] = m.d[i] * dt
        count!(s.rhs, step.start)
        s.rhs.functions.pull_tangent(s.products, direction, step.u0, s.rhs.p, seen(s.rhs, step.start))
        add_products!(s)
    end
    s.end_used && pull_end!(s, step.u0, step.start)
    return nothing
end

"The factors of `W`; ∂f/∂t is left in `dT`."
function linearise!(s::Sweep{T}, m::RosenbrockMethod, step::Step{T}) where {T}
    (; mass, J, dT) = s.rosenbrock
    t = seen(s.rhs, step.start)
    s.rhs.functions.jacobian(J, step.u0, s.rhs.p, t)
    s.rhs.functions.time_gradient(dT, step.u0, s.rhs.p, t)
    scale = T(1 / (m.γ * (step.stop - step.start)))
    J .= .-J
    if mass === nothing
        for i in axes(J, 1)
            J[i, i] += scale
        end
    else
        J .+= scale .* mass
    end
    return LinearAlgebra.lu!(J)
end
