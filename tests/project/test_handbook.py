"""The handbook: built strictly, with a page for every component, loading nothing."""

import csv
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from plausibench.bench import certificate
from plausibench.bench.components import registry
from plausibench.bench.studies.benchmark.starts import start
from plausibench.bench.studies.figure2 import study as figure2
from plausibench.bench.studies.study import names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
with (DOCS / "plane" / "digits.csv").open(encoding="utf-8", newline="") as file:
    PLACED = {row["rule"].partition("[")[0] for row in csv.DictReader(file)}
RULES = list(registry.entries("rule"))
pytest.importorskip("mkdocs", reason="the handbook needs the extra handbook")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handbook")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The theme announces a next version of the builder in a box of its own.
    assert "WARNING -" not in done.stderr, done.stderr
    return folder


class Loaded(HTMLParser):
    """What a page loads by itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        source = named.get("src") if tag in ("script", "img") else None
        if tag == "link" and named.get("rel") in ("stylesheet", "icon", "preload"):
            source = named.get("href")
        if source is not None:
            self.found.append(source)


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_component_has_its_page(built, kind):
    for name in registry.entries(kind):
        text = (built / f"{kind}s" / f"{name}.html").read_text(encoding="utf-8")
        assert name in text


@pytest.mark.parametrize("kind", ["rule", "architecture"])
def test_the_page_of_defaults_says_where_each_starts(built, kind):
    text = (built / "defaults.html").read_text(encoding="utf-8")
    rows = section(text, f"{kind}s").split("<tr>")[2:]
    assert len(rows) == len(registry.entries(kind))
    for name, row in zip(registry.entries(kind), rows, strict=True):
        place = start(**{f"{kind}s": [name]})
        for part in (name, place.task, place.architecture, place.units, place.objective):
            assert f"<code>{part}</code>" in row


def section(text, name):
    """Part of a page under a heading, or an empty text."""
    return text.partition(f'<h2 id="{name}">')[2].partition("<h2")[0]


def kept_certificates():
    """Sections of the page of certificates, by rule."""
    text = (DOCS / "certificates.md").read_text(encoding="utf-8")
    return dict(one.split("\n", 1) for one in text.split("\n## ")[1:])


CERTIFIED = kept_certificates()


@pytest.mark.parametrize("rule", RULES)
def test_rules_show_family_certificate_and_place(built, rule):
    """Or how to measure what was not yet."""
    text = (built / "rules" / f"{rule}.html").read_text(encoding="utf-8")
    assert f"<td>{registry.find('rule', rule).card.family}</td>" in text
    certified, placed = section(text, "certificate"), section(text, "measured-place")
    assert ("<td>conformance</td>" in certified) == (rule in CERTIFIED)
    assert ("weight transport" in certified) == (rule in CERTIFIED)
    assert (f"<code>plausibench check {rule}</code>" in certified) or rule in CERTIFIED
    if rule in figure2.EQUAL:
        assert f'href="{figure2.EQUAL[rule]}.html"' in placed
    else:
        measured = rule in PLACED
        assert (f"<td><code>{rule}" in placed) == measured
        assert (f"<code>plausibench run figure2 --rules {rule}</code>" in placed) == (not measured)


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.acceptance
def test_every_rule_has_a_certificate():
    """A new rule has none until ``plausibench check --all`` makes them anew."""
    assert list(CERTIFIED) == RULES


def test_every_certificate_passed():
    assert set(CERTIFIED) <= set(RULES)
    assert list(CERTIFIED) == sorted(CERTIFIED)
    assert len(CERTIFIED) > 40
    for rule, text in CERTIFIED.items():
        assert "\n**Passed**: " in text, rule
        lines = [cells(line) for line in text.splitlines() if line.startswith("| ")]
        verdicts = [line[4] for line in lines if len(line) == 5 and line[0] not in ("claim", "---")]
        assert len(verdicts) > 10, rule
        for verdict in verdicts:
            assert re.fullmatch(r"passed|not applicable: .+", verdict), f"{rule}: {verdict}"


@pytest.mark.parametrize("rule", CERTIFIED)
def test_kept_certificates_are_of_the_claims_that_are_made(rule):
    """Cards and conditions of today; a new or changed claim asks for new certificates."""
    made = registry.make("rule", rule)
    lines = CERTIFIED[rule].splitlines()
    rows = [cells(line) for line in lines if line.startswith("| ")]
    verdicts = {row[1]: row[-1] for row in rows}
    for claim in made.theory():
        # In some situation: a claim that refuses them all would be measured nowhere.
        assert verdicts[plain(claim.condition)] == "passed"
    empty = certificate.Certificate(rule, made, [], [])
    head, _, _ = certificate.page(empty, 2).partition("**Passed**")
    assert "\n".join(["## " + rule, *lines]).startswith(head)


def plain(text):
    """Text as a cell of a table holds it."""
    return "".join(f"\\{sign}" if sign in "|*_[<" else sign for sign in " ".join(text.split()))


def test_every_picture_says_what_made_it():
    """And every command that is named is there."""
    text = (DOCS / "pictures.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([\w/]+\.png)\)", text)
    assert sorted(named) == sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.png"))
    for study in re.findall(r"`plausibench run (\w+)(?: --.*)?` ", text):
        assert study in names()
    for file in re.findall(r"`plausibench run docs/(\S+)`", text):
        assert (DOCS / file).is_file()


def test_nothing_is_loaded_from_elsewhere(built):
    pages = list(built.rglob("*.html"))
    assert len(pages) > 70
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        for source in loaded.found:
            assert not re.match(r"(https?:)?//", source), f"{page.name}: {source}"
            if not source.startswith("data:"):
                # The page for what is not found has paths from the root.
                start = built if source.startswith("/") else page.parent
                file = start / source.split("?")[0].lstrip("/")
                assert file.is_file(), f"{page.name}: {source}"
