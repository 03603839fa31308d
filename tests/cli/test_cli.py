"""The command line: what it prints, what it refuses, and how it ends."""

import ast
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tokenize
from contextlib import suppress
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete, get_completion_class
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.cli.progress import progress
from plausibench.bench.components import registry
from plausibench.bench.running import folders
from plausibench.bench.running.store import Run
from plausibench.kernels import cache

SMALL = [
    *("--rules", "backprop", "--rules", "feedback_alignment", "--tasks", "teacher_student"),
    *("--objectives", "mean_squared_error", "--hidden", "4", "--checkpoints", "0"),
    *("--checkpoints", "2", "--seeds", "1", "--averaging-samples", "16"),
    *("--marginal-samples", "32", "--jobs", "1", "--no-pictures"),
    "--no-nulls",
]
HEAVY = {"numpy", "numba", "scipy", "pandas", "matplotlib", "seaborn", "sklearn"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A working folder, and a registry without the plug-ins of other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
    return tmp_path


def call(*arguments, code=0):
    """Output of a command that ends with ``code``."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def refused(*arguments):
    """The one sentence with which a command refuses its input, having written nothing."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    sentence = result.stderr.removesuffix("\n")
    assert sentence.startswith("Error: ")
    assert "\n" not in sentence
    return sentence.removeprefix("Error: ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run directory of the smallest benchmark."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    call("run", *SMALL, "--out", folder)
    return folder


@pytest.mark.parametrize("command", ["", *main.commands])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys; from plausibench.bench.cli import main\n"
        f"try: main({[command, '--help'] if command else ['--help']})\n"
        f"except SystemExit: print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ")
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_arguments_three_things_to_do_are_shown_then_the_commands():
    said = call()
    head, listed = said.split("Commands (each has --help)\n")
    for start in ("Run the benchmark", "Add your own rule", "Tables and pictures"):
        assert start in head
    assert len(head.splitlines()) < 15
    assert [line.split()[0] for line in listed.splitlines()] == list(main.commands)
    assert "..." not in listed
    assert "Measure bias and variance" in listed


def test_what_is_shown_first_runs():
    """Each command as it is printed, in order; runs are only planned."""
    shown = [line.split()[1:] for line in call().splitlines() if line.startswith("  plausibench ")]
    assert [words[0] for words in shown] == ["run", "new-rule", "run", "table", "report"]
    for command, *words in shown[:3]:
        call(command, *words, *(["--dry-run"] if command == "run" else []))
    for command, *words in shown[3:]:  # the run that they read is the one of the first command
        assert words == [shown[0][-1]]
        assert "--format" in call(command, "--help") or command == "report"


def test_bash_completes_names_and_files(tmp_path, monkeypatch):
    """In bash itself: commands, rules, studies; the script that the help tells to evaluate."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    script = tmp_path / "bin" / "plausibench"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom plausibench.bench.cli import main\nmain()\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")

    def completed(*words):
        typed = " ".join(f"'{word}'" for word in ("plausibench", *words))
        code = (
            'eval "$(_PLAUSIBENCH_COMPLETE=bash_source plausibench)"\n'
            f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}\n"
            "_plausibench_completion plausibench\n"
            'printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        # What completion functions ask of an interactive shell is there without one, too.
        options = {"capture_output": True, "text": True, "check": True}
        return subprocess.run([bash, "-c", code], **options).stdout.split()

    assert completed("doc") == ["doctor"]
    assert completed("run", "--rules", "node_p") == ["node_perturbation"]
    assert "metric" in completed("run", "met")
    assert completed("run", "--resu") == ["--resume"]
    assert completed("fetch", "cifar") == ["cifar10", "cifar100"]


@pytest.mark.parametrize("form", ["zsh", "fish"])
def test_other_shells_have_their_script(form, monkeypatch):
    made = get_completion_class(form)(main, {}, "plausibench", "_PLAUSIBENCH_COMPLETE")
    assert f"_PLAUSIBENCH_COMPLETE={form}_complete" in made.source()


def test_every_component_completes():
    shell = ShellComplete(main, {}, "plausibench", "_PLAUSIBENCH_COMPLETE")
    found = shell.get_completions(["run", "--rules"], "node")
    assert [item.value for item in found] == ["node_perturbation"]
    found = shell.get_completions(["list"], "ru")
    assert [item.value for item in found] == ["rules"]
    found = shell.get_completions(["show"], "dendritic")
    assert [item.value for item in found] == ["dendritic", "dendritic_error"]


def test_list_shows_every_component():
    listed = call("list")
    for kind in registry.KINDS:
        for name in registry.entries(kind):
            assert f"\n{name} " in listed
    assert ["digits", "built", "in"] in [
        line.split()[:3] for line in call("list", "tasks").splitlines()
    ]


def test_list_names_the_file_of_a_plugin():
    call("new-rule", "my_rule")
    listed = call("list", "rules", "--plugin", "my_rule.py").splitlines()
    (line,) = [line for line in listed if line.startswith("my_rule ")]
    assert "my_rule.py  each neuron correlates its own noise" in line
    shown = call("show", "my_rule", "--plugin", "my_rule.py")
    assert re.search("^family +perturbation$", shown, re.MULTILINE)


def test_show_prints_the_card():
    shown = call("show", "node_perturbation[sigma=0.5]")
    for text in ("equation", "randomness", "rule", "exact when", "a synapse knows", "cites"):
        assert f"\n{text} " in shown or text in shown
    assert re.search("^family +perturbation$", shown, re.MULTILINE)
    assert "bias low, variance high" in shown
    assert "0.5, default 0.001" in shown
    assert "'gaussian'" in shown


@pytest.mark.parametrize(
    "name", [name for kind in registry.KINDS for name in registry.entries(kind)]
)
def test_show_knows_every_component(name):
    assert f" {name}\n" in call("show", name).splitlines(keepends=True)[0]


def test_check_prints_what_passed():
    printed = call("check", "feedback_alignment")
    lines = printed.splitlines()
    # A limit, a control, mean and variance of the closed form, and the conformance suite.
    assert lines[-1] == "feedback_alignment: 15 passed, 0 failed, 3 not applicable"
    assert any(line.startswith("must fail: random B: biased") for line in lines)
    assert re.search(r"^weight transport +no +measured$", printed, flags=re.MULTILINE)


def test_check_writes_a_page(one_network):
    call("check", "backprop", "--out", "page.md")
    text = Path("page.md").read_text(encoding="utf-8")
    assert text.startswith("# backprop\n")
    assert "central differences of the loss" in text


def test_check_of_all_rules(one_network, monkeypatch):
    few = {name: registry.entries("rule")[name] for name in ("backprop", "feedback_alignment")}
    known = registry.entries
    monkeypatch.setattr(registry, "entries", lambda kind: few if kind == "rule" else known(kind))
    printed = call("check", "--all", "--jobs", "1", "--out", "table.md")
    assert re.search(r"^backprop +passed .* yes$", printed, flags=re.MULTILINE)
    assert re.search(r"^feedback_alignment +passed .* no$", printed, flags=re.MULTILINE)
    text = Path("table.md").read_text(encoding="utf-8")
    assert "## backprop" in text
    assert "| feedback\\_alignment | passed |" in text


def test_check_of_all_rules_ends_with_1_if_one_fails(monkeypatch):
    write_plugin("estimates = {}")
    known = registry.entries

    def entries(kind):
        found = known(kind)
        return found if kind != "rule" else {"my_rule": found["my_rule"]}

    monkeypatch.setattr(registry, "entries", entries)
    printed = call("check", "--all", "--jobs", "1", "--plugin", "my_rule.py", code=1)
    assert re.search(r"^my_rule +FAILED", printed, flags=re.MULTILINE)
    assert "my_rule: shapes: refused" in printed


def test_check_of_all_rules_goes_on_after_one_that_cannot_run(one_network, monkeypatch):
    write_plugin("return {}")
    text = Path("my_rule.py").read_text(encoding="utf-8")
    refusing = "    def unsupported(self, network, objective):\n        return 'it likes none'\n"
    Path("my_rule.py").write_text(f"{text}\n{refusing}", encoding="utf-8")
    known = registry.entries

    def entries(kind):
        found = known(kind)
        return found if kind != "rule" else {name: found[name] for name in ("my_rule", "backprop")}

    monkeypatch.setattr(registry, "entries", entries)
    printed = call("check", "--all", "--jobs", "1", "--plugin", "my_rule.py", code=1)
    assert re.search(r"^backprop +passed", printed, flags=re.MULTILINE)
    assert "my_rule: not certified: rule: MyRule supports no registered architecture" in printed


def test_show_includes_the_locality_audit():
    printed = call("show", "node_perturbation")
    assert re.search(r"^  weight transport +no +measured$", printed, flags=re.MULTILINE)
    assert re.search(r"^  phases +two noisy passes.* declared$", printed, flags=re.MULTILINE)


def code_lines(text):
    """Lines that are neither blank, comment nor docstring."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    used = set()
    for token in tokens:
        if token.type not in skipped and token.string:
            used.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            used -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(used)


def test_a_new_rule_is_short_and_keeps_its_promises(record_figure):
    call("new-rule", "my_rule")
    lines = code_lines(Path("my_rule.py").read_text())
    record_figure("lines of code of a new rule", lines, "under 30")
    assert lines < 30
    # Without --plugin, the file of that name in this folder is taken.
    assert "12 passed, 0 failed" in call("check", "my_rule")


def test_a_new_rule_runs_beside_backprop(tmp_path):
    call("new-rule", "my_rule", "--out", tmp_path / "mine.py")
    call(
        *("run", *SMALL[4:], "--plugin", "mine.py", "--rules", "backprop", "--rules", "my_rule"),
        *("--samples", "64", "--out", "both"),
    )
    frame = Run.open("both").frame
    assert list(frame["rule"].unique()) == ["backprop", "my_rule"]
    assert "my_rule" in call("table", "both")


BROKEN_RULE = """
    def estimate(self, network, objective, batch, clean, state, noise):
        estimates = super().estimate(network, objective, batch, clean, state, noise)
        {body}
        return estimates
"""
PLUGIN = """
from dataclasses import dataclass
import numpy as np
from plausibench.rules.backprop import Backprop
from plausibench.rules.estimate import Dense
@dataclass(frozen=True)
class MyRule(Backprop):
"""


def write_plugin(body, name="my_rule.py"):
    Path(name).write_text(PLUGIN + BROKEN_RULE.format(body=body))


BROKEN = {
    "estimates['layer1.weights'] = Dense(np.zeros((3, 3)))": (
        "rule my_rule: MyRule.estimate: layer1.weights has shape (3, 3); allowed is (32, 4, 20)"
    ),
    "estimates['layer1.bias'] = Dense(np.full(4, np.nan))": (
        "rule my_rule: its estimate of layer1.bias is NaN or infinite; allowed are finite numbers"
    ),
    "estimates.pop('layer1.bias')": (
        "rule my_rule: MyRule.estimate: returned ['layer1.weights', 'layer2.bias', "
        "'layer2.weights']; allowed is one estimate for each of ['layer1.weights', 'layer1.bias', "
        "'layer2.weights', 'layer2.bias']"
    ),
    "network.gone": (
        "rule my_rule: it raises AttributeError: 'Network' object has no attribute 'gone'"
    ),
}


@pytest.mark.parametrize("body", BROKEN)
def test_a_broken_plugin_is_refused(body):
    write_plugin(body)
    arguments = ("--plugin", "my_rule.py", "--rules", "my_rule", *SMALL[4:])
    assert refused("run", *arguments) == BROKEN[body]


def test_check_of_a_broken_plugin_ends_with_1():
    write_plugin("estimates = {}")
    printed = call("check", "my_rule", "--plugin", "my_rule.py", code=1)
    assert "shapes: MyRule.estimate: returned []; allowed is one estimate for each of" in printed


def test_a_rule_that_fails_along_the_way_ends_with_1():
    write_plugin("assert (network.parameters['layer1.bias'] == 0).all(), 'it has learned'")
    call(
        *("run", "--plugin", "my_rule.py", "--rules", "my_rule", *SMALL[4:], "--out", "out"),
        code=1,
    )
    units = Run.open("out").jobs
    assert list(units["status"]) == ["failed", "failed"]
    assert list(units["reason"]) == ["AssertionError: it has learned"] * 2
    assert "AssertionError: it has learned" in call("table", "out")


def test_a_network_that_diverges_is_an_outcome():
    call("run", *SMALL, "--learning-rate", "1e200", "--out", "out")
    assert "diverged" in set(Run.open("out").jobs["status"])
    assert "diverged" in call("table", "out")


RULES = ", ".join(registry.entries("rule"))

REFUSED = {
    ("rn",): "command: 'rn' is not known; choose one of .*; did you mean 'run'?",
    ("run", "--sampels", "3"): "No such option '--sampels'.*--samples",
    ("run", "nowhere"): "study: 'nowhere' is neither a specification file nor one of .*benchmark",
    ("run", ""): "study: '' is neither a specification file nor one of .*benchmark",
    ("run", "benchmrk"): "study: 'benchmrk' is neither .*; did you mean 'benchmark'?",
    (
        "run",
        "tags",
        "--hidden",
        "3",
    ): "study tags: 'hidden' is not an option; it has rules",
    ("run", "tags", "--set", "samples"): "set: 'samples' is not of the form name=value",
    ("run", "tags", "--set", "sample=20"): "study tags: 'sample' .*did you mean 'samples'?",
    ("run", "tags", "--all"): "study tags: 'all' is not an option",
    ("run", "--neurons", "3"): "study benchmark: 'neurons' is not an option; it has tasks",
    ("run", "--rules", "node_pertubation"): (
        f"rule: 'node_pertubation' is not known; choose one of {RULES}; "
        "did you mean 'node_perturbation'?"
    ),
    ("run", "--tasks", "digit"): "task: 'digit' is not known; .*; did you mean 'digits'?",
    ("run", "--architectures", "mpl"): "architecture: 'mpl' is not known; .*did you mean 'mlp'?",
    ("run", "--objectives", "crossentropy"): "objective: .*did you mean 'cross_entropy'?",
    ("run", "--rules", "node_perturbation[sgima=1]"): (
        "rule node_perturbation: 'sgima' is not an option; it has sigma, antithetic, noise; "
        "did you mean 'sigma'?"
    ),
    ("run", "--rules", "node_perturbation[sigma=-1]"): (
        "rule node_perturbation: sigma: -1.*is not a finite number above 0"
    ),
    ("run", "--rules", "node_perturbation[sigma=loud]"): (
        "rule node_perturbation: sigma: 'loud' is not a finite number above 0"
    ),
    ("run", "--rules", "node_perturbation[noise=gauss]"): (
        "rule node_perturbation: noise: 'gauss' is not known; choose one of gaussian, "
        "rademacher; did you mean 'gaussian'?"
    ),
    ("run", "--rules", "node_perturbation[sigma"): "rule: .* lacks its closing bracket",
    ("run", "--samples", "0"): "samples: 0 is not a whole number of at least 1",
    ("run", "--samples", "many"): "Invalid value for '--samples': 'many' is not a valid integer.",
    ("run", "--seeds", "-1"): "seeds: -1 is not a whole number from 1 to 100000",
    ("run", "--seed", "-1"): "seed: -1 is not a whole number of at least 0",
    ("run", "--jobs", "0"): "jobs: 0 is not a whole number of at least 1",
    ("run", "--checkpoints", "-5"): "checkpoints: -5 is not a whole number of at least 0",
    ("run", "--protocols", "owned"): "protocols: 'owned' .*did you mean 'own'?",
    ("run", "--pairing", "al"): "pairing: 'al' .*did you mean 'all'?",
    ("run", "--hidden", "10x10"): "hidden: '10x10' is not layer sizes joined by hyphens",
    ("run", "--hidden", "0"): "hidden: 0 is not a whole number of at least 1",
    ("run", "--optimiser", "adm"): "optimiser: 'adm' .*did you mean 'adam'?",
    ("run", "--learning-rate", "-1"): "learning_rate: -1.0 is not a finite number above 0",
    ("run", "--layer-rates", "1-2"): "layer_rates: '1-2' is not numbers joined by commas",
    ("run", "--learning-rates", "backprop"): "learning_rates: 'backprop' is not of the form",
    ("run", "--learning-rates", "bakprop=1"): "rule: 'bakprop' .*did you mean 'backprop'?",
    ("run", "--batch-size", "9999"): "batch_size: 9999 .*1438",
    ("run", "--format", "pgn"): "format: 'pgn' .*did you mean 'png'?",
    ("run", "--plugin", "gone.py"): "plugin: 'gone.py' is not a file",
    ("run", "--architectures", "mlp[sizes=64-8-5]"): (
        "sizes: .* has 64 inputs and 5 outputs, but task digits needs 64 and 10"
    ),
    ("run", "--rules", "dendritic_error", "--architectures", "mlp"): (
        "rules: dendritic_error cannot run on mlp with cross_entropy "
        "(dendritic_error needs apical dendrites: use the dendritic architecture)"
    ),
    ("run", "--tasks", "mnist[path=gone.npz]"): ".*path: gone.npz cannot be read",
    ("train",): "Missing argument 'RULE...'.",
    ("train", "backpropp"): "rule: 'backpropp' .*did you mean 'backprop'?",
    ("train", "backprop", "--steps", "-1"): "steps: -1 is not a whole number of at least 0",
    ("train", "backprop", "--evaluate-every", "0"): "evaluate_every: 0 is not",
    ("train", "brainprop", "--objective", "cross_entropy"): "rules: brainprop cannot run on mlp",
    ("list", "rule"): "kind: 'rule' .*did you mean 'rules'?",
    ("show", "mlpp"): "name: 'mlpp' is not known; .*did you mean 'mlp'?",
    ("check", "bakprop"): "rule: 'bakprop' is not known; .*did you mean 'backprop'?",
    ("check",): "rule: name a rule, or give --all, not both",
    ("check", "backprop", "--all"): "rule: name a rule, or give --all, not both",
    ("check", "backprop", "--out", "gone/page.md"): "out: 'gone' is not an existing folder",
    ("check", "mlp"): f"rule: 'mlp' is not known; choose one of {RULES}",
    ("table", "gone"): "run: 'gone' is not a run directory",
    ("plot", "gone"): "run: 'gone' is not a run directory",
    ("compare", "gone", "gone"): "run: 'gone' is not a run directory",
    ("new-rule", "MyRule"): "name: 'MyRule' is not lower-case words .*, such as 'my_rule'",
    ("new-rule", "class"): "name: 'class' is a word of Python; choose another",
    ("new-rule", "backprop"): "name: 'backprop' is taken by a rule (built in); choose another",
    ("new-rule", "my_rule", "--out", "gone/my_rule.py"): "out: 'gone/my_rule.py' cannot be written",
    ("new-rule", "my_rule", "--out", "gone"): "out: 'gone' is not an existing folder or a file",
}


def found_in(sentence, asked):
    """Whether the parts of ``asked``, between ``.*``, come in this order, the first first."""
    first, *others = asked.split(".*")
    place = len(first) if sentence.startswith(first) else -1
    for part in others:
        place = sentence.find(part, place) if place >= 0 else place
    return place >= 0


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_bad_input_gets_one_sentence(arguments):
    assert found_in(refused(*arguments), REFUSED[arguments])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("raise OSError('no disk')", "plugin: .*bad.py cannot be imported (OSError: no disk)"),
        ("def", "plugin: .*bad.py cannot be imported (SyntaxError: "),
        ("x = 1", "plugin: .*bad.py defines no component; "),
        (
            PLUGIN.replace("MyRule", "Brainprop") + "    pass",
            "plugin: .*bad.py defines rule brainprop, a name that is taken by built in",
        ),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["list"], ["train", "backprop"], ["check", "my"]])
def test_a_plugin_that_fails_to_load_is_refused(command, content, sentence):
    Path("bad.py").write_text(content)
    assert found_in(refused(*command, "--plugin", "bad.py"), sentence)


@pytest.mark.parametrize("out", ["a_file", "a_file/below", "/proc/nowhere"])
@pytest.mark.parametrize("command", [["run", *SMALL], ["train", "backprop"]])
def test_a_folder_that_cannot_be_written_is_refused(command, out):
    Path("a_file").write_text("")
    assert refused(*command, "--out", out).startswith("out: ")


def test_a_folder_of_something_else_is_refused():
    Path("notes").mkdir()
    Path("notes/today.txt").write_text("mine")
    result = CliRunner().invoke(main, ["run", *SMALL, "--out", "notes"])
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: out: notes is no run directory but holds 'today.txt'; choose a new or an empty "
        "folder\n"
    )
    assert [path.name for path in Path("notes").iterdir()] == ["today.txt"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("rules = ", "spec: spec.toml is not valid TOML"),
        ("rule = ['backprop']", "spec: 'rule' .*did you mean 'rules'?"),
        ("rules = 'backprop'", "rules: 'backprop' is not a list"),
        ("samples = 1.5", "samples: 1.5 is not a whole number of at least 1"),
    ],
)
def test_a_specification_with_an_error_is_refused(content, sentence):
    Path("spec.toml").write_text(content)
    assert found_in(refused("run", "spec.toml"), sentence)


def test_a_plan_names_every_trajectory_and_writes_nothing():
    printed = call("run", *SMALL, "--dry-run")
    assert "4 trajectories, measured at steps 0, 2" in printed
    assert list(Path().iterdir()) == []


def test_compiling_is_told_once(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    arguments = ["train", "backprop", "--steps", "1", "--hidden", "4"]
    assert "Compiling" in CliRunner().invoke(main, arguments).stderr
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "kernel.nbi").touch()
    assert "Compiling" not in CliRunner().invoke(main, arguments).stderr


def test_a_plan_says_what_cannot_run():
    printed = call(
        *("run", *SMALL, "--rules", "dendritic_error", "--pairing", "all"),
        *("--architectures", "mlp", "--dry-run"),
    )
    assert "cannot run: dendritic_error needs apical dendrites" in printed


def test_a_finished_run_is_not_computed_again(finished):
    records = {file: file.stat().st_ino for file in (finished / "records").iterdir()}
    first = call("table", finished)
    call("run", "--resume", finished, "--jobs", "1", "--no-pictures")
    assert {file: file.stat().st_ino for file in (finished / "records").iterdir()} == records
    assert len(records) == 4
    assert call("table", finished) == first


def test_the_same_options_name_the_same_folder():
    first = call("run", *SMALL, "--dry-run").splitlines()[-1]
    assert first.startswith("Would write to results/")
    assert call("run", *SMALL, "--dry-run").splitlines()[-1] == first
    assert call("run", *SMALL, "--seed", "1", "--dry-run").splitlines()[-1] != first
    assert call("run", "--dry-run").splitlines()[-1] == "Would write to results/default."


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html", "csv"])
def test_tables_come_in_every_format(finished, form):
    printed = call("table", finished, "--format", form)
    assert "feedback" in printed
    assert call("table", finished, "--format", form, "--out", "table") == ""
    assert Path("table").read_text() == printed


def test_a_table_has_the_columns_asked_for_and_in_order(finished):
    printed = call(
        *("table", finished, "--columns", "variance, gain", "--format", "csv"),
        *("--sort", "-gain", "--protocols", "shared", "--steps", "0"),
    )
    head, *rows = printed.splitlines()
    gains = [float(row.split(",")[head.split(",").index("gain")]) for row in rows]
    assert len(gains) == 2
    assert gains == sorted(gains, reverse=True)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc to write to")
@pytest.mark.parametrize(
    "command",
    ["run", "run scaling", "run figure2", "train backprop", "replicate werfel2005"],
)
def test_a_folder_that_takes_nothing_is_refused_before_compiling(command, monkeypatch):
    monkeypatch.setattr(cache, "compiled", lambda: False)
    sentence = refused(*command.split(), "--out", "/proc/x")
    assert sentence.startswith("out: '/proc/x' cannot be written (")


@pytest.mark.parametrize("command", ["run", "run scaling", "run figure2", "replicate werfel2005"])
def test_a_dry_run_refuses_a_file_and_writes_nothing(command, monkeypatch):
    Path("a_file").write_text("")
    words = [*command.split(), "--dry-run", "--out"]
    assert refused(*words, "a_file/below") == "out: 'a_file' is a file, not a folder"

    def written(*arguments, **options):
        raise AssertionError("a folder is made")

    monkeypatch.setattr(folders, "TemporaryDirectory", written)
    monkeypatch.setattr(Path, "mkdir", written)
    assert "Would write to new/folder" in call(*words, "new/folder")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--columns", "varianc"], "columns: 'varianc' .*did you mean 'variance'?"),
        (["--sort", "varianc"], "sort: 'varianc' .*did you mean 'variance'?"),
        (["--format", "tex"], "format: 'tex' is not known; choose one of text, markdown, "),
        (["--projection", "layer9"], "projection: 'layer9' .*"),
        (["--steps", "7"], "steps: 7 is not in the run; choose one of 0, 2"),
        (["--out", "gone/table"], "out: 'gone/table' cannot be written"),
    ],
)
def test_a_table_of_unknown_things_is_refused(finished, options, sentence):
    assert found_in(refused("table", finished, *options), sentence)


def test_plot_draws_into_the_folder(finished):
    printed = call("plot", finished, "--out", "pictures", "--format", "png")
    assert sorted(map(str, Path("pictures").iterdir())) == sorted(printed.splitlines())
    assert "pictures/plane.png" in printed
    assert refused("plot", finished, "--format", "pgn").startswith("format: 'pgn'")


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html", "csv"])
def test_a_run_compared_with_itself_has_no_difference(finished, form):
    printed = call("compare", finished, finished, "--format", form)
    assert ",higher," not in printed
    assert ",lower," not in printed
    if form == "text":
        assert " values compared; 0 supported differences" in printed


def test_compare_refuses_unknown_things(finished):
    assert refused("compare", finished, finished, "--rate", "2").startswith("rate: 2.0 is not")
    sentence = refused("compare", finished, finished, "--columns", "varianc")
    assert found_in(sentence, "columns: 'varianc' .*did you mean 'variance'?")


def copied(run, **changes):
    """A copy of a run directory with other contents of some files."""
    import shutil

    shutil.copytree(run, "copy")
    for name, change in changes.items():
        file = next(Path("copy").rglob(f"{name}.*"))
        file.write_text(change(file.read_text()))
    return "copy"


@pytest.mark.parametrize("command", [["table"], ["plot"], ["run", "--resume"]])
def test_a_run_of_another_version_is_refused(finished, command):
    def older(text):
        return text.replace("schema = 2", "schema = 0")

    assert refused(*command, copied(finished, study=older)).startswith(
        "run: copy has format 0; this version of plausibench reads and writes format 2"
    )


@pytest.mark.parametrize("command", [["table"], ["cite"], ["run", "--resume"], ["run", "--out"]])
@pytest.mark.parametrize(
    ("name", "anew"),
    [("spec.toml", "run old/spec.toml"), ("study.json", "run STUDY"), ("replications.json", "re")],
)
def test_of_the_former_format_the_command_is_told(command, name, anew):
    Path("old").mkdir()
    Path("old", name).write_text("seeds = 2")
    sentence = refused(*command, "old")
    assert sentence.startswith("run: old has format 1, of an older version; compute it anew: pl")
    assert f"plausibench {anew}" in sentence


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("study", lambda text: text[:9]),
        ("jobs", lambda text: text[:20]),
        ("records/*", lambda text: "{}\n" + text),
        ("records/*", lambda text: text.replace("{", "[", 1)),
    ],
)
def test_a_damaged_run_is_refused(finished, file, change):
    sentence = refused("table", copied(finished, **{file: change}))
    assert sentence.startswith("run: copy/")
    assert " is damaged (" in sentence


def test_train_writes_the_learning_curves():
    printed = call(
        *("train", "backprop", "node_perturbation", "--task", "teacher_student"),
        *("--objective", "mean_squared_error", "--hidden", "4", "--steps", "4"),
        *("--evaluate-every", "2", "--out", "curves"),
    )
    head, first, second, *null = (line.split() for line in printed.splitlines()[:6])
    assert head == ["rule", "step", "train_loss", "test_loss", "test_accuracy", "alignment"]
    assert first[:2] == ["backprop", "4"]
    assert first[4:] == ["-", "1"]  # no accuracy in a regression
    assert second[0] == "node_perturbation"
    assert [" ".join(line[:-5]) for line in null] == [
        "null: readout only",
        "null: linear",
        "null: chance",
    ]
    import pandas as pd

    frame = pd.read_csv("curves/learning_curves.csv")
    rules = frame[frame["protocol"] == "own"]
    assert set(rules["quantity"]) == {"train_loss", "test_loss", "alignment"}
    assert sorted(frame["step"].unique()) == [0, 2, 4]
    assert Path("curves/learning_curves.png").stat().st_size > 0
    value = rules.query("rule == 'backprop' and step == 4 and quantity == 'train_loss'")["value"]
    assert float(first[2]) == pytest.approx(value.item(), rel=1e-3)


def test_train_takes_the_rate_given():
    losses = []
    for rate in ("0.001", "0.1"):
        call(
            *("train", "backprop", "--task", "linear_regression", "--hidden", "4", "--steps", "3"),
            *("--objective", "mean_squared_error", "--learning-rate", rate, "--out", rate),
        )
        losses.append(Path(rate, "learning_curves.csv").read_text())
    assert losses[0] != losses[1]


@pytest.mark.parametrize("words", [("run", "--checkpoints"), ("run",), ("list",), ()])
def test_what_is_long_is_shortened_in_a_refusal(words):
    done = CliRunner().invoke(main, [*words, "x" * 5000])
    assert done.exit_code == 2
    assert len(done.stderr) < 1000
    assert "xxx..." in done.stderr


def test_an_interrupt_that_was_lost_ends_the_work_after_the_next_part():
    """As in a callback of a compiler, where an exception is told and ignored."""
    with progress(2, "working") as advance:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            advance("one", 1, 2)
    with progress(1, "working again") as advance:
        advance("one", 1, 1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupting_keeps_what_is_done_and_says_how_to_resume():
    arguments = [argument for argument in SMALL if argument != "1"]
    arguments[arguments.index("--seeds") + 1 : arguments.index("--seeds") + 1] = ["40"]
    arguments[arguments.index("--jobs") + 1 : arguments.index("--jobs") + 1] = ["1"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from plausibench.bench.cli import main; main()", "run",
         *arguments, "--out", "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not list(Path("out/records").glob("*.json")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    kept = Run.open("out").finished
    assert 0 < kept < 160
    # Before it there may be the word on compiling.
    assert said.endswith(
        f"Interrupted: {kept} of 160 jobs are kept in out; "
        "resume with: plausibench run --resume out\n"
    )
