"""Jobs: what their key depends on, and what becomes of them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toy_jobs
from plausibench.bench.running import job as module
from plausibench.bench.running.job import Job, compute, plain
from plausibench.kernels.errors import InputError
from plausibench.kernels.threads import blas_threads
from toy_jobs import job

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@dataclass(frozen=True)
class Point:
    x: float
    names: frozenset = frozenset()


@dataclass(frozen=True)
class Place:
    x: float
    names: frozenset = frozenset()


def key(*arguments, work=toy_jobs.squares, depends="toy", **options):
    return Job({"number": 1}, work, arguments, depends=depends, **options).key


class TestKey:
    @given(VALUES, VALUES)
    def test_is_the_same_for_arguments_that_say_the_same_only(self, one, other):
        def typed(value):
            if isinstance(value, list):
                return [typed(item) for item in value]
            if isinstance(value, dict):
                return {name: typed(item) for name, item in value.items()}
            # 1, 1.0 and True are equal, as are both zeros.
            return type(value).__name__, repr(value)

        assert (key(one) == key(other)) == (typed(one) == typed(other))

    def test_depends_on_each_part(self):
        base = key(1)
        others = [
            key(2),
            key(1, 1),
            key(1, work=toy_jobs.failing),
            key(1, depends="other sources"),
            key(1, depends=""),
            key(1, reason="cannot"),
            Job({"number": 2}, toy_jobs.squares, (1,), depends="toy").key,
            Job({"count": 1}, toy_jobs.squares, (1,), depends="toy").key,
        ]
        assert len({base, *others}) == 9
        assert key(1, cost=3.0) == base

    def test_depends_on_versions_of_numerical_libraries(self, monkeypatch):
        before = key(1)
        other = {**module.libraries(), "numpy": "0.1"}
        monkeypatch.setattr(module, "libraries", lambda: other)
        assert key(1) != before

    def test_depends_on_what_it_computes_by_unless_that_is_said(self, monkeypatch):
        before, said = key(1, depends=""), key(1)
        monkeypatch.setattr(module, "digest", lambda *modules, components: "edited")
        assert key(1, depends="") != before
        assert key(1) == said

    def test_is_the_same_in_every_process(self):
        code = (
            "from plausibench.bench.running.job import Job, compute\n"
            "names = frozenset(map(str, range(50)))\n"
            "print(Job({'number': 1}, compute, ({names: {3, 1}},), depends='toy').key)"
        )
        keys = {
            subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": seed},
            ).stdout
            for seed in ("1", "2")
        }
        assert len(keys) == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
            (np.zeros(2000), np.eye(1, 2000, 1000)[0]),  # their text is the same
            (np.zeros(2), np.zeros(2, dtype="float32")),
            (np.zeros((2, 1)), np.zeros((1, 2))),
            (Point(1.0), Point(2.0)),
            (Point(1.0), Place(1.0)),
            (Point(1.0, frozenset("ab")), Point(1.0, frozenset("ac"))),
            (toy_jobs.squares, toy_jobs.slow),
        ],
    )
    def test_tells_arguments_apart(self, one, other):
        assert key(one) != key(other)

    def test_numbers_of_numpy_are_numbers(self):
        assert key(np.int64(3), np.float64(0.1)) == key(3, 0.1)

    def test_of_a_path_the_content_counts_wherever_it_lies(self, tmp_path):
        for name in ("one", "two"):
            (tmp_path / name / "data").mkdir(parents=True)
            (tmp_path / name / "data" / "images").write_bytes(b"1 2 3")
        one, two = tmp_path / "one", tmp_path / "two"
        assert key(one) == key(two)
        assert key(one / "data" / "images") == key(two / "data" / "images")
        (two / "data" / "images").write_bytes(b"1 2 4")
        assert key(one) != key(two)
        with pytest.raises(InputError, match="nowhere cannot be read"):
            key(tmp_path / "nowhere")

    @pytest.mark.parametrize("argument", [object(), lambda: 0, np.array([None]), [object()]])
    def test_of_what_cannot_be_told_is_refused(self, argument):
        with pytest.raises(InputError, match="cannot be told what the argument"):
            key(argument)

    def test_of_a_function_without_sources_is_refused(self):
        code = (
            "from plausibench.bench.running.job import Job\n"
            "def work(): return []\n"
            "try: Job({}, work).key\n"
            "except ValueError as error: print(error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "the sources of work cannot be read; say by depends" in done.stdout


class TestIdentity:
    def test_is_plain(self):
        about = Job({"seed": np.int64(3), "rate": np.float32(0.5)}, toy_jobs.squares).about
        assert about == {"seed": 3, "rate": 0.5}
        assert [type(value) for value in about.values()] == [int, float]

    @pytest.mark.parametrize("value", [float("nan"), None, [1], Path("x")])
    def test_of_anything_else_is_refused(self, value):
        with pytest.raises(InputError):
            Job({"seed": value}, toy_jobs.squares)

    def test_is_its_label(self):
        assert Job({"rule": "backprop", "seed": 3}, toy_jobs.squares).label == "backprop, 3"


class TestOutcome:
    def test_done(self):
        outcome = compute(job(3))
        assert (outcome.status, outcome.reason) == ("done", "")
        assert outcome.rows == [
            {"power": 1, "value": 3.0, "low": None},
            {"power": 2, "value": 9.0, "low": None},
        ]
        assert outcome.seconds > 0
        assert outcome.origin == module.origin()

    @pytest.mark.parametrize(
        ("work", "status", "reason"),
        [
            (toy_jobs.remarked, "done", "unfit for much"),
            (toy_jobs.diverging, "diverged", "the weights overflow"),
            (toy_jobs.failing, "failed", "ValueError: no luck"),
        ],
    )
    def test_keeps_the_rows_found_before_once(self, work, status, reason):
        outcome = compute(job(3, work))
        assert (outcome.status, outcome.reason) == (status, reason)
        assert outcome.rows == [{"power": 0, "value": 1.0}]

    def test_of_what_cannot_run_is_its_reason(self):
        outcome = compute(job(3, toy_jobs.killed, reason="no apical dendrites"))
        assert (outcome.status, outcome.reason) == ("unsupported", "no apical dendrites")
        assert outcome.rows == []

    def test_of_an_interruption_is_none(self):
        with pytest.raises(KeyboardInterrupt):
            compute(job(3, toy_jobs.interrupted))

    def test_a_row_that_is_changed_after_it_was_yielded_stays_as_it_was(self):
        def work():
            row = {}
            for number in range(2):
                row["value"] = number
                yield row

        assert compute(Job({}, work)).rows == [{"value": 0}, {"value": 1}]

    def test_blas_has_one_thread_and_overflow_is_no_warning(self):
        seen = []

        def work():
            seen.append(blas_threads())
            return [{"value": np.float64(1e308) * 10}]

        assert compute(Job({}, work)).rows == [{"value": None}]
        assert seen == [1]

    @pytest.mark.parametrize("row", [{"value": [1]}, {1: 1.0}, {"value": 1j}, {"value": 10**400}])
    def test_a_row_of_something_else_is_a_failure(self, row):
        outcome = compute(Job({}, lambda: [{"value": 1}, row]))
        assert outcome.status == "failed"
        assert outcome.rows == [{"value": 1}]


@given(st.floats() | st.integers(-(2**60), 2**60) | st.booleans() | st.text() | st.none())
def test_plain_values_stay_as_they_are_if_they_are_known(value):
    found = plain({"value": value})["value"]
    unknown = isinstance(value, float) and not np.isfinite(value)
    assert found is None if unknown else (found == value and type(found) is type(value))
