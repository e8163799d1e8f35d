"""Compilation of the Julia packages ahead of their first use."""

import os
import subprocess
import sys

from tqdm import tqdm

from .._engines.julia._installation import package_directory

# A package that only some other one extends may fail to compile without harm: what counts is that ours loads.
_DEPENDENCIES = "import Pkg; try Pkg.precompile() catch error; showerror(stderr, error); println(stderr) end"
# What is for stochastic equations is an extension, compiled when both packages are loaded.
_PACKAGE = (
    "push!(LOAD_PATH, ARGS[1]); import PyDiffEqFlux; "
    'isnothing(Base.find_package("StochasticDiffEq")) || @eval import StochasticDiffEq'
)


def precompile(executable: str, project: str) -> bool:
    """Compile everything, with visible progress. Returns whether our package loads."""
    julia = [executable, f"--project={project}", "--startup-file=no", "-e"]
    # PythonCall must not install a Python of its own, should it be loaded
    environment = {"JULIA_PYTHONCALL_EXE": sys.executable, "JULIA_CONDAPKG_BACKEND": "Null", **os.environ}
    try:
        subprocess.run([*julia, _DEPENDENCIES], env=environment, check=False)  # Pkg shows its own progress
        process = subprocess.Popen([*julia, _PACKAGE, str(package_directory())], env=environment)
    except OSError as error:
        print(error, file=sys.stderr)
        return False
    return _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Wait, with a clock: Julia itself shows nothing while it compiles one package."""
    seconds = 1 if sys.stderr.isatty() else 30
    with tqdm(desc="Compiling PyDiffEqFlux", bar_format="{desc}: {elapsed}") as clock:
        try:
            while True:
                try:
                    return process.wait(seconds) == 0
                except subprocess.TimeoutExpired:
                    clock.refresh()
        finally:
            process.kill()
