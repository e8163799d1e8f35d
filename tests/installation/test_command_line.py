import pytest

from pydiffeqflux._cli import main

MAIN = "import sys; from pydiffeqflux._cli import main; sys.exit(main({}))"


def test_a_command_is_needed(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "doctor" in capsys.readouterr().err


@pytest.mark.slow
def test_doctor_tests_the_embedded_engine_where_there_is_no_julia(machine):
    done = machine.run(MAIN.format(["doctor"]), PYTHONPATH=machine.fake_juliacall())
    assert done.returncode == 0, done.stderr
    assert "engine='auto' takes embedded: Julia has not been set up" in done.stdout
    assert "second gradient" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_doctor_finds_what_is_set_up_wrongly(machine):
    command = MAIN.format(["doctor", "--no-self-test"])
    variables = {"PYTHONPATH": machine.fake_juliacall(), "PYTHON_JULIACALL_EXE": "no-such-julia"}
    done = machine.run(command, **variables)
    assert done.returncode == 1
    assert "only one of PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT is set" in done.stdout
    assert machine.run(command, PYDIFFEQFLUX_ENGINE="fortran").returncode == 1


@pytest.mark.slow
def test_doctor_misses_the_engine_that_was_asked_for(machine):
    variables = {"PYTHONPATH": machine.fake_juliacall(), "PYDIFFEQFLUX_ENGINE": "julia"}
    assert machine.run(MAIN.format(["doctor", "--no-self-test"]), **variables).returncode == 1


@pytest.mark.slow
def test_setup_does_not_touch_a_project_that_lacks_packages(machine):
    project = machine.project([])
    before = sorted(project.iterdir())
    done = machine.run(
        MAIN.format(["setup"]),
        PYTHONPATH=machine.fake_juliacall(),
        PYTHON_JULIACALL_EXE="sh",
        PYTHON_JULIACALL_PROJECT=project,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"setup failed: the Julia project {project} lacks ADTypes")
    assert sorted(project.iterdir()) == before


@pytest.mark.julia
@pytest.mark.slow
def test_setup_compiles_tests_and_remembers(machine, copied_project, julia):
    variables = julia | {"PYTHON_JULIACALL_PROJECT": copied_project}
    done = machine.run(MAIN.format(["setup"]), **variables)
    assert done.returncode == 0, done.stderr
    assert "torch imported first: imports" in done.stdout
    assert "juliacall imported first: imports" in done.stdout
    done = machine.run(MAIN.format(["doctor"]), **variables)
    assert done.returncode == 0, done.stdout
    assert "torch imported first works, juliacall imported first works" in done.stdout
    assert "engine='auto' takes julia: Julia is set up" in done.stdout
    assert "FAILED" not in done.stdout
