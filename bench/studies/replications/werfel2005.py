"""Learning speed of three rules in a linear perceptron (Werfel, Xie & Seung 2005).

With gaussian inputs and the targets of another perceptron, a step of rate eta leaves the share
``1 - 2 eta + eta^2 c`` of the squared distance to it, and so of the loss, on average over examples
and noise; c is M + 2 for the gradient, (M + 2) (N + 2) for node perturbation and
(M + 2) (M N + 2) for weight perturbation, with M inputs and N outputs. At the best rate 1 / c a
step removes 1 / c.
"""

import numpy as np

from plausibench.architectures.linear import Linear
from plausibench.bench.measuring.measurement import estimates
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target
from plausibench.bench.tasks.linear_regression import LinearRegression
from plausibench.kernels.streams import stream
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.rules.backprop import Backprop
from plausibench.rules.node_perturbation import NodePerturbation
from plausibench.rules.rule import Rule
from plausibench.rules.weight_perturbation import WeightPerturbation

INPUTS, OUTPUTS = 4, 2
EXAMPLES, DRAWS = 6000, 32
"""Fresh examples in a seed, and draws of the noise for each."""
AMPLITUDE = 1e-4

RULES: dict[str, tuple[Rule, int]] = {
    "gradient": (Backprop(), INPUTS + 2),
    "node perturbation": (
        NodePerturbation(sigma=AMPLITUDE),
        (INPUTS + 2) * (OUTPUTS + 2),
    ),
    "weight perturbation": (
        WeightPerturbation(sigma=AMPLITUDE),
        (INPUTS + 2) * (INPUTS * OUTPUTS + 2),
    ),
}
"""Rules, with c, the inverse of their best rate."""


def removed(seed: int, data: str) -> dict[str, float]:
    """Percent of the loss that a step at the best rate removes, per rule."""
    task = LinearRegression(inputs=INPUTS, outputs=OUTPUTS, examples=EXAMPLES, seed=seed)
    network = Linear((INPUTS, OUTPUTS)).build(seed)
    name = network.projections[0].name
    distance = network.parameters[name] - task.weights
    total = float(np.sum(distance**2))
    found = {}
    for rule_name, (rule, steps) in RULES.items():
        left = []
        for example in range(EXAMPLES):
            one = task.train.take([example])
            draws = 1 if rule_name == "gradient" else DRAWS
            # Weight noise is the same for all examples of a seed: each example has its own.
            own = stream(seed, "example", example)
            drawn = estimates(rule, network, MeanSquaredError(), one, samples=draws, seed=own)
            after = distance - drawn[name] / steps
            left.append(float(np.mean(np.sum(after**2, axis=(1, 2)))))
        found[f"{rule_name}: % of loss removed by a step"] = 100 * (1 - np.mean(left) / total)
    return {name: float(value) for name, value in found.items()}


RECIPE = Recipe(
    name="werfel2005",
    source="closed forms for the linear perceptron",
    cites="Werfel, Xie & Seung 2005",
    whole=Setting(
        description=(
            f"linear perceptron, {INPUTS} inputs and {OUTPUTS} outputs, gaussian inputs, one step "
            f"from the initial weights at the best rate of each rule, mean over {EXAMPLES} examples"
        ),
        deviations=(
            "sizes are ours: the law holds for any",
            f"the amplitude of the noise is {AMPLITUDE:g}, so that its square does not count",
        ),
        targets=tuple(
            Target(f"{name}: % of loss removed by a step", 100 / steps, "D", tolerance=10 / steps)
            for name, (_, steps) in RULES.items()
        ),
        work=removed,
    ),
)
