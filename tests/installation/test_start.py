import pytest

from pydiffeqflux._cli._self_test import self_test
from pydiffeqflux._engines.julia._installation import requirements, write_marker

pytestmark = pytest.mark.julia

SOLVE = """
import pydiffeqflux as de
def solve(**options):
    return de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)), de.Tsit5(), **options)
"""


@pytest.mark.parametrize("first", ["torch", "juliacall"])
def test_both_orders_of_import_work_here(julia, first):
    result = self_test("julia", first, julia)
    assert result.problem == ""
    assert result.julia_version
    assert list(result.seconds)[-1] == "second gradient"


def test_a_julia_that_runs_already_is_used_and_stays_usable(machine, julia, copied_project):
    # the marker says that torch must not come first, and here it does not
    write_marker(str(copied_project), {"torch_first": False})
    code = "import juliacall; juliacall.Main.seval('answer = 42')" + SOLVE + "print(solve(engine='julia').engine);"
    code += "print(juliacall.Main.answer, juliacall.Main.seval('isdefined(Main, :PyDiffEqFlux)'))"
    variables = julia | {"PYTHON_JULIACALL_PROJECT": copied_project}
    assert machine.output(code, **variables).split() == ["julia", "42", "False"]


def test_what_juliapkg_set_up_is_used_as_it_was_tested(machine, julia, copied_project):
    tested = {"requirements": requirements(), "executable": julia["PYTHON_JULIACALL_EXE"], "torch_first": True}
    write_marker(str(copied_project), tested)
    code = SOLVE + "print(solve(engine='auto').engine)"
    assert machine.output(code, PYTHON_JULIAPKG_PROJECT=copied_project) == "julia"
    assert not (copied_project / "pyjuliapkg").exists()  # juliapkg has not been asked to resolve anything


def test_a_fork_is_noticed(machine, julia):
    code = SOLVE + (
        "solve(engine='julia')\n"
        "import os, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "if os.fork() == 0:\n"
        "    try:\n"
        "        solve(engine='julia')\n"
        "    except de.EngineUnavailableError as error:\n"
        "        print(error, solve(engine='embedded').engine, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(solve(engine='julia').engine)\n"
    )
    child, parent = machine.output(code, **julia).splitlines()
    assert "forked after Julia had started" in child
    assert child.endswith("embedded")
    assert parent == "julia"
