"""A century-old predator-prey record, fitted without and with a neural network.

Run it from anywhere; it writes its figures to `figures/` in the current directory:

    python examples/demo.py
"""

import copy
import time
from pathlib import Path

import B5_mackey_glass
import demo_figures
import torch
from hudson_bay import LotkaVolterra, Model, Record, UniversalLotkaVolterra, adam, lbfgs, log_error
from hudson_bay_noise import YearlySDE
from torch import nn
from tqdm import tqdm

import pydiffeqflux as de

TRAINED = 16
"""Years that the models see, 1900 to 1915; the five after them are held out."""

GUESS = (0.5, 0.02, 0.5, 0.02)
"""A first guess of a, b, c, d: a period of about ten years and populations of about 25."""


def main() -> None:
    """Run all parts."""
    start = time.perf_counter()
    torch.manual_seed(0)
    first_look()
    record = Record.load()
    train = record.first(TRAINED)
    mechanistic, stages = fit_lotka_volterra(record)
    universal, curve = fit_universal(mechanistic, train)
    report(record, mechanistic, universal)
    figures = [compare_adjoints(record)]
    models = {"Lotka-Volterra": mechanistic, "Lotka-Volterra + network": universal}
    figures += [
        demo_figures.fits(record, TRAINED, models),
        demo_figures.phase_portrait(record, TRAINED, models),
        demo_figures.losses(stages, curve, list(models)),
        fit_neural_sde(record),
        learn_delay(),
    ]
    print("\nFigures: " + ", ".join(map(str, figures)))
    print(f"Total time: {time.perf_counter() - start:.0f} s")


def robertson(u: torch.Tensor, k: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Three chemical reactions whose speeds differ by nine orders of magnitude."""
    a, b, c = u.unbind(-1)
    slow, fast, medium = k[0] * a, k[1] * b * b, k[2] * b * c
    return torch.stack([medium - slow, slow - medium - fast, fast], dim=-1)


def first_look() -> None:
    """Solve a stiff problem and differentiate the result."""
    print("1. A first look: Robertson's stiff reactions")
    k = torch.tensor([0.04, 3e7, 1e4], dtype=torch.float64, requires_grad=True)
    u0 = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    start = time.perf_counter()
    sol = de.solve(de.ODEProblem(robertson, u0, (0.0, 1e5), k), abstol=1e-9, reltol=1e-6)
    solved = time.perf_counter()
    (gradient,) = torch.autograd.grad(sol.u[-1, 0], k)
    print(f"   solve(prob) chose {sol.alg} and took {sol.stats.naccept} steps to t = 1e5, {len(sol.t)} saved.")
    print(f"   u(1e5) = {_numbers(sol.u[-1], '.6g')}, sum {sol.u[-1].sum().item():.9f}.")
    print(f"   {type(sol.sensealg).__name__} gives ∂u₁/∂k = {_numbers(gradient, '.4g')}.")
    print(f"   Solve {solved - start:.2f} s, gradient {time.perf_counter() - solved:.2f} s.")


def fit_lotka_volterra(record: Record) -> tuple[Model, list[tuple[str, list[float]]]]:
    """Fit four rates and two starting populations on a growing window, then polish."""
    print("\n2. Lotka-Volterra, fitted to the pelts of 1900-1915 (16 years, 32 numbers, 6 unknowns)")
    train = record.first(TRAINED)
    model = Model(LotkaVolterra(*GUESS), train.log_pelts[0])
    print(f"   The guess a, b, c, d = {', '.join(map(str, GUESS))} has loss {model.loss(train).item():.3f}.")
    stages: list[tuple[str, list[float]]] = []
    with tqdm(total=220, desc="   Adam, growing window", unit="step", mininterval=0.5) as bar:
        for count, iterations in ((6, 60), (11, 60), (TRAINED, 100)):
            values: list[float] = []
            for loss in adam(model, train.first(count), iterations, lr=0.05):
                values.append(loss)
                bar.set_postfix(loss=f"{loss:.4f}", until=1899 + count, refresh=False)
                bar.update()
            stages.append((f"Adam, 1900-{1899 + count}", values))
    stages.append(("LBFGS, 1900-1915", lbfgs(model, train, iterations=40)))
    final = stages[-1][1][-1]
    print(f"   Loss {final:.4f} after {sum(len(values) for _, values in stages)} gradients: errors of about ", end="")
    print(f"{100 * final**0.5:.0f} % of the pelts.\n")
    whole = copy.deepcopy(model)
    lbfgs(whole, record, iterations=40)
    rows = {
        "": ("a", "b", "c", "d", "hare 1900", "lynx 1900"),
        "units": ("1/yr", "1/(yr k)", "1/yr", "1/(yr k)", "k pelts", "k pelts"),
        "fit 1900-1915": _estimates(model),
        "fit 1900-1920": _estimates(whole),
        "Howard 2009": ("0.481", "0.0248", "0.927", "0.0276", "34.9", "3.86"),
        "Carpenter 2018": ("0.55", "0.028", "0.80", "0.024", "34", "5.9"),
    }
    for name, cells in rows.items():
        print(f"   {name:15}" + "".join(f"{cell:>11}" for cell in cells))
    print("   The published fits use 1900-1920. Howard fits the pelts, Carpenter, as here, their logarithms;")
    print("   the fit to 1900-1920 is shown for this comparison only.")
    return model, stages


def fit_universal(mechanistic: Model, train: Record) -> tuple[Model, list[float]]:
    """Add a network to the fitted mechanism and train both."""
    assert isinstance(mechanistic.dynamics, LotkaVolterra)
    model = Model(UniversalLotkaVolterra(mechanistic.dynamics, train), mechanistic.log_start)
    size = sum(q.numel() for q in model.parameters())
    print(f"\n3. A universal differential equation: the same model plus a 2-8-2 network, {size} unknowns, same years")
    curve: list[float] = []
    with tqdm(total=400, desc="   Adam", unit="step", mininterval=0.5) as bar:
        for loss in adam(model, train, 400, lr=0.01, weight=1e-2):
            curve.append(loss)
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update()
    return model, curve


def report(record: Record, mechanistic: Model, universal: Model) -> None:
    """Training and held-out errors, next to two predictions that need no model."""
    seen, unseen = record.log_pelts[:TRAINED], record.log_pelts[TRAINED:]
    print(f"   {'':34}{'1900-1915':>12}{'1916-1920, held out':>22}")
    errors = []
    for name, model in (("Lotka-Volterra", mechanistic), ("Lotka-Volterra + network", universal)):
        error = (model.predict(record.years).log() - record.log_pelts) ** 2
        errors.append((error[:TRAINED].mean().item(), error[TRAINED:].mean().item()))
        print(f"   {name:34}{errors[-1][0]:12.4f}{errors[-1][1]:22.4f}")
    mean = ((seen.mean(0) - unseen) ** 2).mean().item()
    decade = ((record.log_pelts[TRAINED - 10 : -10] - unseen) ** 2).mean().item()
    print(f"   {'mean of the training years':34}{seen.var(0, correction=0).mean().item():12.4f}{mean:22.4f}")
    print(f"   {'ten years earlier':34}{'':12}{decade:22.4f}")
    gain = errors[0][0] / errors[1][0]
    change = errors[1][1] / errors[0][1]
    print(f"   The network divides the loss of the training years by {gain:.1f}", end=" ")
    print(f"and multiplies that of the held-out years by {change:.1f}.")
    if change > 1:
        unknowns = sum(q.numel() for q in universal.parameters())
        print(f"   That is overfitting: {seen.numel()} numbers do not determine {unknowns} unknowns.")


def compare_adjoints(record: Record) -> Path:
    """Compute the gradient of the universal model's loss with every method, before any fit (it is large there)."""
    dynamics = UniversalLotkaVolterra(LotkaVolterra(*GUESS), record)
    nn.init.normal_(dynamics.last.weight, std=0.1)
    model = Model(dynamics, record.log_pelts[0])
    print("\n4. The gradient of the universal model's loss, before any fit, by every method, tolerances 1e-8")
    comparison = de.compare_sensealgs(
        model.problem(float(record.years[-1])),
        None,
        lambda sol: log_error(sol, record),
        saveat=record.years,
        abstol=1e-8,
        reltol=1e-8,
    )
    print("   " + str(comparison).replace("\n", "\n   "))
    return demo_figures.adjoints(comparison)


def fit_neural_sde(record: Record) -> Path:
    """Learn what the populations do from one year to the next, with its noise."""
    layer = YearlySDE(record.first(TRAINED))
    size = sum(q.numel() for q in layer.parameters())
    print(f"\n5. A neural SDE of the same years: {size} unknowns, fitted by the likelihood of each year")
    seen, unseen = record.first(TRAINED).log_pelts, record.log_pelts[TRAINED - 1 :]
    change = seen.diff(dim=0)
    walk = torch.distributions.Normal(change.mean(0), change.std(0))
    # 15 years determine little: without the decay the years that are held out become very unlikely
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.02, weight_decay=1.0)
    with tqdm(total=150, desc="   AdamW", unit="step", mininterval=0.5) as bar:
        for step in range(150):
            optimizer.zero_grad()
            density = layer.log_density(seen, paths=32, seed=step)
            (-density).backward()
            optimizer.step()
            bar.set_postfix(density=f"{density.item():.3f}", refresh=False)
            bar.update()
    print(f"   {'mean log density of a year':34}{'1901-1915':>12}{'1916-1920, held out':>22}")
    with torch.no_grad():
        densities = [layer.log_density(part, paths=2000, seed=0).item() for part in (seen, unseen)]
    print(f"   {'neural SDE':34}{densities[0]:12.3f}{densities[1]:22.3f}")
    densities = [walk.log_prob(part.diff(dim=0)).sum(-1).mean().item() for part in (seen, unseen)]
    print(f"   {'random walk':34}{densities[0]:12.3f}{densities[1]:22.3f}")
    return demo_figures.noise(record, TRAINED, layer.simulate(record, paths=1000))


def learn_delay() -> Path:
    """Learn an equation with a delay, and the delay, from its values."""
    print("\n6. A neural delay equation: a network of u(t) and u(t - τ), and τ, learn the Mackey-Glass equation")
    return B5_mackey_glass.learn(iterations=300)


def _estimates(model: Model) -> tuple[str, ...]:
    assert isinstance(model.dynamics, LotkaVolterra)
    return tuple(f"{value:.3g}" for value in (*model.dynamics.rates(), *model.log_start.detach().exp().tolist()))


def _numbers(values: torch.Tensor, form: str) -> str:
    return "[" + ", ".join(format(value, form) for value in values.tolist()) + "]"


if __name__ == "__main__":
    main()
