# Solving, and reading a solution.

"""
What Python passes to [`solve`](@ref).

The fields are those of `SolveArguments` in `_arguments.py`, in the same order. Handles and addresses of 0 are absent.
Where `abstol_vector` or `reltol_vector` is given it holds n numbers and counts in the place of the number.
"""
struct SolveArguments
    rhs::Int64
    alg::Int64
    controller::Int64
    n::Int64
    u0::UInt64
    mass_matrix::UInt64
    t0::Float64
    t1::Float64
    n_saveat::Int64
    saveat::UInt64
    n_tstops::Int64
    tstops::UInt64
    n_discontinuities::Int64
    discontinuities::UInt64
    abstol::Float64
    reltol::Float64
    abstol_vector::UInt64
    reltol_vector::UInt64
    dt::Float64
    dtmin::Float64
    dtmax::Float64
    maxiters::Int64
    adaptive::Int64
    implicit::Int64
    save_everystep::Int64
    save_start::Int64
    save_end::Int64
    keep_steps::Int64
    keep_ends::Int64
    diffusion::Int64
    noise::Int64
end

"What [`solve`](@ref) gives back; `times` and `states` are addresses that stay valid until `record` is released."
struct SolveResult
    record::Int64
    retcode::Int64
    n_times::Int64
    times::UInt64
    states::UInt64
    nf::Int64
    naccept::Int64
    nreject::Int64
    njac::Int64
    nsolve::Int64
    nw::Int64
    nf2::Int64
end

"How steps were made; `discontinuities` are in ascending order."
struct Stepping
    abstol::Float64
    reltol::Float64
    dt::Float64
    adaptive::Bool
    maxiters::Int
    discontinuities::Vector{Float64}
end

"A solved problem, with what its adjoint needs to know of how it was solved."
struct Record{T,S}
    solution::S
    rhs::RightHandSide{T}
    times::Vector{Float64}
    states::Matrix{T}
    stepping::Stepping
end

"Solve what the arguments at one address say, and write the result to the other."
function solve(arguments::Integer, result::Integer)
    a = unsafe_load(Ptr{SolveArguments}(UInt(arguments)))
    r = solve_with(HANDLES[a.rhs], HANDLES[a.alg], a)
    unsafe_store!(Ptr{SolveResult}(UInt(result)), r)
    return nothing
end

function solve_with(rhs::RightHandSide{T}, alg, a::SolveArguments) where {T}
    # promoted options reach the solver with one type each, so that there is one compiled solver
    prob = a.diffusion == 0 ? problem(rhs, a) : problem(rhs, HANDLES[a.diffusion], HANDLES[a.noise], a)
    discontinuities = numbers(a.discontinuities, a.n_discontinuities)
    for function_of_time in functions_of(prob)
        function_of_time.sides = Sides(T, a.t0, a.t1, discontinuities; looks_beyond=prob isa SDEProblem)
        function_of_time.backwards = a.t1 < a.t0
    end
    solution = if a.abstol_vector == 0 && a.reltol_vector == 0
        run(prob, alg, a, discontinuities, T(a.abstol), T(a.reltol))
    else
        run(prob, alg, a, discontinuities, tolerances(T, a.abstol, a.abstol_vector, a.n), tolerances(T, a.reltol, a.reltol_vector, a.n))
    end
    times, states = saved(solution, a, T)
    smallest(number, vector) = vector == 0 ? number : Float64(minimum(wrap(T, vector, a.n)))
    stepping = Stepping(
        smallest(a.abstol, a.abstol_vector),
        smallest(a.reltol, a.reltol_vector),
        a.dt,
        a.adaptive == 1,
        Int(a.maxiters),
        discontinuities,
    )
    record = Record(solution, rhs, times, states, stepping)
    s = solution.stats
    nf, nf2 = evaluations(prob, s)
    return SolveResult(
        handle(record),
        Int(solution.retcode),
        length(times),
        UInt64(pointer(times)),
        UInt64(pointer(states)),
        nf,
        s.naccept,
        s.nreject,
        s.njacs,
        s.nsolve,
        s.nw,
        nf2,
    )
end

functions_of(prob) = (prob.f.f,)
functions_of(prob::SDEProblem) = (prob.f.f, prob.g.rhs)

"How often `f` was evaluated, and `g` where there is one: the stochastic solvers do not count."
evaluations(prob, stats) = (stats.nf, 0)
evaluations(prob::SDEProblem, stats) = (prob.f.f.calls, prob.g.rhs.calls)

"A copy of `count` numbers at an address."
numbers(address, count) = count == 0 ? Float64[] : copy(wrap(Float64, address, count))

function run(prob, alg, a::SolveArguments, discontinuities::Vector{Float64}, abstol, reltol)
    keep = a.keep_steps == 1
    direction = sign(a.t1 - a.t0)
    saveat = keep ? Float64[] : numbers(a.saveat, a.n_saveat)
    # what lies between two checkpoints is solved once more, which must not step over one
    keep || a.keep_ends == 0 || (saveat = sort!(union(saveat, discontinuities)))
    keywords = a.controller == 0 ? (;) : (; controller=HANDLES[a.controller])
    a.dt == 0 || (keywords = (; keywords..., dt=a.dt * direction))
    return SciMLBase.solve(
        prob,
        alg;
        abstol,
        reltol,
        saveat,
        tstops=numbers(a.tstops, a.n_tstops),
        d_discontinuities=discontinuities,
        dtmin=a.dtmin,
        dtmax=a.dtmax == Inf ? a.t1 - a.t0 : a.dtmax * direction,
        adaptive=a.adaptive == 1,
        maxiters=Int(a.maxiters),
        save_everystep=keep || a.save_everystep == 1,
        save_start=keep || a.keep_ends == 1 || a.save_start == 1,
        save_end=keep || a.keep_ends == 1 || a.save_end == 1,
        dense=keep && !(prob isa SDEProblem), # stochastic steps are straight lines
        verbose=SciMLLogging.None(),
        keywords...,
    )
end

"The times and states that Python asked for; a column is a state."
function saved(solution, a::SolveArguments, ::Type{T}) where {T}
    if a.n_saveat == 0
        # the solver may have kept more than that, for dense output and for the adjoint
        keep = collect(eachindex(solution.t))
        a.save_everystep == 1 || intersect!(keep, (1, length(solution.t)))
        a.save_start == 1 || filter!(i -> solution.t[i] != a.t0, keep)
        a.save_end == 1 || a.save_everystep == 1 || filter!(i -> solution.t[i] != a.t1, keep)
        return solution.t[keep], columns(view(solution.u, keep), Int(a.n), T)
    end
    wanted = wrap(Float64, a.saveat, a.n_saveat)
    if a.keep_steps == 0
        # a solve that failed adds the point where it did
        keep = findall(in(wanted), solution.t)
        return solution.t[keep], columns(view(solution.u, keep), Int(a.n), T)
    end
    reached = last(solution.t)
    times = filter(t -> (a.t1 > a.t0 ? t <= reached : t >= reached), wanted)
    return times, interpolated(solution, times, Int(a.n), Val{0}, T)
end

function columns(us, n::Int, ::Type{T}) where {T}
    states = Matrix{T}(undef, n, length(us))
    for (column, u) in zip(eachcol(states), us)
        copyto!(column, u)
    end
    return states
end

function interpolated(solution, times, n::Int, ::Type{D}, ::Type{T}) where {D,T}
    states = Matrix{T}(undef, n, length(times))
    buffer = Vector{T}(undef, n)
    for (column, t) in zip(eachcol(states), times)
        solution(buffer, t, D)
        copyto!(column, buffer)
    end
    return states
end

"Write the solution, or a time derivative of it, at `count` times to the states at `out`."
function evaluate(record::Integer, times::Integer, count::Integer, derivative::Integer, out::Integer)
    evaluate(HANDLES[record], wrap(Float64, times, count), Int(derivative), out)
    return nothing
end

function evaluate(record::Record{T}, times::Vector{Float64}, derivative::Int, out::Integer) where {T}
    n = length(record.solution.prob.u0)
    copyto!(wrap(T, out, n, length(times)), interpolated(record.solution, times, n, Val{derivative}, T))
    return nothing
end

"The names of the return codes by number, as \"0=Default,1=Success,…\"."
retcodes() = join(("$(Int(code))=$code" for code in instances(SciMLBase.ReturnCode.T)), ",")
