import importlib.metadata
import importlib.util
import json

import pytest

from pydiffeqflux._engines.julia._installation import requirements, write_marker

WITHOUT_JULIACALL = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("juliacall", "juliapkg"):
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""

SOLVE = """
import pydiffeqflux as de
try:
    de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)), de.Tsit5(), engine="julia")
except de.EngineUnavailableError as error:
    print(error)
"""

AUTO = """
import logging
import pydiffeqflux as de

class Lines(logging.Handler):
    def emit(self, record):
        print(record.name, record.levelname, record.getMessage())

logger = logging.getLogger("pydiffeqflux")
logger.setLevel(logging.INFO)
logger.addHandler(Lines())
for _ in range(3):
    sol = de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)))
    assert sol.engine == "embedded"
"""

FORBID_NETWORK = """
import socket

def forbidden(*args, **kwargs):
    print("NETWORK", args)
    raise OSError("no network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = forbidden
"""

real_juliacall = pytest.mark.skipif(importlib.util.find_spec("juliacall") is None, reason="juliacall is not installed")


def check_message(message, *parts):
    """One line of one sentence that names the reason and what to do."""
    assert "\n" not in message
    assert message.startswith("the julia engine cannot run: ")
    assert message.endswith(".")
    for part in parts:
        assert part in message


def test_juliacall_is_not_installed(machine):
    message = machine.output(WITHOUT_JULIACALL + SOLVE)
    check_message(message, "juliacall is not installed", "pip install 'pydiffeqflux[julia]'", "pydiffeqflux setup")


@pytest.mark.slow
def test_setup_has_not_run(machine):
    message = machine.output(SOLVE, PYTHONPATH=machine.fake_juliacall())
    check_message(message, "has not been set up", "run `python -m pydiffeqflux setup`")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EXE", "PROJECT"])
def test_only_one_variable_is_set(machine, name):
    variables = {f"PYTHON_JULIACALL_{name}": machine.folder}
    message = machine.output(SOLVE, PYTHONPATH=machine.fake_juliacall(), **variables)
    check_message(message, "only one of PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT", "set both", "unset both")


def named(machine, executable, project):
    return {
        "PYTHONPATH": machine.fake_juliacall(),
        "PYTHON_JULIACALL_EXE": executable,
        "PYTHON_JULIACALL_PROJECT": project,
    }


@pytest.mark.slow
def test_the_project_lacks_packages(machine):
    message = machine.output(SOLVE, **named(machine, "sh", machine.project(["OrdinaryDiffEq"])))
    check_message(message, "lacks ADTypes, ChainRulesCore, ", "add the packages of", "juliapkg.json")


@pytest.mark.slow
def test_the_project_does_not_exist(machine):
    message = machine.output(SOLVE, **named(machine, "sh", machine.folder / "nowhere"))
    check_message(message, "nowhere, which is not a folder", "run `python -m pydiffeqflux setup`")


@pytest.mark.slow
def test_the_executable_does_not_exist(machine):
    message = machine.output(SOLVE, **named(machine, "no-such-julia", machine.project()))
    check_message(message, "no-such-julia, which is not an executable", "run `python -m pydiffeqflux setup`")


@pytest.mark.slow
@real_juliacall
def test_the_executable_is_not_julia(machine):
    project = machine.project(version=importlib.metadata.version("juliacall"))
    variables = named(machine, "false", project)
    del variables["PYTHONPATH"]
    message = machine.output(SOLVE, **variables)
    check_message(message, "false is not a working Julia", "run `python -m pydiffeqflux doctor`")


@pytest.mark.slow
def test_juliacall_is_of_another_version(machine):
    project = machine.project(version="0.9.0")
    message = machine.output(SOLVE, **named(machine, "sh", project))
    check_message(message, "PythonCall is 0.9.0", "juliacall must be the same", "run `pip install juliacall==0.9.0`")
    write_marker(str(project), {"requirements": requirements(), "executable": "sh"})
    message = machine.output(SOLVE, PYTHONPATH=machine.fake_juliacall())
    check_message(message, "juliacall has changed since setup", "run `python -m pydiffeqflux setup` again")


@pytest.mark.slow
def test_another_version_was_set_up(machine):
    write_marker(str(machine.project()), {"requirements": requirements() | {"julia": "1.6"}, "executable": "sh"})
    message = machine.output(SOLVE, PYTHONPATH=machine.fake_juliacall())
    check_message(message, "have changed since setup", "run `python -m pydiffeqflux setup` again")


@pytest.mark.slow
def test_the_julia_that_was_set_up_is_gone(machine):
    write_marker(str(machine.project()), {"requirements": requirements(), "executable": "no-such-julia"})
    message = machine.output(SOLVE, PYTHONPATH=machine.fake_juliacall())
    check_message(message, "no-such-julia, is gone", "run `python -m pydiffeqflux setup` again")


@pytest.mark.slow
def test_the_packages_that_were_set_up_are_gone(machine):
    write_marker(str(machine.project([])), {"requirements": requirements(), "executable": "sh"})
    message = machine.output(SOLVE, PYTHONPATH=machine.fake_juliacall())
    check_message(message, "were removed", "run `python -m pydiffeqflux setup` again")


@pytest.mark.slow
def test_julia_crashes_where_torch_is_imported_first(machine):
    tested = {"requirements": requirements(), "executable": "sh", "torch_first": False}
    write_marker(str(machine.project()), tested)
    message = machine.output(SOLVE, PYTHONPATH=machine.fake_juliacall())
    assert "as setup found out; write `import juliacall` before the first import of torch" in message


@pytest.mark.slow
@pytest.mark.parametrize("tested", [True, False])
def test_an_untested_order_of_imports_warns(machine, tested):
    project = machine.project()
    if tested:
        write_marker(str(project), {"torch_first": True})
    done = machine.run(SOLVE, **named(machine, "sh", project))
    assert "Julia did not start (juliacall was imported)" in done.stdout
    assert ("JuliaWarning: torch was imported before juliacall" in done.stderr) is not tested


@pytest.mark.slow
def test_starting_leaves_the_environment_as_it_was(machine):
    write_marker(str(machine.project()), {"requirements": requirements(), "executable": "sh", "torch_first": True})
    code = "import os; before = dict(os.environ)" + SOLVE + "assert dict(os.environ) == before"
    assert "juliacall was imported" in machine.output(code, PYTHONPATH=machine.fake_juliacall())


@pytest.mark.slow
@real_juliacall
@pytest.mark.parametrize("code", [SOLVE, "from pydiffeqflux._cli import main; assert main(['setup']) == 1"])
def test_offline_without_julia_asks_no_network(machine, code):
    nothing = machine.folder / "empty"
    nothing.mkdir()
    done = machine.run(FORBID_NETWORK + code, PATH=nothing, HOME=machine.folder)
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stdout
    said = done.stdout + done.stderr
    assert "run `python -m pydiffeqflux setup`" in said or "unset PYTHON_JULIAPKG_OFFLINE" in said


@pytest.mark.slow
@real_juliacall
def test_setup_without_network_says_so(machine):
    nothing = machine.folder / "empty"
    nothing.mkdir()
    code = FORBID_NETWORK + "from pydiffeqflux._cli import main; print(main(['setup']))"
    done = machine.run(code, PATH=nothing, HOME=machine.folder, PYTHON_JULIAPKG_OFFLINE="no")
    assert done.stdout.splitlines()[-1] == "1"
    (line,) = done.stderr.splitlines()
    assert line.startswith("setup failed: Julia or its packages could not be installed")
    assert "check the network connection" in line


def test_auto_takes_the_embedded_engine_and_says_so_once(machine):
    (line,) = machine.output(AUTO, PYTHONPATH=machine.fake_juliacall()).splitlines()
    assert line.startswith("pydiffeqflux INFO engine='auto' takes the embedded engine: Julia has not been set up")


@pytest.mark.slow
def test_the_variable_decides_what_auto_takes(machine):
    (line,) = machine.output(AUTO, PYDIFFEQFLUX_ENGINE="embedded").splitlines()
    assert line.endswith("engine='auto' takes the embedded engine: PYDIFFEQFLUX_ENGINE says so")
    done = machine.run(AUTO, PYTHONPATH=machine.fake_juliacall(), PYDIFFEQFLUX_ENGINE="julia")
    assert "EngineUnavailableError: the julia engine cannot run: Julia has not been set up" in done.stderr
    done = machine.run(AUTO, PYDIFFEQFLUX_ENGINE="fortran")
    assert "InvalidOptionError: PYDIFFEQFLUX_ENGINE is 'fortran'" in done.stderr


@pytest.mark.slow
def test_importing_and_looking_start_nothing(machine):
    loaded = machine.output(
        "import json, sys, pydiffeqflux; from pydiffeqflux._engines.julia import find_installation;"
        "before = [m for m in ('juliacall', 'juliapkg') if m in sys.modules];"
        "find_installation(); print(json.dumps([before, 'juliacall' in sys.modules]))",
        PYTHONPATH=machine.fake_juliacall(),
    )
    assert json.loads(loaded) == [[], False]
