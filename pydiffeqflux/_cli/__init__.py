"""The command line: `python -m pydiffeqflux doctor` and `setup`."""

from ._main import main as main
