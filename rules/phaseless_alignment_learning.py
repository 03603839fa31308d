"""Phaseless alignment learning: feedback weights learn from noise while the network works."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import choose, integer, number, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.layers import no_chain
from plausibench.rules.linear_chain import linear_chain
from plausibench.rules.random_feedback import (
    LayerwiseFeedback,
    learned,
    least_cosine,
    single,
    symmetric,
    transposed,
)
from plausibench.rules.rule import Choices, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray

DECAYS = ("plain", "slopes")


@dataclass(frozen=True)
class PhaselessAlignmentLearning(LayerwiseFeedback):
    r"""Phaseless alignment learning (Max, Kriener, Pineda Garcia et al. 2024).

    The weights learn by feedback alignment through B. All hidden neurons have noise xi on their
    drives while the network works on the examples; it goes up at once with the activity. Synapses
    on the way back know the noise of the neuron that they reach, and of the activity r above what
    has just changed, a high-passed :math:`\hat r`:

    .. math:: B \leftarrow (1 - \text{rate}) B + \frac{\text{rate}}{\kappa s^2}
              \langle \xi \hat r^T \rangle,

    the mean over examples and steps of time. Noise of other layers does not go with xi, so no
    phase is needed in which it is silent. As noise gets small B tends to the mean of f' W^T f'
    over the examples, with the slopes below and above; with ``decay=slopes`` it loses what it
    would have to be there, and tends to W^T.

    Parameters
    ----------
    scale
        Entries of the first B have variance ``scale^2 / (N_in + N_out)``.
    rate
        Share of B that is replaced in a step.
    steps
        Steps of time for which an example is there.
    amplitude
        Standard deviation s of the noise.
    memory
        Share of the noise that is left a step later (0.9 in the runs of the paper).
    passing
        Share of the high-passed activity that is left a step later (0.9 there).
    decay
        What B loses: ``plain``, a share of it; ``slopes``, f' B f'.
    """

    rate: float = 0.1
    steps: int = 10
    amplitude: float = 0.05
    memory: float = 0.9
    passing: float = 0.9
    decay: str = "plain"

    choices: ClassVar[Choices] = {"decay": DECAYS}

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rate": (0.03, 0.1)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="feedback weights learn from noise that rides on the activity, without phases",
        family="learned feedback",
        equation=(
            "post_L = delta_L,  post_l = (B_(l+1) post_(l+1)) f_l'(z_l),  pre_l = a_(l-1);  "
            "B_(l+1) <- (1 - rate) B_(l+1) + rate / (kappa s^2) <xi_l r_(l+1)^T>, "
            "r high-passed"
        ),
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when=(
            "after many steps, as amplitude -> 0, with decay=slopes, or with linear hidden neurons"
        ),
        variance_law=(
            "0 for given B; after n examples of one step, linear neurons and a single hidden "
            "layer, |B - W^T|^2 = (N_in + 1) / n |W|^2; over the first B that of a product of "
            "random matrices"
        ),
        synapse_knows=(
            "pre, slope of its neuron, the errors above through B; a feedback synapse knows the "
            "noise of its neuron and what has just changed of the activity above"
        ),
        forward_passes=13.0,
        cites="Max, Kriener, Pineda Garcia, Nowotny, Jaras, Senn & Petrovici 2024",
        phases="forward, then backward; noise is always on and needs none of its own",
        notes=(
            "noise is an Ornstein-Uhlenbeck process in steps of its own, constants are those of "
            "the authors' runs; activity follows drive at once, as prospective neurons make it do, "
            "and errors do not disturb it; an example is there when its activity has settled, so "
            "that the high pass meets no change of example; the weights learn from activity "
            "without noise, where the paper has a slow average of noisy changes; rate and steps "
            "are ours"
        ),
        unverified=(
            "cortical microcircuits in continuous time with interneurons; the equation is that of "
            "the authors' code, and the paper was read in its abstract only"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        number("rate", self.rate, above=0, most=1)
        integer("steps", self.steps, least=1)
        positive("amplitude", self.amplitude)
        number("memory", self.memory, least=0, below=1)
        number("passing", self.passing, least=0, most=1)
        choose("decay", self.decay, DECAYS)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        for p in network.returning:
            if not p.synapse.separable:
                return f"phaseless_alignment_learning learns whole matrices, which {p.name} has not"
        chained = no_chain(network, "phaseless_alignment_learning")
        return chained or super().unsupported(network, objective)

    def advance(self, state: State, step: Step) -> State:
        network, new = step.network, {}
        clean = network.forward(step.batch.inputs)  # the weights have changed since the pass before
        xi = self._drawn(step, clean)
        noisy = network.forward(
            step.batch.inputs, drive_noise=xi, amplitude=self.amplitude, clean=clean
        )
        slopes = {
            each.name: each.neurons.slope(clean.drive[each.name], clean.activity[each.name])
            for each in network.populations
        }
        examples = step.batch.size
        for p in network.returning:
            changed = self._high_passed(noisy.activity[p.target] - clean.activity[p.target])
            rows = [array.reshape(-1, array.shape[-1]) for array in (changed, xi[p.source])]
            seen = p.synapse.transpose(p.synapse.outer(*rows))
            seen = seen / (self.steps * examples * self.amplitude * self.kept())
            lost = state[p.name]
            if self.decay == "slopes":
                lost = lost * p.synapse.transpose(
                    p.synapse.outer(slopes[p.target], slopes[p.source]) / examples
                )
            mixed = state[p.name] + self.rate * (seen - lost)
            new[p.name] = mixed.astype(network.dtype, copy=False)
        return new

    def _drawn(self, step: Step, clean: Activity) -> dict[str, Array]:
        """Noise of unit variance on the hidden drives, ``(steps, B, N)``, correlated in time."""
        rows = {
            f"alignment.{each.name}": np.empty((self.steps * step.batch.size, each.size))
            for each in step.network.hidden
        }
        drawn = step.noise.examples(rows)
        xi = {}
        for each in step.network.hidden:
            shape = (self.steps, *clean.drive[each.name].shape)
            fresh = drawn[f"alignment.{each.name}"].reshape(shape)
            fresh[1:] *= (1 - self.memory**2) ** 0.5
            for time in range(1, self.steps):
                fresh[time] += self.memory * fresh[time - 1]
            xi[each.name] = fresh
        return xi

    def _high_passed(self, deviation: Array) -> Array:
        """What has just changed ``(steps, B, N)``, of activity that begins where it settled."""
        changed = deviation.copy()
        for time in range(1, self.steps):
            changed[time] -= deviation[time - 1]
            changed[time] += self.passing * changed[time - 1]
        return changed

    def kept(self) -> float:
        """kappa: covariance of noise with its own high pass, mean over the steps."""
        lags = np.arange(1, self.steps)
        by_lag = (self.passing - 1) * self.passing ** (lags - 1) * self.memory**lags
        return 1 + float(by_lag @ (self.steps - lags)) / self.steps

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("B = W^T: backpropagation", symmetric, tolerance=1e-14),
            Limit("random B: biased", lambda at: at, tolerance=0.1, holds=False),
            Law("slopes: cosine of B with W^T, 4 x 10^5 steps", self._by_slopes),
            Law(
                "plain: cosine of B with the mean of f' W^T f', times its size, 4 x 10^5 steps",
                self._plainly,
            ),
            Law(
                "plain, one step an example: |B - mean|^2 over its law in linear networks",
                self._error,
            ),
        )

    def _by_slopes(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, decay="slopes")
        return least_cosine(_resting(rule, at), transposed(at.network)), 1.0, 0.01

    def _plainly(self, at: Situation) -> tuple[float, float, float]:
        network, batch = at.network, at.batch
        clean, goals = network.forward(batch.inputs), {}
        slope = {
            each.name: each.neurons.slope(clean.drive[each.name], clean.activity[each.name])
            for each in network.populations
        }
        for p in network.returning:
            both = p.synapse.transpose(p.synapse.outer(slope[p.target], slope[p.source]))
            goals[p.name] = p.synapse.transpose(network.parameters[p.name]) * both / batch.size
        found = _resting(replace(self, decay="plain"), at)
        ratio = sum(float(np.sum(found[n] * goal)) for n, goal in goals.items())
        ratio /= sum(float(np.sum(goal**2)) for goal in goals.values())
        return least_cosine(found, goals) * ratio, 1.0, 0.02

    def _error(self, at: Situation) -> tuple[float, float, float]:
        rule = replace(self, rate=1.0, steps=1, amplitude=1e-3, decay="plain")
        at = linear_chain(replace(single(at), rule=rule), (6, 5, 3))
        apart = law = 0.0
        for seed in range(500):
            state = learned(replace(at, state=rule.initial_state(at.network, seed), seed=seed), 1)
            for name, goal in transposed(at.network).items():
                apart += float(np.sum((state[name] - goal) ** 2))
                law += (len(goal) + 1) / at.batch.size * float(np.sum(goal**2))
        return apart / law, 1.0, 0.1


def _resting(rule: PhaselessAlignmentLearning, at: Situation) -> State:
    """What B tends to, were the draws of 4 x 10^5 steps those of every update.

    An update is affine in every entry of B: two of them tell where it stays.
    """
    rule = replace(rule, rate=1.0, steps=10, amplitude=1e-3)
    rows = np.arange(40_000) % at.batch.size
    batch = Batch(at.batch.inputs[rows], at.batch.targets[rows], np.arange(40_000))
    nothing = {name: np.zeros_like(array) for name, array in at.state.items()}
    ones = {name: np.ones_like(array) for name, array in at.state.items()}
    at = replace(at, rule=rule, batch=batch)
    before, after = (learned(replace(at, state=state), 1) for state in (nothing, ones))
    return {name: before[name] / (1 - (after[name] - before[name])) for name in before}
