"""A neural SDE of the lynx and hare record, for `demo.py`."""

import torch
from hudson_bay import Record
from torch import Tensor, nn
from torch.distributions import Normal

import pydiffeqflux as de

DT = 0.1
"""The step size of Euler-Maruyama, in years."""


class Constant(nn.Module):
    """A diffusion that is the same everywhere: the noise is additive in logarithms."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.log_size = nn.Parameter(start.log())

    def forward(self, u: Tensor) -> Tensor:
        return self.log_size.exp().expand_as(u)


class YearlySDE(nn.Module):
    """The logarithms of the populations as an SDE whose drift is a network.

    Arguments:
        record: the years that it sees.
    """

    def __init__(self, record: Record) -> None:
        super().__init__()
        log_pelts = record.log_pelts
        self.mean, self.std = log_pelts.mean(0), log_pelts.std(0)
        drift = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        diffusion = Constant(log_pelts.diff(dim=0).std(0) / self.std)
        self.year = de.NeuralDSDE(drift, diffusion, (0.0, 1.0), de.EM(), dt=DT, saveat=[1.0])

    def log_density(self, log_pelts: Tensor, *, paths: int, seed: int) -> Tensor:
        """The mean over the years of the log density of a record given the one before.

        Of normal distributions that have the means and the variances of many paths.
        """
        records = (log_pelts - self.mean) / self.std
        ends = self.year(records[:-1].unsqueeze(1).expand(-1, paths, 2), seed=seed).u[-1]
        return (Normal(ends.mean(1), ends.std(1)).log_prob(records[1:]) - self.std.log()).sum(-1).mean()

    def simulate(self, record: Record, *, paths: int) -> Tensor:
        """Populations in thousand pelts, `(T, paths, 2)`, from the first year on."""
        u = ((record.log_pelts[0] - self.mean) / self.std).expand(paths, 2)
        states = [u]
        with torch.no_grad():
            for year in range(1, len(record)):
                states.append(self.year(states[-1], seed=year).u[-1])
        return (torch.stack(states) * self.std + self.mean).exp()
