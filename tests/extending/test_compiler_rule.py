"""The page on compiler rules says what happens."""

import doctest
from pathlib import Path

import pytest

from pydiffeqflux._engines.julia.compiler._rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "extending" / "compiler_rule.md"


@pytest.fixture
def _rules_of_the_page(monkeypatch):
    before = dict(RULES)
    yield
    for name in RULES.keys() - before.keys():
        del RULES[name]


@pytest.mark.usefixtures("_rules_of_the_page")
def test_the_page():
    found = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert found.attempted > 10
    assert found.failed == 0
