"""Puts the Julia half of the package into the wheel."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class JuliaFiles(BuildHookInterface):
    """Ships `julia/` and `juliapkg.json` inside the package, where juliapkg and the julia engine look for them.

    Not in editable installs: those use the checkout, and a copy made at installation would contradict it later.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            paths = ("juliapkg.json", "julia/Project.toml", "julia/README.md", "julia/src", "julia/ext")
            build_data["force_include"] |= {path: f"pydiffeqflux/{path}" for path in paths}
