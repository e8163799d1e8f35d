"""No bridge: the torch call that the others reach through one."""

from collections.abc import Iterator

import torch
from _bridge import Measurement, network_problems, repeated
from _problems import Problem
from _rows import Run
from _torch_systems import torch_system


def measurements() -> Iterator[Measurement]:
    """All of them."""
    for group, problem in network_problems().items():
        yield group, "torch alone", lambda problem=problem: _evaluation(problem)


def _evaluation(problem: Problem) -> Run:
    system = torch_system(problem, "float64", gradient=False)
    run = repeated(lambda: system.f(system.u0, None), 100)
    return Run(torch.no_grad()(run.call), run.read, run.count)
