# The noise of a stochastic equation: increments of a path that Python draws.

"""
`int noise(double a, double b)`: writes the increment of the path from `a` to `b` to `w`, and its space-time Lévy area to
`area`, where that is wanted. Returns 0, or anything else where Python has caught an exception.
"""
struct CNoise{T}
    pointer::Ptr{Cvoid}
    w::Vector{T}
    area::Vector{T}
end

"""
A Brownian path as StochasticDiffEq's solvers ask for it.

The increments over the cells between `times`, and their areas, are at hand, a column each: of a fixed step size they are
all that is needed. Others are asked for. `dZ` is the increment of the second motion that methods of order 1.5 take in the
place of the area. With `keep`, what accepted steps were made of stays in `history`.
"""
mutable struct PathNoise{T} <: SciMLBase.AbstractNoiseProcess{T,1,Vector{Vector{T}},true}
    const times::Vector{Float64}
    const increments::Matrix{T}
    const areas::Matrix{T}
    const ask::CNoise{T}
    const keep::Bool
    const history::Vector{Vector{Vector{T}}}
    cell::Int
    # the fields that DiffEqNoiseProcess's interface names
    const t::Vector{Float64}
    const u::Vector{Vector{T}}
    const W::Vector{Vector{T}}
    const dW::Vector{T}
    const dZ::Vector{T}
    const reset::Bool
    curt::Float64
    dt::Float64
end

has_areas(noise::PathNoise) = !isempty(noise.ask.area)

"""
What Python passes to [`path_noise`](@ref): `count` cells of `n` numbers between `count + 1` times, and the C function.

The fields are those of `NoiseArguments` in `_arguments.py`, in the same order. Where `with_areas` is 0 no areas are read.
"""
struct NoiseArguments
    single::Int64
    n::Int64
    with_areas::Int64
    keep::Int64
    t0::Float64
    count::Int64
    times::UInt64
    increments::UInt64
    areas::UInt64
    noise::UInt64
    w::UInt64
    area::UInt64
end

"Handle of a [`PathNoise`](@ref), for one solve."
function path_noise(address::Integer)
    a = unsafe_load(Ptr{NoiseArguments}(UInt(address)))
    return handle(a.single == 1 ? path_noise(Float32, a) : path_noise(Float64, a))
end

function path_noise(::Type{T}, a::NoiseArguments) where {T}
    with_areas = a.with_areas == 1
    table(address, wanted) = wanted && a.count > 0 ? wrap(T, address, a.n, a.count) : zeros(T, Int(a.n), 0)
    ask = CNoise{T}(Ptr{Cvoid}(a.noise), wrap(T, a.w, a.n), with_areas ? wrap(T, a.area, a.n) : T[])
    times = a.count > 0 ? wrap(Float64, a.times, a.count + 1) : Float64[]
    increments, areas = table(a.increments, true), table(a.areas, with_areas)
    zero() = zeros(T, Int(a.n))
    return PathNoise{T}(
        times, increments, areas, ask, a.keep == 1, Vector{Vector{T}}[], 1, [a.t0], [zero()], [zero()], zero(), zero(), false,
        a.t0, 0.0
    )
end

"Put the increment of the next step, of size `dt`, to `dW`, and what methods take in the place of the area to `dZ`."
function draw!(noise::PathNoise{T}, dt) where {T}
    noise.dt = dt
    cell, area = whole_cell(noise, noise.curt, noise.curt + dt), noise.dZ
    if cell == 0
        check(ccall(noise.ask.pointer, Cint, (Float64, Float64), noise.curt, noise.curt + dt))
        copyto!(noise.dW, noise.ask.w)
        has_areas(noise) && copyto!(area, noise.ask.area)
    else
        copyto!(noise.dW, @view noise.increments[:, cell])
        has_areas(noise) && copyto!(area, @view noise.areas[:, cell])
    end
    area .*= T(2sqrt(3.0))
    return nothing
end

"The cell that a step is, up to the rounding of its ends; 0 where it is none."
function whole_cell(noise::PathNoise, start::Float64, stop::Float64)
    (; times) = noise
    for cell in noise.cell:min(noise.cell + 1, length(times) - 1)
        resolution = 1e-8 * (times[cell+1] - times[cell])
        if abs(start - times[cell]) < resolution && abs(stop - times[cell+1]) < resolution
            noise.cell = cell
            return cell
        end
    end
    return 0
end

"Go on to the end of the step that was drawn; with `draws`, draw the next one, of size `dt`."
function accept!(noise::PathNoise, dt, draws::Bool)
    noise.curt += noise.dt
    noise.keep && push!(noise.history, has_areas(noise) ? [copy(noise.dW), copy(noise.dZ)] : [copy(noise.dW)])
    draws ? draw!(noise, dt) : (noise.dt = dt)
    return nothing
end

# the solver would copy it, and what was drawn would be lost with the copy
Base.copy(noise::PathNoise) = noise
Base.deepcopy_internal(noise::PathNoise, ::IdDict) = noise
