"""Pages of the documentation, run as a reader would type them."""

import doctest
import sys
import types
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def run_page(path, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
    """How many examples a page has, and how many of them fail; `path` is relative to the folder of the pages."""
    name = f"page_{Path(path).stem}"
    # functions that are made on the page have the globals of a module, as those of a user have
    page = sys.modules[name] = types.ModuleType(name)
    try:
        examples = doctest.DocTestParser().get_doctest((DOCS / path).read_text(), {}, name, str(path), 0)
        examples.globs = vars(page)
        return doctest.DocTestRunner(optionflags=optionflags).run(examples, clear_globs=False)
    finally:
        del sys.modules[name]
