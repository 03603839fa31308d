"""Studies: what one is, and where they are found."""

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from plausibench.bench.components import registry
from plausibench.bench.running import driver
from plausibench.bench.running.executor import Processes
from plausibench.bench.running.store import Run, plain_options
from plausibench.bench.studies import BUILTIN, study
from plausibench.bench.studies.study import Study, find, load_plugins, names
from plausibench.kernels.errors import InputError

PLUGIN = """\
from dataclasses import dataclass

from plausibench.bench.running.job import Job
from plausibench.bench.studies.study import Study
from plausibench.kernels.errors import integer


@dataclass(frozen=True)
class Options:
    numbers: tuple[int, ...] = (1, 2, 3)
    power: int = 2

    def __post_init__(self):
        integer("power", self.power, least=1)


def powers(number, power):
    yield {{"value": number**power}}


def jobs(options):
    return [
        Job({{"number": number}}, powers, (number, options.power)) for number in options.numbers
    ]


POWERS = Study(
    name="{name}",
    summary="powers of numbers",
    options=Options,
    keys=("number",),
    jobs=jobs,
    report=f"{{__name__}}:report",
)
"""


@pytest.fixture(autouse=True)
def own_plugins(monkeypatch):
    """Registries without the plug-ins of other tests."""
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
    monkeypatch.setattr(study, "_PLUGINS", {})


@pytest.fixture
def plugin(tmp_path):
    """Write a plug-in study; returns its path."""

    def write(name="powers", text=""):
        path = tmp_path / f"{name}.py"
        path.write_text(PLUGIN.format(name=name) + text)
        return str(path)

    return write


def refusal(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in(name):
    found = find(name)
    assert found.name == name
    assert found.summary
    assert found.jobs(found.options())


@pytest.mark.parametrize("name", BUILTIN)
def test_options_come_back_from_a_file(name):
    found = find(name)
    options = found.options()
    assert found.choose(plain_options(options)) == options


def test_an_unknown_name_has_its_nearest():
    assert "did you mean 'benchmark'" in refusal(find, "benchmrk")


class TestPlugin:
    def test_is_as_good_as_ours(self, plugin, tmp_path):
        path = plugin()
        load_plugins([path])
        assert names()["powers"] == path
        powers = find("powers")
        options = powers.choose({"power": 3})
        alone = driver.run(
            "powers", options, powers.jobs(options), tmp_path / "alone", plugins=[path]
        )
        assert alone.frame["value"].tolist() == [1, 8, 27]
        together = driver.run(
            "powers", options, powers.jobs(options), tmp_path / "two", Processes(2), plugins=[path]
        )
        assert together.frame.equals(alone.frame)

    def test_options_come_back_from_the_run(self, plugin, tmp_path):
        load_plugins([plugin()])
        powers = find("powers")
        options = powers.choose({"numbers": [4, 5]})
        driver.run("powers", options, powers.jobs(options), tmp_path / "run")
        assert powers.choose(Run.open(tmp_path / "run").options) == options

    def test_one_value_in_place_of_a_list_is_a_list_of_one(self, plugin):
        load_plugins([plugin()])
        powers = find("powers")
        assert powers.choose({"numbers": 4}) == powers.choose({"numbers": [4]})
        assert find("tags").choose({"rules": "reinforce"}).rules == ("reinforce",)

    def test_a_list_of_one_may_be_an_option_in_the_singular(self):
        """Flags of the command line are in the plural."""
        metric = find("metric")
        assert metric.choose({"tasks": ["digits"]}) == metric.choose({"task": "digits"})
        said = refusal(metric.choose, {"tasks": ["digits", "mnist_1d"]})
        assert "'tasks' is not an option" in said
        assert "did you mean 'task'" in said

    def test_that_was_edited_replaces_what_it_was(self, plugin):
        path = plugin()
        load_plugins([path])
        before = find("powers").jobs(find("powers").options())[0].key
        plugin(text="\n# edited\n")
        load_plugins([path])
        assert find("powers").jobs(find("powers").options())[0].key != before

    def test_may_define_components_too(self, plugin):
        rule = (
            "\nfrom plausibench.rules.feedback_alignment import FeedbackAlignment\n"
            "@dataclass(frozen=True)\nclass Mine(FeedbackAlignment):\n    pass\n"
        )
        load_plugins([plugin(text=rule)])
        assert find("powers").name == "powers"
        assert "mine" in registry.entries("rule")

    def test_with_nothing_in_it_is_refused(self, tmp_path):
        (tmp_path / "empty.py").write_text("")
        assert "defines no component" in refusal(load_plugins, [tmp_path / "empty.py"])
        assert "is not a file" in refusal(load_plugins, [tmp_path / "nowhere.py"])

    def test_of_a_name_that_is_taken_is_refused(self, plugin, tmp_path):
        path = plugin("benchmark")
        assert "taken by built in" in refusal(load_plugins, [path])
        load_plugins([plugin()])
        (tmp_path / "other.py").write_text(PLUGIN.format(name="powers"))
        assert "taken by " in refusal(load_plugins, [tmp_path / "other.py"])

    @pytest.mark.parametrize(
        ("given", "said"),
        [({"power": 0}, "power: 0 is not"), ({"powr": 2}, "did you mean 'power'")],
    )
    def test_refuses_options_by_name(self, plugin, given, said):
        load_plugins([plugin()])
        sentence = refusal(find("powers").choose, given)
        assert sentence.startswith("study powers: ")
        assert said in sentence


@dataclass(frozen=True)
class Options:
    count: int = 1


def made(**values):
    given = {
        "name": "installed",
        "summary": "",
        "options": Options,
        "keys": (),
        "jobs": lambda options: [],
        "report": "a:b",
    }
    return Study(**{**given, **values})


INSTALLED = made()


class TestInstalled:
    @pytest.fixture
    def install(self, monkeypatch):
        def install(*points):
            study._installed.cache_clear()
            monkeypatch.setattr(study, "entry_points", lambda group: points)

        yield install
        study._installed.cache_clear()

    def point(self, name="installed", value=f"{__name__}:INSTALLED"):
        return EntryPoint(name, value, study.GROUP)

    def test_is_found(self, install):
        install(self.point())
        assert names()["installed"] == "an installed package"
        assert find("installed") is INSTALLED

    @pytest.mark.parametrize(
        ("points", "said"),
        [
            ([("benchmark", "a:b")], "taken by built in"),
            ([("mine", "a:b"), ("mine", "a:b")], "taken by an installed package"),
            ([("mine", "nowhere:STUDY")], "cannot be imported"),
            ([("mine", f"{__name__}:INSTALLED")], "is not a Study of that name"),
            ([("mine", f"{__name__}:Options")], "is not a Study of that name"),
        ],
    )
    def test_that_cannot_be_used_is_refused(self, install, points, said):
        install(*(self.point(*point) for point in points))
        assert said in refusal(find, "mine")


@pytest.mark.parametrize("values", [{"options": dict}, {"report": "module"}, {"report": ":f"}])
def test_what_is_no_study_is_refused(values):
    assert refusal(lambda: made(**values)).startswith("study installed: ")


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("tags", {"rules": 3}, "rule: 3 is not a text"),
        ("certificates", {"rules": 3}, "rule: 3 is not a text"),
        ("replications", {"names": 3}, "replication: 3 is not known"),
        ("replications", {"data": 3}, "3' is not a directory of IDX files"),
        ("scaling", {"points": 3}, "points: 3 is not a table for each point"),
        ("scaling", {"points": [{"axes": "x"}]}, "points 1: 'axes' is not an option"),
        ("time", {"points": {"axis": "x"}}, "points 1: the option value must be given"),
        ("modes", {"arms": "x"}, "arms: 'x' is not a table for each arm"),
    ],
)
def test_options_of_another_kind_are_refused(name, given, said):
    with pytest.raises(InputError, match=f"^study {name}: .*{said}"):
        find(name).choose(given)


def raises(options):
    raise KeyError("seed")


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        (raises, "study broken: making its jobs raises KeyError: 'seed'"),
        (lambda options: [1], "study broken: 1 among its jobs is not a Job"),
        (lambda options: None, "study broken: making its jobs raises TypeError: .*"),
    ],
)
def test_jobs_that_cannot_be_made_are_told_in_one_sentence(jobs, said):
    broken = Study("broken", "", Study, (), jobs, "nowhere:report")
    with pytest.raises(InputError, match=f"^{said}$"):
        broken.work(None)


@pytest.mark.parametrize(
    "report", ["nowhere:report", "plausibench.bench.studies.tags.study:nothing"]
)
def test_a_report_that_cannot_be_imported_is_told(report):
    broken = Study("broken", "", Study, (), list, report)
    with pytest.raises(InputError, match=f"^study broken: its report {report} cannot be imported"):
        broken.reporter()


@pytest.mark.parametrize("name", study.names())
def test_every_study_has_its_report(name):
    """But that of stages, which have those of their studies."""
    found = study.find(name)
    assert (found.report == "") == inspect.isgeneratorfunction(found.jobs)
    if found.report:
        assert callable(found.reporter())


def test_only_stages_need_no_report():
    with pytest.raises(InputError, match="report '' is not of the form module:function"):
        Study("unshown", "", Study, (), list)
