"""The reference run: made anew by its own commands, it agrees with what is kept."""

import csv
import re
import shlex
import shutil
from math import isnan, nan
from pathlib import Path

import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference_run.md"
KEYS = ("task", "architecture", "objective", "rule", "protocol", "step")
SAME = ("redrawn", "samples", "reference", "seeds", "status", "reason")
QUANTITIES = (
    "bias_squared",
    "variance",
    "progress",
    "marginal_bias_squared",
    "marginal_variance",
    "test_accuracy",
)
ROUNDING = 1e-9
"""Share of a value by which processors may differ: by 1e-16 at first, which 50 steps carry on."""
ZERO = 1e-12
"""What is smaller is 0, as in tables."""
FINER = {"bias_squared": 1e-24}
"""The same where rules have companions, whose noise hides no bias."""


def read(path):
    """Rows of a table by what they are about; each number with its interval."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {tuple(row[key] for key in KEYS): entries(row) for row in rows}


def entries(row):
    numbers = {
        name: tuple(float(row[f"{name}{end}"] or nan) for end in ("", "_low", "_high"))
        for name in QUANTITIES
    }
    return {name: row[name] for name in SAME} | numbers


def outside(value, low, high, zero):
    """Whether a value is not in an interval; what is unknown is in none but an unknown one."""
    if isnan(value) or isnan(low):
        return isnan(value) != isnan(low)
    slack = ROUNDING * max(abs(low), abs(high)) + zero
    return not low - slack <= value <= high + slack


def differs(name, one, two):
    """Whether two entries disagree: each value is to lie in the other's interval."""
    if name in SAME:
        return one != two
    zero = FINER.get(name, ZERO)
    return outside(two[0], *one[1:], zero) or outside(one[0], *two[1:], zero)


def disagreements(kept, fresh):
    """What two tables do not agree on."""
    found = [f"{row}: in one table only" for row in kept.keys() ^ fresh.keys()]
    found += [
        f"{row}: {name} is {kept[row][name]}, now {fresh[row][name]}"
        for row in kept.keys() & fresh.keys()
        for name in (*SAME, *QUANTITIES)
        if differs(name, kept[row][name], fresh[row][name])
    ]
    return found


def changed(kept, row, name, entry):
    """The table with another entry."""
    return kept | {row: kept[row] | {name: entry}}


@pytest.fixture(scope="module")
def kept():
    return read(DOCS / "reference_run.csv")


def commands():
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
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
        assert any(row[name][2] - row[name][1] > ZERO for row in kept.values()), name
    assert disagreements(kept, kept) == []


def test_every_value_beyond_its_interval_is_found(kept):
    """Up and down, with its interval; what stays within half of its interval is not."""
    moved = 0
    for row, entry in kept.items():
        for name in QUANTITIES:
            value, low, high = entry[name]
            if isnan(value):
                continue
            least = 1e-6 * max(1.0, abs(value))
            up, down = high - value + least, low - value - least
            for shift in (up, down):
                other = changed(kept, row, name, (value + shift, low + shift, high + shift))
                assert len(disagreements(kept, other)) == 1, (row, name, shift)
            within = (high - low) / 4
            other = changed(kept, row, name, (value + within, low + within, high + within))
            assert disagreements(kept, other) == []
            moved += 1
    assert moved > 80


def test_rows_and_outcomes_are_compared(kept):
    row = list(kept)[3]
    assert len(disagreements(kept, {one: kept[one] for one in kept if one != row})) == 1
    for name, entry in (("status", "diverged"), ("samples", "7"), ("variance", (nan, nan, nan))):
        assert len(disagreements(kept, changed(kept, row, name, entry))) == 1
