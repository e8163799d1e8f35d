"""A latent SDE learns the stochastic Lorenz attractor from short records, after Li, Wong, Chen, Duvenaud 2020.

Four hidden states move by an SDE whose drift is steered by an encoding of the record (the posterior), and what is said
of them without a record is another drift (the prior) with the same diffusion. The loss weighs how well the record is
decoded against the relative entropy of the two, which `with_path_kl` carries along as one more column of the state.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from tqdm import tqdm

import pydiffeqflux as de

LATENT, CONTEXT, HIDDEN = 4, 16, 32
RECORDS, BATCH = 256, 64
TIMES = torch.linspace(0.0, 2.0, 41)
DT = 0.025
NOISE = 0.05
"""Standard deviation of the errors of the data, which have unit variance."""


def lorenz_records(count: int, seed: int) -> Tensor:
    """Records of the Lorenz attractor with multiplicative noise, `(T, count, 3)`, normalised."""

    def f(u: Tensor, p: None, t: Tensor) -> Tensor:
        x, y, z = u.unbind(-1)
        return torch.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z], dim=-1)

    def g(u: Tensor, p: None, t: Tensor) -> Tensor:
        return u * torch.tensor([0.1, 0.28, 0.3])

    u0 = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    u = de.solve(de.SDEProblem(f, g, u0, (0.0, 2.0), seed=seed), de.SOSRI(), dt=0.0025, adaptive=False, saveat=TIMES).u
    return (u - u.mean(dim=(0, 1))) / u.std(dim=(0, 1))


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with Softplus between them."""
    layers: list[nn.Module] = []
    for i, o in pairwise(sizes):
        layers += [nn.Linear(i, o), nn.Softplus()]
    return nn.Sequential(*layers[:-1])


class LatentSDE(nn.Module):
    """Encoder, two drifts with one diffusion, and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(3, HIDDEN)
        self.to_context = nn.Linear(HIDDEN, CONTEXT)
        self.to_start = nn.Linear(CONTEXT, 2 * LATENT)
        self.posterior = mlp(LATENT + CONTEXT, HIDDEN, HIDDEN, LATENT)
        self.prior = mlp(LATENT, HIDDEN, HIDDEN, LATENT)
        self.diffusions = nn.ModuleList(nn.Sequential(mlp(1, HIDDEN, 1), nn.Sigmoid()) for _ in range(LATENT))
        self.decoder = nn.Linear(LATENT, 3)
        self.start_mean = nn.Parameter(torch.zeros(LATENT))
        self.start_log_std = nn.Parameter(torch.zeros(LATENT))

    def g(self, u: Tensor, p: None, t: Tensor) -> Tensor:
        """The diffusion, one network for each hidden state."""
        return torch.cat([net(u[..., i : i + 1]) for i, net in enumerate(self.diffusions)], dim=-1) + 1e-3

    def h(self, u: Tensor, p: None, t: Tensor) -> Tensor:
        """The drift of the prior."""
        return self.prior(u)

    def forward(self, records: Tensor) -> tuple[Tensor, Tensor]:
        """The decoded posterior, `(T, count, 3)`, and for each record its relative entropy to the prior."""
        backwards, _ = self.encoder(records.flip(0))
        context = self.to_context(backwards.flip(0))
        mean, log_std = self.to_start(context[0]).chunk(2, dim=-1)
        start = Normal(mean, log_std.exp())
        interval = TIMES[1] - TIMES[0]

        def f(u: Tensor, p: None, t: Tensor) -> Tensor:
            # from one time of the record to the next the drift is told what comes at its end
            i = (t / interval + 1e-3).floor().long().clamp(0, len(TIMES) - 2) + 1
            return self.posterior(torch.cat([u, context.index_select(0, i.view(1)).squeeze(0)], dim=-1))

        u0 = torch.cat([start.rsample(), mean.new_zeros(len(mean), 1)], dim=-1)
        prob = de.SDEProblem(*de.with_path_kl(f, self.h, self.g), u0, (0.0, 2.0))
        u = de.solve(prob, de.EM(), dt=DT, saveat=TIMES).u
        prior_start = Normal(self.start_mean, self.start_log_std.exp())
        return self.decoder(u[..., :-1]), u[-1, :, -1] + kl_divergence(start, prior_start).sum(-1)

    def sample(self, count: int) -> Tensor:
        """Records that the prior makes up."""
        z0 = self.start_mean + self.start_log_std.exp() * torch.randn(count, LATENT)
        return self.decoder(de.solve(de.SDEProblem(self.h, self.g, z0, (0.0, 2.0)), de.EM(), dt=DT, saveat=TIMES).u)


def main() -> None:
    """Make the records, train, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=600)
    iterations = parser.parse_args().iterations
    torch.manual_seed(0)
    records = lorenz_records(RECORDS, seed=0)
    observed = records + NOISE * torch.randn_like(records)
    model = LatentSDE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    losses: list[float] = []
    start = time.perf_counter()
    with tqdm(range(iterations), desc="latent SDE", unit="step", mininterval=0.5) as bar:
        for step in bar:
            batch = observed[:, torch.randperm(RECORDS)[:BATCH]]
            optimizer.zero_grad()
            decoded, kl = model(batch)
            likelihood = Normal(decoded, NOISE).log_prob(batch).sum(dim=(0, 2)).mean()
            loss = min(1.0, (step + 1) / (0.3 * iterations)) * kl.mean() - likelihood
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1e4)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.0f}", refresh=False)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        decoded, kl = model(observed)
        prior = model.sample(RECORDS)
    error = (decoded - records).square().mean().sqrt().item()
    print(f"loss {losses[0]:.0f} before, {losses[-1]:.0f} after {iterations} iterations ", end="")
    print(f"({1e3 * seconds / iterations:.0f} ms each)")
    print(f"the posterior decodes the records with errors of {error:.2f} of their standard deviation,")
    print(f"{kl.mean().item():.0f} nats from the prior, whose records have standard deviation {prior.std().item():.2f}")
    print(f"figure: {plot(records, decoded, prior)}")


def plot(records: Tensor, decoded: Tensor, prior: Tensor) -> Path:
    """Some records with what the posterior makes of them, and as many of the prior's own."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 6), layout="constrained", sharex=True, sharey="col")
    for i, ax in enumerate(axes[0]):
        for k in range(4):
            ax.plot(TIMES, records[:, k, i], ".", color=f"C{k}", ms=3, label="record" if k == 0 else None)
            ax.plot(TIMES, decoded[:, k, i], color=f"C{k}", lw=1, label="posterior" if k == 0 else None)
        ax.set_title("xyz"[i])
    for i, ax in enumerate(axes[1]):
        ax.plot(TIMES, prior[:, :12, i], color="black", lw=0.7, alpha=0.6)
        ax.set_xlabel("t")
    axes[0, 0].legend(loc="upper right")
    axes[0, 0].set_ylabel("records and posterior")
    axes[1, 0].set_ylabel("samples of the prior")
    Path("figures").mkdir(exist_ok=True)
    path = Path("figures/latent_sde.png")
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    main()
