"""Splits into training and test sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plausibench.bench.tasks.split import shuffled, stratified


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
