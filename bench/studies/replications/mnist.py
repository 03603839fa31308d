"""The files of MNIST, which do not ship with the package."""

FILES = tuple(
    f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
"""In one folder, each plain or with the ending ``.gz``."""
