"""Specifications of the benchmark: what is read, and what bad input gets."""

import sys
from dataclasses import fields
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausibench.bench.components import registry
from plausibench.bench.studies.benchmark.spec import Spec, default_spec
from plugin_cells import RULE, refusal


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
    momentum=st.floats(0, 0.999),
    layer_rates=st.floats(1e-3, 1e3) | st.lists(st.floats(1e-3, 1e3), max_size=4),
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
            ({"settings_of": {"digit": {}}}, "did you mean 'digits'?"),
            ({"settings_of": {"digits": {"optimizer": "adam"}}}, "did you mean 'optimiser'?"),
            ({"settings_of": {"digits": {"optimiser": "adm"}}}, "settings_of[digits]: optimiser"),
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
            ({"momentum": 1}, "momentum: 1 is not"),
            ({"momentum": 0.9, "optimiser": "adam"}, "momentum: 0.9 is not allowed with adam"),
            ({"layer_rates": "1,2"}, "layer_rates: '1,2' is not a positive number or a list"),
            ({"layer_rates": [1, -1]}, "layer_rates: -1 is not a finite number above 0"),
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


class TestSettingsOfATask:
    OWN: ClassVar = {
        "mnist_1d": {"hidden": (8,), "checkpoints": [0, 7], "learning_rates": {"backprop": 0.2}}
    }

    def test_stand_in_place_of_the_common_ones(self):
        spec = Spec(tasks=["digits", "mnist_1d[seed=3]"], settings_of=self.OWN)
        own = spec.on("mnist_1d[seed=3]")
        assert (own.hidden, own.checkpoints, own.rate("backprop")) == ((8,), (0, 7), 0.2)
        assert own.rate("hebb") == spec.rate("hebb")
        assert spec.on("digits") == Spec(tasks=["digits", "mnist_1d[seed=3]"])

    def test_give_way_to_what_is_said_for_all_tasks(self):
        spec = Spec(tasks=["mnist_1d"], settings_of=self.OWN).with_values(checkpoints=(0, 2))
        assert spec.on("mnist_1d").checkpoints == (0, 2)
        assert spec.on("mnist_1d").hidden == (8,)

    def test_round_trip(self, tmp_path):
        spec = Spec(tasks=["mnist_1d"], settings_of=self.OWN)
        spec.write(tmp_path / "spec.toml")
        assert Spec.read(tmp_path / "spec.toml") == spec
