"""Compiled code is kept where only the sources that made it look for it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plausibench.kernels import cache
from plausibench.kernels.compiled import kernel

SAY = """
import os, sys
import plausibench.kernels
print(os.environ.get("NUMBA_CACHE_DIR"), "numba" in sys.modules)
"""
COMPUTE = """
import numpy as np
from plausibench.kernels.noise import _mix
print(hex(_mix(np.uint64(0x9E3779B97F4A7C15))))
"""
WORD = "0xe220a8397b1dcdaf"  # the first word of splitmix64 from state 0


def run(code, **environment):
    """Output of ``code`` in a fresh Python, to which no cache folder is handed down."""
    kept = {name: value for name, value in os.environ.items() if name != cache.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def sources(tmp_path):
    """Root of a copy of this package's compiled building blocks, with two kernels more."""
    package = tmp_path / "root" / "plausibench"
    shutil.copytree(
        Path(cache.__file__).parent, package / "kernels", ignore=shutil.ignore_patterns("__py*")
    )
    for name, body in {"inner": "2 * x", "outer": "inner(x) + 1"}.items():
        (package / "kernels" / f"{name}.py").write_text(
            "from plausibench.kernels.compiled import kernel\n"
            + ("from plausibench.kernels.inner import inner\n" if name == "outer" else "")
            + f"@kernel\ndef {name}(x):\n    return {body}\n"
        )
    return package


# The place


def test_numba_is_pointed_to_a_folder_of_these_sources_before_it_is_imported(tmp_path):
    expected = tmp_path / "plausibench" / cache.digest()
    assert run(SAY, XDG_CACHE_HOME=tmp_path) == f"{expected} False"


def test_compiled_code_is_kept_there_and_used_again(tmp_path):
    folder = tmp_path / "plausibench" / cache.digest()
    assert run(COMPUTE, XDG_CACHE_HOME=tmp_path) == WORD
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    assert kept
    assert run(COMPUTE, XDG_CACHE_HOME=tmp_path) == WORD
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")} == kept


def test_whether_something_has_to_be_compiled_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    assert not cache.compiled()
    (tmp_path / "code" / "kernels").mkdir(parents=True)
    (tmp_path / "code" / "kernels" / "noise.nbi").touch()
    assert cache.compiled()


def test_choice_of_the_user_stays(tmp_path):
    assert run(SAY, XDG_CACHE_HOME=tmp_path, NUMBA_CACHE_DIR="mine") == "mine False"


def test_choice_of_a_parent_with_other_sources_is_replaced(tmp_path):
    expected = tmp_path / "plausibench" / cache.digest()
    inherited = tmp_path / "plausibench" / ("0" * 32)
    assert run(SAY, XDG_CACHE_HOME=tmp_path, NUMBA_CACHE_DIR=inherited) == f"{expected} False"


def test_numba_imported_earlier_is_told_too(tmp_path):
    # Nothing is said to other processes, and the kernels are kept in the same folder.
    assert run("import numba" + SAY, XDG_CACHE_HOME=tmp_path) == "None True"
    assert run("import numba" + COMPUTE, XDG_CACHE_HOME=tmp_path) == WORD
    assert any((tmp_path / "plausibench" / cache.digest()).rglob("*.nbc"))


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_without_a_writable_place_code_is_compiled_anew(variable, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    before = snapshot()
    assert run(COMPUTE, **{variable: blocked / "folder"}) == WORD
    assert snapshot() == before


def snapshot():
    """Compiled code beside the sources, where nothing may be kept."""
    return sorted(Path(cache.__file__).parent.rglob("*.nb[ci]"))


def test_without_a_home_no_place_is_named(monkeypatch):
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "numba")
    monkeypatch.setattr(cache, "home", homeless)
    cache.prepare()
    assert cache.VARIABLE not in os.environ


def homeless():
    raise RuntimeError("Could not determine home directory.")


# The digest


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


KERNEL = "from plausibench.kernels.compiled import kernel\n"
BEFORE = {
    "kernels/__init__.py": "",
    "kernels/compiled.py": "",
    "kernels/a.py": KERNEL + "from plausibench.rules import (\n    b,\n)\n",
    "rules/__init__.py": "",
    "rules/b.py": "def f():\n    from plausibench.objectives.d import g\n",
    "objectives/__init__.py": "",
    "objectives/d.py": "",
    "bench/__init__.py": "",
    "bench/report.py": "from plausibench.kernels import a\n",
}


@pytest.mark.parametrize(
    "change",
    [
        {"kernels/a.py": KERNEL},
        {"kernels/compiled.py": "1"},
        {"rules/b.py": "1"},
        {"objectives/d.py": "1"},
        {"rules/c.py": KERNEL},
        {"bench/report.py": KERNEL},
    ],
)
def test_digest_follows_what_compiled_code_is_made_of(change, tmp_path):
    write(tmp_path, BEFORE)
    before = cache.digest(tmp_path)
    write(tmp_path, change)
    assert cache.digest(tmp_path) != before


@pytest.mark.parametrize(
    "change", [{"bench/report.py": "# other words\n"}, {"rules/c.py": "1"}, {"bench/deep/e.py": ""}]
)
def test_a_word_elsewhere_compiles_nothing_anew(change, tmp_path):
    write(tmp_path, BEFORE)
    before = cache.digest(tmp_path)
    write(tmp_path, change)
    assert cache.digest(tmp_path) == before


def test_every_file_with_kernels_is_marked():
    """Whoever compiles does so by the decorator of the project, imported in this one way."""
    root = Path(cache.__file__).parent.parent
    reached = cache.compiled_sources(root)
    for folder in ("kernels", "objectives", "architectures", "rules", "bench"):
        for file in (root / folder).rglob("*.py"):
            if re.search(r"^@(kernel|njit|jit|numba)\b", file.read_text("utf-8"), re.MULTILINE):
                assert file.relative_to(root).as_posix() in reached, file
    assert not [name for name in reached if name.startswith(("bench/report", "bench/cli"))]


def test_digest_follows_names(tmp_path):
    write(tmp_path, BEFORE)
    before = cache.digest(tmp_path)
    (tmp_path / "kernels" / "a.py").rename(tmp_path / "kernels" / "c.py")
    assert cache.digest(tmp_path) != before


def test_digest_sees_nothing_but_sources(tmp_path):
    write(tmp_path, BEFORE)
    before = cache.digest(tmp_path)
    write(
        tmp_path,
        {"kernels/__pycache__/a.pyc": "1", "rules/notes.md": "1", "results/x.py": "1", "y.py": "1"},
    )
    assert cache.digest(tmp_path) == before


def test_digest_follows_the_version_of_numba(tmp_path, monkeypatch):
    write(tmp_path, BEFORE)
    before = cache.digest(tmp_path)
    monkeypatch.setattr(cache, "version", lambda package: "0.0")
    assert cache.digest(tmp_path) != before


def test_kernel_that_calls_an_edited_file_is_not_stale(sources, tmp_path):
    code = "from plausibench.kernels.outer import outer, __file__; print(__file__, outer(3))"
    place = {"PYTHONPATH": sources.parent, "XDG_CACHE_HOME": tmp_path / "cache"}
    assert run(code, **place) == f"{sources / 'kernels' / 'outer.py'} 7"
    inner = sources / "kernels" / "inner.py"
    inner.write_text(inner.read_text().replace("2 * x", "9 * x"))
    assert run(code, **place) == f"{sources / 'kernels' / 'outer.py'} 28"
    assert len(list((tmp_path / "cache" / "plausibench").iterdir())) == 2


# The decorator


def test_kernels_divide_like_numpy_and_release_the_lock():
    @kernel
    def divide(x, y):
        return x / y

    assert divide(1.0, 0.0) == np.inf
    assert divide.targetoptions["nogil"]
    assert not divide.targetoptions.get("fastmath")


def test_function_without_a_file_is_compiled():
    names = {}
    exec("def double(x): return 2 * x", names)
    assert kernel(names["double"])(4) == 8
