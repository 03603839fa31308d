"""Test errors of a fully connected network on MNIST (Bartunov et al. 2018, Table 1)."""

from plausibench.architectures.mlp import Mlp
from plausibench.bench.studies.replications.benchmark import Run, errors
from plausibench.bench.studies.replications.mnist import FILES
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target
from plausibench.bench.tasks.mnist import Mnist
from plausibench.rules.backprop import Backprop
from plausibench.rules.difference_target_propagation import DifferenceTargetPropagation
from plausibench.rules.direct_feedback_alignment import DirectFeedbackAlignment
from plausibench.rules.feedback_alignment import FeedbackAlignment
from plausibench.rules.rule import Rule

HIDDEN, DEPTH = 256, 5
RUN = Run(epochs=20, batch=128, rate=2e-4)
RULES: dict[str, tuple[Rule, float]] = {
    "BP": (Backprop(), 1.48),
    "FA": (FeedbackAlignment(), 1.85),
    "DFA": (DirectFeedbackAlignment(), 2.75),
    "DTP": (DifferenceTargetPropagation(), 1.83),
}
"""Rules, with their published test errors in percent (DTP: alternating)."""


def tested(seed: int, data: str) -> dict[str, float]:
    """Test error of every rule, in percent."""
    task = Mnist(data)
    network = Mlp((task.inputs_size, *[HIDDEN] * DEPTH, task.outputs_size)).build(seed)
    return errors({name: rule for name, (rule, _) in RULES.items()}, task, network, RUN, seed)


RECIPE = Recipe(
    name="bartunov2018",
    source="Table 1, MNIST, fully connected",
    cites="Bartunov et al. 2018",
    whole=Setting(
        description=f"MNIST, tanh network with {DEPTH} hidden layers of {HIDDEN}, {RUN}",
        deviations=(
            "one setting of Adam for all rules instead of the best of 60 for each",
            "the error at the end instead of the best of 500 epochs",
            "paths back of DTP learn together with the network, not in turns",
        ),
        targets=tuple(
            Target(f"{name}: test error, %", value, "P", tolerance=0.75)
            for name, (_, value) in RULES.items()
        ),
        work=tested,
    ),
    needs=FILES,
)
