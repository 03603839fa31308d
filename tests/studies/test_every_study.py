"""Every study can do what every other can: the same options, and the same readers."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.cli.template_study import write_study
from plausibench.bench.components import registry
from plausibench.bench.running.store import Run, signed
from plausibench.bench.studies import BUILTIN, study
from toy_jobs import files

OWN = "my_study"
SMALLEST = {
    OWN: ["--plugin", "my_study.py", "--seeds", "2"],
    "apical_activity": ["--seeds", "2"],
    "benchmark": [
        *("--rules", "backprop", "--rules", "weight_perturbation", "--tasks", "teacher_student"),
        *("--objectives", "mean_squared_error", "--hidden", "4", "--checkpoints", "0"),
        *("--seeds", "2", "--samples", "64", "--averaging-samples", "16"),
    ],
    "brain_set": ["--rules", "backprop", "--checkpoints", "2", "--seeds", "2"],
    "gradient_fields": ["--rules", "oja", "--seeds", "2"],
    "improvement": ["--rules", "backprop", "--samples", "10", "--seeds", "2"],
    "metric": [
        *("--rules", "backprop", "--set", "task=digits", "--hidden", "4", "--set", "steps=2"),
        *("--checkpoints", "1", "--set", "draws=2", "--seeds", "2"),
    ],
    "tags": [
        *("--rules", "reinforce", "--rules", "attention_gated"),
        *("--samples", "20", "--seeds", "2"),
    ],
}
"""Options with which each takes seconds; the others are run by tests of their own."""
READERS = {
    "table": ["table", "RUN"],
    "csv": ["table", "RUN", "--format", "csv"],
    "plot": ["plot", "RUN", "--out", "pictures", "--format", "png"],
    "report": ["report", "RUN", "--no-certificates", "--out", "page.html"],
    "compare": ["compare", "RUN", "RUN", "--every"],
    "merge": ["merge", "RUN", "--out", "merged"],
    "cite": ["cite", "RUN"],
}
TOLD = {
    OWN: ["node_perturbation", "weight_perturbation"],
    "benchmark": ["backprop", "weight"],
    "tags": ["reinforce", "attention"],
}
"""What the tables of some say."""
FAST = (OWN, "tags")
"""Studies that do in ``make test`` what all do in the acceptance tests: there is one driver."""
READ = (OWN, "benchmark", "tags")
"""Those whose runs are read there; the others have tests of their tables and pictures."""


def studies(ordinary):
    """Names for tests of which some are left to the acceptance tests."""
    return [
        pytest.param(name, marks=() if name in ordinary else pytest.mark.acceptance)
        for name in SMALLEST
    ]


every = pytest.mark.parametrize("name", SMALLEST)
fast = pytest.mark.parametrize("name", studies(FAST))


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A working folder with a study of one's own, and no plug-ins of other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
    monkeypatch.setattr(study, "_PLUGINS", {})
    for variable in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(variable)
    write_study(OWN, Path())


def call(*words, code=0):
    """What a command says on standard output, and on standard error."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def computed(name, out, *more):
    call("run", name, *SMALLEST[name], "--no-pictures", "--out", out, *more)
    return Run.open(out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of each study by one process."""
    made = {}

    def run(name):
        if name not in made:
            made[name] = computed(name, tmp_path_factory.mktemp(name) / "run", "--jobs", "1")
        return made[name]

    return run


def plugin(name):
    return ["--plugin", "my_study.py"] if name == OWN else []


@pytest.mark.parametrize("name", BUILTIN)
def test_a_dry_run_of_the_defaults_says_where_it_would_write(name):
    said, _ = call("run", name, "--dry-run")
    assert said.endswith(f"Would write to results/{'default' if name == 'benchmark' else name}.\n")
    assert not Path("results").exists()


@fast
def test_runs_in_shares_and_says_what_is_missing(whole, name):
    computed(name, "run", "--jobs", "1", "--shard", "2/2")
    run = Run.open("run")
    assert 0 < run.finished < len(run.due)
    sentence = f"{run.finished} of {len(run.due)} jobs of run are finished"
    assert sentence in "".join(call("merge", "run", "--out", "part")).replace("part", "run")
    said, _ = call("run", "--resume", "run", "--jobs", "1", "--no-pictures")
    assert "Results: run" in said
    assert files(Run.open("run")) == files(whole(name))


@fast
def test_processes_have_the_same_records(whole, name):
    assert files(computed(name, "run", "--jobs", "2")) == files(whole(name))


@pytest.fixture(scope="module")
def cluster():
    """Scheduler and a worker of another process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as started:
        yield started.scheduler_address


@pytest.mark.parametrize("name", studies((OWN,)))  # that of tags loses a worker elsewhere
def test_a_cluster_has_the_same_records(whole, cluster, name):
    assert files(computed(name, "run", "--scheduler", cluster)) == files(whole(name))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--scheduler", "foo"], "scheduler: 'foo' is not an address such as tcp://"),
        (["--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"], "jobs: the scheduler decides"),
        (["--jobs", "0"], "jobs: 0 is not a whole number of at least 1"),
        (["--shard", "3/2"], "shard: '3/2' is not i/n"),
        (
            ["--seeds", "0"],
            r"seeds: 0 is not a whole number (of at least [12]|from 1 to 100000)\n",
        ),
    ],
)
@every
def test_what_cannot_be_is_refused_before_anything_is_written(name, options, sentence):
    before = sorted(Path().rglob("*"))
    said = call("run", name, *SMALLEST[name], "--out", "out", *options, code=2)[1]
    assert re.search(sentence, said)
    assert sorted(Path().rglob("*")) == before


@every
def test_a_dry_run_writes_nothing(name):
    before = sorted(Path().rglob("*"))
    said, _ = call("run", name, *SMALLEST[name], "--out", "out", "--dry-run")
    assert "Would write to out" in said
    assert sorted(Path().rglob("*")) == before


@fast
def test_more_seeds_extend_it(whole, name):
    shutil.copytree(whole(name).path, "run")
    records = {file: file.stat().st_ino for file in Path("run/records").iterdir()}
    call("run", "--resume", "run", "--seeds", "3", "--jobs", "1", "--no-pictures")
    assert records.items() <= {f: f.stat().st_ino for f in Path("run/records").iterdir()}.items()
    assert set(Run.open("run").frame["seed"].dropna()) == {0, 1, 2}
    assert "with seeds 3, not 2" in call("run", "--resume", "run", "--seeds", "2", code=2)[1]


@fast
def test_its_own_file_runs_it_again(whole, name):
    study_file = whole(name).path / "study.toml"
    call("run", study_file, *plugin(name), "--jobs", "1", "--no-pictures", "--out", "again")
    assert files(Run.open("again")) == files(whole(name))


@fast
def test_other_options_in_its_folder_are_refused(whole, name):
    sentence = call("run", "--resume", whole(name).path, "--seed", "5", code=2)[1]
    assert "holds another run, with seed 0, not 5" in sentence
    assert sentence.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        pytest.param(
            name,
            reader,
            marks=()
            if name in (READ if reader != "report" else (OWN,))  # pages have tests of their own
            else pytest.mark.acceptance,
        )
        for name in SMALLEST
        for reader in READERS
    ],
)
def test_can_be_read(whole, name, reader):
    words = [str(whole(name).path) if word == "RUN" else word for word in READERS[reader]]
    takes_plugins = reader not in ("merge", "cite")
    said, _ = call(*words, *(plugin(name) if takes_plugins else []))
    if reader == "report":
        assert "<h2>Provenance</h2>" in Path("page.html").read_text(encoding="utf-8")
    elif reader == "plot":
        assert set(said.splitlines()) == set(map(str, Path("pictures").iterdir()))
        assert said
    elif reader == "compare":
        assert "0 supported differences" in said
        assert not said.startswith("0 values")
    elif reader == "merge":
        assert files(Run.open("merged")) == files(whole(name))
    elif reader == "cite":
        assert "richards2019" in said
    else:
        assert said.count("\n") > 2
        for rule in TOLD.get(name, ()):
            assert rule in said


def test_a_run_of_an_unknown_study_names_the_plug_in(whole, monkeypatch):
    path = whole(OWN).path
    monkeypatch.setattr(study, "_PLUGINS", {})
    for words in (["table", path], ["plot", path], ["compare", path, path]):
        sentence = call(*words, code=2)[1]
        assert (
            "'my_study', which is not known here; if a plug-in defines it, give --plug" in sentence
        )
    spaced = Run.create("spaced", "my_study", {}, {}, plugins=["my studies/my_study.py"])
    given = shlex.split(call("table", spaced.path, code=2)[1])
    assert given[-2:] == ["--plugin", str(Path("my studies/my_study.py").resolve())]
    # What needs no report needs no plug-in.
    call("merge", path, "--out", "merged")
    call("cite", path)


def test_differences_that_the_seeds_support_are_flagged(whole, tmp_path):
    """A value moved by far more than it varies over seeds."""
    shutil.copytree(whole("tags").path, "other")
    for file in Path("other/records").iterdir():
        record = json.loads(file.read_bytes())
        for row in record["rows"]:
            row["value"] += 7.0 if row["quantity"] == "factor" else 0.0
        file.write_text(json.dumps(signed(record)))
    said, _ = call("compare", whole("tags").path, "other", "--format", "csv")
    flagged = [line for line in said.splitlines() if ",higher," in line or ",lower," in line]
    assert len(flagged) == 2
    assert all(",factor,value," in line for line in flagged)


def test_studies_of_two_kinds_are_not_compared(whole):
    paths = [whole(name).path for name in ("tags", "benchmark")]
    assert "is of the study benchmark, not tags" in call("compare", *paths, code=2)[1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tags", "is taken by a study (built in)"),
        ("My", "is not lower-case words"),
        ("class", "is a word of Python"),
    ],
)
def test_a_new_study_has_a_name_of_its_own(name, said):
    assert said in call("new-study", name, code=2)[1]
