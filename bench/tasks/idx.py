"""Reading IDX files, the format in which MNIST is distributed."""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plausibench.kernels.errors import InputError

_BYTES = 0x08  # the type code of unsigned bytes, the only one that MNIST uses


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip-compressed or not.

    The file is two zero bytes, the type code, the number of dimensions, each dimension as a
    big-endian 32-bit number, then the values; nothing may follow.

    Parameters
    ----------
    path : Path
        The file. Compression is seen from its content, not from its name.
    dimensions : int
        Number of dimensions that it must have: 3 for images, 1 for labels.

    Returns
    -------
    ndarray of uint8
        The values in the file's shape.

    Raises
    ------
    InputError
        If the file cannot be read or is anything but what its header says.
    """
    content = _content(path)
    magic = bytes([0, 0, _BYTES, dimensions])
    if content[:4] != magic:
        raise InputError(
            f"path: {path} starts with {content[:4].hex() or 'nothing'}, not with {magic.hex()} "
            f"like an IDX file of bytes in {dimensions} dimensions"
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise InputError(f"path: {path} ends within its header, after {len(content)} bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if 0 in shape:
        raise InputError(f"path: {path} holds nothing: its header says {shape}")
    if len(content) - header != prod(shape):
        raise InputError(
            f"path: {path} holds {len(content) - header} values where its header, {shape}, "
            f"says {prod(shape)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"path: {path} cannot be read ({reason})") from error
