"""Stochastic problems of the tests."""

import torch

import pydiffeqflux as de

ITO = [de.EM(), de.EM(split=False), de.LambaEM(), de.RKMil(), de.SRIW1(), de.SOSRI(), de.ImplicitEM()]
STRATONOVICH = [de.EulerHeun(), de.RKMil("stratonovich"), de.ReversibleHeun()]
ADDITIVE = [de.SRA1(), de.SOSRA()]
ALL = [*ITO, *STRATONOVICH, *ADDITIVE]

A, B = 1.01, 0.87


def geometric(paths, seed=3, **options):
    """Geometric Brownian motion from 1/2."""
    u0 = torch.full((paths,), 0.5, dtype=torch.float64)
    return de.SDEProblem(lambda u, p, t: A * u, lambda u, p, t: B * u, u0, (0.0, 1.0), seed=seed, **options)


def exact(alg, w):
    """Its solution at t = 1, where the motion is `w`."""
    drift = A - (B**2 / 2 if alg.interprets == "ito" else 0.0)
    return 0.5 * torch.exp(drift + B * w)


def solve(prob, alg, **options):
    return de.solve(prob, alg, engine="embedded", **options)
