# Gradients of a solution.

"""
What Python passes to [`adjoint`](@ref).

The fields are those of `AdjointArguments` in `_arguments.py`, in the same order. `cotangents` has a column a time; `du0`
and `dp` are written, and `dg` for the parameters of a diffusion.
"""
struct AdjointArguments
    record::Int64
    sensealg::Int64
    alg::Int64
    n_times::Int64
    times::UInt64
    cotangents::UInt64
    du0::UInt64
    dp::UInt64
    dg::UInt64
end

"Thrown where the solve backwards did not reach the start; SciMLSensitivity returns what it has and only logs it."
struct AdjointFailed <: Exception
    message::String
end

Base.showerror(io::IO, error::AdjointFailed) = print(io, error.message)

"A logger that remembers why a solver gave up."
struct FailureLogger <: Logging.AbstractLogger
    failures::Vector{String}
end

Logging.min_enabled_level(::FailureLogger) = Logging.Info
Logging.shouldlog(::FailureLogger, arguments...) = true
Logging.catch_exceptions(::FailureLogger) = false

const GIVING_UP = ("Interrupted. Larger maxiters", "Aborting", "NaN dt detected", "Newton steps could not converge")

function Logging.handle_message(logger::FailureLogger, level, message, arguments...; keywords...)
    text = string(message)
    # the first line may name a setting of the log
    for line in eachsplit(text, '\n')
        any(phrase -> occursin(phrase, line), GIVING_UP) && push!(logger.failures, String(strip(line)))
    end
    return nothing
end

"Write the gradients of `Σᵢ cotangentᵢ · u(tᵢ)`; returns how often the right-hand side or a derivative was evaluated."
function adjoint(arguments::Integer)
    a = unsafe_load(Ptr{AdjointArguments}(UInt(arguments)))
    record = HANDLES[a.record]
    before = record.rhs.calls
    adjoint_with(record, HANDLES[a.alg], HANDLES[a.sensealg], a)
    return record.rhs.calls - before
end

"Run `body` with steps that go from the end of the solve to its start."
function against(body, rhs::RightHandSide)
    rhs.backwards = !rhs.backwards
    try
        return body()
    finally
        rhs.backwards = !rhs.backwards
    end
end

const Continuous = Union{
    SciMLSensitivity.BacksolveAdjoint,
    SciMLSensitivity.InterpolatingAdjoint,
    SciMLSensitivity.QuadratureAdjoint,
    SciMLSensitivity.GaussAdjoint,
    SciMLSensitivity.GaussKronrodAdjoint,
}

function adjoint_with(record::Record{T}, alg, sensealg, a::AdjointArguments) where {T}
    n, n_p = length(record.solution.prob.u0), length(record.rhs.p)
    times = copy(wrap(Float64, a.times, a.n_times))
    cotangents = wrap(T, a.cotangents, n, a.n_times)
    if record.solution.prob isa SDEProblem
        λ, dp, dg = stochastic_gradients(record, sensealg, times, cotangents)
        copyto!(wrap(T, a.du0, n), λ)
        copyto!(wrap(T, a.dp, n_p), dp)
        copyto!(wrap(T, a.dg, length(dg)), dg)
        return nothing
    end
    logger = FailureLogger(String[])
    sensealg isa Continuous && record.solution.dense && complete_dense_output(record)
    du0, dp = Logging.with_logger(() -> gradients(record, alg, sensealg, times, cotangents), logger)
    isempty(logger.failures) || throw(AdjointFailed(first(logger.failures)))
    # the adjoints return λ at the start, of which the gradient is Mᵀλ
    mass_matrix = record.solution.prob.f.mass_matrix
    sensealg isa Continuous && mass_matrix isa Matrix && (du0 = mass_matrix' * du0)
    copyto!(wrap(T, a.du0, n), du0)
    a.dp == 0 || copyto!(wrap(T, a.dp, n_p), vec(dp))
    return nothing
end

"""
Make the stages that the dense output of Verner's methods and of BS5 adds to a step when it is first asked for.

Made by an adjoint while it is solved, those of the step that it begins in are wrong (SciMLSensitivity 7.112): gradients
with errors of 1e-5 (Vern7) to 1e-3 (Vern9) at tolerances of 1e-9.
"""
function complete_dense_output(record::Record{T}) where {T}
    t = record.solution.t
    buffer = Vector{T}(undef, length(record.solution.prob.u0))
    for i in 1:length(t)-1
        record.solution(buffer, (t[i] + t[i+1]) / 2)
    end
    return nothing
end

"The step size of a solve in `direction`; the first one of an adaptive adjoint is its own affair."
step_size(stepping, direction) = stepping.adaptive ? (;) : (; dt=stepping.dt * direction)

"What an adjoint adds to λ at a save point."
struct Cotangents{T}
    columns::Matrix{T}
end

(c::Cotangents)(out, u, p, t, i) = (out .= @view(c.columns[:, i]); nothing)

gradients(record::Record{T}, alg, sensealg::Continuous, times, cotangents::Matrix{T}) where {T} =
    against(() -> solved_backwards(record, alg, sensealg, times, cotangents), record.rhs)

function solved_backwards(record::Record{T}, alg, sensealg, times, cotangents::Matrix{T}) where {T}
    return SciMLSensitivity.adjoint_sensitivities(
        record.solution,
        alg;
        t=times,
        dgdu_discrete=Cotangents(cotangents),
        sensealg,
        adjoint_options(record)...,
    )
end

"""
As SciMLSensitivity's, but the quadrature begins with the steps of the adjoint: a rule that begins with whole intervals
between save points overlooks the fast transients that a stiff problem has behind each of them, and believes that it has
converged. Its tolerances are those of the sensealg.
"""
function solved_backwards(
    record::Record{T}, alg, sensealg::SciMLSensitivity.QuadratureAdjoint, times, cotangents::Matrix{T}
) where {T}
    s, solution = record.stepping, record.solution
    problem, jumps = SciMLSensitivity.ODEAdjointProblem(
        solution, sensealg, alg, times, Cotangents(cotangents), nothing, nothing, nothing, nothing, Val(true)
    )
    adjoint = SciMLBase.solve(problem, alg; save_everystep=true, save_start=true, adjoint_options(record)...)
    integrand = SciMLSensitivity.AdjointSensitivityIntegrand(solution, adjoint, sensealg, nothing)
    steps = unique!(sort(adjoint.t))
    dp, _ = SciMLSensitivity.quadgk(
        integrand,
        steps;
        atol=isnan(sensealg.abstol) ? s.abstol : sensealg.abstol,
        rtol=isnan(sensealg.reltol) ? s.reltol : sensealg.reltol,
    )
    total = solution.prob.tspan[1] < solution.prob.tspan[2] ? vec(dp) : -vec(dp)
    add_algebraic!(total, jumps, integrand, solution)
    return last(adjoint.u), total
end

"What the algebraic equations of a singular mass matrix add at the save points."
function add_algebraic!(dp::Vector, jumps, integrand, solution)
    λ, u, part = zero(integrand.λ), zero(integrand.y), zero(dp)
    for (values, t) in jumps.Δλas
        λ[jumps.diffcache.algevar_idxs] .= values
        solution(u, t)
        SciMLSensitivity.vec_pjac!(part, λ, u, t, integrand)
        dp .+= part
    end
    return nothing
end

"The options of a solve backwards: those of the solve forwards."
function adjoint_options(record::Record{T}) where {T}
    s, tspan = record.stepping, record.solution.prob.tspan
    return (;
        abstol=T(s.abstol),
        reltol=T(s.reltol),
        adaptive=s.adaptive,
        maxiters=s.maxiters,
        d_discontinuities=s.discontinuities,
        verbose=SciMLLogging.Standard(),
        consistent_start(record.solution.prob.f.mass_matrix, T)...,
        step_size(s, sign(tspan[1] - tspan[2]))...,
    )
end

"λ at the end must satisfy the algebraic equations of the adjoint; nobody else sees to that."
consistent_start(::Matrix, ::Type{T}) where {T} =
    (; initializealg=SciMLSensitivity.BrownFullBasicInit(; abstol=sqrt(eps(T)) / 100))
consistent_start(::Any, ::Type) = (;)

# u0 was found consistent when the problem was solved, and partial derivatives would be taken for a residual
start_as_given(::Matrix) = (; initializealg=SciMLBase.NoInit())
start_as_given(::Any) = (;)

function gradients(record::Record{T}, alg, sensealg, times, cotangents::Matrix{T}) where {T}
    s, prob = record.stepping, record.solution.prob
    _, pullback = SciMLBase._concrete_solve_adjoint(
        prob,
        alg,
        sensealg,
        prob.u0,
        prob.p,
        SciMLBase.ChainRulesOriginator();
        saveat=times,
        save_start=first(times) == prob.tspan[1],
        save_end=last(times) == prob.tspan[2],
        abstol=T(s.abstol),
        reltol=T(s.reltol),
        adaptive=s.adaptive,
        maxiters=s.maxiters,
        d_discontinuities=s.discontinuities,
        verbose=SciMLLogging.Standard(),
        start_as_given(prob.f.mass_matrix)...,
        step_size(s, sign(prob.tspan[2] - prob.tspan[1]))...,
    )
    tangents = ChainRulesCore.unthunk.(pullback(cotangents))
    return gradient(tangents[4], prob.u0), gradient(tangents[5], prob.p)
end

"A tangent as an array; where SciMLSensitivity has none, NaN marks what it does not compute."
gradient(tangent::AbstractArray{<:Number}, x) = tangent
gradient(tangent, x) = fill(eltype(x)(NaN), length(x))
