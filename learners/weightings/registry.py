"""The weightings by the names that settings know them by."""

from __future__ import annotations

from learners.weightings.aligned import AlignedMtl
from learners.weightings.balanced import BalancedWeighting
from learners.weightings.cagrad import CaGrad
from learners.weightings.dwa import DynamicWeightAverage
from learners.weightings.equal import EqualWeighting
from learners.weightings.famo import Famo
from learners.weightings.fixed import FixedWeighting
from learners.weightings.gradnorm import GradNorm
from learners.weightings.mgda import Mgda
from learners.weightings.pcgrad import PcGrad
from learners.weightings.random import RandomWeighting
from learners.weightings.stch import SmoothTchebycheff
from learners.weightings.uncertainty import UncertaintyWeighting
from learners.weightings.weighting import Weighting

WEIGHTINGS: dict[str, type[Weighting]] = {
    "equal": EqualWeighting,
    "fixed": FixedWeighting,
    "random": RandomWeighting,
    "uncertainty": UncertaintyWeighting,
    "dwa": DynamicWeightAverage,
    "gradnorm": GradNorm,
    "famo": Famo,
    "stch": SmoothTchebycheff,
    "pcgrad": PcGrad,
    "mgda": Mgda,
    "cagrad": CaGrad,
    "balanced": BalancedWeighting,
    "aligned": AlignedMtl,
}
