import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("engine", ["embedded", pytest.param("julia", marks=pytest.mark.julia)])
def test_the_code_of_the_readme_runs(engine, capsys, monkeypatch):
    monkeypatch.setenv("PYDIFFEQFLUX_ENGINE", engine)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope = {}
    exec(code, scope)
    assert scope["p"].grad.abs().sum() > 0
    assert all(q.grad.abs().sum() > 0 for q in scope["network"].parameters())
    assert "BacksolveAdjoint" in capsys.readouterr().out
