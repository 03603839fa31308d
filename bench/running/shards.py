"""Shares of a sweep, so that many machines can write one run directory."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from plausibench.kernels.errors import InputError, refusal

Item = TypeVar("Item")

SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")


@dataclass(frozen=True)
class Shard:
    """Share ``index`` (counted from 1) of ``of``; by default all.

    Raises
    ------
    InputError
        If there is no such share.
    """

    index: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise refusal("shard", str(self), "i/n with i from 1 to n, such as 3/8")

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every ``of``-th item: neighbours, which cost alike, go to different shards."""
        return items[self.index - 1 :: self.of]

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``3/8``.

        Raises
        ------
        InputError
            If the text is something else.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None:
            raise refusal("shard", text, "i/n with i from 1 to n, such as 3/8")
        return cls(int(match[1]), int(match[2]))


EVERYTHING = Shard()


def shard_of_array(environment: Mapping[str, str]) -> Shard:
    """Shard of a SLURM job array that this process is a task of; all if there is none.

    Task 5 of ``--array=3-6`` is shard 3/4, and of ``--array=1-9:2`` shard 3/5.

    Raises
    ------
    InputError
        If the array has gaps, so that the place of a task in it cannot be known.
    """
    if not all(environment.get(name) for name in SLURM):
        return Shard()
    try:
        task, first, count = (int(environment[name]) for name in SLURM)
        step = int(environment.get("SLURM_ARRAY_TASK_STEP") or 1)
        last = int(environment.get("SLURM_ARRAY_TASK_MAX", first + step * (count - 1)))
        if step < 1 or last - first != step * (count - 1) or (task - first) % step:
            raise ValueError("the array has gaps")
        return Shard((task - first) // step + 1, count)
    except ValueError as error:
        found = ", ".join(f"{name}={environment[name]}" for name in SLURM)
        raise InputError(
            f"shard: {found} does not say which share this is; submit an array without gaps, such "
            "as --array=1-8 or --array=1-9:2, or give --shard i/n"
        ) from error
