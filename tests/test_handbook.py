"""The handbook: built strictly, with a page for every component, loading nothing."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from plausibench.bench import registry

ROOT = Path(__file__).parent.parent

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
