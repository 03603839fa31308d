"""The columns that tables can show: quantities with their headings and what is best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

MORE, LESS = math.inf, -math.inf

QUANTITIES: Mapping[str, tuple[str, float | None]] = {
    "bias_squared": ("bias²", 0.0),
    "variance": ("variance", 0.0),
    "direction_bias": ("direction bias", 0.0),
    "magnitude_bias": ("magnitude bias", 0.0),
    "scale_free_bias": ("scale-free bias", 0.0),
    "gain": ("gain", 1.0),
    "progress": ("progress ρ²", MORE),
    "absolute_bias_squared": ("absolute bias²", 0.0),
    "absolute_variance": ("absolute variance", 0.0),
    "variance_feedback": ("variance, feedback", 0.0),
    "variance_data": ("variance, data", 0.0),
    "variance_within": ("variance, rule and action", 0.0),
    "variance_total": ("variance, total", 0.0),
    "marginal_bias_squared": ("marginal bias²", 0.0),
    "conditional_bias_squared": ("conditional bias²", 0.0),
    "train_loss": ("training loss", LESS),
    "test_loss": ("test loss", LESS),
    "test_accuracy": ("test accuracy", MORE),
    "alignment": ("alignment", MORE),
    "best_step": ("best step", None),
    "realised_progress": ("realised progress", MORE),
    "predicted_progress": ("predicted progress", MORE),
    "realised_decrease": ("realised decrease", MORE),
    "best_step_training": ("best step, training set", None),
    "realised_progress_training": ("realised progress, training set", MORE),
    "predicted_progress_training": ("predicted progress, training set", MORE),
    "realised_decrease_training": ("realised decrease, training set", MORE),
    "above_readout_only": ("above readout only", MORE),
    "above_linear": ("above linear", MORE),
    "forward_passes": ("cost (passes)", LESS),
    "state_size": ("state (numbers)", LESS),
}
"""Heading of each quantity and the value that is best: a number, the most or the least."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "conditional": tuple(QUANTITIES)[:9],
    "marginal": tuple(QUANTITIES)[:9],
    "closed_form": tuple(QUANTITIES)[:2],
    "marginal_closed_form": tuple(QUANTITIES)[:2],
    "budget": tuple(QUANTITIES)[9:15],
    "training": tuple(QUANTITIES)[15:19],
    "progress": tuple(QUANTITIES)[19:27],
    "null": tuple(QUANTITIES)[-4:-2],
    "cost": tuple(QUANTITIES)[-2:],
}
MEASURED = ("conditional", "marginal", "closed_form", "marginal_closed_form")
"""Kinds with values for every parameter."""
RELATIVE = (*MEASURED, "budget")
"""Kinds whose quantities are relative to the gradient, except the absolute ones."""
UNIT_OF_LOSS = ("absolute_", "train_loss", "test_loss", "realised_decrease")
"""Beginnings of quantities that cannot be compared between objectives."""

ABOUT = {
    "redrawn": "redrawn",
    "samples": "K",
    "reference": "reference",
    "method": "method",
    "flag": "flag",
}
"""Columns that say how the first two groups of quantities were measured."""

FLAWS = {
    "no gradient": "No gradient to compare with, and so no relative values",
    "not finite": "Not finite",
    "diverged": "Estimates that diverged",
}
"""Flags that say why a value is not there, with the beginning of the sentence about them."""


@dataclass(frozen=True)
class Column:
    """A column of numbers."""

    name: str
    kind: str
    quantity: str

    @property
    def ideal(self) -> float | None:
        """The value that is best, infinite for the most or the least; None if none is."""
        return QUANTITIES[self.quantity][1]

    @property
    def relative(self) -> bool:
        """Whether values are relative to the gradient."""
        return self.kind in RELATIVE and not self.quantity.startswith("absolute_")

    @property
    def heading(self) -> str:
        """What stands above it, with the direction that is better."""
        text = QUANTITIES[self.quantity][0]
        text += {
            "marginal": ", feedback redrawn",
            "closed_form": ", closed form",
            "marginal_closed_form": ", feedback redrawn, closed form",
        }.get(self.kind, "")
        if self.ideal is None:
            return text
        signed = self.quantity in ("magnitude_bias", "gain")
        arrow = f"→{self.ideal:g}" if signed else "↑" if self.ideal == MORE else "↓"
        return f"{text} {arrow}"


PREFIXED = ("marginal", "closed_form", "marginal_closed_form", "budget")

COLUMNS = {
    column.name: column
    for kind, quantities in KINDS.items()
    for quantity in quantities
    for column in [Column(f"{kind}_{quantity}" if kind in PREFIXED else quantity, kind, quantity)]
}
"""Columns of numbers by name; those of ``PREFIXED`` kinds begin with the kind."""

DEFAULT = (
    "bias_squared",
    "variance",
    "closed_form_variance",
    "direction_bias",
    "magnitude_bias",
    "scale_free_bias",
    "progress",
    "realised_progress",
    "test_accuracy",
    "above_readout_only",
    "forward_passes",
    "redrawn",
    "samples",
    "reference",
    "flag",
)
