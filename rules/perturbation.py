"""What the rules that perturb have in common: size and law of the noise, and the comparison."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.architecture import layered
from plausibench.architectures.network import Activity, Network
from plausibench.architectures.neurons import Pointwise
from plausibench.kernels import elementwise
from plausibench.kernels.buffers import empty
from plausibench.kernels.errors import InputError, choose, flag, positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.mean_squared_error import MeanSquaredError
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import (
    Estimates,
    by_example,
    directed,
    form,
    outers,
    per_example,
    per_row,
)
from plausibench.rules.noise import FOURTH_MOMENT, LAWS, Noise
from plausibench.rules.rule import Choices, ClosedForm, Rule
from plausibench.rules.theory import Limit, Situation, Slope

Array = np.ndarray


@dataclass(frozen=True)
class Perturbation(Rule):
    """A rule that correlates noise with the change of the loss it makes.

    Parameters
    ----------
    sigma
        Standard deviation of the noise.
    antithetic
        Whether the loss is compared with that under the opposite noise (True) or without.
    noise
        Law of the noise: gaussian or rademacher.
    """

    sigma: float = 1e-3
    antithetic: bool = True
    noise: str = "gaussian"

    choices: ClassVar[Choices] = {"noise": LAWS}

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        flag("antithetic", self.antithetic)
        choose("noise", self.noise, LAWS)

    @property
    def excess(self) -> float:
        """E xi^4 - 2 of the noise: 1 for gaussian, -1 for rademacher."""
        return FOURTH_MOMENT[self.noise] - 2

    def slope(self, loss: Callable[[float], Array], undisturbed: Callable[[], Array]) -> Array:
        """Change of the loss per unit of noise.

        Parameters
        ----------
        loss
            Loss under the noise times an amplitude.
        undisturbed
            Loss without noise.
        """
        if self.antithetic:
            return (loss(self.sigma) - loss(-self.sigma)) / (2 * self.sigma)
        return (loss(self.sigma) - undisturbed()) / self.sigma

    def evenly(self, loss: Callable[[float], Array], undisturbed: Callable[[], Array]) -> Array:
        """What :meth:`slope` has of the noise and of its opposite alike, one-sided."""
        return (loss(self.sigma) + loss(-self.sigma) - 2 * undisturbed()) / (2 * self.sigma)

    def limits(
        self, expected: Callable[[Situation], dict[str, Array]], smallest: float = 1e-3
    ) -> tuple[Slope | Limit, ...]:
        """Claims about single draws, given the forward gradient along the same noise.

        The error vanishes as sigma^2 with the opposite noise and as sigma without; with the
        opposite noise it is nil at any sigma where the loss is quadratic in what is disturbed.
        ``smallest`` is the sigma at which the error with the opposite noise is below 1e-5.
        """

        def at(situation: Situation, sigma: float) -> Situation:
            return replace(situation, rule=replace(self, sigma=sigma))

        def precise(situation: Situation, sigma: float) -> Situation:
            if situation.network.dynamics == "settling":
                raise InputError(
                    "network: a fixed point is not as precise as so small a sigma asks"
                )
            return at(situation, sigma)

        if not self.antithetic:
            along = "sigma -> 0, one-sided: forward gradient along the same noise"
            return (Slope(along, precise, 1.0, smallest=1e-7, tolerance=1e-5, expected=expected),)
        along = "sigma -> 0, antithetic: forward gradient along the same noise"
        return (
            Slope(along, at, 2.0, smallest, tolerance=1e-5, expected=expected),
            Limit(
                "quadratic loss, sigma = 0.3: forward gradient along the same noise",
                lambda situation: at(quadratic(situation), 0.3),
                tolerance=1e-9,
                expected=expected,
            ),
        )


def quadratic(situation: Situation) -> Situation:
    """A linear perceptron on the same batch under squared error, quadratic in its weights."""
    if situation.batch.inputs.ndim != 2:
        raise InputError("a perceptron has no time")
    sizes = (situation.network.inputs, situation.network.output.size)
    perceptron = layered("linear", sizes, [Pointwise("identity")], True, situation.seed)
    return replace(situation, network=perceptron, objective=MeanSquaredError())


def moved(weights: Array, noise: Array, amplitude: float) -> Array:
    """``weights + amplitude * noise``, ``(S, *shape)``, in one pass and in memory used before."""
    found = empty(noise.shape, noise.dtype)
    shared = np.ascontiguousarray(weights)
    elementwise.perturb(elementwise.IDENTITY, shared, noise, amplitude, found)
    return found


def along_weights(
    network: Network, objective: Objective, batch: Batch, clean: Activity, noise: Noise, law: str
) -> Estimates:
    """Derivative of the batch's loss along a direction in weight space, times the direction."""
    xi = noise.parameters(network.parameters, law)
    change = network.tangent(clean, parameters=xi).output
    slope = (objective.batch_error(clean.output, batch) * change).sum(axis=(-1, -2))
    return directed(slope, xi, noise, law)


def along_drives(
    network: Network, objective: Objective, batch: Batch, clean: Activity, xi: Mapping[str, Array]
) -> Estimates:
    """Derivative of each example's loss along its noise on the drives, times the noise."""
    change = network.tangent(clean, drive=xi).output
    error = objective.batch_error(clean.output, batch)
    slope = per_example((error * change).sum(axis=-1), batch.size)
    return outers(
        network, clean, {name: per_row(slope, drawn) * drawn for name, drawn in xi.items()}
    )


def weight_law(
    network: Network, objective: Objective, batch: Batch, clean: Activity, excess: float
) -> ClosedForm:
    """Mean g and variance ``P_l |g|^2 + (k4 - 2) |g_l|^2`` of ``(g . xi) xi``, per parameter."""
    exact = network.gradient(objective, batch, clean)
    lengths = {name: float((g * g).sum()) for name, g in exact.items()}
    total = sum(lengths.values())
    variance = {name: g.size * total + excess * lengths[name] for name, g in exact.items()}
    return ClosedForm(exact, variance)


def drive_law(
    network: Network, objective: Objective, batch: Batch, clean: Activity, excess: float
) -> ClosedForm | None:
    """Mean and variance of ``(delta . xi) xi_l`` times presynaptic activity.

    Per layer and example, ``E|g|^2 = |a|^2 (N_l |delta|^2 + (k4 - 1) |delta_l|^2)`` (Werfel,
    Xie & Seung 2005, for one layer), with delta over all layers: every neuron's noise moves
    the same loss. In time delta is over all steps too, each has an ``|a|^2`` of its own, and two
    steps t and s of one example share ``2 (delta_t . delta_s) (a_t . a_s)``. None is known where
    the noise of neurons reaches a parameter through others.
    """
    if network.paths != network.projections:
        return None
    size = batch.size
    error = objective.batch_error(clean.output, batch)
    signals = network.credit(clean, {network.output.name: error})
    lengths = {name: (signal**2).sum(axis=-1) for name, signal in signals.items()}
    total = np.sum([per_example(length, size) for length in lengths.values()], axis=0)
    variance = {}
    for p in network.projections:
        signal = by_example(signals[p.target], size)
        gram = p.synapse.pre_gram(by_example(clean.presynaptic(p), size))
        along = by_example(lengths[p.target][:, None], size)[..., 0]
        each = signal.shape[-1] * total[:, None] + (excess - 1) * along
        shared = gram * (signal @ signal.swapaxes(-1, -2))
        variance[p.name] = float((np.einsum("btt->bt", gram) * each).sum() + shared.sum())
    return ClosedForm(form(network, outers(network, clean, signals)), variance)


def first_draw(
    rule: Callable[[Network, Objective, Batch, Activity, Mapping[str, Array]], Estimates],
    noise: Callable[[Noise, Network, Activity], Mapping[str, Array]],
) -> Callable[[Situation], dict[str, Array]]:
    """What an exact rule makes of the first draw of the noise, to be expected by a claim."""

    def expected(at: Situation) -> dict[str, Array]:
        network, clean = at.network, at.network.forward(at.batch.inputs)
        xi = noise(at.noise(), network, clean)
        estimates = rule(network, at.objective, at.batch, clean, xi)
        return {name: array[0] for name, array in form(network, estimates).items()}

    return expected


def along_changes(
    rule: Perturbation,
    network: Network,
    objective: Objective,
    batch: Batch,
    clean: Activity,
    noise: Noise,
) -> dict[str, Array]:
    """Post factors ``N (change of loss) dz_l / |dz|^2`` from measured changes of the drives.

    dz is the change of the drives of all N neurons together, noise and what it causes above
    it (Dalm, van Gerven & Ahmad 2023). The noise itself need not be known.
    """
    xi = noise.examples(clean.drive, rule.noise)

    def passed(amplitude: float) -> tuple[Array, dict[str, Array]]:
        noisy = network.forward(batch.inputs, drive_noise=xi, amplitude=amplitude, clean=clean)
        drives = {name: noisy.drive[name] + amplitude * xi[name] for name in xi}
        return objective.losses(noisy.output, batch.targets), drives

    loss, above = passed(rule.sigma)
    if rule.antithetic:
        before, below = passed(-rule.sigma)
    else:
        before, below = objective.losses(clean.output, batch.targets), clean.drive
    change = {name: above[name] - below[name] for name in xi}
    return normalised((loss - before) / batch.size, change)


def normalised(change: Array, moved: Mapping[str, Array]) -> dict[str, Array]:
    """``N change dz_l / |dz|^2`` with N and dz over all populations, per example."""
    length = sum((part**2).sum(axis=-1) for part in moved.values())
    neurons = sum(part.shape[-1] for part in moved.values())
    weight = (neurons * change / length)[..., None]
    return {name: weight * part for name, part in moved.items()}
