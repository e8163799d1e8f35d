# The structs that Python fills or reads by address. It compares these layouts with its own when it starts.

const CROSSING = (CallbackArguments, NoiseArguments, SolveArguments, SolveResult, AdjointArguments)

"The sizes of the [`CROSSING`](@ref) structs and the offsets of their fields: \"Name:16:a=0,b=8;…\"."
layouts() = join(map(layout, CROSSING), ";")

function layout(T::DataType)
    fields = join(("$(fieldname(T, i))=$(Int(fieldoffset(T, i)))" for i in 1:fieldcount(T)), ",")
    return "$(nameof(T)):$(sizeof(T)):$fields"
end
