"""Selectors: lists, quotes and selectors within selectors, and that text and meaning agree."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.bench import load_plugin, make
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import Selector, select
from plausibench.kernels.errors import InputError
from plausibench.objectives.cross_entropy import CrossEntropy
from plausibench.objectives.objective import Objective
from plausibench.rules.backprop import Backprop
from plugin_cells import RULE, refusal

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


@pytest.fixture
def own_plugins(monkeypatch):
    """A registry without the plug-ins of other tests, and bytecode as it is kept by default."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})


@pytest.fixture
def plugin(tmp_path):
    """Write a plug-in file; returns its path."""

    def write(text=RULE, name="my_rule.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.usefixtures("own_plugins")
class TestSelectors:
    @pytest.mark.parametrize(
        ("kind", "text", "canonical"),
        [
            ("rule", "backprop", "backprop"),
            ("rule", " backprop ", "backprop"),
            ("rule", "backprop[]", "backprop"),
            ("rule", "node_perturbation[sigma=1e-2]", "node_perturbation[sigma=0.01]"),
            ("rule", "node_perturbation [ sigma = 0.010 ]", "node_perturbation[sigma=0.01]"),
            ("rule", "node_perturbation[sigma=0.001]", "node_perturbation"),
            ("rule", "node_perturbation[sigma=1000000]", "node_perturbation[sigma=1e+06]"),
            ("rule", "node_perturbation[sigma=1e6]", "node_perturbation[sigma=1e+06]"),
            ("rule", "node_perturbation[antithetic=True]", "node_perturbation"),
            (
                "rule",
                "node_perturbation[noise=rademacher,antithetic=FALSE,sigma=2]",
                "node_perturbation[sigma=2,antithetic=false,noise=rademacher]",
            ),
            ("architecture", "mlp", "mlp"),
            ("architecture", "mlp[activation=relu]", "mlp[activation=relu]"),
            ("architecture", "mlp[sizes=64-32-10]", "mlp[sizes=64-32-10]"),
            ("task", "teacher_student[hidden=20]", "teacher_student"),
            ("task", "teacher_student[hidden=7]", "teacher_student[hidden=7]"),
            ("task", "teacher_student[hidden=7-8]", "teacher_student[hidden=7-8]"),
            ("task", "mnist[path=123]", "mnist[path=123]"),
            ("task", "mnist[path=a-b/1=2/[x]]", "mnist[path=a-b/1=2/[x]]"),
        ],
    )
    def test_have_one_text_for_one_meaning(self, kind, text, canonical):
        assert str(select(kind, text)) == canonical
        assert select(kind, canonical) == select(kind, text)

    def test_that_mean_the_same_make_the_same(self):
        one, other = (
            select("rule", f"weight_perturbation[sigma={s}]").make() for s in ("1", "1.0")
        )
        assert one == other
        assert type(one.sigma) is type(other.sigma) is float

    def test_make_what_they_say(self):
        rule = select("rule", "node_perturbation[sigma=1e-2,noise=rademacher]").make()
        assert rule == make("rule", "node_perturbation", sigma=0.01, noise="rademacher")

    def test_take_further_options_where_they_say_nothing(self):
        network = select("architecture", "mlp[activation=relu]").make(sizes=[3, 4, 2], seed=1)
        assert network.populations[0].neurons.activation == "relu"
        chosen = select("architecture", "mlp[sizes=3-5-2]").make(sizes=[3, 4, 2])
        assert chosen.populations[0].size == 5

    @given(
        sigma=st.floats(min_value=1e-300, max_value=1e300) | st.integers(1, 10**18),
        antithetic=st.booleans(),
        noise=st.sampled_from(["gaussian", "rademacher"]),
        order=st.permutations(["sigma", "antithetic", "noise"]),
    )
    def test_round_trip(self, sigma, antithetic, noise, order):
        options = {"sigma": sigma, "antithetic": antithetic, "noise": noise}
        inside = ",".join(f"{name}={options[name]!s}" for name in order)
        selector = select("rule", f"node_perturbation[{inside}]")
        assert select("rule", str(selector)) == selector
        assert str(select("rule", str(selector))) == str(selector)
        made = make("rule", "node_perturbation", **{**options, "sigma": float(sigma)})
        assert selector.make() == made

    @given(st.lists(st.integers(1, 10**6), min_size=2, max_size=6))
    def test_of_layer_sizes_round_trip(self, sizes):
        selector = select("architecture", f"mlp[sizes={'-'.join(map(str, sizes))}]")
        assert dict(selector.options)["sizes"] == tuple(sizes)
        assert select("architecture", str(selector)) == selector

    @given(st.text(max_size=30) | st.text("abkprop[]=,-1.e ", max_size=30))
    def test_of_any_text_are_read_or_refused(self, text):
        for whole in (text, f"node_perturbation[{text}]", f"node_perturbation[sigma={text}]"):
            try:
                selector = select("rule", whole)
            except InputError:
                continue
            assert select("rule", str(selector)) == selector

    def test_of_a_plugin_with_annotations_as_text(self, plugin):
        load_plugin(plugin())
        assert select("rule", "my_rule[rate=2]").make().rate == 2.0
        assert type(select("rule", "my_rule[rate=2]").make().rate) is float
        assert select("rule", "my_rule[label=12]").make().label == "12"


@pytest.mark.usefixtures("own_plugins")
class TestRefusedSelectors:
    @pytest.mark.parametrize(
        ("kind", "text", "said"),
        [
            ("rule", "node_pertubation", "did you mean 'node_perturbation'?"),
            ("rule", "Backprop", "did you mean 'backprop'?"),
            ("rule", "zzzz", "choose one of activity_node_perturbation"),
            ("rule", "", "rule: '' is not known"),
            ("rule", "[sigma=1]", "rule: '' is not known"),
            ("rules", "backprop", "did you mean 'rule'?"),
            ("rule", "node_perturbation[sigma=1", "lacks its closing bracket"),
            ("rule", "node_perturbation[sigma]", "'sigma' in"),
            ("rule", "node_perturbation[sigma=]", "option=value"),
            ("rule", "node_perturbation[=1]", "option=value"),
            ("rule", "node_perturbation[sigma=1,sigma=2]", "option sigma is given twice"),
            ("rule", "node_perturbation[sgma=1]", "did you mean 'sigma'?"),
            ("rule", "backprop[sigma=1]", "'sigma' is not an option; it has none"),
            ("rule", "node_perturbation[sigma=abc]", "sigma: 'abc' is not a finite number above 0"),
            ("rule", "node_perturbation[sigma=-1]", "sigma: -1.0 is not a finite number above 0"),
            ("rule", "node_perturbation[sigma=0]", "sigma: 0.0 is not a finite number above 0"),
            ("rule", "node_perturbation[sigma=nan]", "sigma: nan is not"),
            ("rule", "node_perturbation[sigma=inf]", "sigma: inf is not"),
            ("rule", "node_perturbation[sigma=true]", "sigma: True is not"),
            ("rule", "node_perturbation[sigma=1-2]", "sigma: (1, 2) is not"),
            ("rule", "node_perturbation[antithetic=1]", "antithetic: 1 is not true or false"),
            ("rule", "node_perturbation[noise=gausian]", "did you mean 'gaussian'?"),
            ("rule", "dendritic_error[steps=1e3]", "steps: 1000.0 is not a whole number"),
            ("architecture", "mlp[sizes=64]", "sizes: (64,) is not a list of at least 2"),
            ("architecture", "mlp[sizes=64-0-10]", "sizes: 0 is not a whole number of at least 1"),
            ("architecture", "mlp[sizes=64--10]", "sizes: '64--10' is not a list"),
            ("architecture", "mlp[activation=tan]", "did you mean 'tanh'?"),
            ("task", "digits[test_fraction=2]", "test_fraction: 2.0 is not"),
        ],
    )
    def test_say_what_is_wrong_and_what_is_allowed(self, kind, text, said):
        sentence = refusal(select, kind, text)
        assert said in sentence
        assert sentence.startswith(("rule", "architecture", "task", "kind"))

    @pytest.mark.parametrize("text", [None, 3, ["backprop"]])
    def test_that_are_no_text(self, text):
        assert "is not a text such as name[option=value]" in refusal(select, "rule", text)
