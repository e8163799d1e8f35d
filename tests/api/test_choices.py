import copy
import dataclasses
import pickle

import pytest
from problems import METHODS, SENSEALGS

import pydiffeqflux as de

CONTROLLERS = [de.IController(), de.PIController(beta1=0.1), de.PIDController(gamma=0.8)]
SWITCHES = [de.AutoTsit5(de.Rosenbrock23()), de.AutoVern7(de.Rodas4()), de.DefaultODEAlgorithm()]
CHOICES = [*METHODS, *SWITCHES, *SENSEALGS, de.QuadratureAdjoint(abstol=1e-3), *CONTROLLERS]


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_choices_are_values(choice):
    assert pickle.loads(pickle.dumps(choice)) == choice
    assert copy.deepcopy(choice) == choice
    assert hash(copy.copy(choice)) == hash(choice)
    assert eval(repr(choice), vars(de)) == choice


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_choices_are_frozen(choice):
    fields = dataclasses.fields(choice)
    with pytest.raises((AttributeError, TypeError)):
        setattr(choice, fields[0].name if fields else "order", 1)


def test_all_choices_differ():
    assert len(set(CHOICES)) == len(CHOICES)


def test_options_are_part_of_equality():
    assert de.GaussAdjoint() != de.GaussAdjoint(checkpointing=True)
    assert de.AutoTsit5(de.Rodas5P()) != de.AutoTsit5(de.Rodas4())
    assert de.AutoTsit5(de.Rodas5P()) == de.AutoAlgSwitch()


@pytest.mark.parametrize("alg", METHODS, ids=repr)
def test_the_record_names_the_choice(alg):
    sol = de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)), alg, dt=0.1)
    assert sol.alg == alg


def test_the_default_is_recorded():
    sol = de.solve(de.ODEProblem(lambda u, p, t: -u, [1.0], (0.0, 1.0)))
    assert sol.alg == de.DefaultODEAlgorithm()
