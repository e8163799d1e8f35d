"""The table of the README is the one that the code makes."""

from pathlib import Path

from pydiffeqflux._engines.julia._support import SENSEALGS, support_matrix

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_the_support_matrix():
    assert support_matrix() in README.read_text(encoding="utf-8")


def test_every_sensealg_has_a_row():
    matrix = support_matrix()
    assert all(f"`{cls.__name__}`" in matrix for cls in SENSEALGS)
