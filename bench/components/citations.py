"""From the sources that components name to BibTeX."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.kernels.errors import InputError

FRAMEWORK = "Richards et al. 2019"
"""What every run rests on."""


@dataclass(frozen=True)
class Work:
    """An entry of the bibliography.

    Attributes
    ----------
    key
        Its name in BibTeX.
    authors
        Surnames, in plain letters and lower case.
    year
        Of publication.
    entry
        The whole entry.
    """

    key: str
    authors: tuple[str, ...]
    year: str
    entry: str


@cache
def bibliography() -> tuple[Work, ...]:
    """Every work that a built-in component names."""
    text = (
        files("plausibench.bench.components")
        .joinpath("bibliography.bib")
        .read_text(encoding="utf-8")
    )
    return tuple(
        Work(key, _surnames(_field(entry, "author")), _field(entry, "year"), entry)
        for entry, key in re.findall(r"(@\w+\{(\w+),\n.*?\n\})", text, re.DOTALL)
    )


def works(text: str) -> tuple[list[Work], list[str]]:
    """Works that a text such as ``Oja 1982, 1989; Hebb 1949`` names, and parts that are unknown.

    Authors are surnames in their order, all of them or the first ones and ``et al.``
    """
    found, unknown = [], []
    for part in filter(None, (one.strip() for one in text.split(";"))):
        years = re.findall(r"\b\d{4}\b", part)
        names = re.split(r"[,&]| et al\.", re.sub(r"[, ]*\b\d{4}\b", "", part))
        authors = tuple(_plain(name) for name in names if name.strip())
        for year in years or [""]:
            own = [
                work
                for work in bibliography()
                if work.year == year and work.authors[: len(authors)] == authors
            ]
            # One who is named alone wrote alone, unless no such work is known.
            whole = [work for work in own if len(work.authors) == len(authors)]
            chosen = own if "et al." in part else whole
            found += chosen[:1]
            if not chosen:
                unknown.append(part)
    return found, unknown


def cited(jobs: Iterable[Mapping[str, Any]], extra: Iterable[str] = (FRAMEWORK,)) -> list[str]:
    """What the components of a run say they rest on, each text once.

    Parameters
    ----------
    jobs
        Identities of the jobs of the run, with selectors by kind; components that are not known
        here are left out.
    extra
        Further texts, which come first.
    """
    texts: dict[str, None] = dict.fromkeys(extra)
    chosen = {
        (kind, selector): None
        for about in jobs
        for kind in reversed(registry.KINDS)
        if isinstance(selector := about.get(kind), str)
    }
    for kind, selector in chosen:
        name = selector.partition("[")[0]
        if name in registry.entries(kind):
            component: Any = registry.find(kind, name)
            try:
                # The card of a rule may depend on its options.
                card = select(kind, selector).make().card if kind == "rule" else component
            except InputError:  # a rule by the name, whatever stands behind it
                card = component.card
            texts |= dict.fromkeys([card.cites])
    texts.pop("", None)
    return list(texts)


def bibtex(texts: Iterable[str]) -> str:
    """Entries in the order of their keys; what is not known stands as a comment."""
    entries: dict[str, str] = {}
    comments: dict[str, None] = {}
    for text in texts:
        found, unknown = works(text)
        entries |= {work.key: work.entry for work in found}
        comments |= dict.fromkeys(f"% Not in the bibliography: {part}" for part in unknown)
    return "\n\n".join([*comments, *(entries[key] for key in sorted(entries))]) + "\n"


def _field(entry: str, name: str) -> str:
    found = re.search(rf"^  {name} = \{{(.*?)\}},$", entry, re.DOTALL | re.MULTILINE)
    return "" if found is None else " ".join(found.group(1).split())


def _surnames(authors: str) -> tuple[str, ...]:
    return tuple(_plain(author.partition(",")[0]) for author in authors.split(" and "))


def _plain(name: str) -> str:
    """A name in plain letters: without accents, in TeX or in Unicode, and in lower case."""
    bare = re.sub(r"\\[`'^\"~=.cuvHtdbk](?=[{\s]?[A-Za-z\\])", "", name)
    bare = bare.replace(r"\o", "o").replace(r"\i", "i").replace("ø", "o").replace("Ø", "O")
    bare = re.sub(r"[{}\\]", "", bare)
    letters = unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode()
    return " ".join(letters.lower().split())
