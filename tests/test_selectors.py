"""Selectors: lists, quotes and selectors within selectors, and that text and meaning agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.bench import make
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import Selector, select
from plausibench.kernels.errors import InputError
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.objective import Objective
from plausibench.rules.backprop import Backprop

LOSS = CrossEntropy()


@dataclass(frozen=True)
class Odd(Backprop):
    """A rule with options of every kind, none of which it changes or refuses."""

    text: str = "plain"
    place: str | Path = ""
    count: int = -1
    share: float = 0.5
    maybe: float | None = None
    either: int | str = 0
    whole: tuple[int, ...] = (1,)
    fractions: Sequence[float] = ()
    names: Sequence[str] = ("a", "b")
    grid: Sequence[Sequence[float]] = ()
    term: Objective = LOSS
    terms: Sequence[tuple[float, Objective]] = ()
    on: bool = False

    summary: ClassVar[str] = ""


TEXTS = st.text(min_size=0, max_size=12) | st.text("ab,=[]()'\" -1.", max_size=12)
NUMBERS = st.floats(allow_nan=False)
TERMS = st.sampled_from([CrossEntropy(), make("objective", "weight_decay")])
VALUES = {
    "text": TEXTS,
    "place": TEXTS,
    "count": st.integers(),
    "share": NUMBERS,
    "maybe": NUMBERS | st.none(),
    "either": st.integers() | TEXTS,
    "whole": st.lists(st.integers(), max_size=4).map(tuple),
    "fractions": st.lists(NUMBERS, max_size=4).map(tuple),
    "names": st.lists(TEXTS, max_size=3).map(tuple),
    "grid": st.lists(st.lists(NUMBERS, max_size=3).map(tuple), max_size=3).map(tuple),
    "term": TERMS,
    "terms": st.lists(st.tuples(NUMBERS, TERMS), max_size=2).map(tuple),
    "on": st.booleans(),
}


@pytest.fixture(autouse=True, scope="module")
def odd():
    """The rule in the registry."""
    with pytest.MonkeyPatch.context() as patch:
        entry = registry.Entry("rule", "odd", Odd, "a test")
        patch.setattr(
            registry, "_PLUGINS", {k: {} for k in registry.KINDS} | {"rule": {"odd": entry}}
        )
        yield


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_text_and_meaning_agree(options):
    default = Odd()
    options = {key: options[key] for key in VALUES if key in options}
    chosen = tuple((k, v) for k, v in options.items() if v != getattr(default, k))
    selector = Selector("rule", "odd", chosen)
    read = select("rule", str(selector))
    assert read == selector
    assert str(read) == str(selector)
    assert read.make() == Odd(**options)


@given(TEXTS, TEXTS)
def test_a_selector_is_the_option_of_another(path, other):
    images = str(Selector("task", "mnist", (("path", path or "x"),)))
    outer = Selector("task", "row_by_row", (("images", images), ("delay", 2)))
    read = select("task", str(outer))
    assert read == outer
    assert select("task", dict(read.options)["images"]).make().path == (path or "x")


class TestLists:
    @pytest.mark.parametrize(
        "text", ["32-32-3", "[32,32,3]", "(32,32,3)", "32,32,3", "[ 32, 32 , 3 ]", "(32,32,3,)"]
    )
    def test_are_written_in_several_ways(self, text):
        selector = select("architecture", f"convolutional[shape={text},kernel=5]")
        assert str(selector) == "convolutional[shape=32-32-3,kernel=5-5]"

    def test_hold_lists(self):
        selector = select("architecture", "what_where[places=[[0,1.5],[2,3]],outputs=2]")
        assert dict(selector.options)["places"] == ((0.0, 1.5), (2.0, 3.0))

    def test_hold_components(self):
        text = "weighted_sum[terms=[[1,cross_entropy],[0.5,weight_decay]]]"
        weights = [weight for weight, _ in select("objective", text).make().terms]
        assert weights == [1, 0.5]
        assert str(select("objective", text)) == text

    def test_of_one_are_what_they_hold(self):
        one, other = (select("task", f"delayed_match[delay={t}]") for t in ("400", "[400]"))
        assert one == other


class TestPaths:
    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ("a,b/m.npz", "a,b/m.npz"),
            ("a, b/m.npz", "a, b/m.npz"),
            ("it's/m.npz", "it's/m.npz"),
            ("'it''s/m.npz'", "it's/m.npz"),
            ('"a,b=c/m.npz"', "a,b=c/m.npz"),
            ("a,b/c=1/m.npz", "a,b/c=1/m.npz"),
            ('"a[b/m.npz"', "a[b/m.npz"),
            ("a(b/m.npz", "a(b/m.npz"),
            (r"C:\data\m.npz", r"C:\data\m.npz"),
        ],
    )
    def test_may_hold_any_sign(self, text, path):
        selector = select("task", f"mnist[path={text}]")
        assert selector.make().path == path
        assert select("task", str(selector)) == selector

    def test_with_an_option_after_them(self):
        selector = select("task", "antolik2016[path=a,b,region=2]")
        assert dict(selector.options) == {"path": "a,b", "region": 2}

    def test_whose_bracket_is_not_closed_are_refused(self):
        with pytest.raises(InputError, match=r"lacks a '\]'; put a value with a bracket .* quotes"):
            select("task", "mnist[path=a[b/m.npz]")


def test_defaults_written_out_are_left_out():
    assert str(select("architecture", "convolutional[kernel=3,stride=2-2]")) == "convolutional"
    assert str(select("architecture", "convolutional[channels=4-4-4,kernel=3]")) == (
        "convolutional[channels=4-4-4]"
    )
