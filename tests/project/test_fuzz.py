"""Hard input: whatever is typed, written or sent, the answer is a sentence and never a traceback.

``make test`` tries a few hundred cases, ``make acceptance`` ten thousand.
"""

import shutil
import string
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.study import names
from plausibench.kernels.errors import Divergence, InputError
from sweeps import TINY, run

FEW, MANY = 60, 2000
"""Cases of each kind; there are seven kinds."""
ALLOWED = (0, 1, 2)

cases = pytest.mark.parametrize(
    "number", [FEW, pytest.param(MANY, marks=pytest.mark.acceptance)], ids=["few", "many"]
)


def trying(number, strategy, check):
    """Check a number of cases, each in its turn."""
    checked = given(strategy)(check)
    settings(
        max_examples=number,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(checked)()


def answer(*words):
    """What a command says; it must be an answer."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code in ALLOWED, (words, done.output, done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), (words, done.exception)
    assert "Traceback" not in done.output
    if done.exit_code == 2:
        assert done.stderr.strip(), words
        assert len(done.stderr) < 3000
    return done


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """A folder of its own, beside one that nothing may be written to."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    monkeypatch.chdir(inside)
    yield inside
    assert list(outside.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "outside"}


# Command lines

NAMES = sorted({name for kind in registry.KINDS for name in registry.entries(kind)})
ODD = st.one_of(
    st.text(max_size=12),
    st.text(string.printable, max_size=20),
    st.integers(200, 5000).map(lambda length: "x" * length),
    st.sampled_from(["", "-1", "0", "nan", "inf", "1e999", "-", "--", "[", "]", "a=b", "../x"]),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.sampled_from(NAMES),
    st.builds(
        lambda name, key, value: f"{name}[{key}={value}]",
        st.sampled_from(NAMES),
        st.sampled_from(["sigma", "noise", "scale", "sizes", "x", ""]),
        st.text(string.printable, max_size=8),
    ),
).filter(lambda text: "\0" not in text)  # the system passes no argument that holds one
OPTIONS = (
    *("--tasks", "--architectures", "--objectives", "--rules", "--pairing", "--hidden"),
    *("--protocols", "--checkpoints", "--seeds", "--seed", "--samples", "--precision", "--budget"),
    *("--batch-size", "--optimiser", "--learning-rate", "--learning-rates", "--weight-decay"),
    *("--shard", "--jobs", "--format", "--all", "--no-pictures", "--plugin", "--out"),
)
LINES = st.one_of(
    st.lists(
        st.tuples(st.sampled_from(OPTIONS), ODD).map(
            lambda pair: pair[:1] if pair[0] in ("--all", "--no-pictures") else pair
        ),
        max_size=4,
    ).map(lambda pairs: ["run", *(word for pair in pairs for word in pair), "--dry-run"]),
    st.tuples(st.sampled_from(sorted(names())), st.sampled_from(OPTIONS[6:18]), ODD).map(
        lambda words: ["run", *words, "--dry-run"]
    ),
    st.tuples(st.sampled_from(["list", "show", "table", "plot", "cite", "report"]), ODD).map(list),
    st.tuples(st.sampled_from(["compare", "merge"]), ODD, ODD).map(list),
    st.tuples(ODD, ODD).map(list).filter(lambda words: words[0] not in main.commands),
)


@cases
def test_any_command_line_has_an_answer(apart, number):
    def check(words):
        answer(*words)

    trying(number, LINES, check)
    assert [path for path in apart.rglob("*") if path.is_file()] == []


# Specifications

TOML = st.dictionaries(
    st.one_of(st.sampled_from(sorted(Spec.__dataclass_fields__)), st.text("abc_", max_size=6)),
    st.recursive(
        st.one_of(
            st.booleans(),
            st.integers(-(10**18), 10**18),
            st.floats(allow_nan=True),
            st.text(string.printable, max_size=10),
            st.sampled_from(NAMES),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.text("ab", min_size=1), inner, max_size=2),
        ),
        max_leaves=4,
    ),
    max_size=4,
)


@cases
def test_any_specification_has_an_answer(apart, number):
    import tomli_w

    def check(values):
        Path("spec.toml").write_text(tomli_w.dumps(values), encoding="utf-8")
        answer("run", "spec.toml", "--dry-run")

    trying(number, TOML, check)


@cases
def test_any_bytes_for_a_specification_have_an_answer(apart, number):
    whole = TINY.with_values(seeds=1)
    import tomli_w

    text = tomli_w.dumps(whole.as_dict()).encode()

    def check(change):
        place, inserted, lost = change
        place %= len(text)
        Path("spec.toml").write_bytes(text[:place] + inserted + text[place + lost :])
        answer("run", "spec.toml", "--dry-run")

    trying(number, st.tuples(st.integers(0), st.binary(max_size=6), st.integers(0, 6)), check)


# Run directories from elsewhere


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    run(TINY.with_values(seeds=1, checkpoints=(0,), protocols=("shared",)), folder)
    return folder


@cases
def test_a_damaged_run_directory_has_an_answer(apart, finished, number):
    files = [path.relative_to(finished) for path in sorted(finished.rglob("*")) if path.is_file()]

    def check(change):
        which, place, inserted, lost = change
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(finished, "run")
        path = Path("run") / files[which % len(files)]
        data = path.read_bytes()
        place %= len(data) + 1
        path.write_bytes(data[:place] + inserted + data[place + lost :])
        before = {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()}
        answer("table", "run", "--format", "csv")
        answer("cite", "run")
        assert {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()} == before

    change = st.tuples(
        st.integers(0), st.integers(0), st.one_of(st.binary(max_size=8), CODE), st.integers(0, 40)
    )
    trying(number, change, check)


CODE = st.sampled_from(
    [
        b'{"key":"a","unit":{}}\n',
        b"__import__('os').system('touch ../outside/x')",
        b"!!python/object/apply:os.system ['touch ../outside/x']",
        b"\x80\x04\x95cos\nsystem\n(S'touch ../outside/x'\ntR.",
        b"null\n",
        b"[" * 2000,
        b"1e999",
    ]
)
"""What would run if anything were loaded by executing it, and what breaks readers."""


# Plug-ins

BODIES = st.lists(
    st.sampled_from(
        [
            "import nowhere",
            "raise RuntimeError('no')",
            "raise SystemExit(3)",
            "1 / 0",
            "class A: pass",
            "from plausibench.rules.rule import Rule, RuleCard",
            "class Mine(Rule): pass",
            "class Backprop(Rule):\n    card = None",
            "from dataclasses import dataclass",
            "@dataclass(frozen=True)\nclass Mine(Rule):\n    x: int = 0\n    card = RuleCard",
            "def f(:",
            "\tx = 1",
            "x = '\\ud800'",
            "print('said')",
        ]
    ),
    max_size=5,
).map("\n".join)


@cases
def test_any_plugin_has_an_answer(apart, monkeypatch, number):
    def check(body):
        with monkeypatch.context() as patch:
            patch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
            Path("mine.py").write_text(body, encoding="utf-8", errors="surrogatepass")
            answer("list", "rules", "--plugin", "mine.py")
            answer("run", "--plugin", "mine.py", "--rules", "mine", "--dry-run")

    trying(number, BODIES, check)


# Python

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10),
    st.just(10**400),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.fractions(),
    st.decimals(),
    st.complex_numbers(),
    st.sampled_from(NAMES),
    st.integers(200, 5000).map(lambda length: "x" * length),
    st.builds(
        lambda kind, value: np.dtype(kind).type(value),
        st.sampled_from("bBhHiIlLefdg?"),
        st.integers(0, 9),
    ),
    st.builds(np.str_, st.text(max_size=3)),
    st.builds(object),
    st.sampled_from([int, np.float32, np.ndarray, np.dtype("float32"), np.random, len]),
)
"""No whole number above 10: it might be an allowed number of samples, and take long."""
CONTAINERS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(lambda parts: np.array([*parts, None], object)[:-1]),
        st.lists(inner, max_size=3).map(iter),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
        st.sets(st.integers(0, 9), max_size=3),
    ),
    max_leaves=4,
)
ARRAYS = st.builds(
    lambda kind, shape, value: np.full(shape, value).astype(kind),
    st.sampled_from(["b", "H", "i8", "u8", "f2", "f4", "f8", "g", "?", "F", "U3", "O", "M8[s]"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 3),
)
MASKED = ARRAYS.map(lambda array: np.ma.masked_array(array, mask=array == array))
GIVEN = st.one_of(CONTAINERS, ARRAYS, MASKED)


def heard(call, *given, **named):
    """Whether a call has an answer: a value, or a sentence that is no longer than a line."""
    try:
        with warnings.catch_warnings():
            # Of numpy on what it is asked to read; of numbers that grow on the way to an outcome.
            warnings.simplefilter("ignore")
            call(*given, **named)
    except InputError as error:
        said = str(error)
        assert said.strip(), (call, given, named)
        assert "\n" not in said, (call, given, named)
        assert len(said) < 3000
    except Divergence:
        pass


@cases
def test_any_option_has_an_answer(number):
    every = {
        (kind, name): [f.name for f in fields(registry.find(kind, name)) if f.init]
        for kind in registry.KINDS
        for name in registry.entries(kind)
    }
    choices = st.sampled_from(sorted(every)).flatmap(
        lambda key: st.tuples(
            st.just(key),
            st.dictionaries(
                st.sampled_from([*every[key], "seed", "x" * 300]), GIVEN, min_size=1, max_size=2
            ),
        )
    )

    def check(choice):
        (kind, name), options = choice
        if "sizes" in every[kind, name]:
            options = {"sizes": (3, 4, 2), **options}
        heard(bench.make, kind, name, **options)
        heard(bench.make, options.get("seed", kind), name)

    trying(number, choices, check)


NETWORK = bench.make("architecture", "mlp", sizes=[3, 4, 2], seed=0)
OBJECTIVE = bench.make("objective", "mean_squared_error")
RULE = bench.make("rule", "kolen_pollack")
TASK = bench.make("task", "linear_regression", inputs=3, outputs=2, examples=10)
CALLS = {
    bench.measure: (
        {"rule": RULE, "network": NETWORK, "objective": OBJECTIVE, "batch": TASK.batch(4)},
        ("samples", "seed", "state", "redraw", "dtype", "method", "reference", "threads"),
    ),
    bench.estimates: (
        {"rule": RULE, "network": NETWORK, "objective": OBJECTIVE, "batch": TASK.batch(4)},
        ("samples", "seed", "state", "redraw", "dtype"),
    ),
    bench.progress: (
        {"rule": RULE, "network": NETWORK, "objective": OBJECTIVE, "batch": TASK.batch(4)},
        ("samples", "seed", "state"),
    ),
    bench.averaging_curve: (
        {"rule": RULE, "network": NETWORK, "objective": OBJECTIVE, "batch": TASK.batch(4)},
        ("samples", "seed", "state", "redraw"),
    ),
    bench.advance: (
        {"rule": RULE, "task": TASK, "network": NETWORK, "objective": OBJECTIVE},
        ("steps", "batch_size", "state", "seed"),
    ),
    bench.budget: (
        {"rule": RULE, "task": TASK, "network": NETWORK, "objective": OBJECTIVE},
        ("feedbacks", "batches", "samples", "batch_size", "seed"),
    ),
    bench.train: (
        {"rule": RULE, "task": TASK, "network": NETWORK, "objective": OBJECTIVE, "steps": 2},
        (
            *("steps", "batch_size", "optimiser", "learning_rate", "weight_decay", "momentum"),
            *("layer_rates", "seed", "dtype"),
        ),
    ),
    bench.loss: ({"network": NETWORK, "objective": OBJECTIVE, "batch": TASK.batch(4)}, ()),
    bench.initial_state: ({"rule": RULE, "network": NETWORK}, ("seed",)),
    bench.measure_function: (
        {
            "update": lambda p, b, r: {"w": r.standard_normal(2)},
            "parameters": {"w": np.ones(2)},
            "batch": None,
            "samples": 3,
            "reference": {"w": np.ones(2)},
        },
        ("samples", "seed", "sign"),
    ),
    bench.Batch: ({"inputs": np.ones((2, 3)), "targets": np.zeros(2, int)}, ("keys", "mask")),
    TASK.batch: ({"size": 2}, ("seed",)),
    TASK.batch(4).take: ({"rows": [0]}, ()),
    NETWORK.with_parameters: ({"parameters": NETWORK.parameters}, ()),
    bench.load_plugin: ({"path": "gone.py"}, ()),
}


@cases
def test_any_argument_has_an_answer(apart, number):
    whole = bench.initial_state(RULE, NETWORK)
    inside = {
        "state": lambda value: {**whole, "layer2.weights": value},
        "parameters": lambda value: {**NETWORK.parameters, "layer1.bias": value},
        "reference": lambda value: {"w": value},
        "update": lambda value: lambda p, b, r: {"w": value},
    }

    def arguments(function):
        needed, others = CALLS[function]
        names = [name for name in (*needed, *others) if (function, name) != (bench.train, "steps")]
        value = st.one_of(
            GIVEN, st.builds(lambda name, v: (name, v), st.sampled_from(sorted(inside)), GIVEN)
        )
        return st.tuples(st.just(function), st.sampled_from(names), value, st.booleans())

    def check(choice):
        function, name, value, within = choice
        if within and name in inside:
            value = inside[name](value)
        heard(function, **{**CALLS[function][0], name: value})

    trying(number, st.sampled_from(list(CALLS)).flatmap(arguments), check)
