"""What a result depends on: the sources by which it is computed, and no others."""

import shutil

import pytest

from plausibench.bench.running import provenance
from plausibench.bench.studies.benchmark.cell import measured
from plausibench.kernels import sources

TRAJECTORY = (measured.__module__, "plausibench.rules.node_perturbation")
STUDY = ("plausibench.bench.studies.tags.study",)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for name, content in sources.files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def digest(root, modules, components):
    provenance._files.cache_clear()
    return provenance.digest.__wrapped__(*modules, components=components, root=root)


@pytest.mark.parametrize(
    ("file", "trajectory", "study"),
    [
        # by which both compute
        ("kernels/streams.py", True, True),
        ("rules/perturbation.py", True, True),
        ("rules/node_perturbation.py", True, True),
        ("bench/measuring/vectors.py", True, True),
        # which only the one, or only the other, computes by or may
        ("bench/measuring/statistics.py", True, False),
        ("bench/training/training.py", True, False),
        ("bench/studies/benchmark/cell.py", True, False),
        ("bench/studies/tags/study.py", False, True),
        ("rules/feedback_alignment.py", False, True),
        ("bench/tasks/digits.py", False, True),
        # which only show, run, keep, ask or check
        ("bench/report/table.py", False, False),
        ("bench/report/style.py", False, False),
        ("bench/studies/tags/report.py", False, False),
        ("bench/studies/scaling/study.py", False, False),
        ("bench/studies/study.py", False, False),
        ("bench/running/store.py", False, False),
        ("bench/running/driver.py", False, False),
        ("bench/running/provenance.py", False, False),
        ("bench/page/page.py", False, False),
        ("bench/cli/run.py", False, False),
        ("bench/certificate/certify.py", False, False),
    ],
)
def test_a_word_in_a_docstring(file, trajectory, study, tree):
    """Changes the keys of those results that are computed by it, and compiles nothing by itself."""
    before = digest(tree, TRAJECTORY, False), digest(tree, STUDY, True)
    shutil.copy(tree / file, tree / "kept")
    with (tree / file).open("a") as text:
        text.write('"""Another word."""\n')
    after = digest(tree, TRAJECTORY, False), digest(tree, STUDY, True)
    shutil.copy(tree / "kept", tree / file)
    assert (before[0] != after[0], before[1] != after[1]) == (trajectory, study)


def test_names_count(tree):
    before = digest(tree, TRAJECTORY, False)
    (tree / "rules" / "perturbation.py").rename(tree / "rules" / "perturbing.py")
    assert digest(tree, TRAJECTORY, False) != before
    (tree / "rules" / "perturbing.py").rename(tree / "rules" / "perturbation.py")


def test_of_a_module_elsewhere_what_it_imports_counts():
    """As of a study in a plug-in; this file imports what measures trajectories."""
    here = provenance.digest(__name__)
    assert here not in (provenance.digest(), provenance.digest("plausibench.kernels.outer"))


def test_machines_of_a_cluster_tell_whether_they_compute_alike(monkeypatch):
    before = provenance.engine.__wrapped__()
    content = sources.files()
    for file, changes in (("bench/cli/run.py", False), ("bench/studies/tags/study.py", True)):
        edited = {**content, file: content[file] + b"#"}
        monkeypatch.setattr(provenance, "_files", lambda root, edited=edited: edited)
        assert (provenance.engine.__wrapped__() != before) == changes
