"""Every source that a component names has an entry in the bibliography, and the other way round."""

import re

import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.citations import bibliography, bibtex, cited, works
from sweeps import TINY, run

COMPONENTS = [(kind, name) for kind in registry.KINDS for name in registry.entries(kind)]


def text_of(kind, name):
    component = registry.find(kind, name)
    return getattr(component, "card", component).cites


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_sources_are_in_the_bibliography(kind, name):
    found, unknown = works(text_of(kind, name))
    assert unknown == []
    years = re.findall(r"\d{4}", text_of(kind, name))
    assert [work.year for work in found] == years


def test_entries_are_whole():
    keys = [work.key for work in bibliography()]
    assert len(set(keys)) == len(keys) > 80
    for work in bibliography():
        assert work.authors
        assert re.fullmatch(r"(19|20)\d\d", work.year)
        assert work.entry.count("{") == work.entry.count("}")
        assert "  title = {" in work.entry


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Oja 1982, 1989; Sanger 1989", ["oja1982", "oja1989", "sanger1989"]),
        ("Nokland 2016", ["nokland2016"]),
        ("Nøkland 2016", ["nokland2016"]),
        ("Bengio, Leonard & Courville 2013", ["bengio2013"]),
        ("Bellec et al. 2020", ["bellec2020"]),
        ("Millidge, Tschantz & Buckley 2022", ["millidge2022graphs"]),
        ("Millidge, Song, Salvatori, Lukasiewicz & Bogacz 2022", ["millidge2022limit"]),
        ("Roelfsema & van Ooyen 2005", ["roelfsema2005"]),
    ],
)
def test_works_by_name(text, keys):
    assert [work.key for work in works(text)[0]] == keys


@pytest.mark.parametrize(
    "text", ["Nobody 2016", "Oja 1983", "Oja", "Bellec 2020", "Hinton & Hebb 1949"]
)
def test_what_is_unknown_is_told(text):
    assert works(text) == ([], [text])
    assert bibtex([text]) == f"% Not in the bibliography: {text}\n"


def test_a_run_cites_its_components(tmp_path):
    run(TINY.with_values(checkpoints=(0,), seeds=1, protocols=("shared",)), tmp_path / "run")
    done = CliRunner().invoke(main, ["cite", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    keys = re.findall(r"@\w+\{(\w+),", done.stdout)
    assert {"richards2019", "lillicrap2016", "jabri1992", "rumelhart1986", "saad1995"} <= set(keys)
    assert "murray2019" not in keys
    assert keys == sorted(set(keys))
    assert cited([]) == ["Richards et al. 2019"]
