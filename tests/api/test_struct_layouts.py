"""The structs that cross to Julia by address are declared alike on both sides."""

import re
from pathlib import Path

import pytest

import pydiffeqflux as de
from pydiffeqflux._engines.julia import _bridge
from pydiffeqflux._engines.julia._arguments import CROSSING, first_difference, layouts

SOURCES = Path(__file__).parents[2] / "julia/src"
SIZES = {"Int64": 8, "UInt64": 8, "Float64": 8}


def in_julia():
    """What `layouts()` says there, from its source; its fields are all of eight bytes."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.jl")))
    order = re.search(r"const CROSSING = \((.*?)\)", code, flags=re.DOTALL)[1].split(", ")
    result = []
    for name in order:
        body = re.search(rf"^struct {name}\n(.*?)^end", code, flags=re.DOTALL | re.MULTILINE)[1]
        fields = re.findall(r"^    (\w+)::(\w+)$", body, flags=re.MULTILINE)
        assert {kind for _, kind in fields} <= set(SIZES)
        offsets = ",".join(f"{field}={8 * i}" for i, (field, _) in enumerate(fields))
        result.append(f"{name}:{8 * len(fields)}:{offsets}")
    return ";".join(result)


def test_both_sides_declare_the_same():
    assert layouts() == in_julia()
    assert first_difference(in_julia()) == ""


@pytest.mark.parametrize("struct", CROSSING, ids=lambda struct: struct.__name__)
def test_a_difference_is_named(struct):
    size = f"{struct.__name__}:"
    changed = layouts().replace(size, f"{size}9")
    assert first_difference(changed).startswith(f"{size}9")
    with pytest.raises(de.EngineUnavailableError, match=rf"another version.*{struct.__name__}:9"):
        _bridge._check_layouts(changed)


def test_a_struct_too_few_is_a_difference():
    assert first_difference(layouts().rpartition(";")[0]) == f"{len(CROSSING) - 1} structs for {len(CROSSING)}"


@pytest.mark.julia
def test_julia_says_so_itself():
    assert _bridge.start().call("layouts") == layouts()
