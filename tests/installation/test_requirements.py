import importlib.util
import json
import tomllib
from pathlib import Path

import pytest

from pydiffeqflux._engines.julia._installation import package_directory, requirements, requirements_file

CHECKOUT = Path(__file__).parents[2]
NOT_REGISTERED = {"LinearAlgebra", "Logging"}
LATER = {"DelayDiffEq"}  # for problems to come
ON_DEMAND = {"Lux", "ComponentArrays", "DiffEqFlux"}  # for to_lux, which loads what it needs when it is called


def project():
    return tomllib.loads((CHECKOUT / "julia" / "Project.toml").read_text())


def test_the_files_of_the_checkout_are_found():
    assert package_directory() == CHECKOUT / "julia"
    assert requirements_file() == CHECKOUT / "juliapkg.json"


def test_juliapkg_asks_for_what_the_julia_package_depends_on():
    wanted = {name: package["uuid"] for name, package in requirements()["packages"].items()}
    deps = {name: uuid for name, uuid in project()["deps"].items() if name not in NOT_REGISTERED}
    assert wanted.items() >= deps.items()
    extending = project()["weakdeps"]
    assert wanted.items() >= extending.items()
    assert wanted.keys() - deps.keys() - extending.keys() <= LATER | ON_DEMAND


def test_juliapkg_asks_for_the_versions_of_the_julia_package():
    compat = project()["compat"]
    for name, package in requirements()["packages"].items():
        assert package["version"] == compat.get(name, package["version"]), name
    assert requirements()["julia"].startswith(compat["julia"])


def test_every_package_is_pinned():
    assert all(package.keys() == {"uuid", "version"} for package in requirements()["packages"].values())


@pytest.mark.skipif(importlib.util.find_spec("juliapkg") is None, reason="juliapkg is not installed")
def test_juliapkg_finds_the_file_and_reads_its_versions(machine):
    found = machine.output(
        "import json, pydiffeqflux, juliapkg.deps, juliapkg.compat as c;"
        "files = [f for f in juliapkg.deps.deps_files() if 'SciMLSensitivity' in open(f).read()];"
        "parse = lambda text: str(c.Compat.parse(text));"
        "wanted = json.load(open(files[0]));"
        "print(json.dumps([files, parse(wanted['julia']), parse(wanted['packages']['OrdinaryDiffEq']['version'])]))"
    )
    files, julia, ordinary = json.loads(found)
    assert str(CHECKOUT / "juliapkg.json") in files
    assert (julia, ordinary) == ("^1.10.3", "^7")
