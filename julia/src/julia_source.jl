# Right-hand sides that the user wrote in Julia.

"A leaf of the parameters: where it lies in the flat vector, and its shape there. No dimensions means a number."
struct Leaf{N}
    first::Int
    dims::NTuple{N,Int}
end

present(leaf::Leaf{0}, p) = p[leaf.first]
present(leaf::Leaf{1}, p) = view(p, leaf.first:(leaf.first+leaf.dims[1]-1))
present(leaf::Leaf, p) = reshape(view(p, leaf.first:(leaf.first+prod(leaf.dims)-1)), leaf.dims)
present(tree::Union{Tuple,NamedTuple}, p) = map(branch -> present(branch, p), tree)
present(::Nothing, p) = p

integers(text::AbstractString) = Tuple(parse(Int, part) for part in split(text, ","; keepempty=false))
objects(text::AbstractString) = Tuple(HANDLES[number] for number in integers(text))

"Handle of a leaf; `dims` is \"2,3\"."
layout_leaf(offset::Integer, dims::String) = handle(Leaf(Int(offset) + 1, integers(dims)))

"Handle of a named tuple of layouts."
layout_named(names::String, branches::String) =
    handle(NamedTuple{Tuple(Symbol.(split(names, ",")))}(objects(branches)))

"Handle of a tuple of layouts."
layout_tuple(branches::String) = handle(objects(branches))

"The user's function, called with the state and the parameters in the shapes that Python gave them."
struct SourceFunction{InPlace,F,D,L}
    f::F
    dims::D
    layout::L
end

SourceFunction{InPlace}(f::F, dims::D, layout::L) where {InPlace,F,D,L} =
    SourceFunction{InPlace,F,D,L}(f, dims, layout)

shaped(x, ::Nothing) = x
shaped(x, dims::Tuple) = reshape(x, dims)

function (s::SourceFunction{true})(du, u, p, t)
    s.f(shaped(du, s.dims), shaped(u, s.dims), present(s.layout, p), t)
    return nothing
end

function (s::SourceFunction{false})(du, u, p, t)
    copyto!(du, s.f(shaped(u, s.dims), present(s.layout, p), t))
    return nothing
end

"Thrown where the user's source does not define a right-hand side; the message says what to do."
struct SourceError <: Exception
    message::String
end

Base.showerror(io::IO, error::SourceError) = print(io, error.message)

"The modules of all sources: a function does not keep its module alive, and dies with it."
const SOURCE_MODULES = Module[]

"""
Handle of the function that the source evaluates to: `f(du, u, p, t)`, or `f(u, p, t)` which returns the derivative.

The source runs in a module of its own; it may hold several definitions, of which the last is taken.
"""
function source_function(source::String)
    place = Module(:JuliaSource)
    push!(SOURCE_MODULES, place)
    Core.eval(place, :(const LinearAlgebra = $LinearAlgebra))
    Core.eval(place, :(using .LinearAlgebra: I, dot, mul!, norm))
    f = include_string(place, source, "JuliaSource")
    f isa Function || throw(SourceError("the source evaluates to a $(typeof(f)), not to a function."))
    return handle(f)
end

"""
Handle of the right-hand side of a source function.

`dims` is the shape of the state, "" for a vector; `layout` a handle of a layout or 0 for a vector of parameters; `p` the
address of the `n_p` parameters; `poll` a C function. With `n` states given and not 0, the right-hand side brings its
vector-Jacobian products, and with `jacobian` its Jacobian, by forward mode.
"""
function source_rhs(
    f::Integer,
    single::Bool,
    dims::String,
    layout::Integer,
    p::Integer,
    n_p::Integer,
    poll::Integer,
    n::Integer,
    jacobian::Bool,
)
    shape = isempty(dims) ? nothing : integers(dims)
    return handle(
        Base.invokelatest(
            source_rhs,
            single ? Float32 : Float64,
            HANDLES[f],
            shape,
            layout == 0 ? nothing : HANDLES[layout],
            (p, n_p),
            Ptr{Cvoid}(UInt(poll)),
            Int(n),
            jacobian,
        ),
    )
end

"Whether `f` has a method for so many arguments, whatever types it wants."
takes(f, count::Int) = any(m -> m.isva ? count >= m.nargs - 2 : count == m.nargs - 1, methods(f))

function source_rhs(::Type{T}, f, dims, layout, (p, n_p), poll::Ptr{Cvoid}, n::Int, jacobian::Bool) where {T}
    in_place = takes(f, 4)
    in_place || takes(f, 3) ||
        throw(SourceError("the function takes neither (du, u, p, t) nor (u, p, t)."))
    generic = SourceFunction{in_place}(f, dims, layout)
    p = parameters(T, p, n_p)
    vjp = vjp_p = jac = tgrad = nothing
    if n != 0
        chunk, chunk_p = ForwardDiff.Chunk(n), ForwardDiff.Chunk(length(p))
        vjp, vjp_p = VjpFunction{T}(ForwardVjp(generic, chunk)), VjpFunction{T}(ForwardVjpP(generic, chunk_p))
        if jacobian
            jac, tgrad = JacFunction{T}(ForwardJac(generic, chunk)), RhsFunction{T}(ForwardTGrad(generic))
        end
    end
    functions = Functions{T}(;
        derivative=RhsFunction{T}(generic),
        pull_state=vjp,
        pull_parameters=vjp_p,
        jacobian=jac,
        time_gradient=tgrad,
        generic,
    )
    return RightHandSide(functions, p, poll)
end
