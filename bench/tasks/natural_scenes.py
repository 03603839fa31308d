"""Neurons that see patches of photographs through a random convolutional network."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from plausibench.architectures.convolution import ConvolutionalSynapse, Windows
from plausibench.bench.tasks.neurons import MEAN, Array, Neurons
from plausibench.kernels.errors import InputError, choose, integer

FILES = {
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "skimage": tuple(
        f"data/{name}.png"
        for name in ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel")
    ),
}
"""Photographs by the package that ships them; they are read without importing it."""
DISTRIBUTIONS = {"sklearn": "scikit-learn", "skimage": "scikit-image"}
COLLECTIONS = {
    "scikit-learn": ("sklearn",),
    "scikit-image": ("skimage",),
    "both": ("sklearn", "skimage"),
}
KERNEL = 5
PIECE = 64
TEST_SHARE = 0.25
"""Share of every photograph, on its right, from which test patches come."""


@dataclass(frozen=True)
class NaturalScenes(Neurons):
    """Rectified features of photographs, at a place for each neuron (Klindt et al. 2017, Fig. 5).

    The features are those of a frozen random network of two convolutional layers, which stands
    in for the trained network of the paper (VGG): the structure is the same, ``features``
    shared by all neurons, and what is to be found is known, but no more is claimed.

    Images are patches of grey photographs, of zero mean and unit variance over all of them;
    those for testing come from another part of each photograph. Every neuron has a mean
    response of 0.1, and noise as in ``simulated_neurons``.

    Parameters
    ----------
    neurons : int, default 100
        Number of neurons.
    examples, test_examples : int, default 2048 and 2000
        Images for training and for testing.
    side : int, default 24
        Height and width of an image, pixels.
    shuffled : bool, default False
        Whether training responses are those to other images.
    seed : int, default 0
        Seed of the task, apart from the seeds of batches.
    features : int, default 4
        What neurons compute: features of the second layer.
    hidden : int, default 8
        Features of the first layer.
    collection : {"scikit-learn", "scikit-image", "both"}
        Whose photographs: the two of scikit-learn, or seven of scikit-image, which
        ``plausibench[data]`` installs.

    Raises
    ------
    InputError
        If an option is not allowed; on reading, if photographs are missing.
    """

    features: int = 4
    hidden: int = 8
    collection: str = "scikit-learn"

    name: ClassVar[str] = "natural_scenes"
    summary: ClassVar[str] = "features of a random network on patches of photographs"
    cites: ClassVar[str] = "Klindt, Ecker, Euler & Bethge 2017"

    def __post_init__(self) -> None:
        for option in ("features", "hidden"):
            object.__setattr__(self, option, integer(option, getattr(self, option), least=1))
        choose("collection", self.collection, COLLECTIONS)
        super().__post_init__()

    @property
    def smallest(self) -> int:
        return 2 * KERNEL - 1

    @property
    def positions(self) -> int:
        """Places of a neuron along each side of the image."""
        return self.side - 2 * (KERNEL - 1)

    @property
    def places(self) -> Array:
        """Row and column of each neuron among the positions, ``(N, 2)``."""
        return self._neurons()[0]

    @property
    def kinds(self) -> Array:
        """Feature of each neuron, ``(N,)``."""
        return self._neurons()[1]

    def images(self, part: str, count: int) -> Array:
        photographs = _photographs(self.collection)
        draw, side = self.draw(f"{part} images", self.side), self.side
        patches = np.empty((count, side, side))
        for patch in patches:
            photograph = photographs[draw.integers(len(photographs))]
            height, width = photograph.shape
            border = round((1 - TEST_SHARE) * width)
            first, last = (0, border) if part == "train" else (border, width)
            row = draw.integers(0, height - side + 1)
            column = draw.integers(first, last - side + 1)
            patch[...] = photograph[row : row + side, column : column + side]
        return patches.reshape(count, -1)

    def responses(self, images: Array) -> Array:
        return self.seen(images) * (MEAN / _means(self))

    def _neurons(self) -> tuple[Array, Array]:
        places = self.draw("neurons").integers(0, self.positions, (self.neurons, 2))
        return places, np.arange(self.neurons) % self.features

    def seen(self, images: Array) -> Array:
        """Features at the neurons' places, as the network makes them, ``(B, N)``."""
        # In pieces: what all windows see together takes fifty times the memory of the images.
        pieces = range(0, len(images), PIECE)
        return np.concatenate([self._seen(images[first : first + PIECE]) for first in pieces])

    def _seen(self, images: Array) -> Array:
        first = Windows(self.side, self.side, 1, KERNEL)
        second = Windows(first.rows, first.columns, self.hidden, KERNEL)
        activity = images
        for layer, windows, channels in ((1, first, self.hidden), (2, second, self.features)):
            synapse = ConvolutionalSynapse(windows, channels)
            weights = self.draw(f"layer{layer}").standard_normal(synapse.shape)
            # Without a mean: the brightness of a patch would outweigh all that is in it.
            weights -= weights.mean(axis=(1, 2, 3), keepdims=True)
            weights /= np.sqrt(synapse.inflow)
            activity = np.maximum(synapse.drive(weights, activity), 0)
        places, kinds = self._neurons()
        where = places[:, 0] * self.positions + places[:, 1]
        return activity[:, where * self.features + kinds]


@lru_cache(maxsize=4)
def _means(task: NaturalScenes) -> Array:
    """Mean feature of each neuron over many patches, whatever the size of the training set."""
    return task.seen(task.images("train", 2000)).mean(axis=0)


@lru_cache(maxsize=3)
def _photographs(collection: str) -> tuple[Array, ...]:
    """Grey photographs of zero mean and unit variance together."""
    from PIL import Image

    found = []
    for package in COLLECTIONS[collection]:
        home = find_spec(package)
        if home is None or not home.submodule_search_locations:
            raise InputError(
                f"task: the photographs of natural_scenes ship with {DISTRIBUTIONS[package]}, "
                "which is not installed; pip install 'plausibench[data]'"
            )
        for name in FILES[package]:
            path = Path(home.submodule_search_locations[0], name)
            try:
                with Image.open(path) as file:
                    found.append(np.asarray(file.convert("L"), dtype=float))
            except OSError as error:
                raise InputError(f"task: {path} cannot be read ({error})") from error
    pixels = np.concatenate([photograph.ravel() for photograph in found])
    return tuple((photograph - pixels.mean()) / pixels.std() for photograph in found)
