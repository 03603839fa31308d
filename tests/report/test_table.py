"""The comparison table: numbers with their intervals, marks, order, formats, hostile names."""

import csv
import html
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from generated import HOSTILE, IDENTITY, NAN, REFERENCES, RULES, generate, values
from plausibench.bench.report import notation
from plausibench.bench.report.aggregate import aggregate
from plausibench.bench.report.columns import ABOUT, COLUMNS
from plausibench.bench.report.render import FORMATS
from plausibench.bench.report.table import comparison
from plausibench.kernels.errors import InputError


@pytest.fixture(scope="module")
def run():
    return generate(steps=(0, 1000))


@pytest.fixture(scope="module")
def small():
    return generate(seeds=3, steps=(0, 100), protocols=("shared",))


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((0.12, 0.10, 0.14), "0.12 [0.10, 0.14]"),
        ((0.1234, 0.1157, 0.1311), "0.123 [0.116, 0.131]"),
        ((-0.0031, -0.011, 0.0048), "-0.003 [-0.011, 0.005]"),
        ((5123.0, 4100.0, 6200.0), "5100 [4100, 6200]"),
        ((1.23e-6, 1.0e-6, 1.46e-6), "1.2e-6 [1.0e-6, 1.5e-6]"),
        ((2.6e-7, -1e-7, 6e-7), "3e-7 [-1e-7, 6e-7]"),
        ((-0.001, -0.2, 0.2), "0.0 [-0.2, 0.2]"),
        ((0.0, 0.0, 0.0), "0"),
        ((1.5, 1.5, 1.5), "1.5"),
        ((NAN, NAN, NAN), "–"),
        ((0.25, NAN, NAN), "0.25 [?]"),
    ],
)
def test_number_with_interval(ends, text):
    assert notation.number(*ends) == text


def test_exact_and_rounded_numbers():
    assert notation.number(0.25, NAN, NAN, exact=True) == "0.25"
    assert notation.number(0.0, NAN, NAN) == "0 [?]"
    rounding = (3e-16, -1e-16, 7e-16)
    assert notation.number(*rounding, least=1e-12) == "0"
    assert notation.number(*rounding) != "0"


SIZES = st.floats(1e-9, 1e9)


@given(st.floats(-1e6, 1e6), SIZES, SIZES)
def test_text_of_a_number_says_what_it_was(value, below, above):
    low, high = value - below, value + above
    # Narrower intervals than this are lost in the value's own rounding.
    assume(high - low > 1e-6 * max(abs(low), abs(high)))
    shown = re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", notation.number(value, low, high)).groups()
    for text, true in zip(shown, (value, low, high), strict=True):
        assert abs(float(text) - true) <= (high - low) / 7


def column_of(table, heading):
    (name,) = [name for name in table.cells.columns if name.startswith(heading)]
    return table.cells[name], table.best[name]


def cells_of(table, heading):
    texts, _ = column_of(table, heading)
    return dict(zip(table.cells["rule"], texts, strict=True))


def test_default_table_has_a_row_for_every_cell(run):
    table = comparison(*run)
    assert len(table.cells) == len(RULES) * 2 * 2
    headings = " ".join(table.cells.columns)
    for word in ("bias²", "direction", "magnitude", "scale-free", "ρ²", "accuracy", "cost", "K"):
        assert word in headings
    assert "3 of 5" not in table.render()
    assert "diverged (2 of 5 seeds)" in table.render()


def test_negative_bias_is_shown_as_it_is():
    frame = values([-0.02, -0.03, -0.025], quantity="bias_squared")
    table = comparison(frame, columns=["bias_squared"])
    assert cells_of(table, "bias²")["my_rule"] == "-0.025 [-0.037, -0.013]"
    assert float(table.raw["bias_squared"].iloc[0]) == pytest.approx(-0.025)


def test_one_seed_marks_the_best_and_those_that_its_intervals_do_not_tell_apart():
    frame = pd.concat(
        values([mean], rule=rule, quantity=quantity, low=low, high=high)
        for quantity, rows in {
            "bias_squared": (("a", 0.1, 0.1, 0.1), ("b", 0.3, -0.1, 0.7), ("c", 0.5, 0.2, 0.8)),
            "progress": (("a", 0.9, 0.8, 1.0), ("b", 0.85, 0.75, 0.95), ("c", 0.5, 0.4, 0.6)),
            "magnitude_bias": (("a", -0.2, -0.4, 0.0), ("b", 0.1, 0.1, 0.1), ("c", 0.4, 0, 0.8)),
        }.items()
        for rule, mean, low, high in rows
    )
    table = comparison(frame, columns=["bias_squared", "progress", "magnitude_bias"])
    assert list(table.cells["rule"]) == ["a", "b", "c"]
    # b is not told apart from zero: an upper bound, and no best.
    assert list(column_of(table, "bias²")[1]) == [True, False, False]
    assert list(column_of(table, "progress")[1]) == [True, True, False]
    assert list(column_of(table, "magnitude")[1]) == [True, True, True]
    narrow = frame.assign(low=frame["value"], high=frame["value"])
    found = comparison(narrow, columns=["bias_squared", "progress", "magnitude_bias"]).best
    assert found.sum().sum() == 3


def test_rules_at_other_checkpoints_do_not_compete():
    frame = pd.concat(
        values([mean], rule=rule, step=step, low=mean, high=mean)
        for rule, step, mean in (("a", 0, 1.0), ("b", 0, 2.0), ("a", 9, 5.0), ("b", 9, 4.0))
    )
    table = comparison(frame, columns=["variance"])
    marked = table.cells[column_of(table, "variance")[1]]
    assert list(zip(marked["rule"], marked["step"], strict=True)) == [("a", "0"), ("b", "9")]


def test_marks_in_each_format():
    frame = pd.concat(values([v], rule=r, low=v, high=v) for r, v in (("a", 1.0), ("b", 2.5)))
    table = comparison(frame, columns=["variance"])
    assert re.search(r"^a +1 \*$", table.render("text"), re.M)
    assert "**1**" in table.render("markdown")
    assert "**2.5**" not in table.render("markdown")
    assert r"\bfseries 1 " in table.render("latex")
    assert r"\bfseries 2.5" not in table.render("latex")
    page = table.render("html")
    assert re.search(r"#T_plausibench_row0_col1 \{\s*font-weight: bold;\s*\}\s*</style>", page)
    assert page.count("bold;") == 2  # this and the caption
    assert "*" not in table.render("csv")


def test_csv_holds_full_numbers(run):
    frame, units = run
    rows = list(csv.DictReader(io.StringIO(comparison(frame, units).render("csv"))))
    found = aggregate(frame[(frame["quantity"] == "variance") & (frame["kind"] == "conditional")])
    found = found[found["projection"] == "all"]
    expected = found.set_index(["rule", "protocol", "step"])
    assert len(rows) == len(expected)
    for row in rows:
        own = expected.loc[(row["rule"], row["protocol"], int(row["step"]))]
        for name, field in (("", "value"), ("_low", "low"), ("_high", "high")):
            assert float(row[f"variance{name}"]) == own[field]
    broken = [row for row in rows if row["status"] != "done"]
    assert {row["rule"] for row in broken} == {"weight_perturbation"}
    assert "612 training steps" in broken[0]["reason"]


def test_cells_without_values_are_rows_with_their_reason(small):
    frame, units = small
    gone = units["rule"] == "brainprop"
    units = units.assign(
        status=units["status"].mask(gone, "unsupported"),
        reason=units["reason"].mask(gone, "its output must be a policy"),
    )
    table = comparison(frame[frame["rule"] != "brainprop"], units)
    rows = table.cells[table.cells["rule"] == "brainprop"]
    assert list(rows["step"]) == ["0", "100"]
    assert set(rows["status"]) == {"unsupported: its output must be a policy"}
    assert set(rows[column_of(table, "bias²")[0].name]) == {"–"}
    nothing = comparison(frame.iloc[:0], units)
    assert len(nothing.cells) == len(RULES)
    for form in FORMATS:
        assert "its output must be a policy" in nothing.render(form)


def test_seeds_without_a_value_are_marked_and_named():
    table = comparison(values([1.0, NAN, 2.0]), columns=["variance"])
    assert cells_of(table, "variance")["my_rule"].endswith("†")
    assert "my_rule variance without 1" in table.render()


def test_what_no_seed_has_needs_no_mark():
    table = comparison(values([NAN, NAN], flag="no gradient"), columns=["variance"])
    assert cells_of(table, "variance")["my_rule"] == "–"
    assert "†" not in table.render()
    assert (
        "Student's t];"
        in comparison(values([1.0, 2.0], quantity="gain"), columns=["gain"]).render()
    )


def test_the_number_of_seeds_is_that_of_the_values():
    """One column without a finite value for a seed takes no seed from the others."""
    frame = pd.concat(
        [
            values([1.0, 2.0], quantity="bias_squared"),
            values([NAN, 0.5], quantity="scale_free_bias", flag="unresolved"),
        ]
    )
    table = comparison(frame, columns=["bias_squared", "scale_free_bias"])
    assert "2 seeds" in table.title
    assert list(table.raw["bias_squared_seeds"]) == [2]
    assert list(table.raw["scale_free_bias_seeds"]) == [1]
    assert "scale_free_bias without 0" in table.render()


def test_draws_and_flags_of_redrawn_values_are_in_the_table():
    frame = pd.concat(
        [
            values([1.0, 2.0], samples=4000),
            values([3.0, 4.0], kind="marginal", samples=400, redrawn="feedback", flag="few"),
            values([0.1, 0.2], kind="marginal", quantity="progress", samples=400, flag="d_eff"),
        ]
    )
    both = ["variance", "marginal_variance", "samples", "redrawn", "flag"]
    cells = comparison(frame, columns=both).cells.iloc[0]
    assert cells["K"] == "4000; feedback redrawn: 400"
    assert cells["redrawn"] == "rule; feedback redrawn: feedback"
    assert cells["flag"] == "feedback redrawn: few"
    (raw,) = comparison(frame, columns=both).raw.to_dict("records")
    assert (raw["samples"], raw["samples_marginal"], raw["flag_marginal"]) == (4000, 400, "few")
    alone = comparison(frame, columns=["marginal_variance", "samples", "flag"]).cells.iloc[0]
    assert (alone["K"], alone["flag"]) == ("400", "few")


def test_flags_of_every_shown_quantity_are_in_the_table():
    frame = pd.concat(
        [
            values([1.0, 2.0]),
            values([0.1, 0.2], quantity="progress", flag=["unresolved", "few, unresolved"]),
        ]
    )
    flags = comparison(frame, columns=["variance", "progress", "flag"]).cells["flag"]
    assert list(flags) == ["unresolved, few"]
    assert list(comparison(frame, columns=["variance", "flag"]).cells["flag"]) == [""]


@pytest.mark.parametrize("flag", ["no gradient", "diverged"])
def test_a_rule_without_relative_values_is_named(flag):
    silent = values([NAN, NAN], rule="silent", quantity="bias_squared", low=NAN, flag=flag)
    absolute = values([0.1, 0.2], rule="silent", quantity="absolute_bias_squared", flag=flag)
    frame = pd.concat([silent, absolute, values([1.0, 2.0], quantity="bias_squared")])
    table = comparison(frame, columns=["bias_squared", "absolute_bias_squared", "flag"])
    assert cells_of(table, "flag") == {"silent": flag, "my_rule": ""}
    (said,) = [note for note in table.notes if note.endswith(": silent.")]
    assert flag.split()[0] in said.lower()


def test_notes_say_what_stands_for_several_seeds():
    frame = pd.concat(
        values([0.5, 0.6], quantity=quantity, method="exact")
        for quantity in ("variance", "scale_free_bias", "gain", "progress")
    )
    said = comparison(frame, columns=["variance", "scale_free_bias", "gain"]).render()
    assert "over seeds geometric mean of variance, mean of the logits of scale-free bias" in said
    assert "mean of the others" in said
    assert "Values: mean over seeds [95 %" in comparison(frame, columns=["gain"]).render()
    raw = comparison(frame, columns=["variance", "progress"]).raw
    assert list(raw["variance_average"]) == ["geometric mean"]
    assert list(raw["progress_average"]) == ["mean"]


def test_a_squared_bias_from_companions_is_shown_down_to_its_rounding():
    numbers = 1e-16 * np.array([3.0, 4.0, 5.0])
    ends = {"low": 0.8 * numbers, "high": 1.2 * numbers}
    frame = pd.concat(
        values(numbers, quantity="bias_squared", rule=method, method=method, **ends)
        for method in ("companion", "sampled")
    )
    table = comparison(frame, columns=["bias_squared", "method"])
    shown = cells_of(table, "bias²")
    assert shown["sampled"] == "0"
    assert re.fullmatch(r"[34]\S*e-16 \[\S+e-16, \S+e-16\]", shown["companion"])
    assert cells_of(table, "method") == {"companion": "companion", "sampled": "sampled"}
    assert "a bias² from companions: 1e-24" in table.render()
    sampled = comparison(frame[frame["rule"] == "sampled"], columns=["bias_squared"])
    assert "companions" not in sampled.render()


def test_sorts_within_blocks_by_a_quantity_and_throughout_by_a_key(run):
    table = comparison(*run, sort="-variance", columns=["variance"])
    blocks = table.raw.groupby(["protocol", "step"], sort=False)
    assert len(blocks) == 4
    assert all(block["variance"].is_monotonic_decreasing for _, block in blocks)
    unshown = comparison(*run, sort="progress", columns=["variance"])
    assert unshown.raw["rule"].iloc[0] == "weight_perturbation"
    names = comparison(*run, sort="rule").raw["rule"]
    assert names.is_monotonic_increasing
    redrawn = comparison(*run, sort="redrawn", steps=[0], protocols=["own"]).raw["redrawn"]
    assert redrawn.is_monotonic_increasing


def test_columns_by_name_and_what_was_redrawn(run):
    table = comparison(*run, columns=["marginal_variance", "redrawn", "samples", "reference"])
    assert list(table.raw.columns[6:9]) == [
        f"marginal_variance{end}" for end in ("", "_low", "_high")
    ]
    shown = table.cells.set_index("rule").loc["brainprop"]
    assert set(shown["redrawn"]) == {"action"}
    assert set(shown["reference"]) == {"b"}
    assert f"b: {REFERENCES['brainprop']}" in table.render()
    everything = comparison(*run, columns=[*COLUMNS, *ABOUT], steps=[0])
    assert {*COLUMNS, *ABOUT} <= set(everything.raw.columns)
    assert len(everything.cells.columns) == len(set(everything.cells.columns))


def test_a_parameter_alone(run):
    frame, units = run
    table = comparison(frame, units, columns=["bias_squared"], projection="layer1.weights")
    own = frame[(frame["projection"] == "layer1.weights") & (frame["rule"] == "feedback_alignment")]
    own = own[(own["quantity"] == "bias_squared") & (own["protocol"] == "own") & (own["step"] == 0)]
    shown = table.raw.set_index(["rule", "protocol", "step"]).loc[("feedback_alignment", "own", 0)]
    assert shown["bias_squared"] == pytest.approx(np.exp(np.log(own["value"]).mean()))
    assert "layer1.weights" in table.title


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["bais_squared"]}, "did you mean 'bias_squared'"),
        ({"sort": "-varience"}, "did you mean 'variance'"),
        ({"projection": "layer1.weight"}, "did you mean 'layer1.weights'"),
        ({"steps": [7]}, "steps: 7 is not in the run; choose one of 0, 1000"),
        ({"protocols": ["mine"]}, "protocols: 'mine' is not in the run; choose one of shared, own"),
    ],
)
def test_refuses_what_it_does_not_know(run, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        comparison(*run, **options)


def test_refuses_an_unknown_format(small):
    with pytest.raises(InputError, match="did you mean 'latex'"):
        comparison(*small).render("latx")


def test_wide_text_continues_below_itself(run):
    lines = comparison(*run, steps=[0]).render("text", width=100).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("backprop ") for line in lines) >= 4


@pytest.mark.parametrize("rule", [HOSTILE, "[x](http://a.b)", "=1+1", "_a_ *b* `c`", "two\nlines"])
def test_hostile_names_are_text_in_every_format(rule):
    units = values([1.0], rule=rule)[list(IDENTITY)].assign(status="failed", reason=rule)
    table = comparison(values([1.0, 2.0], rule=rule), units, columns=["variance"])

    page = table.render("html")
    assert "<script" not in page
    assert Cells(page).rows[1][0].split() == rule.split()

    (row,) = list(csv.DictReader(io.StringIO(table.render("csv"))))
    assert row["rule"] == rule

    latex = table.render("latex")
    body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")]
    assert unlatex(body.splitlines()[1].split(" & ")[0]).split() == rule.split()

    line = table.render("markdown").splitlines()[4]
    first = re.split(r"(?<!\\)\|", line)[1]
    assert unmarkdown(first).split() == rule.split()
    assert not re.search(r"(?<!\\)[*`$~<>]|(?<![\\\s])\[", first)


class Cells(HTMLParser):
    """Text of the cells of a page's table, as a browser reads it."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in ("td", "th")
        if self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def unlatex(text):
    """What LaTeX prints for escaped text; raw special characters are an error."""
    names = {
        "textbackslash{}": "\\",
        "textasciitilde{}": "~",
        "textasciicircum{}": "^",
        "textless{}": "<",
        "textgreater{}": ">",
        "textbar{}": "|",
    }
    pattern = "|".join(re.escape(name) for name in names)
    plain, rest = "[" * text.startswith("{[}"), text.removeprefix("{[}")
    while rest:
        named = re.match(rf"\\(?:({pattern})|([&%$#_{{}}]))", rest)
        if named:
            plain += names[named[1]] if named[1] else named[2]
            rest = rest[named.end() :]
        else:
            assert rest[0] not in "\\&%$#_{}~^<>|"
            plain, rest = plain + rest[0], rest[1:]
    return plain


def unmarkdown(text):
    """What Markdown prints for text with escapes and entities."""
    return html.unescape(re.sub(r"\\([^A-Za-z0-9\s])", r"\1", text))
