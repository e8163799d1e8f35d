# Objects that Python refers to by number.

const HANDLES = Dict{Int,Any}()
const LAST_HANDLE = Ref(0)

"Keep `object` until [`release`](@ref) and return the number that stands for it. Zero is never used."
function handle(@nospecialize(object))
    LAST_HANDLE[] += 1
    HANDLES[LAST_HANDLE[]] = object
    return LAST_HANDLE[]
end

"Forget the object behind a handle."
function release(number::Integer)
    delete!(HANDLES, Int(number))
    return nothing
end

"How many objects are being kept."
handle_count() = length(HANDLES)

"The array of `dims` at an address that Python keeps alive."
wrap(::Type{T}, address::Integer, dims::Integer...) where {T} =
    unsafe_wrap(Array, Ptr{T}(UInt(address)), Int.(dims))
