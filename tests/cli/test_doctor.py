"""``plausibench doctor``: what it finds, and what it misses."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench.bench import tasks
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.kernels import cache
from plausibench.kernels.cores import cores

module = import_module("plausibench.bench.cli.doctor")  # the package has the command by its name


def told():
    """Rows by the title above them."""
    done = CliRunner().invoke(main, ["doctor"], catch_exceptions=False)
    assert done.exit_code == 0
    parts = {}
    for block in done.stdout.strip().split("\n\n"):
        title, *rows = block.splitlines()
        parts[title] = dict(re.split(r"\s{2,}", row, maxsplit=1) for row in rows)
    return parts


@pytest.fixture(autouse=True)
def builtin(monkeypatch):
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})


def test_versions_cores_and_caches_are_those_in_use():
    parts = told()
    assert list(parts) == ["Versions", "Extras", "This machine", "Tasks"]
    assert parts["Versions"]["numpy"] == np.__version__
    assert parts["This machine"]["cores"].split(" of ")[0] == str(cores())
    assert parts["This machine"]["data made once"] == str(cache.home() / "data")


@pytest.mark.parametrize("compiled", [True, False])
def test_kernels_are_compiled_or_not_yet(compiled, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    if compiled:
        (tmp_path / "kernel.nbi").touch()
    said = told()["This machine"]["compiled kernels"]
    assert said.startswith(f"{tmp_path} (")
    assert ("not compiled yet" in said) == (not compiled)


def test_a_user_without_a_home_has_no_caches(monkeypatch):
    def none():
        raise RuntimeError("no home")

    monkeypatch.setattr(cache, "home", none)
    assert told()["This machine"]["caches"] == "none: the user has no home"


def test_an_extra_that_is_not_there_is_told_with_how_to_get_it(monkeypatch):
    real = module._version
    monkeypatch.setattr(module, "_version", lambda name: None if name == "pooch" else real(name))
    said = told()["Extras"]
    assert said["fetch"] == "lacks pooch: pip install 'plausibench[fetch]'"
    assert set(said) == set(module.requirements())
    assert not set(said) & set(module.ONLY_FOR_TESTS)


def test_every_task_is_ready_or_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(
        module, "find_spec", lambda name: None if name == "nitime" else find_spec(name)
    )
    said = told()["Tasks"]
    ready = set(said.pop("ready").split(", "))
    assert ready | set(said) == set(registry.entries("task"))
    assert not ready & set(said)
    assert said["grasshopper_receptor"] == "lacks nitime: pip install 'plausibench[data]'"
    assert "plausibench fetch mnist" in said["mnist"]


def test_tasks_whose_data_ship_with_a_package_are_known():
    """All that refuse because one is not installed."""
    folder = Path(tasks.__file__).parent
    refusing = {
        file.stem
        for file in folder.glob("*.py")
        if "is not installed" in file.read_text(encoding="utf-8") and file.stem != "downloads"
    }
    assert refusing == {task for named in module.TASKS_FROM.values() for task in named}
