"""The algorithms: frozen dataclasses that name a method and its options."""

from ._base import AbstractAlgorithm as AbstractAlgorithm
from ._explicit import BS3 as BS3
from ._explicit import DP5 as DP5
from ._explicit import RK4 as RK4
from ._explicit import Euler as Euler
from ._explicit import Heun as Heun
from ._explicit import Midpoint as Midpoint
from ._explicit import Tsit5 as Tsit5
from ._explicit import Vern7 as Vern7
from ._implicit import KenCarp4 as KenCarp4
from ._implicit import RadauIIA5 as RadauIIA5
from ._implicit import Rodas4 as Rodas4
from ._implicit import Rodas5P as Rodas5P
from ._implicit import Rosenbrock23 as Rosenbrock23
from ._switching import AutoAlgSwitch as AutoAlgSwitch
from ._switching import AutoTsit5 as AutoTsit5
from ._switching import AutoVern7 as AutoVern7
from ._switching import DefaultODEAlgorithm as DefaultODEAlgorithm
