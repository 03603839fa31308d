"""The random numbers of a rule: named streams, keyed by what they disturb."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from plausibench.kernels.buffers import empty
from plausibench.kernels.errors import choose
from plausibench.kernels.noise import normal, rademacher, uniform
from plausibench.kernels.streams import stream

Array = np.ndarray
Again = Callable[[Array, int, int], Array]
"""Draws numbers ``start`` to ``stop`` of a flat direction again, ``(S, stop - start)``, for samples
by their numbers; ``start`` is a multiple of :data:`PART`."""

_key = lru_cache(maxsize=1024, typed=True)(stream)  # asked for again in every block of samples

FILL = {"gaussian": normal, "rademacher": rademacher}
LAWS = tuple(FILL)
FOURTH_MOMENT = {"gaussian": 3.0, "rademacher": 1.0}

PART = 1 << 18
"""Numbers of the noise on a parameter that one generator makes: a part that can be drawn alone."""


@dataclass(frozen=True)
class Noise:
    """Draws for the samples of an estimator, zero mean and unit variance.

    A draw depends on the seed, the stream, the name of what it disturbs, the sample and the
    key of the example: not on the order of execution, the number of samples asked for, the
    place of the example in the batch, or the rule. Rules that disturb the same thing see the
    same noise, so a comparison between them is paired.

    Parameters
    ----------
    seed
        Root of the seed tree.
    samples
        Numbers of the samples, int64 ``(S,)``.
    keys
        Keys of the batch's examples, uint64 ``(B,)``.
    dtype
        Floating-point type of the draws.
    """

    seed: int
    samples: Array
    keys: Array
    dtype: np.dtype

    def examples(self, arrays: Mapping[str, Array], law: str = "gaussian") -> dict[str, Array]:
        """Independent noise for every example, ``(S, B, N)`` for each array ``(B, N)``.

        For an array over time, with a row for each step and example ``(T B, N)``, the noise
        ``(S, T B, N)`` is independent between steps.
        """
        fill = FILL[choose("noise", law, LAWS)]
        drawn = {}
        for name, array in arrays.items():
            rows, neurons = array.shape
            steps, count = rows // self.keys.size, self.samples.size
            out = empty((count, self.keys.size, steps * neurons), self.dtype)
            fill(_key(self.seed, "rule", name), self.samples, self.keys, out)
            # All steps of an example come from its own generator, and are laid out by step.
            ordered = out.reshape(count, self.keys.size, steps, neurons).swapaxes(1, 2)
            drawn[name] = ordered.reshape(count, rows, neurons)
        return drawn

    def fractions(self, arrays: Mapping[str, Array], shared: bool = False) -> dict[str, Array]:
        """Uniform numbers in [0, 1), for every example or shared by the whole batch.

        ``(S, B, N)`` for each array ``(B, N)``, or ``(S, *shape)`` for each ``(*shape)``.
        """
        drawn = {}
        for name, array in arrays.items():
            keys = np.zeros(1, dtype=np.uint64) if shared else self.keys
            out = np.empty((self.samples.size, keys.size, array.size // keys.size), self.dtype)
            uniform(_key(self.seed, "rule", name), self.samples, keys, out)
            drawn[name] = out.reshape(-1, *array.shape)
        return drawn

    def parameters(self, arrays: Mapping[str, Array], law: str = "gaussian") -> dict[str, Array]:
        """Noise shared by the whole batch, ``(S, *shape)`` for each array ``(*shape)``."""
        choose("noise", law, LAWS)
        return {
            name: self.part(name, law, 0, array.size).reshape(-1, *array.shape)
            for name, array in arrays.items()
        }

    def part(self, name: str, law: str, start: int, stop: int) -> Array:
        """Numbers from ``start``, a multiple of ``PART``, to ``stop`` of the noise on a parameter.

        ``(S, stop - start)``, as they are in the flat array of :meth:`parameters`.
        """
        fill, key = FILL[law], _key(self.seed, "rule", name)
        out = empty((self.samples.size, stop - start), self.dtype)
        for first in range(start, stop, PART):
            row = np.array([first // PART], np.uint64)
            if stop - start <= PART:
                fill(key, self.samples, row, out[:, None])
                continue
            for sample, numbers in enumerate(out[:, first - start : first - start + PART]):
                fill(key, self.samples[sample : sample + 1], row, numbers[None, None])
        return out

    def again(self, name: str, law: str) -> Again:
        """Function that draws parts of the noise on a parameter for samples of any number."""

        def draw(samples: Array, start: int, stop: int) -> Array:
            return Noise(self.seed, samples, self.keys, self.dtype).part(name, law, start, stop)

        return draw

    def spikes(self, arrays: Mapping[str, Array], law: str = "uniform") -> dict[str, Array]:
        """Numbers of the stream ``spike``, ``(S, B, N)`` for each array ``(B, N)``.

        The law is uniform on [0, 1), for neurons that spike with a probability, or gaussian.
        """
        fill = {"uniform": uniform, **FILL}[choose("law", law, ("uniform", *LAWS))]
        drawn = {}
        for name, array in arrays.items():
            out = empty((self.samples.size, *array.shape), self.dtype)
            fill(_key(self.seed, "spike", name), self.samples, self.keys, out)
            drawn[name] = out
        return drawn

    def actions(self, policy: Array) -> Array:
        """Sample one action for each row of a policy ``(..., T B, A)``, int64 ``(S, T B)``."""
        steps = policy.shape[-2] // self.keys.size
        drawn = np.empty((self.samples.size, self.keys.size, steps))
        uniform(_key(self.seed, "action"), self.samples, self.keys, drawn)
        rows = drawn.swapaxes(1, 2).reshape(self.samples.size, -1, 1)
        edges = np.cumsum(policy, axis=-1)
        # Scaled by the last edge, so that rounding can never leave an action out of range.
        return (rows * edges[..., -1:] >= edges).sum(axis=-1).clip(max=policy.shape[-1] - 1)


@dataclass(frozen=True)
class Shared(Noise):
    """The same draws for two estimates: what the first asked for is not drawn again.

    Both get the same arrays, so that only the last one may write to them. Noise that is replaced by
    one of another seed, or of other keys, is drawn anew.
    """

    drawn: dict[tuple[str, str, str], Array] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def examples(self, arrays: Mapping[str, Array], law: str = "gaussian") -> dict[str, Array]:
        return self._once(super().examples, arrays, law)

    def parameters(self, arrays: Mapping[str, Array], law: str = "gaussian") -> dict[str, Array]:
        return self._once(super().parameters, arrays, law)

    def _once(
        self,
        draw: Callable[[Mapping[str, Array], str], dict[str, Array]],
        arrays: Mapping[str, Array],
        law: str,
    ) -> dict[str, Array]:
        keys = {name: (draw.__name__, law, name) for name in arrays}
        asked = {name: array for name, array in arrays.items() if keys[name] not in self.drawn}
        self.drawn.update((keys[name], noise) for name, noise in draw(asked, law).items())
        return {name: self.drawn[key] for name, key in keys.items()}
