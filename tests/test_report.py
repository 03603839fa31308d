"""Tables and pictures made from results."""

import csv
import html
import io
import math
import re
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.legend import Legend
from matplotlib.text import Annotation, Text

from generated import HOSTILE, IDENTITY, NAN, REFERENCES, RULES, generate
from plausibench.bench import registry
from plausibench.bench.report import notation, panels, sketch, style
from plausibench.bench.report.aggregate import aggregate, settings
from plausibench.bench.report.along import along_training
from plausibench.bench.report.averaging import averaging_curve
from plausibench.bench.report.budget import variance_budget
from plausibench.bench.report.columns import ABOUT, COLUMNS
from plausibench.bench.report.compare import compare, difference_table
from plausibench.bench.report.curves import learning_curves
from plausibench.bench.report.families import families, members
from plausibench.bench.report.figures import pictures, save_all
from plausibench.bench.report.plane import plane
from plausibench.bench.report.render import FORMATS
from plausibench.bench.report.scale import Scale
from plausibench.bench.report.table import comparison
from plausibench.kernels.errors import InputError


@pytest.fixture(scope="module")
def run():
    return generate(steps=(0, 1000))


@pytest.fixture(scope="module")
def small():
    return generate(seeds=3, steps=(0, 100), protocols=("shared",))


@pytest.fixture(scope="module")
def few():
    return generate(seeds=2, steps=(0,), protocols=("shared",), rules=list(RULES)[:4])


@pytest.fixture(scope="module")
def drawn(run):
    return pictures(*run)


def values(numbers, quantity="variance", kind="conditional", rule="my_rule", **more):
    """Rows of one quantity, one per seed."""
    numbers = np.asarray(numbers, dtype=float)
    row = {
        "task": "digits",
        "architecture": "mlp",
        "objective": "cross_entropy",
        "rule": rule,
        "seed": np.arange(len(numbers)),
        "protocol": "shared",
        "step": 0,
        "kind": kind,
        "projection": "all",
        "quantity": quantity,
        "value": numbers,
        "low": numbers - 1,
        "high": numbers + 1,
        "samples": 1000,
        "redrawn": "rule",
        "reference": "gradient of the objective",
        "method": "sampled",
        "effective_dimension": 50.0,
        "flag": "",
    }
    return pd.DataFrame({**row, **more})


# Aggregation over seeds


def test_mean_and_interval_over_seeds_by_hand():
    row = aggregate(values([1.0, 2.0, 4.0])).iloc[0]
    student = 0.95 / math.sqrt(2 * 0.975 * 0.025)  # closed form for 2 degrees of freedom
    half = student * math.sqrt(7 / 3) / math.sqrt(3)
    assert row["value"] == pytest.approx(7 / 3, rel=1e-15)
    assert row["low"] == pytest.approx(7 / 3 - half, rel=1e-12)
    assert row["high"] == pytest.approx(7 / 3 + half, rel=1e-12)
    assert row["seeds"] == 3
    assert "seed" not in row.index


def test_one_seed_keeps_its_own_interval():
    row = aggregate(values([5.0], low=4.5, high=6.5)).iloc[0]
    assert (row["value"], row["low"], row["high"], row["seeds"]) == (5.0, 4.5, 6.5, 1)


def test_intervals_over_seeds_cover_as_stated(record_figure):
    """4000 cells of 5 normal seeds: a right interval leaves the bounds once in 15 000 times."""
    cells, seeds = 4000, 5
    drawn = np.random.default_rng(1).normal(3.0, 2.0, (cells, seeds)).ravel()
    places = {"seed": np.tile(np.arange(seeds), cells), "step": np.repeat(np.arange(cells), seeds)}
    found = aggregate(values(drawn, quantity="gain", **places))
    covered = ((found["low"] <= 3.0) & (found["high"] >= 3.0)).mean()
    record_figure("coverage of the interval over 5 seeds", covered, "95 %")
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / cells)


def test_seeds_without_a_finite_value_are_counted_and_named():
    row = aggregate(values([1.0, NAN, 3.0, math.inf])).iloc[0]
    assert (row["value"], row["seeds"], row["lost"]) == (2.0, 2, "1, 3")
    alone = aggregate(values([NAN, 3.0])).iloc[0]
    assert (alone["low"], alone["high"], alone["lost"]) == (2.0, 4.0, "0")
    missing = aggregate(values([NAN, NAN])).iloc[0]
    assert (missing["state"], missing["seeds"], missing["lost"]) == ("missing", 0, "0, 1")


@pytest.mark.parametrize(
    ("quantity", "ends", "state", "bound"),
    [
        ("bias_squared", (0.02, -0.01, 0.05), "bounded", 0.05),
        ("bias_squared", (-0.04, -0.05, -0.03), "bounded", 0.01),  # no tighter than at zero
        ("bias_squared", (0.2, 0.1, 0.3), "resolved", NAN),
        ("bias_squared", (1e-31, 0.0, 2e-31), "zero", NAN),
        ("absolute_bias_squared", (1e-31, 5e-32, 2e-31), "resolved", NAN),
        ("variance", (0.0, 0.0, 0.0), "zero", NAN),
        ("magnitude_bias", (-0.2, -0.5, 0.1), "resolved", NAN),
        ("bias_squared", (-0.1, NAN, NAN), "bounded", NAN),
        ("bias_squared", (NAN, NAN, NAN), "missing", NAN),
    ],
)
def test_state_and_bound(quantity, ends, state, bound):
    value, low, high = ends
    row = aggregate(values([value], quantity=quantity, low=low, high=high)).iloc[0]
    assert row["state"] == state
    assert row["bound"] == pytest.approx(bound, nan_ok=True)
    assert row["value"] == pytest.approx(value, nan_ok=True)  # never clipped


def test_averaging_curves_keep_their_sample_numbers():
    curve = pd.concat(values([c, c], kind="averaging", samples=k) for c, k in ((0.1, 1), (0.2, 2)))
    found = aggregate(curve)
    assert list(found["samples"]) == [1, 2]
    measured = aggregate(values([1.0, 2.0], samples=[900, 1000], flag=["few samples", ""]))
    assert (len(measured), measured["samples"][0], measured["flag"][0]) == (1, 900, "few samples")


def test_order_of_rows_does_not_matter(run):
    frame, _ = run
    shuffled = frame.sample(frac=1, random_state=np.random.default_rng(0))
    key = ["rule", "protocol", "step", "kind", "projection", "quantity", "samples"]
    one, two = (aggregate(f).sort_values(key).reset_index(drop=True) for f in (frame, shuffled))
    pd.testing.assert_frame_equal(one, two, rtol=1e-12, atol=1e-15)


def test_settings_split_only_where_a_rule_runs_twice(run):
    frame, _ = run
    assert set(settings(frame)) == {"digits"}
    twice = pd.concat([frame, frame.assign(architecture="linear")])
    assert "digits, linear, cross_entropy" in set(settings(twice))
    assert "digits" not in set(settings(twice))


# Numbers


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
    assert notation.number(*rounding, relative=True) == "0"
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


# The comparison table


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


def test_marks_the_best_and_those_whose_interval_reaches_it():
    frame = pd.concat(
        values([mean], rule=rule, quantity=quantity, low=low, high=high)
        for quantity, rows in {
            "bias_squared": (("a", 0.1, 0.1, 0.1), ("b", 0.3, -0.1, 0.7), ("c", 0.5, 0.2, 0.8)),
            "progress": (("a", 0.9, 0.8, 1.0), ("b", 0.85, 0.75, 0.95), ("c", 0.5, 0.4, 0.6)),
            "magnitude_bias": (("a", -0.2, -0.3, -0.1), ("b", 0.1, 0.1, 0.1), ("c", 0.4, 0, 0.8)),
        }.items()
        for rule, mean, low, high in rows
    )
    table = comparison(frame, columns=["bias_squared", "progress", "magnitude_bias"])
    assert list(table.cells["rule"]) == ["a", "b", "c"]
    assert list(column_of(table, "bias²")[1]) == [True, True, False]
    assert list(column_of(table, "progress")[1]) == [True, True, False]
    assert list(column_of(table, "magnitude")[1]) == [True, True, True]
    narrow = frame.assign(low=frame["value"], high=frame["value"])
    marks = comparison(narrow, columns=["bias_squared", "progress", "magnitude_bias"]).best
    assert marks.sum().sum() == 3


def test_two_seeds_have_no_interval_that_marks():
    """Student's interval over two seeds that differ by 0.2 is 2.5 wide: it reaches anything."""
    frame = pd.concat(
        values([mean, mean + 0.2], quantity="progress", rule=rule, seed=[0, 1])
        for rule, mean in (("a", 0.7), ("b", 0.2))
    )
    assert list(column_of(comparison(frame, columns=["progress"]), "progress")[1]) == [True, False]


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
    assert shown["bias_squared"] == pytest.approx(own["value"].mean())
    assert "layer1.weights" in table.title


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["bais_squared"]}, "did you mean 'bias_squared'"),
        ({"sort": "-varience"}, "did you mean 'variance'"),
        ({"projection": "layer1.weight"}, "did you mean 'layer1.weights'"),
        ({"steps": [7]}, "steps: 7 is not in the run; choose from 0, 1000"),
        ({"protocols": ["mine"]}, "protocols: 'mine' is not in the run; choose from shared, own"),
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


# Pictures


def test_every_picture_of_a_run(drawn):
    names = [picture.name for picture in drawn]
    assert names == [
        "plane",
        "plane-scale_free",
        "along_training",
        "variance_budget",
        "averaging_curve",
        "learning_curves",
    ]
    assert all(len(picture.caption) > 100 for picture in drawn)


def test_pictures_need_their_data(run):
    frame, units = run
    training = frame[frame["kind"] == "training"]
    assert [p.name for p in pictures(training, units)] == ["learning_curves"]
    assert pictures(training[training["protocol"] == "shared"], units) == []
    for draw in (plane, along_training, variance_budget, averaging_curve):
        with pytest.raises(InputError, match="holds no"):
            draw(training)
    with pytest.raises(InputError, match="holds no learning curve"):
        learning_curves(frame[frame["step"] == 0])


def looks_in(figure):
    """Colour and marker by label, from the legend."""
    return {
        text.get_text(): (line.get_color(), line.get_marker())
        for legend in figure.findobj(Legend)
        for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True)
    }


def test_a_rule_looks_the_same_in_every_picture(drawn):
    expected = {s.label: (s.colour, s.marker) for s in style.styles(RULES).values()}
    assert len(set(expected.values())) == len(RULES)
    legends = [looks_in(picture.figure) for picture in drawn]
    assert sum(bool(legend) for legend in legends) == 5
    for legend in filter(None, legends):
        assert expected.items() <= legend.items()
    budget = drawn[3].figure.axes[0]
    labels = [tick.get_text() for tick in budget.get_yticklabels()]
    marked = [line for line in budget.lines if line.get_marker() in list("*osv^DPpX")]
    assert len(marked) == len(RULES)
    for line in marked:
        label = labels[int(line.get_ydata()[0])]
        assert (line.get_markerfacecolor(), line.get_marker()) == expected[label]


def test_looks_of_built_in_rules_do_not_depend_on_the_others():
    alone = style.styles(["node_perturbation"])
    among = style.styles([*RULES, "my_rule", "node_perturbation[sigma=0.1]"])
    assert alone["node_perturbation"] == among["node_perturbation"]
    assert among["node_perturbation[sigma=0.1]"].colour == alone["node_perturbation"].colour
    assert among["node_perturbation[sigma=0.1]"].marker != alone["node_perturbation"].marker
    many = style.styles([f"rule{n}" for n in range(20)])
    assert len({(look.colour, look.marker) for look in many.values()}) == 20
    assert set(registry.entries("rule")) <= set(style.BUILTIN)
    assert len(set(style.BUILTIN.values())) == len(style.BUILTIN)


def texts_in(figure):
    """Texts that are drawn, with their boxes."""
    with style.theme():
        figure.draw_without_rendering()
        ticks = [
            tick.label1
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis._update_ticks()
            if min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        ]
    rest = [
        text
        for axes in figure.axes
        for text in (*axes.texts, axes._left_title, axes.xaxis.label, axes.yaxis.label)
    ]
    loose = [text for part in figure.subfigs for text in part.texts]
    keys = [text for legend in figure.findobj(Legend) for text in legend.get_texts()]
    texts = (*ticks, *rest, *loose, *keys)
    drawn = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent()) for text in drawn]


@pytest.mark.parametrize("index", range(6))
def test_text_is_readable_and_does_not_overlap(drawn, index):
    figure = drawn[index].figure
    assert figure.get_figwidth() in (style.COLUMN, style.PAGE)
    texts = texts_in(figure)
    assert len(texts) > 20
    for text, box in texts:
        assert text.get_fontsize() >= style.SMALL
        assert min(box.x0, box.y0) > -1, text
        assert box.x1 < figure.bbox.x1 + 1, text
        assert box.y1 < figure.bbox.y1 + 1, text
    for (one, a), (two, b) in combinations(texts, 2):
        beside = a.x1 < b.x0 + 1 or b.x1 < a.x0 + 1
        assert beside or a.y1 < b.y0 + 1 or b.y1 < a.y0 + 1, (one, two)


def only(rows):
    return plane(pd.concat(rows)).figure.axes[0]


def point_of(rule, bias, variance, seeds=1):
    """A rule's point with given (value, low, high)."""
    return [
        values([value] * seeds, quantity=quantity, rule=rule, low=low, high=high)
        for quantity, (value, low, high) in (("bias_squared", bias), ("variance", variance))
    ]


def markers(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker and line.get_zorder() >= 4]


def test_plane_draws_value_and_interval():
    axes = only(point_of("node_perturbation", (0.2, 0.1, 0.4), (30.0, 20.0, 45.0)))
    (dot,) = markers(axes, "v")
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.2, 30.0)
    bars = [(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.lines]
    assert ((0.1, 0.4), (30.0, 30.0)) in bars
    assert ((0.2, 0.2), (20.0, 45.0)) in bars
    assert not axes.findobj(Annotation)


def test_plane_draws_bounds_with_arrows():
    axes = only(point_of("node_perturbation", (0.02, -0.01, 0.05), (30.0, 20.0, 45.0)))
    (dot,) = markers(axes, "v")
    assert dot.get_xdata()[0] == 0.05
    (arrow,) = axes.findobj(Annotation)
    assert arrow.xy == (0.05, 30.0)
    assert arrow.get_position()[0] < 0  # points to the left


def test_plane_draws_exact_zeros_beyond_the_break():
    zero = (0.0, 0.0, 0.0)
    rows = [*point_of("backprop", zero, zero), *point_of("brainprop", (0.3, 0.2, 0.4), (2, 1, 3))]
    axes = only(rows)
    (star,) = markers(axes, "*")
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    assert left < star.get_xdata()[0] < 0.1
    assert bottom < star.get_ydata()[0] < 1
    for axis in (axes.xaxis, axes.yaxis):
        labels = dict(zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True))
        assert labels[min(labels)].get_text() == "0"
    assert min(axes.xaxis.get_majorticklocs()) == pytest.approx(star.get_xdata()[0])


def test_marginal_points_are_open_and_joined_to_the_conditional_ones():
    held = point_of("feedback_alignment", (1.5, 1.2, 1.8), (0.4, 0.3, 0.5))
    redrawn = [part.assign(kind="marginal", value=part["value"] * 2) for part in held]
    axes = only([*held, *redrawn])
    filled, opened = sorted(markers(axes, "o"), key=lambda line: line.get_xdata()[0])
    assert filled.get_markerfacecolor() == filled.get_markeredgecolor()
    assert opened.get_markeredgecolor() == filled.get_markeredgecolor()
    assert opened.get_markerfacecolor() == "none"
    assert any(tuple(line.get_xdata()) == (1.5, 3.0) for line in axes.lines)


def test_markers_on_the_strip_do_not_hide_each_other():
    zero = (0.0, 0.0, 0.0)
    rules = ("feedback_alignment", "direct_feedback_alignment", "dendritic_error")
    axes = only([part for rule in rules for part in point_of(rule, (1.4, 1.2, 1.6), zero)])
    heights = sorted(markers(axes, m)[0].get_ydata()[0] for m in ("o", "s", "p"))
    places = axes.transData.transform([(1.4, height) for height in heights])[:, 1]
    assert min(np.diff(places)) > 2
    assert heights[0] > axes.get_ylim()[0]


def test_scale_free_axis(run):
    frame = run[0][(run[0]["step"] == 0) & (run[0]["protocol"] == "own")]
    raw, free = (plane(frame, axis=axis).figure.axes[0] for axis in ("raw", "scale_free"))
    one, two = (markers(axes, "o")[0].get_xdata()[0] for axes in (raw, free))
    assert two == pytest.approx(one / 2)
    with pytest.raises(InputError, match="did you mean 'scale_free'"):
        plane(frame, axis="scalefree")


def test_families_have_panels_with_every_rule_once(run):
    rules = ["backprop", *registry.entries("rule"), "my_rule", "predictive_coding[variant=nudged]"]
    grouped = members(rules)
    placed = [rule for group in grouped.values() for rule in group]
    assert sorted(placed) == sorted(set(rules) - {"backprop"})
    assert grouped["others"] == ["my_rule"]
    picture = families(*run)
    assert "after 1000 steps" in picture.caption
    titles = [axes.get_title(loc="left") for axes in picture.figure.axes]
    names = sorted(set(run[0]["rule"]))
    assert [text for text in titles if text] == list(members(names))
    shown = [text.get_text() for text in picture.figure.findobj(Text)]
    assert all(style.label(rule, 42) in shown for rule in names)
    assert shown.count("backprop") == len(members(names))


def test_a_family_shows_value_interval_and_protocol():
    shared = point_of("node_perturbation", (0.2, 0.1, 0.4), (30.0, 20.0, 45.0))
    own = [
        part.assign(protocol="own", value=part["value"] * 2)
        for part in point_of("node_perturbation", (0.2, 0.1, 0.4), (30.0, 20.0, 45.0))
    ]
    protocol = shared[0]["protocol"].iloc[0]
    shared = [part.assign(protocol="shared") for part in shared]
    assert protocol in style.LINES
    axes = families(pd.concat([*shared, *own])).figure.axes[0]
    filled, opened = sorted(markers(axes, "o"), key=lambda line: line.get_xdata()[0])
    assert (filled.get_xdata()[0], filled.get_ydata()[0]) == (0.2, 30.0)
    assert filled.get_markerfacecolor() == filled.get_markeredgecolor()
    assert (opened.get_xdata()[0], opened.get_ydata()[0]) == (0.4, 60.0)
    assert opened.get_markerfacecolor() == "none"
    bars = [(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axes.lines]
    assert ((0.1, 0.4), (30.0, 30.0)) in bars


def texts_of(picture):
    return " ".join(text.get_text() for text in picture.figure.findobj(Text)).replace("\n", " ")


def test_pictures_name_what_diverged(run, drawn):
    said = "Diverged: weight perturbation (own training, 2 of 5 seeds)."
    assert said in texts_of(drawn[0])
    assert said in texts_of(drawn[2])
    assert "Diverged" not in texts_of(plane(*run, protocols=["shared"], steps=[0]))
    frame, units = run
    rest = frame[frame["rule"] != "weight_perturbation"]
    units = units.assign(
        status=units["status"].mask(units["rule"] == "weight_perturbation", "failed")
    )
    assert "Failed: weight perturbation (shared weights); weight" in texts_of(
        plane(rest, units, steps=[0])
    )


def test_sketch_follows_the_cards(run):
    found = sketch.places(RULES)
    for place, rules in found.items():
        for rule, questioned in rules:
            card = registry.find("rule", rule).card
            assert (card.expected, card.questioned) == (place, questioned)
    placed = {rule for rules in found.values() for rule, _ in rules}
    named = {r for r in RULES if "[" not in r}
    assert placed == {r for r in named if registry.find("rule", r).card.expected is not None}
    questions = sum(q for rules in found.values() for _, q in rules)
    axes = plane(*run, steps=[0], protocols=["own"]).figure.axes[0]
    assert [text.get_text() for text in axes.texts].count("?") == questions > 0
    assert sketch.places(["no_such_rule"]) == {}


def test_scale_is_its_own_inverse():
    scale = Scale.fit([0.003, 40.0, NAN, -1.0, 0.0], strip=True)
    assert (scale.low, scale.high > math.log10(40)) == (-3, True)
    for value in (0.003, 1.0, 40.0):
        assert scale.value(scale.fraction(value)) == pytest.approx(value)
    assert scale.value(0) < scale.zero < scale.floor < 10**scale.low
    assert Scale.fit([], strip=False).floor == 10**-2


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.01, 0.5))
def test_lanes_keep_their_distance(places, gap):
    lanes = panels.lanes(places, gap)
    assert len(lanes) == len(places)
    for (one, (lane, count)), (two, (other, _)) in combinations(zip(places, lanes, strict=True), 2):
        assert 0 <= lane < count
        assert lane != other or abs(one - two) >= gap


def test_hostile_names_in_pictures(tmp_path):
    rules = ["backprop", HOSTILE, "$a$", "_x", "rule[option=$b$]"]
    frame, units = generate(seeds=2, steps=(0,), protocols=("own",), rules=rules)
    found = pictures(frame, units)
    paths = [path for picture in found for path in picture.save(tmp_path, ["svg"])]
    assert len(paths) == len(found) == 3
    assert {style.label(rule).replace("\\$", "$") for rule in rules} <= {
        text.replace("\\$", "$") for text in looks_in(found[0].figure)
    }
    assert "$" in style.label("$a$")


@pytest.mark.parametrize(
    ("selector", "label"),
    [
        ("node_perturbation", "node perturbation"),
        ("node_perturbation[sigma=0.01]", "node perturbation (sigma=0.01)"),
        ("dendritic_error[feedback=random]", "dendritic error (random)"),
        ("a[b=true,c=word]", "a (b=true, word)"),
        ("a" * 50, "a" * 33 + "…"),
    ],
)
def test_labels(selector, label):
    assert style.label(selector) == label


def test_writes_every_picture(few, tmp_path):
    frame, units = few
    kinds = frame["kind"].isin(["averaging", "budget"])
    paths = save_all(frame[kinds], units, tmp_path / "new" / "figures")
    assert len(paths) == 2 * 2
    heads = {"png": b"\x89PNG", "svg": b"<?xml"}
    for path in paths:
        assert path.read_bytes().startswith(heads[path.suffix[1:]])
    assert len(set(paths)) == len(paths)


def test_settings_get_files_of_their_own(few, tmp_path):
    frame, units = few
    frame = frame[(frame["kind"] == "conditional") & (frame["rule"] == "backprop")]
    both = pd.concat([frame, frame.assign(task="../digits")])
    with pytest.raises(InputError, match="several settings"):
        plane(both)
    paths = save_all(both, units, tmp_path, ["svg"])
    assert len(set(paths)) == 4
    assert all(path.parent == tmp_path for path in paths)


def test_bytes_are_the_same_every_time(few, tmp_path):
    kinds = ("svg", "png")
    one, two = (
        [path.read_bytes() for path in plane(*few).save(tmp_path / name, kinds)]
        for name in ("one", "two")
    )
    assert one == two
    assert b"dc:date" not in one[0]


def test_refuses_formats_and_folders(few, tmp_path):
    with pytest.raises(InputError, match="format: 'jpg' is not known; choose one of png"):
        save_all(*few, tmp_path, ["jpg"])
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_all(*few, tmp_path / "file" / "figures")


# Comparison of two runs


def pair(change=0.0, seeds=(5, 5), cells=1, shared=0.0, spread=1.0, start=0, **more):
    """Two runs of ``cells`` cells with normal seeds, the second's mean moved by ``change``."""
    rng = np.random.default_rng(7)
    common = rng.normal(0, shared, (cells, max(seeds)))
    sides = []
    for side, count in enumerate(seeds):
        drawn = 10 + side * change + common[:, :count] + rng.normal(0, spread, (cells, count))
        places = {
            "seed": np.tile(np.arange(count) + side * start, cells),
            "step": np.repeat(np.arange(cells), count),
        }
        sides.append(values(drawn.ravel(), **places, **more))
    return sides


@pytest.mark.parametrize("start", [0, 100], ids=["paired", "Welch"])
def test_p_values_are_uniform_without_a_difference(start):
    """4000 cells: each share lies within 4 standard errors, but once in 16 000 times."""
    found = compare(*pair(cells=4000, shared=3.0 * (start == 0), start=start))
    assert set(found["test"]) == {"Welch" if start else "paired"}
    for level in (0.01, 0.05, 0.5):
        share = (found["p"] < level).mean()
        error = math.sqrt(level * (1 - level) / 4000)
        # Welch's test is only approximate with five seeds: a little conservative.
        assert -4 * error - (0.1 * level if start else 0) < share - level < 4 * error
    covered = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    assert covered == pytest.approx((found["p"] >= 0.05).mean(), abs=1e-12)


def test_noise_is_not_flagged(record_figure):
    """15 comparisons of 20 cells: at 5 %, flags in more than 5 come once in 18 000 times."""
    frames = pair(cells=20 * 15)
    alarms = sum(
        (compare(*(frame[frame["step"] // 20 == n] for frame in frames))["flag"] != "").any()
        for n in range(15)
    )
    record_figure("comparisons of two equal runs with a flag", alarms / 15, "at most 5 %")
    assert alarms <= 5


def test_a_true_difference_is_flagged_and_its_interval_is_right():
    first, second = pair(cells=20, shared=5.0, spread=0.1)
    moved = second["step"] < 3
    second = second.assign(value=second["value"] + 4.0 * moved)
    found = compare(first, second)
    flagged = found[found["flag"] != ""]
    assert set(flagged["step"]) == {0, 1, 2}
    assert set(flagged["flag"]) == {"higher"}
    one, two = (f[f["step"] == 0]["value"].to_numpy() for f in (first, second))
    half = 2.7764451051977934 * np.std(two - one, ddof=1) / math.sqrt(5)
    row = flagged.iloc[0]
    assert row["difference"] == pytest.approx((two - one).mean())
    assert row["high"] - row["difference"] == pytest.approx(half)
    back = compare(second, first)
    assert set(back.loc[back["flag"] != "", "flag"]) == {"lower"}


def test_welch_by_hand():
    first = values([1.0, 2.0, 3.0])
    second = values([11.0, 15.0, 19.0, 23.0], seed=[10, 11, 12, 13])
    row = compare(first, second).iloc[0]
    v1, v2 = 1 / 3, (80 / 3) / 4
    freedom = (v1 + v2) ** 2 / (v1**2 / 2 + v2**2 / 3)
    assert row["test"] == "Welch"
    t = 15 / math.sqrt(v1 + v2)
    # Student's distribution by numerical integration of its density.
    grid = np.linspace(t, 4000, 1_000_001)
    density = (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    constant = math.gamma((freedom + 1) / 2) / (
        math.sqrt(freedom * math.pi) * math.gamma(freedom / 2)
    )
    assert row["p"] == pytest.approx(2 * constant * np.trapezoid(density, grid), rel=1e-3)


def test_adjusted_p_values_match_their_definition():
    found = compare(*pair(change=1.0, cells=60))
    p = found["p"].to_numpy()
    for index, adjusted in enumerate(found["adjusted"]):
        ranks = [(p <= q).sum() for q in p]
        naive = min(
            min(1.0, q * p.size / k) for q, k in zip(p, ranks, strict=True) if q >= p[index]
        )
        assert adjusted == pytest.approx(naive)


def test_what_does_not_vary_is_compared_exactly_and_not_counted():
    cost = {"kind": "cost", "quantity": "forward_passes", "method": "exact"}
    first, second = pair(cells=1)
    same, other = (values([v] * 5, **cost) for v in (3.0, 2.5))
    found = compare(pd.concat([first, same]), pd.concat([second, other]))
    exact = found[found["quantity"] == "forward_passes"].iloc[0]
    assert (exact["test"], exact["flag"], exact["difference"]) == ("exact", "lower", -0.5)
    rest = found[found["quantity"] == "variance"].iloc[0]
    assert rest["adjusted"] == rest["p"]
    assert compare(same, same)["flag"].iloc[0] == ""


def test_coincidences_and_rounding_are_no_differences():
    accuracy = {"kind": "training", "quantity": "test_accuracy"}
    tied = compare(values([0.9, 0.9], **accuracy), values([0.91, 0.91], **accuracy)).iloc[0]
    assert (tied["flag"], math.isnan(tied["p"])) == ("", True)
    moved = compare(values([0.9, 0.8], **accuracy), values([0.91, 0.81], **accuracy)).iloc[0]
    assert moved["flag"] == ""
    tiny = np.array([1e-31, 1.1e-31, 1.2e-31])
    rounding = compare(
        values(tiny, quantity="bias_squared"), values(9 * tiny, quantity="bias_squared")
    ).iloc[0]
    assert (rounding["flag"], rounding["p"]) == ("", 1.0)
    last_bit = compare(values([1.0, 2.0, 3.0]), values([1.0, 2.0, np.nextafter(3.0, 4.0)])).iloc[0]
    assert (last_bit["flag"], last_bit["p"]) == ("", 1.0)


def test_single_seeds_are_compared_by_their_intervals():
    apart = values([1.0], low=0.9, high=1.1), values([2.0], low=1.8, high=2.2)
    row = compare(*apart).iloc[0]
    assert (row["test"], row["flag"]) == ("intervals", "higher")
    assert row["high"] - row["difference"] == pytest.approx(math.hypot(0.1, 0.2))
    near = values([1.0], low=0.0, high=2.0), values([2.0], low=1.0, high=3.0)
    assert compare(*near)["flag"].iloc[0] == ""
    other_seed = compare(apart[0], apart[1].assign(seed=9)).iloc[0]
    assert (other_seed["test"], other_seed["flag"]) == ("", "")
    against_several = compare(apart[0], values([2.0, 2.1, 2.2])).iloc[0]
    assert (against_several["test"], against_several["flag"]) == ("", "")


def test_cells_in_one_run_only_are_listed():
    first, second = pair(cells=3)
    second = pd.concat([second[second["step"] > 0], values([1.0, 2.0], rule="new_rule")])
    found = compare(first, second)
    only_one = found[found["only"] != ""].set_index("only")
    assert (only_one.loc["first", "step"], only_one.loc["second", "rule"]) == (0, "new_rule")
    text = difference_table(found, names=("old", "new")).render()
    assert "Only old has these cells: my_rule (shared 0)." in text
    assert "Only new has these cells: new_rule (shared 0)." in text


def test_difference_table_in_every_format(run):
    frame, _ = run
    moved = frame["value"].where(frame["quantity"] != "forward_passes", frame["value"] + 1)
    found = compare(frame, frame.assign(value=moved))
    table = difference_table(found)
    assert set(table.cells["flag"]) == {"higher"}
    assert set(table.cells["rule"]) == set(RULES)
    assert column_of(table, "difference")[1].all()
    for form in FORMATS:
        assert "dendritic" in table.render(form)
    assert len(table.raw) == len(found)
    assert len(difference_table(found, every=True).cells) == len(found)
    nothing = difference_table(compare(frame, frame))
    assert len(nothing.cells) == 0
    for form in FORMATS:
        assert nothing.render(form)
    assert "0 supported differences" in nothing.render()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["varience"]}, "did you mean 'variance'"),
        ({"projection": "layer1.weight"}, "did you mean 'layer1.weights'"),
        ({"rate": 0}, "rate: 0 is not"),
        ({"rate": 1.5}, "rate: 1.5 is not"),
    ],
)
def test_compare_refuses_what_it_does_not_know(run, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        compare(run[0], run[0], **options)


def test_pictures_leave_no_state_behind(drawn):
    import matplotlib
    from matplotlib import pyplot

    assert drawn
    assert pyplot.get_fignums() == []
    assert matplotlib.rcParams["svg.hashsalt"] is None
