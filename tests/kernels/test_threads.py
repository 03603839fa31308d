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
        patch.setattr(threads, "LARGE", 5000)
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
