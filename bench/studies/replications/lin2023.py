"""Accuracy against the number of modes in spiking networks (Lin & Huang 2023).

Recurrent weights of very few modes do as well as many. What the authors trained also shows that
their digits do not ask for recurrence while contextual integration does: it was measured with
their weights, and is asked of ours.
"""

from plausibench.bench.studies.modes.study import Arm, trained
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target

NEURONS = 100
FEW, MORE = 1, 10
LOGGED = {FEW: 0.962, MORE: 0.953}
"""Test accuracy on MNIST in the logs of the authors, mean of three seeds."""
INTEGRATING, CUT = 0.985, 0.49
"""Sign of the answer, with the weights of the authors, and with recurrence cut."""
FLAT = 0.1
"""Accuracy by which so different numbers of modes may differ in a task that is learned."""


def _digits(modes: int) -> str:
    return f"digits: accuracy with {modes} mode{'s' * (modes > 1)}"


DIFFERENCE = f"digits: accuracy with {FEW} mode minus {MORE}"
WHOLE = "contextual integration: accuracy with 1 mode"
WITHOUT = "contextual integration: the same, recurrence cut"
LOST = "contextual integration: accuracy lost by the cut"


def accuracies(seed: int, data: str) -> dict[str, float]:
    """Accuracy after training.

    Raises
    ------
    Divergence
        If a network diverges.
    """
    digits = {modes: _of(Arm("digits", NEURONS, modes), seed) for modes in LOGGED}
    whole = _of(Arm("contextual_integration", NEURONS, FEW), seed)
    return {
        **{_digits(modes): found["accuracy"] for modes, found in digits.items()},
        DIFFERENCE: digits[FEW]["accuracy"] - digits[MORE]["accuracy"],
        WHOLE: whole["accuracy"],
        WITHOUT: whole["accuracy, cut"],
        LOST: whole["accuracy"] - whole["accuracy, cut"],
    }


def _of(arm: Arm, seed: int) -> dict[str, float]:
    return {
        row["quantity"]: row["value"] for row in trained(arm, seed) if row["part"] == "training"
    }


RECIPE = Recipe(
    name="lin2023",
    source="logs of the authors, MNIST; contextual integration with their weights",
    cites="Lin & Huang 2023",
    smaller=Setting(
        description=(
            f"leaky integrate-and-fire networks of {NEURONS} neurons, Adam: the digits of "
            "scikit-learn row by row and remembered for a delay, and contextual integration"
        ),
        deviations=(
            (
                "digits of 8 x 8 pixels, shown row by row, so that they ask for memory, instead of "
                "MNIST as spikes of all pixels at once"
            ),
            "steps of 5 ms instead of 2, shorter trials, 200 and 500 updates of 32 trials",
            (
                "the answer to contextual integration is the sign of the mean output in the last "
                "fifth of the response"
            ),
        ),
        targets=(
            Target(DIFFERENCE, LOGGED[FEW] - LOGGED[MORE], "F", tolerance=FLAT),
            Target(LOST, INTEGRATING - CUT, "R", above=0.0),
            Target(WHOLE, INTEGRATING, "R", above=0.5),
            Target(WITHOUT, CUT, "R", tolerance=0.15),
            *(Target(_digits(modes), value, "F") for modes, value in LOGGED.items()),
        ),
        work=accuracies,
    ),
)
