"""Data that are kept once they are made."""

import numpy as np
import pytest

from plausibench.bench.tasks.kept import kept

ARRAYS = {"x": np.arange(6.0).reshape(2, 3), "y": np.array([1, 2])}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where data are kept."""
    monkeypatch.setattr("plausibench.bench.tasks.kept.home", lambda: tmp_path)
    return tmp_path / "data"


def refuse():
    """Stands for a maker that must not be asked."""
    pytest.fail("made anew")


def check(arrays):
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_are_made_once(folder):
    check(kept("task", "seed 1", lambda: ARRAYS))
    check(kept("task", "seed 1", refuse))
    assert len(list(folder.iterdir())) == 1


def test_another_identity_is_made_anew(folder):
    kept("task", "seed 1", lambda: {"x": np.zeros(1)})
    check(kept("task", "seed 2", lambda: ARRAYS))


@pytest.mark.parametrize("damage", [b"", b"no archive", slice(0, 100), slice(0, -30), "flipped"])
def test_what_is_damaged_is_made_anew(folder, damage):
    kept("task", "seed 1", lambda: ARRAYS)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[content.index(ARRAYS["x"].tobytes()) + 7] ^= 1
        file.write_bytes(content)
    else:
        file.write_bytes(damage if isinstance(damage, bytes) else content[damage])
    check(kept("task", "seed 1", lambda: ARRAYS))
    check(kept("task", "seed 1", refuse))


def test_objects_are_never_read(folder):
    kept("task", "seed 1", lambda: ARRAYS)
    (file,) = folder.iterdir()
    with file.open("wb") as stream:
        np.savez(stream, x=np.array([{}], object))
    check(kept("task", "seed 1", lambda: ARRAYS))


def test_without_a_place_they_are_made_every_time(tmp_path, monkeypatch):
    def nowhere():
        raise RuntimeError

    monkeypatch.setattr("plausibench.bench.tasks.kept.home", nowhere)
    check(kept("task", "seed 1", lambda: ARRAYS))
    (tmp_path / "file").touch()
    monkeypatch.setattr("plausibench.bench.tasks.kept.home", lambda: tmp_path / "file")
    check(kept("task", "seed 1", lambda: ARRAYS))
