"""
Scalar functions that behave as torch's: outside of their domain they return NaN, where Julia raises an error.
"""
module TorchMath

import NaNMath
import SpecialFunctions

include("elementary.jl")
using .Elementary: exp, expm1, tanh

for name in (:acos, :acosh, :asin, :atanh, :cos, :log, :log10, :log1p, :log2, :sin, :sqrt, :tan)
    @eval $name(x) = NaNMath.$name(x)
end

@inline log(x::Elementary.Float) = Elementary.log(x)
@inline log1p(x::Elementary.Float) = Elementary.log1p(x)

# without the branch for negative numbers, so that loops are vectorised
sqrt(x::Union{Float32,Float64}) = Base.Math.sqrt_llvm(x)

pow(x, y) = NaNMath.pow(promote(x, y)...)

erf(x) = SpecialFunctions.erf(x)
erfc(x) = SpecialFunctions.erfc(x)
digamma(x) = SpecialFunctions.digamma(x)
polygamma(order, x) = SpecialFunctions.polygamma(order, x)
lgamma(x) = SpecialFunctions.logabsgamma(x)[1]

"The larger one, and the other where one is NaN."
fmax(x, y) = ifelse(isnan(x), y, ifelse(isnan(y), x, max(x, y)))

"The smaller one, and the other where one is NaN."
fmin(x, y) = ifelse(isnan(x), y, ifelse(isnan(y), x, min(x, y)))

convert(::Type{T}, x::Union{Float32,Float64}) where {T} = T(x)
convert(::Type, x) = x # a number of an AD package keeps its own precision

end
