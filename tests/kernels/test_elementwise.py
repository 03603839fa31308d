"""Activation functions: accuracy, special values, and independence of shape and place."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import naive_kernels as naive
from plausibench.kernels import elementwise, noise
from plausibench.kernels.compiled import kernel
from plausibench.kernels.elementwise import CODES
from plausibench.kernels.errors import InputError

# Relative errors that the module promises.
ACCURACY = {
    "identity": {"float64": 0, "float32": 0},
    "relu": {"float64": 0, "float32": 0},
    "tanh": {"float64": 4e-16, "float32": 2e-7},
    "sigmoid": {"float64": 4e-16, "float32": 2e-7},
    "softplus": {"float64": 6e-16, "float32": 3.1e-7},
    "hard_sigmoid": {"float64": 0, "float32": 0},
}
# Sizes below which a result may be 0.
TINY = {"float64": 2.3e-308, "float32": 1.2e-38}

every_name = pytest.mark.parametrize("name", list(CODES))
every_type = pytest.mark.parametrize("dtype", ["float64", "float32"])


def floats(dtype, **options):
    return st.floats(width=64 if dtype == "float64" else 32, allow_subnormal=False, **options)


def blocks(dtype, **options):
    return arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9), **options)


def activate(name, drive):
    out = np.full_like(drive, 7)
    elementwise.activate(CODES[name], drive, out)
    return out


def derivative(name, drive):
    out = np.full_like(drive, 7)
    elementwise.derivative(CODES[name], drive, activate(name, drive), out)
    return out


def perturb(name, drive, noise, amplitude):
    out = np.full_like(noise, 7)
    elementwise.perturb(CODES[name], drive, noise, amplitude, out)
    return out


def spread(dtype):
    """Drives of both signs and of all sizes that matter, densest where f bends."""
    rng = np.random.default_rng(1)
    sizes = [1e-30, 1e-8, 1e-3, 0.1, 0.5, 1, 3, 10, 30, 90, 300, 800]
    drives = [rng.standard_normal(20_000) * size for size in sizes]
    return np.concatenate([*drives, np.linspace(-6, 6, 1_200_001)]).astype(dtype)


def assert_accurate(name, drive, values, exact, accuracy):
    precise = np.finfo(np.longdouble).eps  # of the reference
    error = np.abs(values.astype(np.longdouble) - exact)
    bound = (accuracy + precise) * np.abs(exact) + TINY[drive.dtype.name]
    worst = np.argmax(error / bound)
    assert error[worst] <= bound[worst], (name, drive[worst], values[worst], exact[worst])


# Accuracy


@every_name
@every_type
def test_activity_is_accurate(name, dtype):
    drive = spread(dtype)
    exact = naive.activation(name, drive)
    assert_accurate(name, drive, activate(name, drive), exact, ACCURACY[name][dtype])


@every_name
@every_type
@given(data=st.data())
def test_activity_is_accurate_for_any_shape_and_size(name, dtype, data):
    drive = data.draw(blocks(dtype, elements=floats(dtype, allow_nan=False, allow_infinity=False)))
    values = activate(name, drive)
    assert values.shape == drive.shape
    assert values.dtype == drive.dtype
    if drive.size:
        flat, exact = drive.reshape(-1), naive.activation(name, drive.reshape(-1))
        assert_accurate(name, flat, values.reshape(-1), exact, ACCURACY[name][dtype])


@every_name
@every_type
def test_slope_is_accurate(name, dtype):
    # From the activity it is known to the rounding of the activity near 1, so the error is
    # absolute; of softplus, whose slope is computed from the drive, it is relative too.
    drive = spread(dtype)
    error = derivative(name, drive).astype(np.longdouble) - naive.slope(name, drive)
    assert np.abs(error).max() <= 3 * np.finfo(dtype).eps
    if name == "softplus":
        exact = naive.slope(name, drive)
        assert_accurate(name, drive, derivative(name, drive), exact, ACCURACY["sigmoid"][dtype])


@every_type
def test_bounds_are_kept(dtype):
    drive = spread(dtype)
    assert np.abs(activate("tanh", drive)).max() == 1
    assert activate("sigmoid", drive).min() == 0
    assert activate("sigmoid", drive).max() == 1
    assert activate("hard_sigmoid", drive).min() == 0
    assert activate("hard_sigmoid", drive).max() == 1
    assert activate("softplus", drive).min() == 0
    assert (activate("softplus", drive) >= activate("relu", drive)).all()


@every_type
def test_tanh_is_odd_to_the_last_bit(dtype):
    drive = spread(dtype)
    assert np.array_equal(activate("tanh", -drive), -activate("tanh", drive))


# Special values


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30]


@every_type
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", [np.nan, np.inf, -np.inf, 0, 1e30, -1e30]),
        ("tanh", [np.nan, 1, -1, 0, 1, -1]),
        ("sigmoid", [np.nan, 1, 0, 0.5, 1, 0]),
        ("relu", [np.nan, np.inf, 0, 0, 1e30, 0]),
        ("softplus", [np.nan, np.inf, 0, np.log(2), 1e30, 0]),
        ("hard_sigmoid", [np.nan, 1, 0, 0, 1, 0]),
    ],
)
def test_activity_of_special_values(name, expected, dtype):
    values = activate(name, np.array(SPECIAL, dtype))
    assert np.array_equal(values, np.array(expected, dtype), equal_nan=True)


@every_type
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", [1, 1, 1, 1, 1, 1]),
        ("tanh", [np.nan, 0, 0, 1, 0, 0]),
        ("sigmoid", [np.nan, 0, 0, 0.25, 0, 0]),
        ("relu", [np.nan, 1, 0, 0, 1, 0]),
        ("softplus", [np.nan, 1, 0, 0.5, 1, 0]),
        ("hard_sigmoid", [np.nan, 0, 0, 0, 0, 0]),
    ],
)
def test_slope_of_special_values(name, expected, dtype):
    values = derivative(name, np.array(SPECIAL, dtype))
    assert np.array_equal(values, np.array(expected, dtype), equal_nan=True)


@pytest.mark.parametrize("name", ["identity", "tanh"])
@every_type
def test_smallest_numbers_and_signs_of_zero_stay(name, dtype):
    least = np.finfo(dtype).smallest_subnormal
    drive = np.array([least, -least, np.finfo(dtype).tiny, 0.0, -0.0], dtype)
    values = activate(name, drive)
    assert np.array_equal(values, drive)
    assert np.array_equal(np.signbit(values), np.signbit(drive))


# Independence of place


@every_name
@every_type
@given(data=st.data())
def test_place_in_the_array_does_not_matter(name, dtype, data):
    # Vector body, remainder and block edges compute the same bits.
    size = data.draw(st.sampled_from([1, 5, 17, 1023, 1024, 1025, 2100]))
    seed = data.draw(st.integers(0, 1000))
    drive = (np.random.default_rng(seed).standard_normal(size) * 5).astype(dtype)
    place = data.draw(st.integers(0, size - 1))
    for function in (activate, derivative):
        assert function(name, drive)[place] == function(name, drive[place : place + 1])[0]


@every_name
@every_type
@given(data=st.data())
def test_perturbed_activity_is_that_of_the_perturbed_drive(name, dtype, data):
    samples, examples, neurons = (data.draw(st.integers(0, most)) for most in (4, 5, 600))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    shared = rng.standard_normal((examples, neurons)).astype(dtype)
    own = rng.standard_normal((samples, examples, neurons)).astype(dtype)
    noise = rng.standard_normal((samples, examples, neurons)).astype(dtype)
    amplitude = data.draw(st.sampled_from([0, 1, -0.3, 1e-3]))
    for drive in (shared, own):
        expected = activate(name, drive + np.dtype(dtype).type(amplitude) * noise)
        assert np.array_equal(perturb(name, drive, noise, amplitude), expected)
    moved, out = own.copy(), np.empty_like(own)
    elementwise.perturb_sum(elementwise.CODES[name], moved, shared, noise, 0.2, out)
    assert np.array_equal(moved, own + shared)
    assert np.array_equal(out, activate(name, moved + np.dtype(dtype).type(0.2) * noise))


@every_type
@given(data=st.data())
def test_log_of_summed_exponentials_agrees_with_its_twin(dtype, data):
    values = data.draw(
        arrays(
            dtype,
            st.tuples(st.integers(0, 6), st.integers(1, 12)),
            elements=floats(dtype, min_value=-1000, max_value=1000),
        )
    )
    largest, logarithm = np.full((2, len(values)), 7, dtype)
    elementwise.log_sum_exp(values, largest, logarithm)
    wide = values.astype(np.longdouble)
    assert np.array_equal(largest, values.max(axis=1))
    exact = np.log(np.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1))
    rounding = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(logarithm, exact.astype(dtype), rtol=rounding, atol=rounding)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_log_of_summed_exponentials_of_what_is_not_finite(value):
    values = np.array([[1.0, value, 2.0], [value, 1.0, 2.0], [0.0, 0.0, 0.0]])
    largest, logarithm = np.empty((2, 3))
    elementwise.log_sum_exp(values, largest, logarithm)
    assert np.isnan(logarithm[:2]).all()
    assert np.isclose(logarithm[2], np.log(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 0)), "shape of values"),
        (np.zeros((2, 4)), "shape of values"),
        (np.zeros((3, 4), "float32"), "values"),
        (np.zeros((4, 3)).T, "values"),
    ],
)
def test_log_sum_exp_refuses_what_it_would_misread(values, message):
    with pytest.raises(InputError, match=message):
        elementwise.log_sum_exp(values, np.empty(3), np.empty(3))


@every_type
@given(data=st.data())
def test_negative_log_softmax_agrees_with_its_twin(dtype, data):
    repeats, classes, outputs = (data.draw(st.integers(1, most)) for most in (4, 5, 12))
    shape = (repeats * classes, outputs)
    values = data.draw(arrays(dtype, shape, elements=floats(dtype, min_value=-50, max_value=50)))
    chosen = data.draw(arrays(np.int64, classes, elements=st.integers(0, outputs - 1)))
    out = np.full(len(values), 7, dtype)
    elementwise.negative_log_softmax(values, chosen, out)
    wide = values.astype(np.longdouble)
    picked = wide[np.arange(len(wide)), np.tile(chosen, repeats)]
    exact = np.log(np.exp(wide - picked[:, None]).sum(axis=1))
    rounding = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(out, exact.astype(dtype), rtol=rounding, atol=100 * rounding)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (np.array([0, 4]), "classes: .*from 0 to 3"),
        (np.array([-1, 0]), "classes: .*from 0 to 3"),
        (np.array([0, 1, 2]), "classes: .*divides 4"),
        (np.array([0, 1], np.int32), "classes: .*int64"),
    ],
)
def test_negative_log_softmax_refuses_what_it_would_misread(classes, message):
    with pytest.raises(InputError, match=message):
        elementwise.negative_log_softmax(np.zeros((4, 4)), classes, np.empty(4))


@every_name
@every_type
def test_result_may_replace_the_input(name, dtype):
    drive = spread(dtype)
    expected = activate(name, drive)
    elementwise.activate(CODES[name], drive, drive)
    assert np.array_equal(drive, expected)


@kernel
def in_compiled_code(code, drive, activity, slope):
    for row in range(len(drive)):
        elementwise.activate(code, drive[row], activity[row])
        elementwise.derivative(code, drive[row], activity[row], slope[row])


@every_name
@every_type
def test_compiled_code_gets_the_same_bits(name, dtype):
    drive = np.random.default_rng(2).standard_normal((3, 50)).astype(dtype)
    activity, slope = np.empty_like(drive), np.empty_like(drive)
    in_compiled_code(CODES[name], drive, activity, slope)
    assert np.array_equal(activity, activate(name, drive))
    assert np.array_equal(slope, derivative(name, drive))


def bits():
    """Digest of the results of all kernels."""
    total = sha256()
    draws = np.empty((2, 30, 1001))
    for fill in (noise.uniform, noise.rademacher, noise.normal):
        fill(1, np.arange(2), np.arange(30, dtype=np.uint64), draws)
        total.update(draws)
    for dtype in ("float64", "float32"):
        for name in CODES:
            total.update(activate(name, (20 * draws).astype(dtype)))
    return total.hexdigest()


def test_processor_does_not_matter(tmp_path):
    # The plainest processor of this kind has short vectors and no fused multiply-add.
    plain = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[1]),  # the naive twins
    }
    elsewhere = subprocess.run(
        [sys.executable, "-c", "import test_elementwise as here; print(here.bits())"],
        cwd=Path(__file__).parent,
        env=os.environ | plain,
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == bits()


# Refusals


GOOD = np.zeros((2, 3))


def assert_refused(field, function, *args):
    with pytest.raises(InputError, match=rf"^{field}: .* is not ") as refused:
        function(*args)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "drive", "out", "field"),
    [
        (6, GOOD, GOOD, "code"),
        (-1, GOOD, GOOD, "code"),
        (1, np.zeros((3, 2)), GOOD, "shape of drive"),
        (1, np.zeros(3), GOOD, "shape of drive"),
        (1, np.zeros((2, 3), np.float32), GOOD, "type of drive"),
        (1, np.zeros((3, 2)).T, GOOD, "strides of drive"),
        (1, GOOD, np.zeros((3, 2)).T, "strides of out"),
        (1, np.zeros((2, 3), int), np.zeros((2, 3), int), "type of out"),
    ],
)
def test_what_kernels_would_misread_is_refused(code, drive, out, field):
    assert_refused(field, elementwise.activate, code, drive, out)
    assert_refused(field, elementwise.derivative, code, drive, GOOD, out)
    if "drive" in field:
        assert_refused(
            field.replace("drive", "activity"), elementwise.derivative, 1, GOOD, drive, out
        )


@pytest.mark.parametrize(
    ("drive", "noise", "out", "field"),
    [
        (np.zeros(2), GOOD, GOOD, "shape of drive"),
        (np.zeros((1, 3)), GOOD, GOOD, "shape of drive"),
        (GOOD, np.zeros(3), GOOD, "shape of noise"),
        (GOOD, np.zeros((2, 3), np.float32), GOOD, "type of noise"),
        (np.zeros(3, np.float32), GOOD, GOOD, "type of drive"),
        (GOOD, np.zeros((3, 2)).T, GOOD, "strides of noise"),
        (GOOD, GOOD, np.zeros((3, 2)).T, "strides of out"),
    ],
)
def test_noise_and_result_have_one_shape_and_the_drive_its_end(drive, noise, out, field):
    assert_refused(field, elementwise.perturb, 1, drive, noise, 0.1, out)
