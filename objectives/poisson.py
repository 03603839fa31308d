"""Negative log-likelihood of counts under Poisson rates."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plausibench.kernels.errors import choose, number, refusal
from plausibench.objectives.objective import Array, Objective, real_targets


@dataclass(frozen=True)
class Poisson(Objective):
    """Counts y with rates r: F_b = sum_i r_i - y_i log r_i, up to what rates do not change.

    Parameters
    ----------
    link
        ``log``: the output is the logarithm of the rate. ``identity``: it is the rate, which
        must be positive (softplus output).
    offset
        Added to the rate inside the logarithm, with ``link="identity"`` (1e-5 in Klindt et
        al. 2017).
    """

    link: str = "log"
    offset: float = 1e-5

    summary: ClassVar[str] = "negative log-likelihood of counts under Poisson rates"
    cites: ClassVar[str] = "Klindt, Ecker, Euler & Bethge 2017"
    equation: ClassVar[str] = "F = mean_b sum_i r_bi - y_bi log r_bi,  r = exp(a) or a"

    def __post_init__(self) -> None:
        choose("link", self.link, ("log", "identity"))
        number("offset", self.offset, least=0)

    def losses(self, output: Array, targets: Array) -> Array:
        if self.link == "log":
            return (np.exp(output) - targets * output).sum(axis=-1)
        return (output - targets * np.log(output + self.offset)).sum(axis=-1)

    def error(self, output: Array, targets: Array) -> Array:
        if self.link == "log":
            return np.exp(output) - targets
        return 1 - targets / (output + self.offset)

    def check(self, targets: Array, outputs: int) -> None:
        real_targets(targets, "counts", outputs)
        if targets.min() < 0:
            raise refusal("targets", targets.min(), "a count of at least 0")
