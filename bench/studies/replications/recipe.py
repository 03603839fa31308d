"""A published figure as data: where it stands, how we measure it, and when the two agree."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from plausibench.kernels.errors import InputError, choose

REPRODUCED, DIFFERS, UNDECIDED = "reproduced", "differs", "undecided"
SMALLER, NEEDS, REPORTED = "smaller setting", "needs data", "reported"
VERDICTS = {
    REPRODUCED: "our interval meets what was published, within the tolerance",
    SMALLER: "the same, in a setting that is smaller than the published one",
    UNDECIDED: "our interval is too wide to say",
    DIFFERS: "our interval does not meet it, or training diverged",
    NEEDS: "not run: data are missing",
    REPORTED: "stands beside the published figure, which does not ask for agreement here",
}
PROVENANCE = {
    "F": "from the authors' own files",
    "P": "from the text of the paper",
    "D": "derived for the setting of the paper",
    "R": "measured again with the weights of the authors",
}
"""Where a published figure was read."""


@dataclass(frozen=True)
class Target:
    """One figure.

    Parameters
    ----------
    what
        The quantity; a recipe measures it under this name.
    published
        Its published value, None where only a direction was stated.
    provenance
        One of ``PROVENANCE``.
    tolerance
        Distance from the published value within which ours agrees.
    below, above
        Instead of a tolerance: the side of a bound on which the quantity must lie. With neither,
        the figures are set side by side and no verdict is given.

    Raises
    ------
    InputError
        If a tolerance has no published value, or there is more than one condition.
    """

    what: str
    published: float | None
    provenance: str
    tolerance: float | None = None
    below: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        choose("provenance", self.provenance, PROVENANCE)
        given = [each for each in (self.tolerance, self.below, self.above) if each is not None]
        if len(given) > 1:
            raise InputError(f"target: {self.what} has {len(given)} conditions, not one")
        if self.tolerance is not None and (self.published is None or self.tolerance <= 0):
            raise InputError(f"target: {self.what} has a tolerance without a published value")

    @property
    def condition(self) -> str:
        """What is asked of our interval, in plain text."""
        if self.tolerance is not None:
            return f"within {self.tolerance:.3g}"
        if self.below is not None:
            return f"below {self.below:.3g}"
        return "–" if self.above is None else f"above {self.above:.3g}"

    def verdict(self, value: float, low: float, high: float) -> str:
        """``reproduced``, ``undecided``, ``differs`` or ``reported``.

        An interval that is wider than the published value with its tolerance on both sides would
        meet almost anything: it decides nothing, and neither does one that holds the bound.

        Parameters
        ----------
        value, low, high
            Our mean over seeds and its interval; NaN where training diverged.
        """
        if self.condition == "–":
            return REPORTED
        if not (isfinite(value) and isfinite(low) and isfinite(high)):
            return DIFFERS
        if self.tolerance is not None:
            assert self.published is not None
            least, most = self.published - self.tolerance, self.published + self.tolerance
            if high < least or low > most:
                return DIFFERS
            return REPRODUCED if high - low <= most - least else UNDECIDED
        if self.below is not None:
            inside, outside = high < self.below, low >= self.below
        else:
            assert self.above is not None
            inside, outside = low > self.above, high <= self.above
        return REPRODUCED if inside else DIFFERS if outside else UNDECIDED


@dataclass(frozen=True)
class Setting:
    """How something is measured.

    Parameters
    ----------
    description
        Network, data and training, in one sentence.
    deviations
        In what it differs from the published setting, one sentence each.
    targets
        The figures.
    work
        From a seed and the folder of data (empty where none are needed) to a value for each
        target, NaN where training diverged.
    """

    description: str
    deviations: tuple[str, ...]
    targets: tuple[Target, ...]
    work: Callable[[int, str], dict[str, float]]


@dataclass(frozen=True)
class Recipe:
    """What was published, and how it is replicated.

    Parameters
    ----------
    name
        That of its module.
    source
        The figure, table or file that it is compared with.
    cites
        Author and year, as in the bibliography; empty where there is no paper.
    whole
        The published setting, or one that is compared with the published values.
    smaller
        A smaller one, for when the data of the published one are not there or it takes too long.
    needs
        Files that ``whole`` needs, in one folder.
    """

    name: str
    source: str
    cites: str
    whole: Setting | None = None
    smaller: Setting | None = None
    needs: tuple[str, ...] = ()

    def setting(self, *, data: bool) -> Setting | None:
        """The setting to be measured, with data or without; None if it needs data."""
        if self.whole is not None and (data or not self.needs):
            return self.whole
        return self.smaller


def overall(verdicts: list[str], *, smaller: bool) -> str:
    """Verdict of a recipe from those of its targets: the worst, ``reported`` left aside.

    Parameters
    ----------
    verdicts
        Of the targets.
    smaller
        Whether the setting is smaller than the published one.
    """
    for verdict in (DIFFERS, UNDECIDED):
        if verdict in verdicts:
            return verdict
    if REPRODUCED not in verdicts:
        return REPORTED
    return SMALLER if smaller else REPRODUCED
