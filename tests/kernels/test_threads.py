"""Blocks and products on several threads."""

from threading import Lock, get_ident

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.kernels import threads


@pytest.fixture
def count(monkeypatch):
    """Set how many threads BLAS may use."""
    return lambda number: monkeypatch.setattr(threads, "blas_threads", lambda: number)


def limits():
    """Threads that each BLAS may use."""
    return [pool.num_threads for pool in threads._pools().lib_controllers]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("blocks", [0, 1, 2, 50])
def test_every_block_is_done_once(number, blocks, count):
    count(number)
    done, lock = [], Lock()

    def one(block):
        with lock:
            done.append((block, get_ident()))

    threads.spread(one, range(blocks))
    assert sorted(block for block, _ in done) == list(range(blocks))
    assert len({who for _, who in done}) <= number


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("wrong", [0, 1, 7])
def test_what_a_block_raises_arrives_and_blas_has_its_threads_back(number, wrong, count):
    before = limits()
    count(number)

    def one(block):
        if block == wrong:
            raise ArithmeticError(block)

    with pytest.raises(ArithmeticError, match=str(wrong)):
        threads.spread(one, range(8))
    assert limits() == before


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 70), (7, 10), (70,), (3, 5, 4), (0, 4)])
def test_rows_of_large_arrays_are_done_once_each(number, shape, count, monkeypatch):
    count(number)
    monkeypatch.setattr(threads, "ELEMENTS", 16)
    random = np.random.default_rng(0)
    left, right, out = random.random(shape), random.random(shape), np.zeros(shape)
    pieces = []

    def add(left, right, out):
        pieces.append(out.size)
        out += left * right

    threads.by_rows(add, left, right, out)
    np.testing.assert_array_equal(out, left * right)
    assert (len(pieces) > 1) == (len(out) > 1 and out.size >= 32)


@given(
    rows=st.integers(1, 40),
    inner=st.integers(1, 40),
    columns=st.integers(1, 40),
    transposed=st.booleans(),
    single=st.booleans(),
    number=st.integers(1, 3),
)
def test_a_product_is_that_of_numpy(rows, inner, columns, transposed, single, number):
    random = np.random.default_rng(rows * inner * columns)
    kind = np.float32 if single else np.float64
    left = random.standard_normal((inner, rows)).T if transposed else random.random((rows, inner))
    left, right = left.astype(kind), random.standard_normal((inner, columns)).astype(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "blas_threads", lambda: number)
        patch.setattr(threads, "SMALL", 1000)
        patch.setattr(threads, "PART", 2500)
        found = threads.product(left, right)
    assert found.dtype == kind
    np.testing.assert_allclose(
        found, left @ right, rtol=1e-4 if single else 1e-12, atol=1e-4 if single else 1e-12
    )


def test_samples_are_left_to_numpy(count):
    count(2)
    random = np.random.default_rng(0)
    left, right = random.standard_normal((3, 90, 80)), random.standard_normal((80, 200))
    np.testing.assert_array_equal(threads.product(left, right), left @ right)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rows", "inner", "columns"),
    [(32, 700, 901), (901, 700, 32), (333, 32, 1700), (3, 10**6, 2), (1, 32, 300_000)],
)
def test_products_have_the_same_bits_with_any_number_of_threads(rows, inner, columns, kind, count):
    random = np.random.default_rng(0)
    left = random.standard_normal((rows, inner)).astype(kind)
    right = random.standard_normal((columns, inner)).astype(kind).T
    assert (len(threads._edges(max(rows, columns), left.size * columns)) > 2) == (inner < 10**6)
    found = []
    for number in (1, 2, 3, 8):
        count(number)
        found.append(threads.product(left, right))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_all_threads_are_those_that_blas_had_and_one_within():
    before, allowed = limits(), threads.blas_threads()
    with threads.all_threads():
        assert limits() == [1] * len(before)
        assert threads.blas_threads() == allowed
        with threads.one_blas_thread():
            assert threads.blas_threads() == 1
            with threads.all_threads():
                assert threads.blas_threads() == 1
        assert threads.blas_threads() == allowed
        assert limits() == [1] * len(before)
    assert limits() == before
    assert threads.blas_threads() == allowed
