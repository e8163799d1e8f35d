"""Coefficients of methods. Data only; the algorithms name their tables, and both engines read them there."""

from ._esdirk import KENCARP4 as KENCARP4
from ._esdirk import EsdirkTableau as EsdirkTableau
from ._explicit import BS3 as BS3
from ._explicit import DP5 as DP5
from ._explicit import EULER as EULER
from ._explicit import HEUN as HEUN
from ._explicit import MIDPOINT as MIDPOINT
from ._explicit import RK4 as RK4
from ._explicit import TSIT5 as TSIT5
from ._explicit_tableau import ExplicitTableau as ExplicitTableau
from ._explicit_tableau import hermite as hermite
from ._rosenbrock import RODAS4 as RODAS4
from ._rosenbrock import RODAS5P as RODAS5P
from ._rosenbrock import ROSENBROCK23 as ROSENBROCK23
from ._rosenbrock import RosenbrockTableau as RosenbrockTableau
from ._rossler import SOSRA as SOSRA
from ._rossler import SOSRI as SOSRI
from ._rossler import SRA1 as SRA1
from ._rossler import SRIW1 as SRIW1
from ._rossler import RosslerTableau as RosslerTableau
from ._row import Row as Row
from ._verner import VERN7 as VERN7
