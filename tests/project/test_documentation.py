"""Every command and snippet that is written down runs, and public names are documented."""

import importlib
import inspect
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from plausibench import bench
from plausibench.architectures.architecture import Architecture
from plausibench.architectures.network import Network
from plausibench.architectures.synapses import Synapse
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.registry import snake
from plausibench.bench.studies.benchmark import units as sweep
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.study import names
from plausibench.bench.tasks.task import Task
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules import estimate
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule
from sweeps import run

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN_ELSEWHERE = {"reference_run"}
"""Pages whose commands tests/project/test_reference_run.py runs as they stand."""
RUN_BY_OTHERS = {
    "CONTRIBUTING": "results/mine",
    "data": "results/my",
    "index": "results/mine",
    "plugins": "results/parity",
}
"""Pages whose commands are much as those of the README; they compute in ``make acceptance``.

With the run directory that another stands in for in ``make test``.
"""
SHOWN = {"text"}
"""Languages of blocks that are only shown."""
SMALL = Spec(
    tasks=("teacher_student[inputs=5,outputs=3,examples=60]",),
    architectures=("mlp",),
    objectives=("mean_squared_error",),
    rules=("backprop", "feedback_alignment"),
    hidden=(4,),
    checkpoints=(500,),
    seeds=1,
    marginal_samples=20,
    averaging_samples=16,
)
"""Stands in for a specification, or a run, that a page has from elsewhere."""
SPECIFICATIONS = {"cluster": "study.toml"}
RUNS = {"plane": "results/plane/digits/run", "report": "results/reference"}
"""Paths on pages, by the page, at which ``SMALL`` stands."""
SHORT = {
    "run": [
        *("--samples", "200", "--averaging-samples", "64", "--checkpoints", "0"),
        *("--no-nulls", "--no-pictures"),  # plot draws them
    ],
    "train": ["--steps", "3"],
    "plot": ["--format", "png"],
    "replicate": ["--dry-run"],  # recipes are run by tests of their own
}
"""What makes a command short; studies are run whole by tests of their own."""
CHEAP = {"steps=600": "steps=6"}
"""What makes a snippet short."""
PLACEHOLDERS = {"NAME", "study.toml"}
"""In place of a study."""
STUDIES = set(names()) - {"benchmark"}


class Block(NamedTuple):
    """A fenced block: its language, its title, an empty text for none, and what it holds."""

    language: str
    title: str
    text: str


FENCE = re.compile(r'^```(\w*)(?: title="([^"\n]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def blocks(path):
    return [Block(*found) for found in FENCE.findall(path.read_text(encoding="utf-8"))]


def prose(path):
    """Code that stands in the sentences of a page, on one line."""
    spoken = FENCE.sub("", path.read_text(encoding="utf-8"))
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", spoken)]


def in_prose(start):
    """Different codes of all pages that begin so."""
    return sorted({code for path in PAGES for code in prose(path) if re.match(start, code)})


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """A registry without the plug-ins of other pages."""
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    return run(SMALL, tmp_path_factory.mktemp("small") / "run").path


def test_readme_has_its_parts():
    """First what was found, then how to find it, then a rule of one's own."""
    text, found = README.read_text(encoding="utf-8"), blocks(README)
    parts = [
        text.index(mark) for mark in ("![", "make bench", "make test", "(Rule)", "bench.measure(")
    ]
    assert parts == sorted(parts)
    assert sum(len(lines(block)) for block in found if block.language == "bash") >= 11
    plugin = next(block for block in found if "(Rule)" in block.text)
    code = [line for line in plugin.text.splitlines() if not re.match(r"\s*(#|$)", line)]
    assert len(code) < 30
    for image in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / image).is_file(), image


def test_readme_counts_the_rules():
    (count,) = re.findall(r"shows more than (\d+) rules", README.read_text(encoding="utf-8"))
    assert int(count) < len(registry.entries("rule"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_block_escapes(path):
    """Whatever opens a block is found, and every language is run or known to be shown only."""
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(blocks(path))
    assert {block.language for block in blocks(path)} <= {*RUNNERS, *SHOWN}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=pytest.mark.acceptance if path.stem in RUN_BY_OTHERS else (),
        )
        for path in PAGES
        if path.stem not in RUN_ELSEWHERE
    ],
)
@pytest.mark.usefixtures("one_network")
def test_blocks_run(path, small_run, tmp_path, monkeypatch):
    """In order, in one folder, as a reader would type them; titled blocks are files."""
    if path.stem != "report":  # whose page is as long as any
        monkeypatch.setitem(SHORT, "report", ["--help"])
    run_blocks(path, small_run, tmp_path, monkeypatch)


@pytest.mark.parametrize("stem", RUN_BY_OTHERS)
@pytest.mark.usefixtures("one_network")
def test_blocks_run_without_computing(stem, small_run, tmp_path, monkeypatch):
    """Runs are only planned, and what reads them reads another."""
    monkeypatch.setitem(SHORT, "run", [*SHORT["run"], "--dry-run"])
    monkeypatch.setitem(SHORT, "report", ["--no-certificates", "--help"])
    monkeypatch.setitem(RUNS, stem, RUN_BY_OTHERS[stem])
    (path,) = (path for path in PAGES if path.stem == stem)
    run_blocks(path, small_run, tmp_path, monkeypatch)


def run_blocks(path, small_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if path.stem in SPECIFICATIONS:
        SMALL.write(Path(SPECIFICATIONS[path.stem]))
    if path.stem in RUNS:
        shutil.copytree(small_run, RUNS[path.stem])
    for block in blocks(path):
        if block.language in RUNNERS:
            RUNNERS[block.language](block, monkeypatch)


def run_python(block, monkeypatch):
    if block.title:
        Path(block.title).write_text(block.text, encoding="utf-8")
    if "import torch" in block.text:
        pytest.importorskip("torch")
    text = block.text
    for long, short in CHEAP.items():
        text = text.replace(long, short)
    exec(compile(text, block.title or "snippet", "exec"), {"__name__": "snippet"})


def run_toml(block, monkeypatch):
    """Entry points: each is found once a package that has them is installed."""
    Path("my_package").mkdir()
    shutil.copy("my_rule.py", "my_package")  # made by a command above
    information = Path("my_package-1.0.dist-info")
    information.mkdir()
    (information / "METADATA").write_text("Name: my_package\nVersion: 1.0\n")
    code = (
        "import sys; sys.path.insert(0, '')\n"
        "from plausibench.bench import make\n"
        "from plausibench.bench.components import registry\n"
    )
    points = ""
    for group, named in tomllib.loads(block.text)["project"]["entry-points"].items():
        kind = group.removeprefix("plausibench.").removesuffix("s")
        points += f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in named.items())
        for name in named:
            code += f"make({kind!r}, {name!r})\n"
            code += f"assert 'my_package' in registry.entries({kind!r})[{name!r}].origin\n"
    (information / "entry_points.txt").write_text(points)
    finish(sys.executable, "-c", code)


def run_bash(block, monkeypatch):
    array = re.search(r"^#SBATCH --array=(\d+)-(\d+)$", block.text, re.MULTILINE)
    with monkeypatch.context() as context:
        if array:
            first, last = map(int, array.groups())
            context.setenv("SLURM_ARRAY_TASK_ID", str(first))
            context.setenv("SLURM_ARRAY_TASK_MIN", str(first))
            context.setenv("SLURM_ARRAY_TASK_COUNT", str(last - first + 1))
        for line in lines(block):
            program, *words = shlex.split(line)
            PROGRAMS[program](words)


RUNNERS = {"python": run_python, "toml": run_toml, "bash": run_bash}


def lines(block):
    found = (re.sub(r"(^|\s+)#.*", "", line) for line in block.text.splitlines())
    return [line for line in found if line]


def run_plausibench(words):
    command, *rest = words
    if command == "run" and rest and rest[0] in STUDIES:
        words = [*words, "--dry-run"]
    elif command == "run" and rest and rest[0] == "my_study":
        words = [*words, "--no-pictures"]
    else:
        words = [*words, *SHORT.get(command, [])]
    if command == "run" and not {"--jobs", "--scheduler"} & set(words):
        words = [*words, "--jobs", "1"]  # a process takes seconds to start
    if "--scheduler" in words:
        distributed = pytest.importorskip("distributed")
        with distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address=":0",
        ) as cluster:
            words[words.index("--scheduler") + 1] = cluster.scheduler_address
            invoke(words)
    else:
        invoke(words)


def invoke(words):
    done = CliRunner().invoke(main, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, f"{words}\n{done.output}"


def run_make(words):
    """What it would do: make runs these tests; the acceptance tests run it from a fresh clone."""
    assert finish("make", "--dry-run", *words, folder=ROOT)


def run_source(words):
    """The environment is where make puts it."""
    (script,) = words
    made = finish("make", "--dry-run", "--always-make", "bench", folder=ROOT)
    assert f"-m venv {Path(script).parent.parent}\n" in made
    assert Path(script).parts[-2:] == ("bin", "activate")


def run_pytest(words):
    """Which tests it would run; of a file where all are asked for."""
    few = [] if any(word.endswith(".py") for word in words) else ["tests/project/test_packaging.py"]
    options = ["--collect-only", "--quiet", "-p", "no:cacheprovider"]
    finish(sys.executable, "-m", "pytest", *options, *words, *few, folder=ROOT)


PROGRAMS = {
    "plausibench": run_plausibench,
    "make": run_make,
    "source": run_source,
    "pytest": run_pytest,
}


def finish(*command, folder=None):
    """Standard output of a process that ends well."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("code", in_prose(r"plausibench( |$)"))
def test_commands_in_prose_are_commands(code):
    """Names of commands and options are known, and no argument is too many."""
    _, *words = shlex.split(code)
    if not words:
        return
    command = main.commands[words[0]]
    given, left, _ = command.make_parser(click.Context(command)).parse_args(words[1:])
    assert left == []
    study = given.get("study")
    if isinstance(study, str) and study not in (*PLACEHOLDERS, *STUDIES):
        assert Spec.read(ROOT / study)


@pytest.mark.parametrize("code", in_prose("--"))
def test_options_in_prose_are_options(code):
    known = {
        name
        for command in main.commands.values()
        for option in command.params
        for name in (*option.opts, *option.secondary_opts)
    }
    assert {word for word in shlex.split(code) if word.startswith("--")} <= known


def test_targets_in_prose_are_targets():
    for code in in_prose("make "):
        run_make(shlex.split(code)[1:])


def test_python_names_in_prose_are_public():
    names = {re.match(r"bench\.(\w+)", code)[1] for code in in_prose(r"bench\.\w")}
    assert names
    assert names <= set(bench.__all__)


FOLDERS = ("kernels", "objectives", "architectures", "rules", "bench", "tests", "docs")


@pytest.mark.parametrize("code", in_prose(rf"({'|'.join(FOLDERS)})/[\w./*]+$"))
def test_files_in_prose_exist(code):
    """With any name in place of one that a reader is to choose."""
    assert list(ROOT.glob(re.sub("NAME|my_rule", "*", code)))


def test_questions_of_newcomers_lead_to_what_is_defined_there():
    row = re.compile(r"^\| (.+) \| `([\w/.]+)` \| `(\w+)` \|$", re.MULTILINE)
    rows = row.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(rows) == 10
    for question, file, name in rows:
        module = "plausibench." + file.removesuffix(".py").removesuffix("/__init__")
        assert (ROOT / file).is_file(), question
        assert hasattr(importlib.import_module(module.replace("/", ".")), name), question


OURS = {
    "noise": Noise,
    "network": Network,
    "synapse": Synapse,
    "batch": Batch,
    "objective": Objective,
    "rule": Rule,
    "task": Task,
    "architecture": Architecture,
}
"""What a variable of this name is in sentences."""
DOTTED = re.compile(rf"\b({'|'.join(OURS)})\.([a-z_]+)\b")


def members(kind):
    """Names of attributes, also of those that only instances have."""
    return {*dir(kind), *inspect.get_annotations(kind)}


def test_attributes_in_prose_exist():
    named = {found for code in in_prose("") for found in DOTTED.findall(code)}
    assert ("noise", "examples") in named
    for name, attribute in named:
        assert attribute in members(OURS[name]), f"{name}.{attribute}"


def test_calls_in_prose_have_the_parameters_of_what_is_called():
    """Methods of components, and classes, that are written with all of their arguments."""
    pattern = r"(\w+)\((\w+(?:, \w+)*)?\)$"
    calls = [re.match(pattern, code).groups() for code in in_prose(pattern)]
    assert {"Outer", "Dense", "build", "theory"} <= {name for name, _ in calls}
    methods = {
        name: getattr(kind, name) for kind in OURS.values() for name in dir(kind) if name[0] != "_"
    }
    known = {**methods, **vars(estimate)}
    for name, arguments in calls:
        parameters = list(inspect.signature(known[name]).parameters)
        given = arguments.split(", ") if arguments else []
        assert [p for p in parameters if p != "self"] == given, name


@pytest.mark.parametrize("code", in_prose(r"[A-Z]\w+$"))
def test_classes_and_constants_in_prose_are_defined(code):
    """Somewhere in the sources; the class of a reader's own rule has a name like it."""
    defined = re.compile(rf"^(class {code}\b|{code}\b.* = )", re.MULTILINE)
    sources = (file for folder in FOLDERS[:5] for file in (ROOT / folder).rglob("*.py"))
    assert code in ("MyRule", "None") or any(
        defined.search(file.read_text("utf-8")) for file in sources
    )


def test_operations_of_a_synapse_are_counted():
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (count,) = re.findall(r"need (\w+)\s+operations", text)
    words = ("six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    assert words.index(count) + 6 == len(Synapse.__abstractmethods__)


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


def test_question_marks_can_all_be_measured():
    spec = Spec.read(ROOT / "docs" / "question_marks.toml")
    assert {unit.reason for unit in sweep.units(spec)} == {None}
    named = {rule.partition("[")[0] for rule in spec.rules}
    rules = [bench.make("rule", name) for name in registry.entries("rule")]
    asked = {snake(type(rule).__name__) for rule in rules if rule.card.questioned}
    assert asked == named
