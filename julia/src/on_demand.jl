# What is loaded only when it is asked for.

"The module of a package that is installed in the active project, or loaded as part of another one."
function package_module(package::String)
    id = Base.identify_package(package)
    if id === nothing
        loaded = [key for key in keys(Base.loaded_modules) if key.name == package]
        isempty(loaded) && throw(
            UnknownNameError("the Julia package $package is not in the project; add it with juliapkg.add or Pkg.add.")
        )
        id = first(loaded)
    end
    return Base.require(id)
end

const LUX_NETWORKS = Ref{Module}()

"Call a function of `lux.jl`, which comes with Lux at the first call."
function lux(name::String, args...)
    if !isassigned(LUX_NETWORKS)
        package_module("Lux") # here its absence is an error of ours, and not one of the file
        LUX_NETWORKS[] = Base.include(@__MODULE__, joinpath(@__DIR__, "lux.jl"))
    end
    return Base.invokelatest(Base.invokelatest(getproperty, LUX_NETWORKS[], Symbol(name)), args...)
end
