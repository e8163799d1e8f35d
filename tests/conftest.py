import os

import pytest
import torch
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
torch.set_num_threads(1)  # the tensors here are small: more threads cost more than they bring

settings.register_profile("pydiffeqflux", deadline=None, derandomize=True, database=None, max_examples=20)
settings.load_profile("pydiffeqflux")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
