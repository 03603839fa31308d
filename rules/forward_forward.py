"""Forward-forward: layers learn to be active for right labels and silent for wrong ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network
from plausibench.architectures.neurons import Pointwise, TwoCompartment
from plausibench.kernels.errors import InputError, flag, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer
from plausibench.rules.layers import gated
from plausibench.rules.logistic import logistic
from plausibench.rules.noise import Noise
from plausibench.rules.readout import delta_rule
from plausibench.rules.rule import ClosedForm, Rule, RuleCard, State
from plausibench.rules.theory import Claim, Law, Limit, Situation

Array = np.ndarray
Arrays = dict[str, Array]

BOUNDED = ("tanh", "sigmoid")
"""Functions of neurons whose activity stays below 1."""


@dataclass(frozen=True)
class ForwardForward(Rule):
    """Forward-forward (Hinton 2022).

    The label is written over the first inputs. Every hidden population minimises a loss of its
    own, ``log(1 + exp(theta - G))`` with the right label and ``log(1 + exp(G - theta))`` with a
    wrong one, where the goodness G is the sum of its squared activities; what it hands on has
    length 1. The output population learns the gradient of the objective at its own synapses,
    from the network's usual pass, and sends nothing back. A trained network answers with the
    label whose goodness, summed over hidden populations, is the highest.

    Parameters
    ----------
    threshold
        Theta over the number of neurons of a population: the mean squared activity that tells
        right labels from wrong ones. Tanh and sigmoid units stay below 1, and are refused with a
        threshold of 1 or more, at which right labels would excite them for ever and wrong ones
        would hardly be learned.
    normalise
        Whether activity is handed on with length 1; without this a layer can read its goodness
        off that of the layer below.
    """

    threshold: float = 0.3
    normalise: bool = True

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {"threshold": (0.1, 0.3)}

    card: ClassVar[RuleCard] = RuleCard(
        summary="each layer by itself tells right labels from wrong ones by its activity",
        family="aims of a layer",
        learns_without_error=True,
        equation=(
            "post_l = -sigmoid(theta - G_l) 2 a_l f_l'(z_l) with the right label, "
            "+sigmoid(G_l - theta) 2 a_l f_l'(z_l) with a wrong one,  pre_l = a_(l-1) / |a_(l-1)|"
        ),
        randomness=frozenset({"rule"}),
        unbiased=True,
        exact_when="in expectation over the wrong labels; never the gradient of the objective",
        variance_law="that of one wrong label for each example, all equally likely",
        synapse_knows="pre, activity and slope of its neuron, the goodness of its population",
        reference="gradients of the layers' own losses, and of the objective at the output",
        forward_passes=3.0,
        cites="Hinton 2022",
        notes=(
            "another objective: its distance to the gradient of the objective only describes it. "
            "Networks are read by goodness where accuracy is asked for, over all hidden "
            "populations (the paper leaves out the first: of two, one would be left); losses are "
            "those of the usual pass, which has neither label nor normalisation, and whose "
            "readout, a delta rule, is ours. So is the default threshold, from trials on digits"
        ),
        unverified="peer normalisation, the paper's thresholds and its learning curves",
    )

    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive("threshold", self.threshold)
        flag("normalise", self.normalise)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        drawn = noise.fractions({"wrong label": np.empty((batch.size, 1))})["wrong label"]
        others = network.output.size - 1
        shift = 1 + np.minimum((drawn[..., 0] * others).astype(np.int64), others - 1)
        right = self.present(network, batch, np.zeros(batch.size, np.int64), True)
        wrong = self.present(network, batch, shift, False)
        estimates: Estimates = {**delta_rule(network, objective, batch, clean)}
        for p in network.projections:
            if p.name not in estimates:
                estimates[p.name] = Outer(
                    _joined(right.post[p.target], wrong.post[p.target]),
                    _joined(right.pre[p.source], wrong.pre[p.source]),
                )
        return estimates

    def reference(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> Arrays:
        return self._moments(network, objective, batch, clean).mean

    def closed_form(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        redrawn: frozenset[str],
    ) -> ClosedForm | None:
        """Over the wrong labels, enumerated; those of different examples are independent."""
        return self._moments(network, objective, batch, clean)

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        if network.output.size < 2:
            return "forward_forward needs at least two labels, one of them wrong"
        if network.inputs < network.output.size:
            return (
                f"forward_forward writes one of {network.output.size} labels over the first "
                f"inputs, and there are {network.inputs}"
            )
        if self.threshold >= 1 and (bounded := _bounded(network)):
            return (
                f"forward_forward[threshold={self.threshold:g}] asks {bounded} for a mean squared "
                f"activity of {self.threshold:g}, and that of its neurons, which are bounded, is "
                "below 1: it would only grow; a threshold below 1 or rectified neurons would do"
            )
        return gated(network, "forward_forward")

    def scores(self, network: Network, inputs: Array) -> Array:
        """Goodness with each label written over the inputs, summed over hidden populations."""
        batch = Batch(inputs, np.zeros(len(inputs), np.int64))
        passes = (
            self.present(network, batch, np.full(batch.size, label), True).goodness
            for label in range(network.output.size)
        )
        return np.stack([np.sum(list(each.values()), axis=0) for each in passes], axis=-1)

    def present(self, network: Network, batch: Batch, shift: Array, right: bool) -> "Pass":
        """A pass with the labels that come ``shift`` after the targets, ``(..., B)``."""
        if batch.targets.ndim != 1:
            raise InputError("targets: forward_forward needs integer classes (B,) to write labels")
        outputs = network.output.size
        labels = np.eye(outputs, dtype=network.dtype)[(batch.targets + shift) % outputs]
        shape = (*labels.shape[:-1], network.inputs)
        inputs = np.array(np.broadcast_to(batch.inputs, shape))
        inputs[..., :outputs] = labels
        pre = {INPUT: inputs, CONSTANT: np.ones((batch.size, 1), network.dtype)}
        post, goodness = {}, {}
        for population in network.hidden:
            name, neurons = population.name, population.neurons
            drive = np.zeros((*labels.shape[:-1], population.size), network.dtype)
            for p in network.incoming[name]:
                drive += p.synapse.drive(network.parameters[p.name], pre[p.source])
            activity = neurons.activate(drive)
            squares = (activity * activity).sum(axis=-1, keepdims=True)
            goodness[name] = squares[..., 0] - self.threshold * population.size
            # The slope of log(1 + exp(x)) is a sigmoid.
            sign = -1 if right else 1
            slope = sign * logistic(sign * goodness[name])
            arriving = slope[..., None] * 2 * activity / batch.size
            post[name] = neurons.adjoint(drive, activity, arriving)
            length = np.sqrt(np.maximum(squares, np.finfo(network.dtype).tiny))
            pre[name] = activity / length if self.normalise else activity
        return Pass(post, pre, goodness)

    def _moments(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity
    ) -> ClosedForm:
        """Mean and variance over all wrong labels."""
        right = self.present(network, batch, np.zeros(batch.size, np.int64), True)
        wrong = self.present(network, batch, _shifts(network, batch), False)
        mean, variance = {}, {}
        readout = delta_rule(network, objective, batch, clean)
        for p in network.projections:
            if p.name in readout:
                own = readout[p.name]
                mean[p.name], variance[p.name] = p.synapse.outer(own.post, own.pre), 0.0
                continue
            post = wrong.post[p.target]
            pre = np.broadcast_to(wrong.pre[p.source], (*post.shape[:2], p.synapse.factors[1]))
            fixed = p.synapse.outer(right.post[p.target], right.pre[p.source])
            mean[p.name] = fixed + p.synapse.outer(post, pre).mean(axis=0)
            # Inner products between the responses of one example to two labels.
            products = np.einsum("sbn,tbn->bst", post, post)
            products = products * p.synapse.pre_gram(pre.swapaxes(0, 1))
            squares = np.einsum("bss->b", products) / len(post)
            variance[p.name] = float((squares - products.mean(axis=(1, 2))).sum())
        return ClosedForm(mean, variance)

    def theory(self) -> tuple[Claim, ...]:
        return (
            Law("central differences of the layers' own losses, relative error", _differences),
            Limit(
                "the gradient of the objective",
                lambda at: at,
                tolerance=0.1,
                expected=lambda at: at.network.gradient(at.objective, at.batch),
                holds=False,
            ),
        )


@dataclass(frozen=True)
class Pass:
    """What a pass leaves: factors by population, and goodness less its threshold."""

    post: Arrays
    pre: Arrays
    goodness: Arrays


def _bounded(network: Network) -> str:
    """The first hidden population of neurons whose activity stays below 1; empty without one."""
    for population in network.hidden:
        neurons = population.neurons
        if isinstance(neurons, Pointwise | TwoCompartment) and neurons.activation in BOUNDED:
            return population.name
    return ""


def _shifts(network: Network, batch: Batch) -> Array:
    """Every wrong label of every example, as a distance from the right one."""
    return np.repeat(np.arange(1, network.output.size)[:, None], batch.size, axis=1)


def _joined(right: Array, wrong: Array) -> Array:
    """Factors of both passes, one after the other along the batch."""
    return np.concatenate(np.broadcast_arrays(right, wrong), axis=-2)


def _differences(at: Situation) -> tuple[float, float, float]:
    """Each layer's loss, with what it is handed held, against the reference."""
    rule, network, batch, h = at.rule, at.network, at.batch, 1e-5
    assert isinstance(rule, ForwardForward)
    reference = at.reference()
    passes = [(np.zeros((1, batch.size), np.int64), True), (_shifts(network, batch), False)]
    handed = [rule.present(network, batch, *which).pre for which in passes]

    def loss(name: str, parameters: Arrays) -> float:
        population, total = network.population(name), 0.0
        for pre, sign in zip(handed, (-1, 1), strict=True):
            drive = sum(
                p.synapse.drive(parameters[p.name], pre[p.source]) for p in network.incoming[name]
            )
            activity = population.neurons.activate(np.asarray(drive))
            goodness = (activity**2).sum(axis=-1) - rule.threshold * population.size
            total += float(np.logaddexp(0, sign * goodness).mean())
        return total

    apart = length = 0.0
    for p in network.projections:
        if p.target == network.output.name:
            continue
        for index in np.ndindex(p.synapse.shape):
            values = []
            for step in (h, -h):
                moved = network.parameters[p.name].copy()
                moved[index] += step
                values.append(loss(p.target, {**network.parameters, p.name: moved}))
            found = float(values[0] - values[1]) / (2 * h)
            apart += float(found - reference[p.name][index]) ** 2
            length += found**2
    return float((apart / length) ** 0.5), 0.0, 1e-7
