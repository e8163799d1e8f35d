"""The arguments of the command line."""

import argparse
from collections.abc import Sequence

from ._doctor import doctor
from ._setup import setup


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pydiffeqflux", description="Julia for pydiffeqflux: set it up, or see what is there."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    said = "say what is installed and which engine will run, and test both engines"
    doctor_parser = commands.add_parser("doctor", help=said, description=said)
    doctor_parser.add_argument("--no-self-test", action="store_true", help="only look, solve nothing")
    said = "install and compile what the julia engine needs, and test it; safe to repeat"
    commands.add_parser("setup", help=said, description=said)
    options = parser.parse_args(arguments)
    if options.command == "setup":
        return setup()
    return doctor(self_test=not options.no_self_test)
