"""Fit what and where of many neurons that share their kernels.

The core is linear, so neuron n has the receptive field ``w_n = sum_k V[k, n] sum_p M[p, n] T_k[:,
p]`` with T_k the kernel k at every place, and its squared error is ``w_n' C w_n - 2 w_n' c_n``
plus a constant, with the second moments C of images and c_n of images and responses. So a step is
four matrix products whatever the length of the recording, and it has the exact gradient of the
whole of it. Masks take accelerated proximal steps, whose length follows from the largest curvature
(Beck & Teboulle 2009), all else takes steps of Adam.
"""

from dataclasses import dataclass, field
from math import inf, log, sqrt

import numpy as np

from plausibench.architectures.point_readout import PointReadout
from plausibench.bench.identification.optimiser import adam, shrink
from plausibench.bench.identification.placement import Placement
from plausibench.bench.identification.recording import Recording, halves
from plausibench.bench.identification.start import envelope, signal
from plausibench.kernels.errors import (
    Divergence,
    InputError,
    choose,
    flag,
    integer,
    number,
    positive,
    refusal,
)
from plausibench.kernels.plain import PlainOptions
from plausibench.kernels.streams import generator
from plausibench.kernels.threads import one_blas_thread

Array = np.ndarray

READOUTS = ("factorised", "dense", "fixed_mask", "point")
SPARSE = {"masks", "dense"}
"""What has the penalty."""
POWER = 3
"""Power iterations in a step."""
IMPROVED = 5e-4
"""Share of the loss by which validation must fall to count."""


@dataclass(frozen=True)
class Fitting(metaclass=PlainOptions):
    """How to fit.

    Parameters
    ----------
    readout
        ``factorised``, a mask and a mixture of kernels for each neuron; ``dense``, a weight for
        every place and kernel; ``fixed_mask``, a gaussian where the spike-triggered average has
        its envelope; ``point``, one place, which moves.
    patch
        Height and width of a kernel.
    channels
        Kernels K that neurons share.
    penalty
        Of absolute values of masks (or of the dense readout), in units of the threshold that
        noise alone would just not reach at any place (Donoho & Johnstone 1994).
    squared
        Whether the envelope is that of the squared average.
    steps
        The most steps.
    learning_rate
        Of Adam; a tenth of it after ``patience`` validations without improvement, and after the
        second such fall the best model so far is taken.
    validation
        Share of the images, the last ones, to validate with.
    every
        Steps from one validation to the next.
    sigma
        Standard deviation of a point at the start, in units of half the map; it falls to a
        hundredth.

    Raises
    ------
    InputError
        If an option is not allowed.
    """

    readout: str = "factorised"
    patch: int = 9
    channels: int = 1
    penalty: float = 0.6
    squared: bool = True
    steps: int = 200
    learning_rate: float = 0.01
    validation: float = 0.2
    every: int = 10
    patience: int = 2
    sigma: float = 0.1

    def __post_init__(self) -> None:
        choose("readout", self.readout, READOUTS)
        for option in ("patch", "channels", "steps", "every", "patience"):
            integer(option, getattr(self, option), least=1)
        number("penalty", self.penalty, least=0)
        flag("squared", self.squared)
        positive("learning_rate", self.learning_rate)
        positive("sigma", self.sigma)
        number("validation", self.validation, above=0, below=1)


@dataclass(frozen=True, eq=False)
class Identified:
    """What was found.

    Attributes
    ----------
    kernels
        ``(K, patch, patch)``, of length 1.
    masks
        What each neuron reads at each place, ``(N, P)``; of a dense readout the lengths over
        kernels.
    features
        Mixture of kernels of each neuron, ``(N, K)``; of a dense readout that at its peak.
    fields
        Receptive fields, ``(pixels, N)``.
    means
        Of images and of responses.
    across
        Places along a side of the map.
    steps
        Steps that were taken.
    course
        Mean validation loss at each validation, in units of the responses' mean square.
    """

    kernels: Array = field(repr=False)
    masks: Array = field(repr=False)
    features: Array = field(repr=False)
    fields: Array = field(repr=False)
    means: tuple[Array, Array] = field(repr=False)
    across: int
    steps: int
    course: tuple[float, ...] = field(repr=False)

    @property
    def places(self) -> Array:
        """Row and column of the strongest place of each mask, ``(N, 2)``."""
        return np.stack(np.divmod(np.abs(self.masks).argmax(axis=1), self.across), axis=1)

    def predict(self, images: Array) -> Array:
        """Responses ``(B, N)`` to images ``(B, pixels)``."""
        return (images - self.means[0]) @ self.fields + self.means[1]


def fit(
    images: Array,
    responses: Array,
    fitting: Fitting,
    seed: int = 0,
    kernels: Array | None = None,
) -> Identified:
    """Identify neurons from their responses.

    Parameters
    ----------
    images
        ``(D, pixels)``, square.
    responses
        ``(D, N)``.
    fitting
        How.
    seed
        Of the initial values.
    kernels
        Kernels that are known, ``(K, patch, patch)``; they are not changed.

    Raises
    ------
    InputError
        If shapes do not fit.
    Divergence
        If the loss is no longer finite.
    """
    side = round(images.shape[-1] ** 0.5)
    if images.ndim != 2 or side**2 != images.shape[1]:
        raise refusal("images", images.shape, "a shape (D, side * side)")
    if responses.ndim != 2 or len(responses) != len(images):
        raise refusal("responses", responses.shape, f"a shape ({len(images)}, N)")
    known = None if kernels is None else np.asarray(kernels)
    asked = (fitting.channels, fitting.patch, fitting.patch)
    if known is not None and known.shape != asked:
        raise InputError(f"kernels: shape {known.shape} is not {asked}, as the options say")
    placement = Placement(side, fitting.patch)
    train, unseen, means = halves(images, responses, fitting.validation)
    with one_blas_thread():
        course = _Course(placement, fitting, train, unseen, seed, known)
        return course.run(means)


class _Course:
    """One fit: parameters, which change in place, and what a step needs."""

    def __init__(
        self,
        placement: Placement,
        fitting: Fitting,
        train: Recording,
        unseen: Recording,
        seed: int,
        kernels: Array | None,
    ) -> None:
        self.placement, self.fitting = placement, fitting
        self.train, self.unseen = train, unseen
        self.point = PointReadout(*(max(placement.across, 2),) * 2)
        self.noise = generator(seed, "rule", "point readout")
        self.matrix = np.zeros((fitting.channels, placement.pixels, placement.places), np.float32)
        self.sigma = 0.0
        draw = generator(seed, "init", "identification")
        wide = fitting.channels * placement.places
        self.steepest = draw.standard_normal(wide).astype(np.float32) / np.float32(sqrt(wide))
        size = (fitting.channels, fitting.patch**2)
        self.values = self._readout(draw)
        self.values["kernels"] = self._aligned() * (1 + 0.3 * draw.standard_normal(size))
        if kernels is not None:
            self.values["kernels"] = np.array(kernels.reshape(size))
        self.values = {
            name: np.ascontiguousarray(array, np.float32) for name, array in self.values.items()
        }
        self.held = {"kernels"} if kernels is not None else set()
        if fitting.readout == "factorised" and fitting.channels == 1:
            self.held.add("features")  # of length 1: there is no other
        if fitting.readout == "fixed_mask":
            self.held.add("masks")

    def _peaks(self) -> Array:
        """Where the envelope of each neuron has its peak, ``(N,)``."""
        fitting = self.fitting
        found = envelope(self.train.cross, self.placement, fitting.patch / 6, fitting.squared)
        return found.argmax(axis=0)

    def _aligned(self) -> Array:
        """Mean of all spike-triggered averages around their peaks, of length 1."""
        windows = self.placement.covered[:, self._peaks()]
        mean = np.take_along_axis(self.train.cross, windows, axis=0).mean(axis=1)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)

    def _readout(self, draw: np.random.Generator) -> dict[str, Array]:
        """Initial values; a mask has one value at the peak of the envelope."""
        placement, fitting, neurons = self.placement, self.fitting, self.train.neurons
        peaks = self._peaks()
        size = signal(self.train, placement, peaks)
        index = np.arange(neurons)
        masks = 0.001 * draw.standard_normal((placement.places, neurons))
        masks[peaks, index] = size
        features = 1 + 0.1 * draw.standard_normal((fitting.channels, neurons))
        features /= np.linalg.norm(features, axis=0)
        if fitting.readout == "factorised":
            return {"masks": masks, "features": features}
        if fitting.readout == "dense":
            return {"dense": (features[:, None] * masks).reshape(-1, neurons)}
        if fitting.readout == "point":
            return {"positions": self.point.nearest(peaks), "features": features * size}
        rows, columns = np.divmod(np.arange(placement.places), placement.across)
        square = (rows[:, None] - rows[peaks]) ** 2 + (columns[:, None] - columns[peaks]) ** 2
        fixed = np.exp(-square / 2)
        return {"masks": fixed / np.linalg.norm(fixed, axis=0), "features": features * size}

    @property
    def threshold(self) -> float:
        """Weight of the penalty for the options' ``penalty``."""
        deviation = sqrt(float(self.train.squares.mean()) / self.train.size)
        return 2 * deviation * sqrt(2 * log(self.placement.places)) * self.fitting.penalty

    def run(self, means: tuple[Array, Array]) -> Identified:
        """Take steps until validation no longer improves."""
        fitting = self.fitting
        memory = {name: np.zeros((2, array.size)) for name, array in self.values.items()}
        memory = {name: np.ascontiguousarray(m, np.float32) for name, m in memory.items()}
        for name in SPARSE.intersection(self.values):
            memory[name][:] = self.values[name].reshape(-1)
        rate, falls, waited, least = fitting.learning_rate, 0, 0, inf
        best, course, taken = self._copy(), [], 0
        momentum = 1.0
        for step in range(fitting.steps + 1):
            if step % fitting.every == 0 or step == fitting.steps:
                loss = self._validate()
                course.append(loss)
                if not loss < inf:
                    raise Divergence(f"the loss is not finite after {step} steps of the fit")
                if loss < least * (1 - IMPROVED):
                    best, least, waited, taken = self._copy(), loss, 0, step
                else:
                    waited += 1
                if waited == fitting.patience:
                    rate, falls, waited = rate / 10, falls + 1, 0
                    if falls == 2:
                        break
            if step == fitting.steps:
                break
            curvature = self._curvature()
            self.sigma = fitting.sigma * 0.01 ** (step / fitting.steps)
            before, momentum = momentum, (1 + sqrt(1 + 4 * momentum**2)) / 2
            for name, gradient in self._gradient().items():
                flat, slope = self.values[name].reshape(-1), gradient.reshape(-1)
                if name in SPARSE:
                    size, push = 1 / curvature, (before - 1) / momentum
                    shrink(flat, slope, memory[name][0], size, self.threshold, push)
                else:
                    mean, square = memory[name]
                    adam(flat, slope, mean, square, step + 1, rate, 0.0)
            if fitting.readout == "point":
                np.clip(self.values["positions"], -1, 1, out=self.values["positions"])
        self.values, self.sigma = best, 0.0
        return self._identified(means, taken, tuple(course))

    def _curvature(self) -> float:
        """Largest second derivative of a neuron's squared error by its mask, or by its readout.

        By a few power iterations from where those of the step before ended, 5 % above what they
        find, for they approach it from below.
        """
        if self.fitting.readout not in ("factorised", "dense"):
            return 1.0
        kernels, _ = self._kernels()
        for kernel, matrix in zip(kernels, self.matrix, strict=True):
            self.placement.spread(kernel, matrix)
        wide = np.concatenate(list(self.matrix), axis=1)
        length = 1.0
        for _ in range(POWER):
            vector = wide.T @ (self.train.images @ (wide @ self.steepest))
            length = float(np.linalg.norm(vector))
            self.steepest = vector / np.float32(max(length, 1e-12))
        return 2.1 * max(length, 1e-6)

    def _copy(self) -> dict[str, Array]:
        return {name: array.copy() for name, array in self.values.items()}

    def _kernels(self) -> tuple[Array, Array]:
        """Kernels of length 1, and the lengths of those that are learned."""
        lengths = np.linalg.norm(self.values["kernels"], axis=1, keepdims=True)
        lengths = np.maximum(lengths, np.float32(1e-12))
        return self.values["kernels"] / lengths, lengths

    def _parts(self, positions: Array | None = None) -> tuple[Array, Array]:
        """Masks ``(P, N)`` and features ``(K, N)`` that are multiplied with each other."""
        if self.fitting.readout == "point":
            where = self.values["positions"] if positions is None else positions
            return np.ascontiguousarray(self.point.masks(where).T), self.values["features"]
        masks, features = self.values["masks"], self.values["features"]
        if self.fitting.readout == "factorised":
            length = np.linalg.norm(features, axis=0, keepdims=True)
            features = features / np.maximum(length, np.float32(1e-12))
        return masks, features

    def _weights(self, positions: Array | None = None) -> Array:
        """The readout as a dense one, ``(K, P, N)``."""
        if self.fitting.readout == "dense":
            return self.values["dense"].reshape(
                self.fitting.channels, self.placement.places, self.train.neurons
            )
        masks, features = self._parts(positions)
        return features[:, None] * masks

    def _fields(self, weights: Array) -> Array:
        """Receptive fields ``(pixels, N)``; leaves the kernels in ``self.matrix``."""
        kernels, _ = self._kernels()
        total: Array | None = None
        for kernel, matrix, part in zip(kernels, self.matrix, weights, strict=True):
            self.placement.spread(kernel, matrix)
            product = matrix @ part
            total = product if total is None else total + product
        assert total is not None, "there is no kernel"
        return total

    def _validate(self) -> float:
        losses = self.unseen.losses(self._fields(self._weights()))
        return float(losses.mean() / self.unseen.squares.mean())

    def _gradient(self) -> dict[str, Array]:
        """Gradient of the neurons' summed squared errors by everything that is learned."""
        positions = None
        if self.fitting.readout == "point":
            positions = self.point.drawn(self.values["positions"], self.sigma, self.noise)
        weights = self._weights(positions)
        fields = self._fields(weights)
        error = 2 * (self.train.images @ fields - self.train.cross)
        found = {}
        if "kernels" not in self.held:
            kernels, lengths = self._kernels()
            moved = np.stack([self.placement.collect(error @ part.T) for part in weights])
            along = (moved * kernels).sum(axis=1, keepdims=True)
            found["kernels"] = (moved - along * kernels) / lengths
        signals = np.stack([matrix.T @ error for matrix in self.matrix])
        if self.fitting.readout == "dense":
            return found | {"dense": signals.reshape(-1, signals.shape[-1])}
        masks, features = self._parts(positions)
        if "masks" not in self.held:
            by_mask = np.einsum("kpn,kn->pn", signals, features)
            if positions is None:
                found["masks"] = by_mask
            else:
                found["positions"] = self.point.pull(positions, by_mask.T)
        if "features" not in self.held:
            by_feature = np.einsum("kpn,pn->kn", signals, masks)
            if self.fitting.readout == "factorised":
                # Their length is 1: what is learned is the direction.
                length = np.linalg.norm(self.values["features"], axis=0)
                along = (by_feature * features).sum(axis=0)
                by_feature = (by_feature - along * features) / np.maximum(length, 1e-12)
            found["features"] = by_feature
        return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}

    def _identified(
        self, means: tuple[Array, Array], steps: int, course: tuple[float, ...]
    ) -> Identified:
        weights = self._weights()
        fields = self._fields(weights)
        if self.fitting.readout == "dense":
            lengths = np.linalg.norm(weights, axis=0)
            peaks = lengths.argmax(axis=0)
            masks, features = lengths, weights[:, peaks, np.arange(len(peaks))]
        else:
            masks, features = self._parts()
        patch = self.fitting.patch
        return Identified(
            self._kernels()[0].reshape(-1, patch, patch),
            masks.T,
            features.T,
            fields,
            means,
            self.placement.across,
            steps,
            course,
        )
