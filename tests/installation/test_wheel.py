import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True)
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_carries_the_julia_half(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    folders = (CHECKOUT / "julia" / name for name in ("src", "ext"))
    sources = {f"pydiffeqflux/julia/{folder.name}/{path.name}" for folder in folders for path in folder.glob("*.jl")}
    assert {"pydiffeqflux/juliapkg.json", "pydiffeqflux/julia/Project.toml"} | sources <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pydiffeqflux"}
    assert not [name for name in names if "Manifest" in name or "/test/" in name or "__pycache__" in name]


def test_an_installed_wheel_finds_its_own_files(installed, machine):
    found = machine.output(
        "import json, pydiffeqflux; from pydiffeqflux._engines.julia import _installation as i;"
        "print(json.dumps([str(i.package_directory()), str(i.requirements_file()), len(i.requirements()['packages']),"
        "i.find_installation().problem]))",
        PYTHONPATH=os.pathsep.join((str(installed), str(machine.fake_juliacall()))),
    )
    package = installed / "pydiffeqflux"
    directory, file, count, problem = json.loads(found)
    assert (directory, file) == (str(package / "julia"), str(package / "juliapkg.json"))
    assert count > 20
    assert "has not been set up" in problem


@pytest.mark.julia
def test_an_installed_wheel_solves_on_julia(installed, machine, julia, tmp_path):
    ours, theirs = CHECKOUT / "julia", installed / "pydiffeqflux" / "julia"
    assert contents(theirs / "src") == contents(ours / "src")
    # the same files at another place would be compiled again, for minutes
    theirs.rename(tmp_path / "julia")
    theirs.symlink_to(ours, target_is_directory=True)
    code = (
        "import pydiffeqflux as de; print(de.__file__);"
        "print(de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)), de.Tsit5(), engine='julia').engine)"
    )
    file, engine = machine.output(code, PYTHONPATH=installed, **julia).splitlines()
    assert Path(file).parent == installed / "pydiffeqflux"
    assert engine == "julia"
