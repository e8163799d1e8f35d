"""
`exp`, `expm1`, `tanh`, `log` and `log1p` of Float64 and Float32 without branches or tables, so that LLVM vectorises the
loops that call them, within three units in the last place; other numbers get Base's.
"""
module Elementary

const Float = Union{Float32,Float64}

bits(::Type{Float64}) = Int64
bits(::Type{Float32}) = Int32

# Adding 3/2 2^(number of fraction bits) rounds to a whole number, which then stands in the last bits.
rounder(::Type{T}) where {T} = T(3) * T(2)^(Base.significand_bits(T) - 1)

# ln 2 as a sum whose first part has zeros at its end, so that small multiples of that are exact
ln2_high(::Type{Float64}) = 6.93147180369123816490e-01
ln2_low(::Type{Float64}) = 1.90821492927058770002e-10
ln2_high(::Type{Float32}) = 0.693359375f0
ln2_low(::Type{Float32}) = -2.12194440f-4

# Taylor's series, long enough for |r| <= ln(2) / 2 and for s^2 <= (3 - sqrt(8))^2
const EXPM1_64, EXPM1_32 = ntuple(k -> 1 / factorial(k), 13), ntuple(k -> Float32(1 / factorial(k)), 7)
const ATANH_64, ATANH_32 = ntuple(k -> 2 / (2k + 1), 10), ntuple(k -> Float32(2 / (2k + 1)), 4)
expm1_series(::Type{Float64}) = EXPM1_64
expm1_series(::Type{Float32}) = EXPM1_32
atanh_series(::Type{Float64}) = ATANH_64
atanh_series(::Type{Float32}) = ATANH_32

@inline power_of_two(::Type{T}, k) where {T} =
    reinterpret(T, (k + bits(T)(Base.exponent_bias(T))) << Base.significand_bits(T))

@inline clamped(x, low, high) = ifelse(x < low, low, ifelse(x > high, high, x)) # NaN stays

"`x = k ln 2 + r` as `k` and `expm1(r)`, for |x| below 1000."
@inline function reduced(x::T) where {T<:Float}
    shifted = muladd(x, T(1.4426950408889634), rounder(T))
    multiple = shifted - rounder(T)
    r = muladd(multiple, -ln2_low(T), muladd(multiple, -ln2_high(T), x))
    k = reinterpret(bits(T), shifted) - reinterpret(bits(T), rounder(T))
    return k, r * evalpoly(r, expm1_series(T))
end

# two factors, since 2^k itself may be too large or too small
@inline function times_power_of_two(x::T, k) where {T}
    half = k >> 1
    return x * power_of_two(T, half) * power_of_two(T, k - half)
end

# where the results are 0 and infinite
exp_range(::Type{Float64}) = (-746.0, 710.0)
exp_range(::Type{Float32}) = (-104.0f0, 89.0f0)

@inline function exp(x::T) where {T<:Float}
    k, e = reduced(clamped(x, exp_range(T)...))
    return times_power_of_two(1 + e, k)
end

# where the result is -1, and where the 1 is lost
expm1_range(::Type{Float64}) = (-40.0, 64)
expm1_range(::Type{Float32}) = (-20.0f0, 32)

@inline function expm1(x::T) where {T<:Float}
    low, negligible = expm1_range(T)
    k, e = reduced(clamped(x, low, exp_range(T)[2]))
    return times_power_of_two(e + (1 - power_of_two(T, -min(k, bits(T)(negligible)))), k)
end

# where the result is 1
tanh_limit(::Type{Float64}) = 22.0
tanh_limit(::Type{Float32}) = 10.0f0

@inline function tanh(x::T) where {T<:Float}
    a = clamped(abs(x), zero(T), tanh_limit(T))
    k, e = reduced(2a)
    s = power_of_two(T, k)
    m = muladd(s, e, s - 1)
    return copysign(m / (m + 2), x)
end

"`log(x) + correction`, for x that is positive, finite and not subnormal."
@inline function log_of_normal(x::T, correction) where {T<:Float}
    start = reinterpret(bits(T), T(0.7071067811865476))
    distance = reinterpret(bits(T), x) - start
    k = distance >> Base.significand_bits(T)
    f = reinterpret(T, (distance & reinterpret(bits(T), Base.significand_mask(T))) + start) - 1
    s = f / (f + 2)
    z = s * s
    series = z * evalpoly(z, atanh_series(T))
    # 2 atanh(s), where 2s is written as f - s f, of which the first is exact
    small = s * (f - series) - muladd(T(k), ln2_low(T), correction)
    return muladd(T(k), ln2_high(T), f - small)
end

@inline function log(x::T) where {T<:Float}
    subnormal = x < floatmin(T)
    lift = Base.significand_bits(T) + 2
    y = log_of_normal(ifelse(subnormal, x * T(2)^lift, x), zero(T))
    y -= ifelse(subnormal, T(lift * 0.6931471805599453), zero(T))
    return at_the_ends(y, x, x)
end

@inline function log1p(x::T) where {T<:Float}
    u = 1 + x
    lost = ifelse(x > 1, 1 - (u - x), x - (u - 1))
    return at_the_ends(log_of_normal(u, lost / u), u, x)
end

"The logarithm `y` of `u`, unless that is 0, infinite, or not in the domain."
@inline function at_the_ends(y::T, u::T, x::T) where {T}
    y = ifelse(u == 0, T(-Inf), y)
    y = ifelse(u == T(Inf), u, y)
    return ifelse((u < 0) | isnan(x), T(NaN), y)
end

for name in (:exp, :expm1, :tanh)
    @eval $name(x) = Base.$name(x)
end

end
