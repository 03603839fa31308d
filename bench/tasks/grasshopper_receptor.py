"""Spikes of an auditory receptor of the grasshopper, which ship with nitime."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from plausibench.bench.tasks.standard import standard
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError, integer
from plausibench.objectives.batch import Batch

RECORDINGS = 2
STEP = 50
"""Microseconds from one value of the stimulus to the next."""
DURATION = 10_000_000
"""Microseconds of a recording."""


@dataclass(frozen=True)
class GrasshopperReceptor(Task):
    """Real spikes in a bin of time from the amplitude of a sound before it.

    A recording lasts 10 s, its first 8 s are for training. Amplitudes are means over a bin, of
    zero mean and unit variance; an input holds those of ``lags`` bins up to the one in which
    spikes are counted. The sound was played once, so there is no noise ceiling. Needs the package
    nitime, which ``plausibench[data]`` installs; its files are read without importing it.

    Parameters
    ----------
    recording : int, default 1
        1 (amplitudes up to 200 Hz) or 2 (up to 800 Hz).
    bin : int, default 1
        Width of a bin, milliseconds, from 1 to 20.
    lags : int, default 20
        Bins that an input holds.

    Raises
    ------
    InputError
        If an option is not allowed; on reading, if nitime or its files are missing.
    """

    recording: int = 1
    bin: int = 1
    lags: int = 20

    name: ClassVar[str] = "grasshopper_receptor"
    summary: ClassVar[str] = "real spikes of an auditory receptor, from the amplitude of the sound"
    kind: ClassVar[Literal["classification", "regression"]] = "regression"
    cites: ClassVar[str] = "Rokem et al. 2006"

    def __post_init__(self) -> None:
        for option, most in (("recording", RECORDINGS), ("bin", 20), ("lags", 200)):
            value = integer(option, getattr(self, option), least=1, most=most)
            object.__setattr__(self, option, value)

    @property
    def inputs_size(self) -> int:
        """Number of lags."""
        return self.lags

    @property
    def outputs_size(self) -> int:
        """One receptor."""
        return 1

    def load(self) -> tuple[Batch, Batch]:
        """Read the recording and cut it into bins."""
        stimulus, spikes = _recording(self.recording)
        width = self.bin * 1000
        bins = DURATION // width
        sound = stimulus[: bins * width // STEP].reshape(bins, -1).mean(axis=1)
        counts = np.histogram(spikes, np.arange(bins + 1) * width)[0].astype(float)
        border = round(0.8 * bins)
        mean, deviation = standard(sound[:border])
        sound = (sound - mean) / deviation
        windows = np.lib.stride_tricks.sliding_window_view(sound, self.lags)
        targets = counts[self.lags - 1 :, None]
        first = border - self.lags + 1  # whose last bin is the first for testing
        unseen = first + self.lags - 1  # no bin of sound is in both sets
        return (
            Batch(windows[:first].copy(), targets[:first]),
            Batch(windows[unseen:].copy(), targets[unseen:]),
        )


@lru_cache(maxsize=2)
def _recording(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amplitudes, one for each step, and times of spikes in microseconds."""
    package = find_spec("nitime")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "task: the recordings of grasshopper_receptor ship with nitime, which is not installed"
            "; pip install 'plausibench[data]'"
        )
    home = Path(package.submodule_search_locations[0], "data")
    sound = _numbers(home / f"grasshopper_stimulus{number}.txt", 2)
    spikes = _numbers(home / f"grasshopper_spike_times{number}.txt", 1)
    if len(sound) != DURATION // STEP:
        raise InputError(f"task: {home} holds a grasshopper recording of another length")
    return sound[:, 1], spikes[:, 0]


def _numbers(path: Path, columns: int) -> NDArray[np.float64]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = np.loadtxt(StringIO(text), comments="#", ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"task: {path} cannot be read ({error})") from error
    if not np.isfinite(found).all():
        raise InputError(f"task: {path} holds a value that is not finite")
    if found.shape[1] != columns:
        raise InputError(f"task: {path} has {found.shape[1]} columns, not {columns}")
    return found
