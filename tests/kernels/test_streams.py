"""Random streams: one identity, one key; two identities, two keys."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.kernels import streams
from plausibench.kernels.errors import InputError

atoms = st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans()
identities = st.recursive(atoms, lambda parts: st.lists(parts, max_size=4).map(tuple))


def decode(code):
    """Inverse of the encoding: the first part in ``code``, and what is left."""
    kind, (length,), rest = code[:1], struct.unpack("<Q", code[1:9]), code[9:]
    content, rest = rest[:length], rest[length:]
    if kind == b"t":
        parts = []
        while content:
            part, content = decode(content)
            parts.append(part)
        return tuple(parts), rest
    read = {b"s": bytes.decode, b"b": b"1".__eq__, b"i": int}
    return (read[kind](content) if kind in read else float.fromhex(content.decode())), rest


def typed(part):
    """Identity in which 1, 1.0 and True are told apart."""
    return tuple(map(typed, part)) if isinstance(part, tuple) else (type(part), part)


@given(identities)
def test_encoding_can_be_read_back_so_no_two_identities_share_it(identity):
    decoded, rest = decode(streams._encode(identity))
    assert (typed(decoded), rest) == (typed(identity), b"")


def test_similar_identities_have_keys_of_their_own():
    similar = [
        (), ("",), ((),), ("a",), ("a", "b"), ("b", "a"), ("ab",), (("a", "b"),), ("a", ("b",)),
        ("a", "", "b"), (1,), (1.0,), (True,), ("1",), (0,), (0.0,), (False,), (1, 0), (10,), (-1,),
        (1 << 64,), (1 << 70,), (float("inf"),), (float("nan"),), ("\u00e9",),
        ("e\u0301",), ("\ud800",),
    ]  # fmt: skip
    keys = [streams.stream(seed, *identity) for seed in (0, 1) for identity in similar]
    assert len(set(keys)) == len(keys)


def test_seed_is_apart_from_identity():
    assert streams.stream(1, 2, 3) != streams.stream(2, 1, 3)


@pytest.mark.parametrize(
    ("one", "same"),
    [(0.0, -0.0), (0.1, np.float64(0.1)), ("a", np.str_("a")), (float("nan"), -float("nan"))],
)
def test_equal_values_share_a_key(one, same):
    assert streams.stream(0, one) == streams.stream(0, same)


@pytest.mark.parametrize(
    ("identity", "key"),
    [
        ((0,), 15511901081727096882),
        ((0, "init"), 18263880937422517259),
        (
            (7, "rule", ("node_perturbation", ("sigma", 0.001), ("antithetic", True)), -3),
            16260066778081907237,
        ),
    ],
)
def test_keys_never_change(identity, key):
    # Made with b2sum from the bytes of the encoding; another key would change every result.
    assert streams.stream(*identity) == key


@given(st.integers(), identities)
def test_keys_are_unsigned_64_bit_and_repeatable(seed, identity):
    key = streams.stream(seed, identity)
    assert type(key) is int
    assert 0 <= key < 1 << 64
    assert key == streams.stream(seed, identity)


@pytest.mark.parametrize("part", [None, b"a", [1], {1}, 1j, np.int64(1), np.zeros(1), str])
@pytest.mark.parametrize("place", [lambda part: part, lambda part: ("a", (part,))])
def test_other_types_are_refused_in_one_sentence(part, place):
    with pytest.raises(InputError) as refused:
        streams.stream(0, "data", place(part))
    message = str(refused.value)
    assert message.startswith("stream identity: ")
    assert message.endswith("is not a str, int, float, bool or tuple of these")
    assert "\n" not in message


@pytest.mark.parametrize("seed", [None, "0", 0.5, 1.0, True])
def test_seed_must_be_a_whole_number(seed):
    with pytest.raises(InputError, match=r"^seed: .* is not a whole number"):
        streams.stream(seed)


def test_generator_repeats_for_one_identity_and_differs_for_another():
    draws = streams.generator(5, "data", "digits").random(100)
    assert np.array_equal(draws, streams.generator(5, "data", "digits").random(100))
    for other in (streams.generator(6, "data", "digits"), streams.generator(5, "init", "digits")):
        assert not np.isin(draws, other.random(100)).any()


def test_generator_is_philox_keyed_by_the_stream():
    key = np.array([streams.stream(5, "feedback"), 0], dtype=np.uint64)
    expected = np.random.Generator(np.random.Philox(key=key)).standard_normal(10)
    assert np.array_equal(streams.generator(5, "feedback").standard_normal(10), expected)
