"""The reference run: made anew by its own commands, it agrees with what is kept."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "reference_run.md"
KEYS = ["task", "architecture", "objective", "rule", "protocol", "step"]
SAME = ["redrawn", "samples", "reference", "seeds", "status", "reason"]
QUANTITIES = [
    "bias_squared",
    "variance",
    "progress",
    "marginal_bias_squared",
    "marginal_variance",
    "test_accuracy",
]
ROUNDING = 1e-9
"""Share of a value by which processors may differ: they differ by 1e-16, and 50 steps carry it on."""
ZERO = 1e-12
"""What is smaller is 0, as in tables."""


def read(path):
    return pd.read_csv(path, keep_default_na=True).set_index(KEYS)


def outside(value, low, high):
    """Whether a value is not in an interval; without interval, in none but its own."""
    if np.isnan(value) or np.isnan(low):
        return np.isnan(value) != np.isnan(low)
    slack = ROUNDING * max(abs(low), abs(high)) + ZERO
    return not low - slack <= value <= high + slack


def disagreements(kept, fresh):
    """What two tables do not agree on: each value is to lie in the other's interval."""
    found = [f"{row}: in one table only" for row in kept.index.symmetric_difference(fresh.index)]
    for row in kept.index.intersection(fresh.index):
        one, two = kept.loc[row], fresh.loc[row]
        for name in SAME:
            if not (one[name] == two[name] or (pd.isna(one[name]) and pd.isna(two[name]))):
                found.append(f"{row}: {name} {one[name]} and {two[name]}")
        for name in QUANTITIES:
            ends = [f"{name}_low", f"{name}_high"]
            if outside(two[name], *one[ends]) or outside(one[name], *two[ends]):
                found.append(f"{row}: {name} {one[name]:.6g} and {two[name]:.6g}")
    return found


@pytest.fixture(scope="module")
def kept():
    return read(DOCS / "reference_run.csv")


def commands():
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line)[1:] for line in block.splitlines()]


def test_fresh_run_agrees(kept, tmp_path, monkeypatch):
    """By the commands of the page, in a folder without the table."""
    (tmp_path / "docs").mkdir()
    shutil.copy(DOCS / "reference_run.toml", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    for words in commands():
        quick = ["--no-pictures", "--jobs", "1"] if words[0] == "run" else []
        done = CliRunner().invoke(main, [*words, *quick])
        assert done.exit_code == 0, done.output
    assert disagreements(kept, read(tmp_path / "docs" / "reference_run.csv")) == []


def test_the_table_holds_what_is_compared(kept):
    assert len(kept) == 20
    for name in QUANTITIES:
        width = kept[f"{name}_high"] - kept[f"{name}_low"]
        assert (width > ZERO).any(), name
    assert disagreements(kept, kept) == []


def test_every_value_beyond_its_interval_is_found(kept):
    moved = 0
    for row in kept.index:
        for name in QUANTITIES:
            columns = [name, f"{name}_low", f"{name}_high"]
            value, low, high = kept.loc[row, columns]
            if np.isnan(value):
                continue
            beyond = high - value + 0.01 * (high - low) + 1e-6 * max(1.0, abs(value))
            for shift in (beyond, low - high):
                other = kept.copy()
                other.loc[row, columns] += shift
                # A value without interval has none to leave downwards.
                expected = shift > 0 or high - low > ZERO
                assert bool(disagreements(kept, other)) == expected, (row, name, shift)
            moved += 1
    assert moved > 80


def test_rows_and_outcomes_are_compared(kept):
    assert len(disagreements(kept, kept.iloc[1:])) == 1
    for name, value in (("status", "diverged"), ("samples", 7), ("redrawn", "everything")):
        other = kept.copy()
        other.loc[other.index[3], name] = value
        assert len(disagreements(kept, other)) == 1
    unknown = kept.copy()
    unknown.loc[unknown.index[3], "variance"] = np.nan
    assert len(disagreements(kept, unknown)) == 1
