# The times at which a solve may ask for the right-hand side.

"""
The time span, and where `f` is discontinuous in it.

Steps end at a discontinuity, and OrdinaryDiffEq starts the next one at the next representable time. So whatever is
evaluated at the discontinuity itself, or up to the rounding of a time beyond it, belongs to the step that ends there, and
is to see `f` from that one's side: at the time `before`, or in a solve backwards `after`. These are neighbours in the
precision of the times that `f` receives. Times beyond the span are taken for its ends, if they are no farther than `reach`
from them: some stochastic methods do look beyond their steps.
"""
struct Sides
    first::Float64
    last::Float64
    times::Vector{Float64}
    before::Vector{Float64}
    after::Vector{Float64}
    rounding::Float64
    reach::Float64
end

Sides() = Sides(-Inf, Inf, Float64[], Float64[], Float64[], 0.0, Inf)

"With `looks_beyond`, only rounding is undone at the ends of the span."
function Sides(::Type{T}, t0::Float64, t1::Float64, times::Vector{Float64}; looks_beyond::Bool=false) where {T}
    first, last = minmax(t0, t1)
    tiny = floatmin(T) # subnormal numbers may be taken for zero
    previous(t) = Float64(abs(t) < tiny ? -tiny : prevfloat(T(t)))
    next(t) = Float64(abs(t) < tiny ? tiny : nextfloat(T(t)))
    # at the ends there is one side only
    before = [t == first ? next(t) : previous(t) for t in times]
    after = [t == last ? previous(t) : next(t) for t in times]
    rounding = 2 * eps(max(abs(t0), abs(t1)))
    return Sides(first, last, times, before, after, rounding, looks_beyond ? rounding : Inf)
end

"The time at which `f` is to be evaluated for the time `t` of a solve, forwards or backwards."
@inline function seen(s::Sides, t::Float64, backwards::Bool)
    # a stage at the end of the last step must not lie beyond it by rounding, where f may have no value
    isempty(s.times) || (t = on_its_side(s, t, backwards))
    nearest = min(max(t, s.first), s.last)
    return abs(t - nearest) <= s.reach ? nearest : t
end

@noinline function on_its_side(s::Sides, t::Float64, backwards::Bool)
    i = searchsortedfirst(s.times, t - s.rounding)
    (i > length(s.times) || s.times[i] > t + s.rounding) && return t
    starts = t == step_start(s.times[i], backwards)
    return starts == backwards ? s.before[i] : s.after[i]
end

"Where OrdinaryDiffEq starts the step behind a discontinuity."
step_start(time::Float64, backwards::Bool) = backwards ? prevfloat(time) : nextfloat(time)

"The time at which the step behind the saved time `t` started."
step_start(s::Sides, t::Float64, backwards::Bool) = insorted(t, s.times) ? step_start(t, backwards) : t
