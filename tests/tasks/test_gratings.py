"""Gratings: pixels in plain loops, symmetries, classes, noise and shuffled classes."""

from math import cos, exp, pi, radians, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.bench.tasks.gratings import WAVELENGTH, WINDOW, Gratings, grating
from plausibench.kernels.errors import InputError

degrees = st.floats(-360, 360)


def naive(orientation, phase, pixels):
    image = []
    for row in range(pixels):
        for column in range(pixels):
            right = (column + 0.5) / pixels - 0.5
            up = 0.5 - (row + 0.5) / pixels
            across = up * cos(radians(orientation)) - right * sin(radians(orientation))
            window = exp(-(right**2 + up**2) / (2 * WINDOW**2))
            image.append(window * cos(2 * pi * across / WAVELENGTH + radians(phase)))
    return image


@given(st.lists(st.tuples(degrees, degrees), min_size=1, max_size=3), st.integers(2, 9))
def test_pixels_are_those_of_plain_loops(shown, pixels):
    orientations, phases = (np.array(each) for each in zip(*shown, strict=True))
    found = grating(orientations, phases, pixels)
    expected = [naive(*one, pixels) for one in shown]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_horizontal_stripes_are_constant_along_rows():
    image = grating(np.array([0.0]), np.array([30.0]), 16).reshape(16, 16)
    place = (np.arange(16) + 0.5) / 16 - 0.5
    flat = image / np.exp(-(place[None] ** 2 + place[:, None] ** 2) / (2 * WINDOW**2))
    np.testing.assert_allclose(flat, np.repeat(flat[:, :1], 16, axis=1), rtol=1e-9)


@given(degrees, degrees)
def test_half_a_turn_is_the_opposite_phase(orientation, phase):
    turned = grating(np.array([orientation + 180]), np.array([phase]), 8)
    mirrored = grating(np.array([orientation]), np.array([-phase]), 8)
    np.testing.assert_allclose(turned, mirrored, atol=1e-10)


def test_classes_are_the_orientations_that_the_options_name():
    """Without noise, the orientation is the one among many that explains the image best."""
    task = Gratings(classes=3, first=10, separation=20, spread=4, noise=0, examples=60)
    batch = task.train
    angles = np.arange(0, 180, 1.0)
    even, odd = (grating(angles, np.full_like(angles, phase), 16) for phase in (0.0, 90.0))
    power = (batch.inputs @ even.T) ** 2 + (batch.inputs @ odd.T) ** 2
    found = angles[power.argmax(axis=1)]
    away = np.abs(found - (10 + 20 * batch.targets))
    assert away.max() <= 4
    assert np.ptp(found[batch.targets == 0]) >= 2


def test_noise_has_its_amplitude_and_the_same_draws():
    plain, noisy = (Gratings(noise=noise, examples=100).train.inputs for noise in (0.0, 0.5))
    assert np.abs(plain).max() <= 1
    # Four standard errors of a standard deviation of 25 600 draws.
    assert (noisy - plain).std() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * 25_600))


def test_shuffled_classes_tell_nothing():
    task, shuffled = (Gratings(examples=1000, shuffled=flag) for flag in (False, True))
    np.testing.assert_array_equal(task.train.inputs, shuffled.train.inputs)
    np.testing.assert_array_equal(task.test.targets, shuffled.test.targets)
    assert task.train.targets.sum() == shuffled.train.targets.sum()
    agree = (task.train.targets == shuffled.train.targets).mean()
    assert abs(agree - 0.5) < 4 * 0.5 / np.sqrt(1000)


@pytest.mark.parametrize(
    "options",
    [
        {"pixels": 1},
        {"classes": 1},
        {"separation": 0},
        {"noise": -1},
        {"shuffled": 1},
        {"seed": -1},
    ],
)
def test_options_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Gratings(**options)
