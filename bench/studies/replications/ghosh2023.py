"""Training with an injected bias and variance (Ghosh, Liu, Lajoie, Kording & Richards 2023).

A network that has learned for a while goes on learning by its exact gradient with a fixed
direction or fresh noise added. The axes are those of the authors' sweep; both, in excess, impair
learning on the training data. That is judged at the larger rate alone: to first order in the rate,
a random direction helps as often as it harms, and noise does neither.
"""

from plausibench.architectures.network import Network
from plausibench.bench.components.networks import build_network
from plausibench.bench.studies.dose_response.study import Dose, Dosed
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target
from plausibench.bench.tasks.digits import Digits
from plausibench.bench.training.training import train
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.rules.backprop import Backprop

HIDDEN, BATCH = (32,), 256
BEFORE, AFTER = 100, 150
"""Steps by the exact gradient, then with a bias or a variance."""
RATES = (0.02, 0.2)
"""Learning rates: that of the authors, and a large one, which is judged."""
BIASES = (1.0, 3.0)
VARIANCES = (10.0, 100.0)
"""Length of the bias over that of the gradient, and total variance over its square."""


def _loss(rate: float, what: str) -> str:
    return f"rate {rate:g}: training loss with {what}, over that with none"


WHAT = {
    **{f"bias {bias:g}": (bias, 0.0) for bias in BIASES},
    **{f"variance {variance:g}": (0.0, variance) for variance in VARIANCES},
}
JUDGED = tuple(
    (max(RATES), what) for what in (f"bias {BIASES[-1]:g}", f"variance {VARIANCES[-1]:g}")
)
"""Rates and doses of which a direction is asked."""


def losses(seed: int, data: str) -> dict[str, float]:
    """Training loss at the end, over that without bias and variance; NaN where it diverged."""
    task, goal = Digits(), CrossEntropy()
    start = build_network("mlp", task, HIDDEN, seed)
    begun = train(
        Backprop(),
        task,
        start,
        goal,
        steps=BEFORE,
        batch_size=BATCH,
        learning_rate=max(RATES),
        seed=seed,
        evaluate_every=BEFORE,
    ).network
    found = {}
    for rate in RATES:
        none = _end(begun, 0.0, 0.0, rate, seed)
        for what, (bias, variance) in WHAT.items():
            found[_loss(rate, what)] = _end(begun, bias, variance, rate, seed) / none
    return found


def _end(network: Network, bias: float, variance: float, rate: float, seed: int) -> float:
    doses = tuple(Dose(p.name, bias, variance, 1.0) for p in network.projections)
    trained = train(
        Dosed("fixed", ((0, doses),)),
        Digits(),
        network,
        CrossEntropy(),
        steps=AFTER,
        batch_size=BATCH,
        learning_rate=rate,
        seed=seed,
        evaluate_every=AFTER,
    )
    if trained.diverged:
        return float("nan")
    last = [row["value"] for row in trained.rows if row["quantity"] == "train_loss"]
    return float(last[-1])


RECIPE = Recipe(
    name="ghosh2023",
    source="axes of the authors' sweep; the direction that the paper states",
    cites="Ghosh, Liu, Lajoie, Kording & Richards 2023",
    smaller=Setting(
        description=(
            f"digits of scikit-learn, tanh network 64-{HIDDEN[0]}-10, {BEFORE} steps of "
            f"backpropagation, then {AFTER} with bias or variance, batch {BATCH}"
        ),
        deviations=(
            (
                "a small network that has learned for a while instead of a pretrained VGG-16 on "
                "CIFAR-10, minibatches instead of the whole set, no momentum"
            ),
            (
                "bias and variance are relative to the gradient of each projection, and so shrink "
                "with it; in the paper they are absolute, 0 to 0.01 and 0 to 100"
            ),
        ),
        targets=tuple(
            Target(_loss(rate, what), None, "P", above=1.0 if (rate, what) in JUDGED else None)
            for rate in RATES
            for what in WHAT
        ),
        work=losses,
    ),
)
