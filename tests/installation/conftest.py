import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pydiffeqflux._engines.julia import find_installation
from pydiffeqflux._engines.julia._installation import needed_packages


@dataclass(frozen=True)
class Machine:
    """Runs Python programs as on a machine where nobody has set up anything."""

    folder: Path

    def run(self, code, **variables):
        """The finished process of a program, in an environment without our variables but with these."""
        ours = ("PYTHON_JULIA", "PYDIFFEQFLUX", "JULIA_PROJECT")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment["PYTHON_JULIAPKG_PROJECT"] = str(self.folder / "julia_env")
        environment["PYTHON_JULIAPKG_OFFLINE"] = "yes"
        environment |= {name: str(value) for name, value in variables.items()}
        # outside of the checkout, which Python would otherwise prefer to what is installed
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=elsewhere)

    def output(self, code, **variables):
        """What a program printed; it must succeed."""
        done = self.run(code, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def fake_juliacall(self):
        """A folder for PYTHONPATH with a juliacall that may be found, but not imported."""
        path = self.folder / "fakes"
        for name, content in {
            "juliacall/__init__.py": "raise RuntimeError('juliacall was imported')",
            "juliacall-1.0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: juliacall\nVersion: 1.0.0\n",
            "juliapkg/__init__.py": "",
            "juliapkg/state.py": "import os; STATE = {'project': os.environ['PYTHON_JULIAPKG_PROJECT']}",
        }.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return path

    def project(self, packages=None, version="1.0.0"):
        """A Julia project whose manifest holds these packages, else all that are needed, in one version."""
        path = self.folder / "julia_env"
        path.mkdir()
        names = needed_packages() if packages is None else packages
        (path / "Manifest.toml").write_text("".join(f"[[deps.{name}]]\nversion = '{version}'\n" for name in names))
        return path


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def julia():
    """The variables that name the Julia of this machine."""
    found = find_installation()
    return {"PYTHON_JULIACALL_EXE": found.executable, "PYTHON_JULIACALL_PROJECT": found.project}


@pytest.fixture
def copied_project(julia, tmp_path):
    """A copy of the Julia project, in which setup may leave what it likes."""
    path = tmp_path / "copy"
    path.mkdir()
    for file in Path(julia["PYTHON_JULIACALL_PROJECT"]).glob("*.toml"):
        shutil.copy(file, path)
    return path
