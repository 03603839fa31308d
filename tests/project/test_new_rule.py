"""A rule is added to a copy of the tree: its file, its line, its twin and test, the changelog."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("kernels", "objectives", "architectures", "rules", "bench")
FILES = ("pyproject.toml", "mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
MODULE = '''\
"""Backpropagation that loses a part of the error in each layer."""

from dataclasses import dataclass, replace
from typing import ClassVar

from plausibench.architectures.network import Activity, Network
from plausibench.kernels.errors import positive
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, outers
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State
from plausibench.rules.theory import Claim, Limit, Situation


@dataclass(frozen=True)
class DampedBackprop(Rule):
    """Errors return through a share of the transposed weights.

    Parameters
    ----------
    share
        What each layer hands down.
    """

    share: float = 0.5

    card: ClassVar[RuleCard] = RuleCard(
        summary="errors return through a share of the transposed weights",
        family="fixed feedback",
        equation="post_l = (share W_(l+1)^T post_(l+1)) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset(),
        unbiased=False,
        exact_when="share = 1",
        variance_law="0 for a given batch",
        synapse_knows="pre, slope of its neuron, the errors above through the weights above",
        cites="Rumelhart, Hinton & Williams 1986",
    )

    def __post_init__(self) -> None:
        positive("share", self.share)

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        weights = {p.name: self.share * network.parameters[p.name] for p in network.returning}
        error = objective.batch_error(clean.output, batch)
        return outers(network, clean, network.credit(clean, {network.output.name: error}, weights))

    def theory(self) -> tuple[Claim, ...]:
        return (
            Limit("share = 1: backpropagation", _whole, 1e-14),
            Limit("half of it: biased", lambda at: at, tolerance=0.1, holds=False),
        )


def _whole(at: Situation) -> Situation:
    return replace(at, rule=DampedBackprop(share=1.0))
'''
LINE = '    "damped_backprop": "plausibench.rules.damped_backprop:DampedBackprop",\n'
BEHIND = '    "weight_mirror": '
"""What follows the last rule of the family in the table."""
TWIN = '''

def damped_backprop(network, batch, error, share):
    """Backpropagation through ``share`` of each transposed matrix."""
    weights = [share * matrix.T for matrix, _, _ in layers(network)[1:]]
    return returned(network, batch, error, feedback=weights)
'''
TEST = '''\
"""Backpropagation that loses a part of the error: its twin."""

from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from plausibench import bench
from twin_cells import activations, assert_twins, cell, seeds, shapes


@settings(max_examples=25)
@given(shapes, activations, seeds, st.floats(0.1, 2.0))
def test_damped_backprop(sizes, activation, seed, share):
    network, batch = cell(sizes, activation, seed)
    objective = bench.make("objective", "cross_entropy")
    rule = bench.make("rule", "damped_backprop", share=share)
    ours = bench.estimates(rule, network, objective, batch, samples=1)
    error = objective.error(network.forward(batch.inputs).output, batch.targets)
    twin = naive.damped_backprop(network, batch, error, share)
    assert_twins({name: array[0] for name, array in ours.items()}, twin)
'''
KEPT = "test_published_rules_keep_their_look"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The copy, with the rule."""
    root = tmp_path_factory.mktemp("tree")
    unwanted = ignore_patterns("__pycache__")
    for folder in (*FOLDERS, "tests", "docs"):
        copytree(ROOT / folder, root / folder, ignore=unwanted)
    for name in FILES:
        copy(ROOT / name, root)
    (root / "links" / "plausibench").mkdir(parents=True)
    for folder in FOLDERS:
        (root / "links" / "plausibench" / folder).symlink_to(root / folder)
    (root / "rules" / "damped_backprop.py").write_text(MODULE)
    insert(root / "rules" / "__init__.py", LINE, before=BEHIND)
    insert(root / "tests" / "naive.py", TWIN)
    (root / "tests" / "rules" / "test_damped_backprop.py").write_text(TEST)
    insert(root / "CHANGELOG.md", "- A rule: `damped_backprop`.\n\n", before="### Results changed")
    return root


def insert(path, text, before=""):
    """Put a text into a file, at the end or before the first place of another."""
    here = path.read_text(encoding="utf-8")
    start = here.index(before) if before else len(here)
    path.write_text(here[:start] + text + here[start:], encoding="utf-8")


def run(tree, *command):
    """Output of a command of the copy that ends well."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree / "links"),
        "NUMBA_CACHE_DIR": str(tree / "numba"),
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def over_all_rules(path):
    """Tests of a file that go over the registry themselves, and not by their parameters."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    marks = ["registry.entries"]
    for node in module.body:
        if isinstance(node, ast.Assign) and marks[0] in ast.unparse(node.value):
            marks += [ast.unparse(target) for target in node.targets]
    return {
        node.name
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for body in [" ".join(map(ast.unparse, node.body))]
        if any(mark in body for mark in marks)
    }


@pytest.mark.acceptance
def test_a_new_rule_is_certified(tree):
    printed = run(tree, "-m", "plausibench.bench.cli", "check", "damped_backprop")
    assert str(tree) in run(tree, "-c", "import plausibench.rules as r; print(r.__file__)")
    assert "damped_backprop: 13 passed, 0 failed" in printed


@pytest.mark.acceptance
def test_every_test_of_all_rules_passes_with_a_new_rule(tree, record_figure):
    files = sorted((tree / "tests").rglob("test_*.py"))
    names = {name for path in files for name in over_all_rules(path)}
    assert {"test_list_shows_every_component", "test_every_rule_runs_or_says_why_not"} <= names
    chosen = " or ".join(["damped_backprop", KEPT, *sorted(names)])
    options = ("-q", "-n", "0", "-p", "no:cacheprovider", "--timeout", "0")
    printed = run(tree, "-m", "pytest", *options, "-k", chosen, "tests")
    record_figure("tests that a new rule runs", printed.splitlines()[-1], "all passed")


@pytest.mark.acceptance
def test_a_new_rule_keeps_the_import_order(tree):
    run(tree, "-c", "from importlinter.cli import lint_imports_command as command; command()")
