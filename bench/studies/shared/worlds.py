"""Small worlds in which an inductive bias should help, each with a control in which it should not.

Every world is a task with ``examples`` for training, the data budget, and the flag ``null``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.task import Task
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.generative import loadings

Array = np.ndarray


@dataclass(frozen=True)
class World(Task):
    """What the worlds share.

    Parameters
    ----------
    examples
        For training.
    null
        Whether the structure is taken away that a bias could use.
    seed
        Of the data.
    """

    examples: int = 1000
    null: bool = False
    seed: int = 0

    name: ClassVar[str] = "world"
    summary: ClassVar[str] = "a small world of a study"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"

    def draw(self, part: str) -> np.random.Generator:
        """Generator of what the training or the test set takes."""
        return generator(self.seed, "data", type(self).__name__, part)

    @property
    def identity(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.examples, self.seed)


@dataclass(frozen=True)
class Sources(World):
    """Mixtures of few out of many causes, to be explained; under the null causes are gaussian.

    Twice as many causes as inputs, each with a fixed pattern, are active in ``active`` of the
    cases, with random signs. Under the null all are active with gaussian strengths of the same
    variance. The targets are the inputs themselves.
    """

    active: float = 0.06
    observed: ClassVar[int] = 16
    causes: ClassVar[int] = 32
    kind: ClassVar[Literal["classification", "regression"]] = "regression"

    @property
    def inputs_size(self) -> int:
        return self.observed

    @property
    def outputs_size(self) -> int:
        return self.causes

    def load(self) -> tuple[Batch, Batch]:
        train, test = (self.strengths(part) @ self.patterns.T for part in ("train", "test"))
        return Batch(train, train), Batch(test, test)

    @property
    def patterns(self) -> Array:
        """What each cause does to the inputs, ``(observed, causes)``, of length 1."""
        return loadings(0, self.observed, self.causes)

    def strengths(self, part: str) -> Array:
        """The causes of each example."""
        draw = self.draw(part)
        size = (self.examples if part == "train" else 1000, self.causes)
        signs, gaussian = draw.choice([-1.0, 1.0], size), draw.standard_normal(size)
        there = draw.random(size) < self.active
        return gaussian * np.sqrt(self.active) if self.null else signs * there


@dataclass(frozen=True)
class Movie(World):
    """A film of objects that move behind an occluder; targets are their identities.

    One of three patterns of four pixels moves two pixels a frame along a ring of 12, turns at
    random, and is replaced now and then by another. A pillar hides two pixels. The frames of
    training have no names: their targets are places in the order of the film, which no objective
    of slowness reads. Under the null they are shown in random order. Batches are windows of
    successive frames.
    """

    pixels: ClassVar[int] = 12
    objects: ClassVar[int] = 3

    @property
    def inputs_size(self) -> int:
        return self.pixels

    @property
    def outputs_size(self) -> int:
        return self.objects

    def load(self) -> tuple[Batch, Batch]:
        train = self._film("train", self.examples)
        if self.null:
            train = train.take(self.draw("order").permutation(self.examples))
        # Classes would name the scene, and tell which frames show one object.
        places = np.arange(self.examples, dtype=np.float64)[:, None]
        return Batch(train.inputs, places), self._film("test", 1000)

    def _film(self, part: str, frames: int) -> Batch:
        patterns = generator(0, "data", "Movie", "patterns").standard_normal((self.objects, 4))
        patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
        draw = self.draw(part)
        images, shown = np.zeros((frames, self.pixels)), np.zeros(frames, np.int64)
        place, step, which = 0, 2, int(draw.integers(self.objects))
        for frame in range(frames):
            if draw.random() < 0.04:
                which = int(draw.integers(self.objects))
            if draw.random() < 0.3:
                step = -step
            place = (place + step) % self.pixels
            images[frame, (place + np.arange(4)) % self.pixels] = patterns[which]
            shown[frame] = which
        images[:, 5:7] = 0
        images += 0.05 * draw.standard_normal(images.shape)
        return Batch(images, shown)

    def _steps(self, size: int, seed: int, step: int) -> Iterator[Batch]:
        starts = generator(seed, "data", "Movie", "windows")
        while True:
            first = int(starts.integers(0, self.train.size - size + 1))
            if step == 0:
                yield self.train.take(np.arange(first, first + size))
            step = max(step - 1, 0)


@dataclass(frozen=True)
class Field(World):
    """Digits somewhere in a larger field; the test set has them where training never did.

    Digits of 8 x 8 pixels lie in a field of 16 x 16, in training with their left edge in columns
    0 to 3, in the test in columns 5 to 8. Under the null all pixels have changed places.
    """

    side: ClassVar[int] = 16

    @property
    def inputs_size(self) -> int:
        return self.side**2

    @property
    def outputs_size(self) -> int:
        return 10

    def load(self) -> tuple[Batch, Batch]:
        from plausibench.bench.tasks.digits import Digits

        digits = Digits()
        train = digits.batch(min(self.examples, digits.train.size), seed=self.seed)
        return self._placed(train, "train", 0), self._placed(digits.test, "test", 5)

    def _placed(self, batch: Batch, part: str, left: int) -> Batch:
        draw = self.draw(part)
        fields = np.zeros((batch.size, self.side, self.side))
        downs, rights = draw.integers(0, 9, batch.size), left + draw.integers(0, 4, batch.size)
        for field, image, down, right in zip(fields, batch.inputs, downs, rights, strict=True):
            field[down : down + 8, right : right + 8] = image.reshape(8, 8)
        flat = fields.reshape(batch.size, -1)
        if self.null:
            order = generator(0, "data", "Field", "pixels").permutation(self.side**2)
            flat = flat[:, order]
        return Batch(flat, batch.targets)


@dataclass(frozen=True)
class Cued(World):
    """Four channels, each with a pattern of one of three classes; a cue says which one counts.

    Under the null the cue names a channel at random, and the target is that of another draw.
    """

    channels: ClassVar[int] = 4
    classes: ClassVar[int] = 3
    width: ClassVar[int] = 6
    noise: ClassVar[float] = 0.3

    @property
    def inputs_size(self) -> int:
        return self.channels * self.width + self.channels

    @property
    def outputs_size(self) -> int:
        return self.classes

    def load(self) -> tuple[Batch, Batch]:
        return self._trials("train", self.examples), self._trials("test", 1000)

    def _trials(self, part: str, trials: int) -> Batch:
        shape = (self.channels, self.classes, self.width)
        patterns = generator(0, "data", "Cued", "patterns").standard_normal(shape)
        draw = self.draw(part)
        shown = draw.integers(0, self.classes, (trials, self.channels))
        asked, other = draw.integers(0, self.channels, (2, trials))
        seen = patterns[np.arange(self.channels), shown]
        seen = seen + self.noise * draw.standard_normal(seen.shape)
        cue = np.eye(self.channels)[other if self.null else asked]
        inputs = np.concatenate([seen.reshape(trials, -1), cue], axis=1)
        return Batch(inputs, shown[np.arange(trials), asked])


@dataclass(frozen=True)
class Forecast(World):
    """The next frame of the film of :class:`Movie`, from the six frames before it."""

    frames: ClassVar[int] = 6
    kind: ClassVar[Literal["classification", "regression"]] = "regression"

    @property
    def inputs_size(self) -> int:
        return Movie.pixels

    @property
    def outputs_size(self) -> int:
        return Movie.pixels

    def load(self) -> tuple[Batch, Batch]:
        film = Movie(examples=self.examples + self.frames, seed=self.seed)
        return self._windows(film.train.inputs), self._windows(film.test.inputs)

    def _windows(self, frames: Array) -> Batch:
        starts = np.arange(len(frames) - self.frames)
        seen = frames[starts[:, None] + np.arange(self.frames)]
        return Batch(seen, frames[starts + self.frames])
