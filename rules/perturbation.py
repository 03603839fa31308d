"""What the rules that perturb have in common: size and law of the noise, and the comparison."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plausibench.kernels.errors import choose, flag, positive
from plausibench.rules.noise import FOURTH_MOMENT, LAWS
from plausibench.rules.rule import Rule

Array = np.ndarray


@dataclass(frozen=True)
class Perturbation(Rule):
    """A rule that correlates noise with the change of the loss it makes.

    Parameters
    ----------
    sigma
        Standard deviation of the noise.
    antithetic
        Whether the loss is compared with that under the opposite noise (True) or without.
    noise
        Law of the noise: gaussian or rademacher.
    """

    sigma: float = 1e-3
    antithetic: bool = True
    noise: str = "gaussian"

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        flag("antithetic", self.antithetic)
        choose("noise", self.noise, LAWS)

    @property
    def excess(self) -> float:
        """E xi^4 - 2 of the noise: 1 for gaussian, -1 for rademacher."""
        return FOURTH_MOMENT[self.noise] - 2

    def slope(self, loss: Callable[[float], Array], undisturbed: Array) -> Array:
        """Change of the loss per unit of noise.

        Parameters
        ----------
        loss
            Loss under the noise times an amplitude.
        undisturbed
            Loss without noise.
        """
        if self.antithetic:
            return (loss(self.sigma) - loss(-self.sigma)) / (2 * self.sigma)
        return (loss(self.sigma) - undisturbed) / self.sigma
