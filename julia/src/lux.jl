"""
Torch's networks as models of Lux.jl.

This module is not compiled into the package: [`lux`](@ref) includes it when it is first called, so that whoever has no
use for Lux neither needs it nor waits for it.
"""
module LuxNetworks

using ..PyDiffEqFlux: HANDLES, handle, integers, lookup, package_module, take_options, wrap

const Lux = package_module("Lux")
const NNlib = Lux.NNlib

elementwise(f) = Lux.WrappedFunction(Base.Fix1(broadcast, f))

# torch goes over to the identity above a threshold
function softplus(x, β, threshold)
    y = oftype(x, β) * x
    return ifelse(y > threshold, x, NNlib.softplus(y) / oftype(x, β))
end

hardtanh(x, low, high) = clamp(x, oftype(x, low), oftype(x, high))

convolution(o) = Lux.Conv(
    integers(o.kernel),
    o.inputs => o.outputs;
    stride=integers(o.stride),
    pad=integers(o.padding),
    dilation=integers(o.dilation),
    groups=o.groups,
    use_bias=o.bias,
    cross_correlation=true,
)

function layer_norm(o)
    shape = integers(o.shape)
    # by default Lux would take the mean over the batch, too
    return Lux.LayerNorm(shape; affine=o.affine, epsilon=o.epsilon, dims=ntuple(identity, length(shape)))
end

"From the names of torch's layers to functions that make Lux's from options."
const LAYERS = Dict{String,Function}(
    "Linear" => o -> Lux.Dense(o.inputs => o.outputs; use_bias=o.bias),
    "Conv1d" => convolution,
    "Conv2d" => convolution,
    "BatchNorm1d" => o -> Lux.BatchNorm(o.channels; affine=o.affine, epsilon=o.epsilon, momentum=o.momentum),
    "LayerNorm" => layer_norm,
    "Dropout" => o -> Lux.Dropout(o.p),
    "Flatten" => _ -> Lux.FlattenLayer(),
    "Identity" => _ -> Lux.NoOpLayer(),
    "Tanh" => _ -> elementwise(tanh),
    "ReLU" => _ -> elementwise(NNlib.relu),
    "Sigmoid" => _ -> elementwise(NNlib.sigmoid),
    "SiLU" => _ -> elementwise(NNlib.swish),
    "SELU" => _ -> elementwise(NNlib.selu),
    "GELU" => o -> elementwise(o.tanh ? NNlib.gelu_tanh : NNlib.gelu_erf),
    # Zygote differentiates f.(x, a) as a whole, but the broadcast of a closure element by element
    "ELU" => o -> Lux.WrappedFunction(x -> NNlib.elu.(x, o.alpha)),
    "LeakyReLU" => o -> Lux.WrappedFunction(x -> NNlib.leakyrelu.(x, o.slope)),
    "Softplus" => o -> Lux.WrappedFunction(x -> softplus.(x, o.beta, o.threshold)),
    "Hardtanh" => o -> Lux.WrappedFunction(x -> hardtanh.(x, o.low, o.high)),
)

"A layer or a chain of them, with its parameters and its state."
struct Network
    model
    ps::NamedTuple
    st::NamedTuple
end

"""
Add to `options` a copy of the array of `dims` (\"3,2\") at an address; `transposed` where torch has the rows of a matrix
that Lux wants.
"""
function set_array(options::Integer, name::String, address::Integer, dims::String, single::Bool, transposed::Bool)
    array = wrap(single ? Float32 : Float64, address, integers(dims)...)
    HANDLES[options][Symbol(name)] = transposed ? permutedims(array) : copy(array)
    return nothing
end

"Handle of a layer with the parameters and the statistics that were collected in options of their own."
function layer(name::String, options::Integer, parameters::Integer, statistics::Integer)
    model = LAYERS[name](take_options(options))
    given, rng = take_options(parameters), Lux.Random.Xoshiro(0)
    # Lux says in which order and shape it wants them
    drawn = Lux.initialparameters(rng, model)
    ps = NamedTuple{keys(drawn)}(map(key -> reshape(given[key], size(drawn[key])), keys(drawn)))
    st = merge(Lux.testmode(Lux.initialstates(rng, model)), take_options(statistics))
    return handle(Network(model, ps, st))
end

"Handle of the networks behind `numbers` (\"7,8\") one after another; `names` are theirs in Lux."
function chain(names::String, numbers::String)
    keys = Tuple(Symbol.(split(names, ",")))
    networks = map(number -> pop!(HANDLES, number)::Network, integers(numbers))
    together(field) = NamedTuple{keys}(map(network -> getfield(network, field), networks))
    return handle(Network(Lux.Chain(together(:model)), together(:ps), together(:st)))
end

"The model, the parameters and the state behind a handle, which is forgotten."
function take(number::Integer)
    network = pop!(HANDLES, number)::Network
    return network.model, network.ps, network.st
end

"The same parameters as one vector with names."
flat(ps) = Base.invokelatest(lookup("ComponentArrays", "ComponentArray"), ps)

"Handle, address and dimensions of what the network makes of the array of `dims` at an address."
function apply(model, ps, st, address::Integer, dims::String, single::Bool)
    T = single ? Float32 : Float64
    y, _ = model(wrap(T, address, integers(dims)...), ps, st)
    # a copy, for a layer may hand its argument through, which is Python's memory
    result = Array{T}(y)
    return handle(result), Int(pointer(result)), size(result)
end

"Thrown where parameters are not those of the network."
struct ParameterError <: Exception
    message::String
end

Base.showerror(io::IO, error::ParameterError) = print(io, error.message)

"Write the array at `place` (\"layer_1,weight\") of the parameters to the memory of `dims` at an address."
function write_array(tree, place::String, address::Integer, dims::String, single::Bool, transposed::Bool)
    name = replace(place, "," => ".")
    array = tree
    for key in Symbol.(split(place, ","))
        hasproperty(array, key) || throw(ParameterError("there is no $name in them."))
        array = getproperty(array, key)
    end
    array isa AbstractArray{<:Real} || throw(ParameterError("$name is a $(typeof(array)), not an array of numbers."))
    target = wrap(single ? Float32 : Float64, address, integers(dims)...)
    source = transposed ? permutedims(array) : array
    # trailing dimensions of one element, which Lux adds to some parameters, are none to torch
    all(i -> size(source, i) == size(target, i), 1:max(ndims(source), ndims(target))) ||
        throw(ParameterError("$name has the size $(size(array))."))
    copyto!(target, source)
    return nothing
end

end
