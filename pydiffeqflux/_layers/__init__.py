"""Layers for networks: modules whose forward pass solves a differential equation."""

from ._neural_ode import NeuralODE as NeuralODE
