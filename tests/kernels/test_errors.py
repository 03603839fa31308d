"""Refusals: names, numbers, sizes, and how values are shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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

RULES = ["backprop", "node_perturbation", "weight_perturbation", "brainprop"]


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
