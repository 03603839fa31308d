"""Linear regression and teachers: Gaussian inputs, targets, noise."""

import numpy as np
import pytest

from plausibench.bench.tasks.linear_regression import LinearRegression
from plausibench.bench.tasks.teacher_student import TeacherStudent
from plausibench.kernels.errors import (
    InputError,
)


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
