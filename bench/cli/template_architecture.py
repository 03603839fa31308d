"""The plug-in that ``plausibench new-architecture`` writes: a PyTorch module that runs at once."""

from pathlib import Path

from plausibench.bench.cli.template import check_form, fill, write_new
from plausibench.bench.components import registry
from plausibench.kernels.errors import InputError, show

TEMPLATE = '''"""@NAME@: a PyTorch module of my own, as an architecture.

    plausibench show @NAME@ --plugin @FILE@
    plausibench run --plugin @FILE@ --architectures @NAME@ --rules backprop --rules kolen_pollack
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from plausibench import bench


@dataclass(frozen=True)  # fields are options: @NAME@[width=16]
class @CLASS@(bench.TorchArchitecture):
    # Options of these names follow from the task. Without shape the module gets flat inputs:
    # it begins with nn.Linear, from an option inputs.
    shape: tuple[int, ...] = (8, 8)  # height, width, and channels if there are more than one
    outputs: int = 10
    width: int = 8

    summary: ClassVar[str] = "a convolution, averaged over the image"

    # Called once for each seed, which torch's generator has: parameters that are drawn here differ
    # from seed to seed, those that are loaded do not. Layers that cannot be taken, such as max
    # pooling and batch normalisation, are named when the network is made.
    def module(self):
        channels = self.shape[2] if len(self.shape) > 2 else 1
        return nn.Sequential(
            nn.Conv2d(channels, self.width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * self.width, self.outputs),
        )
'''


def write_architecture(name: str, out: Path, *, force: bool = False) -> Path:
    """Write the plug-in file of a new architecture, and return its path.

    Parameters
    ----------
    name
        Of the architecture, for example ``my_net``.
    out
        The file, or a folder that gets ``<name>.py``.
    force
        Whether to replace a file that is there.

    Raises
    ------
    InputError
        If the name cannot be used, or the file is there or cannot be written.
    """
    check_form(name)
    taken = registry.entries("architecture").get(name)
    if taken is not None:
        raise InputError(
            f"name: {show(name)} is taken by an architecture ({taken.origin}); choose another, "
            f"such as 'my_{name}'"
        )
    return write_new(name, out, lambda file: fill(TEMPLATE, name, file), force=force)
