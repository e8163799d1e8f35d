"""The page on compiler rules says what happens."""

import pytest
from pages import run_page

from pydiffeqflux._engines.julia.compiler._rules import RULES


@pytest.fixture
def _rules_of_the_page(monkeypatch):
    before = dict(RULES)
    yield
    for name in RULES.keys() - before.keys():
        del RULES[name]


@pytest.mark.usefixtures("_rules_of_the_page")
def test_the_page():
    found = run_page("extending/compiler_rule.md")
    assert found.attempted > 10
    assert found.failed == 0
