import os
import time

import pytest
import torch
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
# so that the tests of the embedded engine test that one on a machine with Julia too; those of Julia say engine="julia"
os.environ.setdefault("PYDIFFEQFLUX_ENGINE", "embedded")
# so that an error of ours fails a test where it would only make a solve slower
os.environ.setdefault("PYDIFFEQFLUX_DEBUG", "1")
torch.set_num_threads(1)  # the tensors here are small: more threads cost more than they bring

settings.register_profile("pydiffeqflux", deadline=None, derandomize=True, database=None, max_examples=20)
settings.load_profile("pydiffeqflux")


# how long slow tests are begun: where they must end in time, those that are left are skipped, and say so
SECONDS = float(os.environ.get("PYDIFFEQFLUX_TEST_SECONDS", "inf"))
START = time.monotonic()


def pytest_runtest_setup(item):
    if item.get_closest_marker("slow") and time.monotonic() - START > SECONDS:
        pytest.skip(f"no slow tests are begun after {SECONDS:.0f} s, as PYDIFFEQFLUX_TEST_SECONDS says")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    needing_julia = [item for item in items if item.get_closest_marker("julia")]
    if needing_julia:
        from pydiffeqflux._engines.julia import find_installation

        problem = find_installation().problem
        if problem:
            for item in needing_julia:
                item.add_marker(pytest.mark.skip(reason=problem))
