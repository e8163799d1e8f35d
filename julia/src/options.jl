# Keyword arguments of constructors, collected one by one from Python.

"Handle of an empty set of options."
options() = handle(Dict{Symbol,Any}())

"Add a number, a Bool, a string or `nothing`."
function set_option(options::Integer, name::String, value)
    HANDLES[options][Symbol(name)] = value
    return nothing
end

"Add the object behind a handle."
set_object_option(options::Integer, name::String, object::Integer) = set_option(options, name, HANDLES[object])

"Add a symbol."
set_symbol_option(options::Integer, name::String, value::String) = set_option(options, name, Symbol(value))

take_options(options::Integer) = NamedTuple(pop!(HANDLES, options))
