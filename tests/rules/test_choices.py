"""Words that an option takes: every rule declares them, takes each and refuses all others."""

from dataclasses import fields

import pytest

from plausibench import bench
from plausibench.bench.components import registry
from plausibench.kernels.errors import InputError


def words(component):
    """Options that are one of some words: those whose value is a word where nobody chose."""
    return {field.name for field in fields(component) if field.init and _is_word(field)}


def _is_word(field):
    return field.type in (str, "str", str | None, "str | None") or isinstance(field.default, str)


@pytest.mark.parametrize("name", sorted(registry.entries("rule")))
def test_declared_words_are_those_that_are_taken(name):
    component = registry.find("rule", name)
    assert words(component) == set(component.choices), "a rule declares them in `choices`"
    for option, allowed in component.choices.items():
        assert len(set(allowed)) == len(allowed) > 1
        default = next(field.default for field in fields(component) if field.name == option)
        assert default is None or default in allowed
        for word in allowed:
            assert getattr(bench.make("rule", name, **{option: word}), option) == word
        for other in ("", "no such word", allowed[0].upper(), 1, True):
            with pytest.raises(InputError, match=rf"\b{option}: ") as refused:
                bench.make("rule", name, **{option: other})
            # The sentence lists what is declared, all of it and no more.
            listed = str(refused.value).partition("choose one of ")[2].partition(";")[0]
            assert set(listed.split(", ")) == set(allowed)
