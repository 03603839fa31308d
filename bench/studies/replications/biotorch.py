"""Test errors of a convolutional network on MNIST, from the benchmark table of BioTorch."""

from plausibench.architectures.convolutional import Convolutional
from plausibench.bench.studies.replications.benchmark import Run, errors
from plausibench.bench.studies.replications.mnist import FILES
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target
from plausibench.bench.tasks.mnist import Mnist
from plausibench.rules.backprop import Backprop
from plausibench.rules.direct_feedback_alignment import DirectFeedbackAlignment
from plausibench.rules.feedback_alignment import FeedbackAlignment
from plausibench.rules.rule import Rule
from plausibench.rules.sign_symmetry import SignSymmetry

CHANNELS, KERNEL, HIDDEN = (6, 16), 5, (120, 84)
RUN = Run(epochs=10, batch=64, rate=1e-3)
RULES: dict[str, tuple[Rule, float]] = {
    "BP": (Backprop(), 0.91),
    "FA": (FeedbackAlignment(), 1.70),
    "DFA": (DirectFeedbackAlignment(), 1.61),
    "uSF": (SignSymmetry(), 0.94),
    "brSF": (SignSymmetry(variant="batchwise"), 0.91),
    "frSF": (SignSymmetry(variant="fixed"), 0.97),
}
"""Rules, with the test errors of the table in percent."""


def tested(seed: int, data: str) -> dict[str, float]:
    """Test error of every rule, in percent."""
    task = Mnist(data)
    side = round(task.inputs_size**0.5)
    network = Convolutional(
        (side, side),
        CHANNELS,
        KERNEL,
        padding=2,
        outputs=task.outputs_size,
        activation="relu",
        hidden=HIDDEN,
    ).build(seed)
    return errors({name: rule for name, (rule, _) in RULES.items()}, task, network, RUN, seed)


RECIPE = Recipe(
    name="biotorch",
    source="table of benchmarks of BioTorch, MNIST, LeNet; one seed",
    cites="",
    whole=Setting(
        description=(
            "MNIST, two convolutional layers of 6 and 16 channels, then 120 and 84 units, "
            f"rectified, {RUN}"
        ),
        deviations=(
            "strides in place of pooling, images of 28 x 28 instead of 32 x 32",
            "Adam at one rate instead of SGD with momentum 0.9, weight decay and steps of the rate",
            (
                "the error at the end, of a test set that chose nothing; in the table the model "
                "was chosen by the test set"
            ),
        ),
        targets=tuple(
            Target(f"{name}: test error, %", value, "F", tolerance=0.5)
            for name, (_, value) in RULES.items()
        ),
        work=tested,
    ),
    needs=FILES,
)
