"""Parts of a study: their order, and what is kept of one that was interrupted."""

import json
import subprocess
import sys
import textwrap

import pytest

from plausibench.bench.experiments.parts import Part, collect
from plausibench.kernels.errors import InputError

CALLED = []


def square(number):
    CALLED.append(number)
    if number < 0:
        raise KeyboardInterrupt
    return [{"number": number, "square": number**2}]


def parts(*numbers):
    return [Part(str(number), square, (number,)) for number in numbers]


@pytest.fixture(autouse=True)
def _forget():
    CALLED.clear()


def test_what_is_done_is_not_computed_again(tmp_path):
    kept, seen = tmp_path / "parts.jsonl", []
    with pytest.raises(KeyboardInterrupt):
        collect(parts(3, 2, -1, 1), kept=kept)
    with kept.open("a") as file:
        file.write('{"key": "torn')
    CALLED.clear()
    rows = collect(parts(1, 2, 3), 1, lambda *state: seen.append(state), kept)
    assert [row["square"] for row in rows] == [1, 4, 9]
    assert CALLED == [1]
    assert seen == [("1", 3, 3)]
    assert collect(parts(1, 2, 3), kept=kept) == rows
    assert CALLED == [1]


def test_a_torn_line_does_not_swallow_the_next(tmp_path):
    kept = tmp_path / "parts.jsonl"
    kept.write_text('{"key": "torn')
    collect(parts(5), kept=kept)
    CALLED.clear()
    assert collect(parts(5), kept=kept) == [{"number": 5, "square": 25}]
    assert CALLED == []


@pytest.mark.parametrize(
    "line",
    [
        *(b"\xff\xfe", b"3", b"[]", b"{}", b"[" * 100_000, b"notes of somebody"),
        *(b'{"key": 1, "rows": []}', b'{"key": "KEY", "rows": [1]}', b'{"key": "KEY"}'),
    ],
)
def test_a_line_that_is_none_of_ours_is_computed_again(tmp_path, line):
    kept = tmp_path / "parts.jsonl"
    rows = collect(parts(1, 2), kept=kept)
    line = line.replace(b"KEY", parts(1)[0].key.encode())
    kept.write_bytes(b"\r\n".join([line, *kept.read_bytes().splitlines()[3:]]) + b"\r\n")
    CALLED.clear()
    assert collect(parts(1, 2), kept=kept) == rows
    assert CALLED == [1]


def test_a_full_disk_is_said(tmp_path):
    """A limit on the size of files stands in for it."""
    script = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from plausibench.bench.experiments.parts import Part, collect
        from plausibench.kernels.errors import InputError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        def square(number):
            return [{"number": number, "square": number**2}]
        try:
            collect([Part("", square, (n,)) for n in range(9)], kept=Path("parts.jsonl"))
        except InputError as error:
            sys.exit(str(error))
    """)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "out: 'parts.jsonl' cannot be written (File too large)\n"


def test_other_arguments_are_another_part(tmp_path):
    kept = tmp_path / "parts.jsonl"
    collect(parts(1), kept=kept)
    collect(parts(2), kept=kept)
    assert CALLED == [1, 2]
    assert len({json.loads(line)["key"] for line in kept.read_text().splitlines() if line}) == 2


def test_no_process_is_refused():
    with pytest.raises(InputError, match="jobs: 0 is not"):
        collect(parts(1), 0)
