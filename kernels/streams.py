"""Random streams named by what uses them, never by the order of execution."""

import struct
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from plausibench.kernels.errors import integer, refusal

Identity: TypeAlias = "str | int | float | tuple[Identity, ...]"

MOST_SEEDS = 100_000
"""Seeds of one run: more would be more files than a folder holds with ease."""


def stream(seed: int, *identity: Identity) -> int:
    """Key of the random stream that belongs to ``identity`` under ``seed``.

    Parameters
    ----------
    seed : int
        The one seed of a run.
    *identity : str, int, float, bool or tuple of these
        Names, parameters and indices of what uses the stream. Values of different types differ:
        1, 1.0, True and "1" name four streams, and so do ("a", "b") and "a", "b".

    Returns
    -------
    int
        Unsigned 64-bit key, the same on every machine and in every version of Python.

    Raises
    ------
    InputError
        If the seed is no whole number or a part of the identity is of another type.
    """
    code = _encode((integer("seed", seed), *identity))
    return int.from_bytes(blake2b(code, digest_size=8).digest(), "little")


def generator(seed: int, *identity: Identity) -> np.random.Generator:
    """Generator of the random stream that belongs to ``identity``, for draws made once.

    Initial weights, feedback weights and data sets are drawn from it; noise that must not depend
    on chunks or threads comes from `plausibench.kernels.noise`.

    Parameters
    ----------
    seed, *identity
        As for `stream`.

    Returns
    -------
    numpy.random.Generator
        Philox keyed by the stream (Salmon et al., 2011).

    Raises
    ------
    InputError
        As `stream` does.
    """
    key: Any = _Key(stream(seed, *identity))  # numpy's types know no such class but its own
    return np.random.Generator(np.random.Philox(key))


class _Key(ISeedSequence):
    """A key of Philox, which, given one by name, asks the system for random numbers before."""

    def __init__(self, key: int) -> None:
        self.key = key

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        """The key, as the first of the words that Philox takes for its own."""
        words = np.zeros(n_words, dtype)
        words[0] = self.key
        return words


def _encode(part: Identity) -> bytes:
    """Bytes of ``part``: its type, its length and its content, so that no two parts share them."""
    if isinstance(part, str):
        return _labelled(b"s", part.encode("utf-8", "surrogatepass"))
    if isinstance(part, bool):  # before int, of which it is a kind
        return _labelled(b"b", b"1" if part else b"0")
    if isinstance(part, int):
        try:
            return _labelled(b"i", str(part).encode())
        except ValueError as error:  # Python writes out no more
            raise refusal("seed", part, "a whole number of at most 4300 digits") from error
    if isinstance(part, float):
        return _labelled(b"f", (part + 0.0).hex().encode())  # the sum makes -0.0 equal to 0.0
    if isinstance(part, tuple):
        return _labelled(b"t", b"".join(map(_encode, part)))
    raise refusal("stream identity", part, "a str, int, float, bool or tuple of these")


def _labelled(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<Q", len(content)) + content
