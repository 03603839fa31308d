"""Getting the files of data sets, when a user asks for it: nothing else downloads anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from plausibench.kernels.errors import InputError, choose


@dataclass(frozen=True)
class Download:
    """A file of a data set.

    Attributes
    ----------
    name : str
        Of the file.
    checksum : str
        ``md5:`` or ``sha256:`` and the published digest.
    folders : tuple of str
        Addresses of the folders in which it lies, tried in turn.
    """

    name: str
    checksum: str
    folders: tuple[str, ...]


def _idx(folders: tuple[str, ...], *digests: str) -> tuple[Download, ...]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(
        Download(f"{name}-ubyte.gz", f"md5:{digest}", folders)
        for name, digest in zip(names, digests, strict=True)
    )


_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)

# Digests of MNIST and Fashion-MNIST as torchvision has them, of CIFAR those on the page of the data
# sets.
DOWNLOADS: Mapping[str, tuple[Download, ...]] = {
    "mnist": _idx(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion_mnist": _idx(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "cifar10": (
        Download("cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530", _TORONTO),
    ),
    "cifar100": (
        Download("cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8", _TORONTO),
    ),
}
"""Files of each task that reads them from a folder."""


def download(
    name: str,
    folder: Path,
    downloads: Mapping[str, tuple[Download, ...]] = DOWNLOADS,
    told: Callable[[str], object] = lambda text: None,
) -> None:
    """Get the files of a data set into a folder; those that are there are kept.

    Parameters
    ----------
    name : str
        The task that reads them.
    folder : Path
        Where they are kept.
    downloads : mapping
        What there is.
    told : callable
        Called with a line about each file.

    Raises
    ------
    InputError
        If the name is not known, pooch is not installed, another file has the name of one of
        these, or one cannot be had or is not what its checksum says.
    """
    choose("name", name, downloads)
    try:
        from pooch import file_hash
    except ImportError as error:
        raise InputError(
            "fetch: files are downloaded by pooch, which is not installed; pip install "
            "'plausibench[fetch]'"
        ) from error
    for file in downloads[name]:
        path, (kind, _, digest) = folder / file.name, file.checksum.partition(":")
        if not path.exists():
            _retrieve(file, folder, told)
        elif file_hash(str(path), alg=kind) == digest:
            told(f"{path} is there")
        else:
            # It may be of another data set of the same format.
            raise InputError(
                f"fetch: {path} is another file than the published one, by its {kind}; move it, or "
                "choose another folder with --to"
            )


def _retrieve(file: Download, folder: Path, told: Callable[[str], object]) -> None:
    from pooch import get_logger, retrieve

    get_logger().setLevel("ERROR")  # what it does is told here
    reasons = []
    for place in file.folders:
        address = f"{place}{file.name}"
        told(f"{address} -> {folder}")
        try:
            retrieve(address, file.checksum, file.name, folder)
        except ValueError:
            reasons.append(f"{address} is not what its checksum {file.checksum} says")
        except Exception as error:  # noqa: BLE001 -- whatever a network can raise
            reasons.append(f"{address}: {_said(error)}")
        else:
            return
    raise InputError(
        f"fetch: {file.name} cannot be had ({'; '.join(reasons)}); if you have it, put it into "
        f"{folder}"
    )


def _said(error: Exception) -> str:
    """What went wrong, by the name of the error if its words are many."""
    text = " ".join(str(error).split())
    return text if text and len(text) <= 150 else type(error).__name__
