"""How many cores this process may use, which may be fewer than the machine has."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path, PurePosixPath

GROUPS, MEMBER = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux tells the quotas of groups of processes, and the groups of this one."""


def cores(
    environment: Mapping[str, str] = os.environ, groups: Path = GROUPS, member: Path = MEMBER
) -> int:
    """Cores that this process may use: the least of what binds it, at least 1.

    That are the processors it may run on, the processor time that its control groups may take
    (versions 1 and 2; containers), and what SLURM gave to each task.

    Parameters
    ----------
    environment
        In which SLURM tells.
    groups, member
        Where the system tells of control groups.
    """
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)))
    quotas = [ceil(quota) for quota in _quotas(groups, member)]
    given = environment.get("SLURM_CPUS_PER_TASK", "")
    asked = [int(given)] if given.isdecimal() else []
    return max(1, min([count, *quotas, *asked]))


def _quotas(groups: Path, member: Path) -> Iterator[float]:
    """Processors that the quota of each group of this process is worth, and of those above."""
    for line in _text(member).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container the path may be that outside of it: the top is its own group then.
        inside = PurePosixPath(path.lstrip("/"))
        for group in (inside, *inside.parents):
            folder = groups / controllers / group
            if controllers:
                told = [_text(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period")]
            else:
                told = _text(folder / "cpu.max").split()
            with suppress(ValueError):  # no such file, or no limit, which is "max" or -1
                quota, period = map(int, told)
                if quota > 0 and period > 0:
                    yield quota / period


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
