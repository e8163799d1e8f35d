import subprocess
import sys


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_import_and_solve_load_no_optional_dependency():
    heavy = ["juliacall", "juliapkg", "matplotlib", "scipy", "jax"]
    loaded = run(
        "import sys, pydiffeqflux as de;"
        f"print(*[m for m in {heavy} if m in sys.modules]);"
        "de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)));"
        f"print(*[m for m in {heavy} if m in sys.modules])"
    )
    assert loaded == []


def test_every_public_name_is_importable():
    names = run("import pydiffeqflux as de; print(*[n for n in dir(de) if not n.startswith('_')])")
    assert {"ODEProblem", "solve", "remake", "Tsit5", "Rodas5P", "GaussAdjoint", "NeuralODE", "ReturnCode"} <= set(
        names
    )
