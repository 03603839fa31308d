"""Selectors, the registry and specifications: what is read, and what bad input gets."""

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.bench import load_plugin, make
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.studies.benchmark.spec import Spec, default_spec
from plausibench.kernels.errors import InputError

RULE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from plausibench.rules.rule import Rule, RuleCard

@dataclass(frozen=True)
class MyRule(Rule):
    rate: float = 1.0
    label: str = "none"
    card: ClassVar[RuleCard] = RuleCard(
        summary="", equation="", randomness=frozenset(), unbiased=False, exact_when="",
        variance_law="", synapse_knows="", cites="",
    )

    def __post_init__(self):
        if self.rate > 10:
            raise ValueError("rate is above 10")

    def estimate(self, network, objective, batch, clean, state, noise):
        return {}
"""


@pytest.fixture(autouse=True)
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


def refusal(call, *arguments, **options):
    """The one sentence with which a call is refused."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


class TestRegistry:
    @pytest.mark.parametrize("kind", registry.KINDS)
    def test_every_built_in_component_is_found_under_its_name(self, kind):
        for name, entry in registry.entries(kind).items():
            component = registry.find(kind, name)
            assert component.__module__.rpartition(".")[2] == name
            assert entry.origin == "built in"
            assert issubclass(component, registry.bases()[kind])

    def test_listing_imports_no_component(self):
        code = (
            "import sys; from plausibench.bench.components import registry\n"
            "for kind in registry.KINDS: registry.entries(kind)\n"
            "print([n for n in sys.modules if n.endswith(('backprop', 'mlp', 'digits'))])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "[]\n"

    def test_missing_options_are_named(self):
        sentence = refusal(make, "architecture", "mlp")
        assert sentence == "architecture mlp: the option sizes must be given"

    def test_digest_is_that_of_the_defining_file(self):
        one, other = (registry.find("rule", name) for name in ("backprop", "feedback_alignment"))
        assert registry.digest(one) != registry.digest(other)


class TestPlugins:
    def test_are_registered_by_the_snake_case_of_their_class(self, plugin):
        path = plugin()
        (entry,) = load_plugin(path)
        assert (entry.kind, entry.name, entry.origin) == ("rule", "my_rule", path)
        assert make("rule", "my_rule", rate=2.0).rate == 2.0
        assert registry.entries("rule")["my_rule"] == entry

    def test_can_define_several_kinds(self, plugin):
        text = RULE + textwrap.dedent("""
            from plausibench.objectives.mean_squared_error import MeanSquaredError

            @dataclass(frozen=True)
            class MyError(MeanSquaredError):
                pass
        """)
        found = {(entry.kind, entry.name) for entry in load_plugin(plugin(text))}
        assert found == {("rule", "my_rule"), ("objective", "my_error")}

    def test_are_loaded_again_after_an_edit_of_the_same_size_within_a_second(self, plugin):
        digests = set()
        for rate in (4.0, 5.0):
            path = plugin(RULE.replace("rate: float = 1.0", f"rate: float = {rate}"))
            os.utime(path, (1_700_000_000, 1_700_000_000))
            load_plugin(path)
            assert make("rule", "my_rule").rate == rate
            digests.add(registry.digest(registry.find("rule", "my_rule")))
        assert len(digests) == 2

    def test_forget_what_an_edited_file_no_longer_defines(self, plugin):
        load_plugin(plugin())
        load_plugin(plugin(RULE.replace("MyRule", "OtherRule")))
        assert "my_rule" not in registry.entries("rule")
        assert "other_rule" in registry.entries("rule")

    def test_leave_no_files_behind(self, plugin, tmp_path):
        load_plugin(plugin(RULE + "# loaded here only"))
        assert [path.name for path in tmp_path.iterdir()] == ["my_rule.py"]

    def test_refuse_options_with_their_own_words(self, plugin):
        load_plugin(plugin())
        sentence = refusal(select, "rule", "my_rule[rate=11]")
        assert sentence == "rule my_rule: rate is above 10"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("import no_such_module", "cannot be imported (ModuleNotFoundError"),
            ("def broken(:", "cannot be imported (SyntaxError"),
            ("1 / 0", "cannot be imported (ZeroDivisionError: division by zero)"),
            ("raise SystemExit(3)", "cannot be imported (SystemExit: 3)"),
            ("\0", "cannot be imported ("),
            ("", "defines no component; allowed is a dataclass derived from Rule"),
            ("class MyRule: pass", "defines no component"),
            ("from plausibench.rules.backprop import Backprop", "defines no component"),
            (RULE.replace("def estimate", "def estimates"), "defines no component"),
            (RULE.replace("@dataclass(frozen=True)", ""), "is not a dataclass derived from Rule"),
            (RULE.replace("    card:", "    cart:"), "MyRule from"),
            (RULE.replace("MyRule", "Backprop"), "a name that is taken by built in"),
        ],
    )
    def test_that_cannot_be_used_are_refused(self, plugin, text, said):
        path = plugin(text)
        sentence = refusal(load_plugin, path)
        assert said in sentence
        assert path in sentence
        assert registry.entries("rule").keys() == registry._installed("rule").keys()

    def test_without_a_card_are_refused(self, plugin):
        assert "lacks card" in refusal(load_plugin, plugin(RULE.replace("    card:", "    cart:")))

    @pytest.mark.parametrize("path", ["missing.py", ".", "x" * 5000 + ".py"])
    def test_that_are_no_file_are_refused(self, path):
        assert "is not a file" in refusal(load_plugin, path)

    def test_used_together_have_different_names(self, plugin):
        paths = [plugin(), plugin(RULE + "\n# copy", name="other/my_rule.py")]
        sentence = refusal(registry.load_plugins, paths)
        assert sentence.startswith(f"plugin: {paths[1]} defines rule my_rule")
        assert paths[0] in sentence

    def test_used_one_after_the_other_replace_each_other(self, plugin):
        registry.load_plugins([plugin(), plugin()])
        text = RULE.replace("rate: float = 1.0", "rate: float = 3.0")
        registry.load_plugins([plugin(text, name="other/my_rule.py")])
        assert make("rule", "my_rule").rate == 3.0


class TestInstalled:
    """Distributions that are on the path with their entry points, in a process of their own."""

    def call(self, tmp_path, code, points, sources):
        for name, text in sources.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        for distribution, text in points.items():
            info = tmp_path / f"{distribution}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(text)
        script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{textwrap.dedent(code)}"
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )

    def test_components_are_found_made_and_digested_with_their_package(self, tmp_path):
        code = """
            from pathlib import Path
            from plausibench.bench import make
            from plausibench.bench.components import registry
            entry = registry.entries("rule")["installed_rule"]
            print(entry.origin, "my_package" in sys.modules)
            print(make("rule", "installed_rule", rate=3.0).rate)
            before = registry.digest(registry.find("rule", "installed_rule"))
            registry._DIGESTS.clear()
            (Path(sys.path[0]) / "my_package" / "extra.py").write_text("FACTOR = 2")
            print(before != registry.digest(registry.find("rule", "installed_rule")))
        """
        points = {"my-rules": "[plausibench.rules]\ninstalled_rule = my_package.mine:MyRule\n"}
        sources = {
            "my_package/__init__.py": "",
            "my_package/mine.py": RULE,
            "my_package/extra.py": "FACTOR = 1",
        }
        done = self.call(tmp_path, code, points, sources)
        assert done.stdout.splitlines() == ["my-rules False", "3.0", "True"], done.stderr

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("import no_such_module", "cannot be imported (ModuleNotFoundError"),
            ("", "cannot be imported (AttributeError"),
            ("MyRule = 3", "is not a dataclass derived from Rule"),
        ],
    )
    def test_broken_components_name_their_distribution(self, tmp_path, source, said):
        code = """
            from plausibench.bench import make
            from plausibench.bench.components.selectors import select
            make("rule", "backprop")  # the others work
            try:
                select("rule", "installed_rule")
            except ValueError as error:
                print(error)
        """
        points = {"my-rules": "[plausibench.rules]\ninstalled_rule = mine:MyRule\n"}
        done = self.call(tmp_path, code, points, {"mine.py": source})
        assert said in done.stdout
        assert "mine:MyRule of my-rules" in done.stdout

    @pytest.mark.parametrize("taken", ["backprop", "installed_rule"])
    def test_a_taken_name_is_refused(self, tmp_path, taken):
        code = """
            from plausibench.bench import make
            try:
                make("rule", "backprop")
            except ValueError as error:
                print(error)
        """
        points = {
            "one": "[plausibench.rules]\ninstalled_rule = mine:MyRule\n",
            "other": f"[plausibench.rules]\n{taken} = mine:MyRule\n",
        }
        done = self.call(tmp_path, code, points, {"mine.py": RULE})
        assert f"rule {taken}: " in done.stdout
        assert "installs a name that is taken by" in done.stdout


SPECS = st.builds(
    lambda **values: Spec(**values),
    tasks=st.lists(
        st.sampled_from(["digits", "teacher_student[noise=0.1]"]), min_size=1, max_size=3
    ),
    architectures=st.just(["mlp[activation=relu]", "linear[bias=true]"]),
    rules=st.lists(
        st.sampled_from(["backprop", "node_perturbation[sigma=1e-2]"]), min_size=1, max_size=3
    ),
    hidden=st.lists(st.integers(1, 10**6), max_size=4),
    protocols=st.sampled_from([["shared"], ["own", "shared"]]),
    checkpoints=st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
    seeds=st.integers(1, 10**5),
    seed=st.integers(0, 2**63 - 1),
    learning_rate=st.floats(min_value=1e-300, max_value=1e300),
    samples_of=st.dictionaries(
        st.sampled_from(["weight_perturbation", "node_perturbation"]), st.integers(1, 10**6)
    ),
    precision=st.just(0.0) | st.floats(0.01, 10),
    learning_rates=st.dictionaries(
        st.sampled_from(["backprop", "node_perturbation[sigma=0.5]"]),
        st.floats(min_value=1e-300, max_value=1e300),
    ),
)


class TestSpec:
    @given(spec=SPECS)
    def test_round_trips_exactly(self, spec, tmp_path_factory):
        file = tmp_path_factory.mktemp("spec") / "spec.toml"
        spec.write(file)
        assert Spec.read(file) == spec
        assert Spec.read(file, components=False) == spec

    def test_of_the_default_benchmark_round_trips(self, tmp_path):
        default_spec().write(tmp_path / "spec.toml")
        assert Spec.read(tmp_path / "spec.toml") == default_spec()

    def test_what_is_not_said_has_its_default(self, tmp_path):
        (tmp_path / "spec.toml").write_text("seeds = 3\n")
        assert Spec.read(tmp_path / "spec.toml") == Spec(seeds=3)

    def test_means_the_same_in_other_words(self):
        one = Spec(
            rules=["node_perturbation[noise=gaussian,sigma=1e-2]", "node_perturbation[sigma=0.01]"],
            checkpoints=[5, 0, 5],
            protocols=["own", "own"],
            learning_rates={"node_perturbation[sigma=1e-2]": 1},
        )
        assert one.rules == ("node_perturbation[sigma=0.01]",)
        assert one.checkpoints == (0, 5)
        assert one.protocols == ("own",)
        assert one.learning_rates == {"node_perturbation[sigma=0.01]": 1.0}

    def test_rates_are_those_of_the_selector_or_else_of_the_name(self):
        spec = Spec(
            learning_rate=0.1,
            learning_rates={"node_perturbation": 0.2, "node_perturbation[sigma=0.5]": 0.3},
        )
        assert spec.rate("node_perturbation[sigma=0.5]") == 0.3
        assert spec.rate("node_perturbation[sigma=0.7]") == 0.2
        assert spec.rate("backprop") == 0.1

    def test_plugins_are_loaded_before_names_are_looked_up(self, plugin):
        path = plugin()
        spec = Spec(rules=["my_rule[rate=2]"], plugins=[path], learning_rates={"my_rule": 0.5})
        assert spec.rate("my_rule[rate=2]") == 0.5
        assert spec.plugins == (path,)

    def test_a_value_can_be_replaced(self):
        assert Spec().with_values(seeds=9) == Spec(seeds=9)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"rules": ["node_pertubation"]}, "did you mean 'node_perturbation'?"),
            ({"tasks": ["digit"]}, "did you mean 'digits'?"),
            ({"rules": []}, "rules: the list is empty; allowed is a list such as ['backprop']"),
            ({"tasks": ()}, "tasks: the list is empty"),
            ({"protocols": []}, "protocols: the list is empty"),
            ({"checkpoints": []}, "checkpoints: the list is empty"),
            ({"rules": "backprop"}, "rules: 'backprop' is not a list"),
            ({"protocols": "shared"}, "protocols: 'shared' is not a list"),
            ({"checkpoints": 3}, "checkpoints: 3 is not a list"),
            ({"plugins": "my_rule.py"}, "plugins: 'my_rule.py' is not a list"),
            ({"rules": {"backprop": 1}}, "is not a list"),
            ({"rules": [3]}, "rules: 3 is not a text"),
            ({"plugins": [3]}, "plugins: 3 is not a text"),
            ({"plugins": ["missing.py"]}, "plugin: 'missing.py' is not a file"),
            ({"protocols": ["shard"]}, "did you mean 'shared'?"),
            ({"pairing": "frist"}, "did you mean 'first'?"),
            ({"checkpoints": [0, -1]}, "checkpoints: -1 is not a whole number of at least 0"),
            ({"checkpoints": [0.5]}, "checkpoints: 0.5 is not"),
            ({"checkpoints": [True]}, "checkpoints: True is not"),
            ({"hidden": [8, 0]}, "hidden: 0 is not"),
            ({"hidden": "8"}, "hidden: '8' is not a list"),
            ({"seeds": 0}, "seeds: 0 is not a whole number from 1 to 100000"),
            ({"seed": -1}, "seed: -1 is not"),
            ({"samples": 0}, "samples: 0 is not"),
            ({"samples": 1.5}, "samples: 1.5 is not"),
            ({"marginal_samples": "400"}, "marginal_samples: '400' is not"),
            ({"averaging_samples": None}, "averaging_samples: None is not"),
            ({"batch_size": 0}, "batch_size: 0 is not"),
            ({"training_batch_size": -3}, "training_batch_size: -3 is not"),
            ({"optimiser": "sdg"}, "did you mean 'sgd'?"),
            ({"learning_rate": 0}, "learning_rate: 0 is not a finite number above 0"),
            ({"learning_rate": "fast"}, "learning_rate: 'fast' is not"),
            (
                {"learning_rates": 0.1},
                "learning_rates: 0.1 is not a table with a value for each rule",
            ),
            ({"learning_rates": {"backprop": -1}}, "learning_rates[backprop]: -1 is not"),
            ({"samples_of": 3}, "samples_of: 3 is not a table with a value for each rule"),
            ({"samples_of": {"backprop": 0}}, "samples_of[backprop]: 0 is not a whole number"),
            ({"samples_of": {"backprob": 1}}, "did you mean 'backprop'?"),
            ({"precision": 0.001}, "precision: 0.001 is not a finite number at least 0.01"),
            ({"precision": False}, "precision: False is not a finite number at least 0.01"),
            ({"precision": "fine"}, "precision: 'fine' is not a finite number at least 0.01"),
            ({"learning_rates": {"backprob": 1}}, "did you mean 'backprop'?"),
        ],
    )
    def test_of_bad_values_is_refused(self, values, said):
        assert said in refusal(Spec, **values)
        assert said in refusal(Spec.of, values)

    def test_of_an_unknown_field_is_refused(self):
        sentence = refusal(Spec.of, {"sampels": 3})
        assert sentence.startswith("spec: 'sampels' is not known; choose one of tasks, ")
        assert sentence.endswith("did you mean 'samples'?")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"seeds = ", "is not valid TOML"),
            (b"\xff", "cannot be read"),
            (b"a = " + b"[" * 5000, "is not valid TOML"),
            (b"seeds = 2020-01-01", "seeds: datetime.date(2020, 1, 1) is not"),
        ],
    )
    def test_in_a_damaged_file_is_refused(self, tmp_path, content, said):
        (tmp_path / "spec.toml").write_bytes(content)
        assert said in refusal(Spec.read, tmp_path / "spec.toml")

    @pytest.mark.parametrize("name", ["missing.toml", "."])
    def test_in_no_file_is_refused(self, tmp_path, name):
        assert "cannot be read" in refusal(Spec.read, tmp_path / name)

    def test_documents_every_field(self):
        listed = {name.strip() for name in (Spec.__doc__ or "").replace("\n", ",").split(",")}
        assert {field.name for field in fields(Spec)} <= listed


def test_a_component_that_is_no_dataclass_of_its_kind_is_refused():
    @dataclass(frozen=True)
    class Unrelated:
        pass

    entry = registry.Entry("rule", "unrelated", f"{__name__}:Unrelated", "some package")
    sys.modules[__name__].Unrelated = Unrelated
    try:
        assert "is not a dataclass derived from Rule" in refusal(entry.load)
    finally:
        del sys.modules[__name__].Unrelated
