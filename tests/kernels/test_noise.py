"""Counter-based noise: what it depends on, and that it has the distribution it claims.

Statistical tests use fixed keys, so they pass or fail for good. Each states how often it would
fail for a fresh key if the noise were perfect.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import naive_kernels as naive
from plausibench.kernels import noise
from plausibench.kernels.compiled import kernel
from plausibench.kernels.errors import InputError

FILLS = {name: getattr(noise, name) for name in ("normal", "uniform", "rademacher")}
TWINS = {name: getattr(naive, name) for name in FILLS}

every_fill = pytest.mark.parametrize("name", list(FILLS))
keys = st.integers(0, (1 << 64) - 1)
samples = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=4)
rows = st.lists(keys, max_size=4)
sizes = st.integers(0, 150)


def draw(name, key, samples, rows, size, dtype=np.float64):
    out = np.full((len(samples), len(rows), size), np.nan, dtype=dtype)
    FILLS[name](key, np.array(samples, np.int64), np.array(rows, np.uint64), out)
    return out


def many(name, key, size):
    """``size`` draws from many samples and rows, as one vector."""
    return draw(name, key, range(size // 20000), range(200), 100).reshape(-1)


@pytest.fixture(scope="module")
def normals():
    """Four million normal draws."""
    return many("normal", 20260101, 4_000_000)


# Known answers and twins


def test_mix_gives_the_published_words_of_splitmix64():
    # Vigna's splitmix64.c from state 1234567.
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    states = [(1234567 + n * naive.GOLDEN) & naive.MASK for n in range(1, 6)]
    assert [int(noise._mix(np.uint64(state))) for state in states] == published
    assert list(itertools.islice(naive.splitmix64(1234567), 5)) == published


def test_next_gives_the_published_words_of_xoshiro256():
    # Blackman and Vigna's xoshiro256plusplus.c from state 1, 2, 3, 4.
    published = [
        41943041,
        58720359,
        3588806011781223,
        3591011842654386,
        9228616714210784205,
        9973669472204895162,
        14011001112246962877,
        12406186145184390807,
        15849039046786891736,
        10450023813501588000,
    ]
    state = tuple(np.uint64(n) for n in (1, 2, 3, 4))
    words = []
    for _ in published:
        word, *state = noise._next(*map(np.uint64, state))
        words.append(int(word))
    assert words == published
    assert list(itertools.islice(naive.xoshiro256([1, 2, 3, 4]), 10)) == published


@every_fill
@given(key=keys, samples=samples, rows=rows, size=sizes)
def test_agrees_with_twin_bit_for_bit(name, key, samples, rows, size):
    assert np.array_equal(
        draw(name, key, samples, rows, size), TWINS[name](key, samples, rows, size)
    )


def test_tail_agrees_with_twin_bit_for_bit():
    args = (3, range(4), range(10), 1000)
    compiled = draw("normal", *args)
    assert (np.abs(compiled) > noise.TAIL).sum() >= 5  # the case is there
    assert np.array_equal(compiled, naive.normal(*args))


def test_layers_have_equal_areas_and_end_at_the_top():
    edges, heights = noise.EDGES, np.exp(-(noise.EDGES**2) / 2)
    area = stats.norm.sf(noise.TAIL) * sqrt(2 * np.pi) + noise.TAIL * heights[1]
    layers = edges[1:-1] * np.diff(heights[1:])  # of width EDGES[i] from layer 1 up
    assert layers == pytest.approx(area, rel=1e-13)
    assert edges[0] * heights[1] == pytest.approx(area, rel=1e-14)
    np.testing.assert_allclose(noise.HEIGHTS, heights, rtol=1e-15)
    assert (len(noise.WIDTHS), len(noise.INNER), len(edges)) == (256, 256, 257)


# What a draw depends on


@every_fill
@given(
    key=keys,
    rows=st.lists(keys, min_size=1, max_size=6, unique=True),
    size=st.integers(1, 100),
    cut=st.integers(1, 9),
    data=st.data(),
)
def test_chunks_are_parts_of_the_whole(name, key, rows, size, cut, data):
    whole = draw(name, key, range(10), rows, size)
    first = draw(name, key, range(cut), rows, size)
    rest = draw(name, key, range(cut, 10), rows, size)
    assert np.array_equal(np.concatenate([first, rest]), whole)
    for sample in range(10):
        assert np.array_equal(draw(name, key, [sample], rows, size)[0], whole[sample])
    short = data.draw(st.integers(1, size))
    assert np.array_equal(draw(name, key, range(10), rows, short), whole[..., :short])


@every_fill
@given(key=keys, rows=st.permutations(list(range(7))), samples=st.permutations(list(range(5))))
def test_permuted_rows_and_samples_permute_the_noise(name, key, rows, samples):
    plain = draw(name, key, range(5), range(7), 20)
    permuted = draw(name, key, samples, rows, 20)
    assert np.array_equal(permuted, plain[samples][:, rows])


@every_fill
def test_key_sample_and_row_each_matter(name):
    plain = draw(name, 1, [1], [1], 256)
    others = [draw(name, *args, 256) for args in [(2, [1], [1]), (1, [2], [1]), (1, [1], [2])]]
    blocks = [plain, *others]
    for one, other in itertools.combinations(blocks, 2):
        assert (one == other).mean() < 0.75  # signs agree half of the time


@every_fill
def test_threads_do_not_matter(name):
    whole = draw(name, 9, range(64), range(30), 50)
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda k: draw(name, 9, range(k, k + 2), range(30), 50), range(0, 64, 2))
        assert np.array_equal(np.concatenate(list(parts)), whole)


@every_fill
def test_float32_is_the_rounded_float64(name):
    exact = draw(name, 4, range(20), range(20), 100)
    rounded = draw(name, 4, range(20), range(20), 100, dtype=np.float32)
    assert rounded.dtype == np.float32
    assert np.array_equal(rounded, exact.astype(np.float32))


# Distribution


def test_normals_pass_kolmogorov_smirnov(normals):
    # Fails for 1 key in 10 000.
    assert stats.kstest(normals, "norm").pvalue > 1e-4


def test_normals_agree_with_those_of_numpy(normals):
    # Fails for 1 key in 10 000.
    others = np.random.Generator(np.random.Philox(key=1)).standard_normal(2_000_000)
    assert stats.ks_2samp(normals[:2_000_000], others).pvalue > 1e-4


@pytest.mark.parametrize(("power", "variance"), [(1, 1), (2, 2), (3, 15), (4, 96), (6, 10170)])
def test_normals_have_the_right_moments(normals, power, variance):
    # Raw moments 0, 1, 0, 3, 15 with Var x^p; 4 standard errors: fails for 1 key in 16 000.
    moment = {1: 0, 2: 1, 3: 0, 4: 3, 6: 15}[power]
    error = sqrt(variance / normals.size)
    assert abs((normals**power).mean() - moment) < 4 * error


def test_normals_fill_every_layer_in_proportion(normals):
    # Bins between the edges of the ziggurat, both signs. Fails for 1 key in 10 000.
    edges = np.append(noise.EDGES[1:][::-1], np.inf)
    bins = np.concatenate([-edges[:0:-1], edges])
    counts, _ = np.histogram(normals, bins)
    expected = np.diff(stats.norm.cdf(bins)) * normals.size
    assert expected.min() > 400
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_normals_have_the_right_shape_inside_layers(normals):
    # 20 000 bins of equal probability. Fails for 1 key in 10 000.
    counts = np.bincount((stats.norm.cdf(normals) * 20_000).astype(int), minlength=20_000)
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("bound", [3.0, 3.5, noise.TAIL, 4.0, 4.5, 5.0])
def test_tails_have_the_right_weight(normals, bound):
    # Number of draws beyond the bound on each side, Poisson: fails for 1 key in 10 000.
    expected = normals.size * stats.norm.sf(bound)
    for count in ((normals > bound).sum(), (normals < -bound).sum()):
        assert 2 * min(
            stats.poisson.cdf(count, expected), stats.poisson.sf(count - 1, expected)
        ) > (5e-5)


@kernel
def fill_from_tail(out):
    a, b, c, d = noise._state(np.uint64(31), 0, np.uint64(0))
    for n in range(out.size):
        out[n], a, b, c, d = noise._tail(a, b, c, d)


def test_tail_has_the_right_shape():
    # Beyond the last edge, where another method takes over. Fails for 1 key in 10 000.
    beyond = np.empty(1_000_000)
    fill_from_tail(beyond)
    quantile = stats.norm.sf(beyond) / stats.norm.sf(noise.TAIL)
    assert stats.kstest(quantile, "uniform").pvalue > 1e-4


def test_no_duplicates_in_two_million_draws(normals):
    # Two of 2e6 draws coincide for fewer than 1 key in 1000.
    for draws in (normals[:2_000_000], many("uniform", 5, 2_000_000)):
        assert np.unique(draws).size == draws.size


def test_no_two_of_two_million_rows_are_alike():
    # Fails for fewer than 1 key in 1000.
    first = draw("uniform", 6, range(2000), range(1000), 1)
    assert np.unique(first).size == first.size


def test_uniforms_are_uniform():
    # Fails for 1 key in 5 000: overall shape, and the fine scale below 2^-20.
    draws = many("uniform", 11, 2_000_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-4
    assert stats.kstest(draws * 2**20 % 1, "uniform").pvalue > 1e-4


def test_uniforms_have_53_random_bits():
    # Each bit is set in half of the draws, within 5 standard errors: fails for 1 key in 30 000.
    words = (many("uniform", 12, 1_000_000) * 2**53).astype(np.int64)
    share = np.array([(words >> bit & 1).mean() for bit in range(53)])
    assert np.abs(share - 0.5).max() < 5 * 0.5 / sqrt(words.size)


def test_signs_are_even_and_independent_of_their_neighbours():
    # Mean, and products at lags within and across words, within 4 standard errors each: fails for
    # 1 key in 2500.
    signs = draw("rademacher", 13, range(500), range(40), 200)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4 / sqrt(signs.size)
    for lag in (1, 2, 63, 64, 65, 128):
        product = signs[..., lag:] * signs[..., :-lag]
        assert abs(product.mean()) < 4 / sqrt(product.size)


# Independence


@every_fill
@pytest.mark.parametrize("axis", ["keys", "samples", "rows", "positions"])
@pytest.mark.parametrize("lag", [1, 64])
def test_neighbours_are_uncorrelated(name, axis, lag):
    # Correlations of draws, of their squares and of a draw with a square, within 4 standard errors:
    # fails for 1 key in 4000 (signs: 1 in 16 000).
    near = 71
    if axis == "keys":
        block = np.stack([draw(name, near + k, range(20), range(50), 300) for k in (0, lag)])
        one, other = block
    else:
        block = draw(name, near, range(120), range(80), 130)
        block = np.moveaxis(block, ["samples", "rows", "positions"].index(axis), 0)
        one, other = block[:-lag], block[lag:]
    one, other = (standardised(name, x) for x in (one, other))
    functions = [lambda x: x]
    if name != "rademacher":
        functions.append(lambda x: (x**2 - 1) / sqrt((x**4).mean() - 1))
    for f, g in itertools.product(functions, repeat=2):
        assert abs((f(one) * g(other)).mean()) < 4 / sqrt(one.size)


def standardised(name, draws):
    return (draws - 0.5) * sqrt(12) if name == "uniform" else draws


@pytest.mark.parametrize("part", ["key", "sample", "row"])
def test_one_changed_bit_changes_half_of_the_bits(part):
    # Share of changes for each of 64 input and 53 output bits, over 4000 words, within 6 standard
    # errors: fails for 1 key in 100 000.
    key, samples, rows = 0, np.arange(50), np.arange(80)
    before = words(key, samples, rows)
    for bit in range(64):
        flip = 1 << bit
        after = words(
            key ^ flip if part == "key" else key,
            samples ^ np.uint64(flip).view(np.int64) if part == "sample" else samples,
            rows.astype(np.uint64) ^ np.uint64(flip) if part == "row" else rows,
        )
        changed = before ^ after
        share = np.array([(changed >> place & 1).mean() for place in range(53)])
        assert np.abs(share - 0.5).max() < 6 * 0.5 / sqrt(changed.size)


def words(key, samples, rows):
    """The first random word of each row, as far as it shows in a uniform draw."""
    return (draw("uniform", key, samples, rows, 1) * 2**53).astype(np.int64)


def test_squared_length_of_rows_is_chi_squared():
    # Dependence within a row would show here. Fails for 1 key in 10 000.
    draws = draw("normal", 21, range(500), range(100), 32)
    assert stats.kstest((draws**2).sum(-1).reshape(-1), "chi2", args=(32,)).pvalue > 1e-4


# Refusals


@every_fill
@pytest.mark.parametrize(
    ("key", "samples", "rows", "shape", "dtype", "field"),
    [
        (-1, np.arange(2), np.arange(3, dtype=np.uint64), (2, 3, 4), "d", "key"),
        (1 << 64, np.arange(2), np.arange(3, dtype=np.uint64), (2, 3, 4), "d", "key"),
        (1, np.arange(2.0), np.arange(3, dtype=np.uint64), (2, 3, 4), "d", "samples"),
        (1, np.arange(2, dtype="i4"), np.arange(3, dtype=np.uint64), (2, 3, 4), "d", "samples"),
        (1, np.arange(2), np.arange(3), (2, 3, 4), "d", "rows"),
        (1, np.arange(2), np.ones((3, 1), dtype=np.uint64), (2, 3, 4), "d", "rows"),
        (1, np.arange(2), np.arange(3, dtype=np.uint64), (3, 2, 4), "d", "shape of out"),
        (1, np.arange(2), np.arange(3, dtype=np.uint64), (2, 3), "d", "shape of out"),
        (1, np.arange(2), np.arange(3, dtype=np.uint64), (2, 3, 4), "i8", "out"),
        (1, np.arange(2), np.arange(3, dtype=np.uint64), (2, 3, 4), "c16", "out"),
    ],
)
def test_what_kernels_would_misread_is_refused(name, key, samples, rows, shape, dtype, field):
    with pytest.raises(InputError, match=rf"^{field}: .* is not ") as refused:
        FILLS[name](key, samples, rows, np.empty(shape, dtype))
    assert "\n" not in str(refused.value)


@every_fill
def test_result_must_be_contiguous(name):
    with pytest.raises(InputError, match=r"^out: .* C-contiguous"):
        FILLS[name](1, np.arange(2), np.arange(3, dtype=np.uint64), np.empty((2, 3, 8))[..., ::2])
