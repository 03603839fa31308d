"""What came of a check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes
    ----------
    name
        Name of the check.
    status
        ``passed``, ``failed``, ``expected failure`` or ``not applicable``.
    measured, asked
        The figure and the requirement, in a few words.
    reason
        Why it failed, was expected to, or does not apply.
    """

    name: str
    status: str
    measured: str = ""
    asked: str = ""
    reason: str = ""

    def __str__(self) -> str:
        parts = (self.status, self.measured, self.asked and f"asked: {self.asked}", self.reason)
        return f"{self.name}: {'; '.join(filter(None, parts))}"


def judge(good: bool, name: str, measured: str, asked: str, reason: str = "") -> Outcome:
    """Return that the check passed, or that it failed for ``reason``."""
    if good:
        return Outcome(name, "passed", measured, asked)
    return Outcome(name, "failed", measured, asked, reason)
