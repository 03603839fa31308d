"""The registry: built-in components, plug-ins, installed packages."""

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from plausibench.bench import load_plugin, make
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
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
