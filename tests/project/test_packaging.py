"""What is installed is what is on disk, and each folder has one name."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = SETTINGS["tool"]["setuptools"]["package-dir"]  # package name -> folder
DOCUMENTS = ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff"]


def shipped(folder):
    """Every file below a folder that a checkout holds, as paths from the root."""
    files = (ROOT / folder).rglob("*")
    return {
        str(file.relative_to(ROOT))
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the wheel and the sdist from a clean copy, as pip would; returns their names."""
    place = tmp_path_factory.mktemp("build")
    source = place / "source"
    for folder in [*FOLDERS.values(), "tests", ".ci"]:
        copytree(ROOT / folder, source / folder, ignore=ignore_patterns("__pycache__"))
    for name in ["pyproject.toml", "MANIFEST.in", "Makefile", *DOCUMENTS]:
        copy(ROOT / name, source)
    command = f"""
from setuptools import build_meta
build_meta.build_sdist({str(place)!r})
build_meta.build_wheel({str(place)!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(place.glob("*.whl"))) as archive:
        wheel = {name for name in archive.namelist() if ".dist-info/" not in name}
    with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
        sdist = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    return wheel, sdist


def test_declared_packages_are_the_packages_on_disk():
    tops = {marker.parent for marker in ROOT.glob("*/__init__.py")} - {ROOT / "tests"}
    homes = {marker.parent for top in tops for marker in top.rglob("__init__.py")}
    on_disk = [".".join(["plausibench", *home.relative_to(ROOT).parts]) for home in homes]
    assert sorted(SETTINGS["tool"]["setuptools"]["packages"]) == sorted(on_disk)
    assert {f"plausibench.{top.name}": top.name for top in tops} == FOLDERS


def test_every_folder_with_modules_is_a_package():
    for folder in FOLDERS.values():
        homes = {module.parent for module in (ROOT / folder).rglob("*.py")}
        assert [home for home in homes if not (home / "__init__.py").exists()] == []


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(built):
    wheel, _ = built
    files = set.union(*(shipped(folder) for folder in FOLDERS.values()))
    assert wheel == {f"plausibench/{file}" for file in files}


def test_sdist_holds_packages_tests_and_documents(built):
    _, sdist = built
    files = set.union(*(shipped(folder) for folder in [*FOLDERS.values(), "tests"]))
    asked = files | {"pyproject.toml", "Makefile", ".ci/run", *DOCUMENTS}
    assert asked - sdist == set()


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_folder_refuses_a_top_level_import(folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"ImportError: import plausibench.{folder}:" in done.stderr.splitlines()[-1]


def test_import_order_covers_every_folder():
    contracts = SETTINGS["tool"]["importlinter"]
    assert sorted(contracts["root_packages"]) == sorted(FOLDERS)
    layers = next(c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    assert sorted(layers) == sorted(FOLDERS)


def test_citation_and_changelog_name_the_version():
    version = SETTINGS["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
