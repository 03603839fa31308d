"""Every command and snippet of the README runs, and public names are documented."""

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from plausibench import bench
from plausibench.bench import registry
from plausibench.bench.experiments import EXPERIMENTS
from plausibench.bench.registry import snake
from plausibench.bench.spec import Spec
from plausibench.bench.sweep import units

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# make runs these tests; the acceptance tests run make, from a fresh clone.
ELSEWHERE = ("make",)
MEASURED = ["--samples", "200", "--averaging-samples", "64", "--checkpoints", "0"]
"""What makes a run short."""
SHORT = {name: ["--dry-run"] for name in EXPERIMENTS}
"""Experiments are run whole by tests of their own."""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    lines = [
        line.split("  #")[0].strip() for block in blocks("bash") for line in block.splitlines()
    ]
    return [line for line in lines if line and not line.startswith(ELSEWHERE)]


def plugin():
    return next(block for block in blocks("python") if "(Rule)" in block)


def test_readme_has_its_parts():
    assert len(commands()) >= 9
    assert len(blocks("python")) == 2
    code = [
        line for line in plugin().splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(code) < 30
    for image in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / image).is_file(), image


def test_readme_counts_the_rules():
    (count,) = re.findall(r"shows (\d+) rules", README)
    assert int(count) == len(registry.entries("rule"))


def test_commands_of_the_readme_run(tmp_path):
    """In order, in one folder, as a reader would type them; sampling is made short."""
    (tmp_path / "sign_feedback.py").write_text(plugin(), encoding="utf-8")
    for command in commands():
        run_command(command, tmp_path)
    table = (tmp_path / "results" / "signs").exists()
    assert table


def test_snippets_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize("name", bench.__all__)
def test_public_names_are_documented(name):
    thing = getattr(bench, name)
    assert inspect.getdoc(thing), name
    if inspect.isclass(thing):
        methods = {
            key: value
            for key, value in vars(thing).items()
            if inspect.isfunction(value) and not key.startswith("_")
        }
        for key, method in methods.items():
            assert inspect.getdoc(method), f"{name}.{key}"


def test_documented_parameters_are_those_of_the_signature():
    for name in bench.__all__:
        thing = getattr(bench, name)
        if not inspect.isfunction(thing):
            continue
        text = inspect.getdoc(thing) or ""
        if "Parameters\n---" not in text:
            continue
        section = text.split("Parameters\n")[1].split("\n\n")[0].splitlines()[1:]
        listed = [
            word.strip().lstrip("*")
            for line in section
            if line and not line.startswith(" ")
            for word in line.split(":")[0].split(",")
        ]
        assert listed == list(inspect.signature(thing).parameters), name


PAGES = sorted(path for path in (ROOT / "docs").glob("*.md"))


def on_page(path, language):
    """Blocks of a page, with their titles, an empty text for none."""
    found = re.findall(
        rf'```{language}(?: title="([^"]+)")?\n(.*?)```',
        path.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    return [(title, block) for title, block in found]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_and_snippets_of_the_handbook_run(path, tmp_path, monkeypatch):
    """In order, in one folder; named snippets are files that commands use."""
    monkeypatch.chdir(tmp_path)
    for title, block in on_page(path, "python"):
        if title:
            (tmp_path / title).write_text(block, encoding="utf-8")
        if "import torch" in block:
            pytest.importorskip("torch")
        exec(compile(block, title or path.name, "exec"), {"__name__": "snippet"})
    for _, block in on_page(path, "bash"):
        for line in filter(None, (line.split("  #")[0].strip() for line in block.splitlines())):
            run_command(line, tmp_path)


def run_command(line, folder):
    words = shlex.split(line)
    assert words[0] == "plausibench", line
    if words[1] == "run":
        words += SHORT.get(words[2], MEASURED)
    if words[1] == "replicate":
        words.append("--dry-run")  # recipes are run by tests of their own
    done = subprocess.run(
        [sys.executable, "-m", "plausibench.bench.cli", *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_question_marks_can_all_be_measured():
    spec = Spec.read(ROOT / "docs" / "question_marks.toml")
    assert {unit.reason for unit in units(spec)} == {None}
    named = {rule.partition("[")[0] for rule in spec.rules}
    rules = [bench.make("rule", name) for name in registry.entries("rule")]
    asked = {snake(type(rule).__name__) for rule in rules if rule.card.questioned}
    assert asked == named
