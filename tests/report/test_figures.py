"""Pictures of a run: what they show, how they look, and what they are written to."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.legend import Legend
from matplotlib.text import Annotation, Text

from generated import HOSTILE, NAN, RULES, generate, values
from plausibench.bench.components import registry
from plausibench.bench.report import panels, sketch, style
from plausibench.bench.report.aggregate import aggregate
from plausibench.bench.report.along import along_training
from plausibench.bench.report.averaging import averaging_curve
from plausibench.bench.report.budget import variance_budget
from plausibench.bench.report.columns import FLAWS
from plausibench.bench.report.curves import learning_curves
from plausibench.bench.report.families import families, members
from plausibench.bench.report.figures import pictures, save_all
from plausibench.bench.report.overview import overview
from plausibench.bench.report.plane import plane
from plausibench.bench.report.scale import Scale
from plausibench.kernels.errors import InputError


@pytest.fixture(scope="module")
def run():
    return generate(steps=(0, 1000))


@pytest.fixture(scope="module")
def few():
    return generate(seeds=2, steps=(0,), protocols=("shared",), rules=list(RULES)[:4])


@pytest.fixture(scope="module")
def drawn(run):
    return pictures(*run)


def test_every_picture_of_a_run(drawn):
    names = [picture.name for picture in drawn]
    assert names == [
        "overview",
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
    for draw in (overview, plane, along_training, variance_budget, averaging_curve):
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
    budget = drawn[4].figure.axes[0]
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


def test_built_in_rules_have_a_family_and_a_look_each():
    looks = style.styles(registry.entries("rule"))
    assert style.OTHERS not in {style.family(name) for name in looks}
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)


PUBLISHED = """
    k* backprop
    0o feedback_alignment 0s sign_symmetry 0^ weight_mirror 0v kolen_pollack 0D learned_feedback
    0P regression_discontinuity_feedback 9s direct_feedback_alignment 9D indirect_feedback_alignment
    9X direct_random_target_projection 3^ weight_perturbation 3s forward_gradient 3o reinforce
    3D straight_through 1v node_perturbation 1D activity_node_perturbation
    1s decorrelated_node_perturbation 1P three_factor 1o regression_discontinuity 2D attention_gated
    2P augment 4P brainprop 4o predictive_coding 4s equilibrium_propagation 4^ contrastive_hebbian
    2^ target_propagation 2v difference_target_propagation 2s deep_feedback_control
    7p dendritic_error 7s segregated_dendrites 7^ burstprop 7v spiking_burstprop
    ko backpropagation_through_time ks real_time_recurrent_learning kD surrogate_gradient
    0X random_feedback_through_time 8o e_prop 8s rflo 8^ uoro
    6< pepita 6> forward_forward 6h hebb 6d oja
"""


def test_published_rules_keep_their_look():
    """Whatever is added to the table of rules, and wherever."""
    palette = sns.color_palette("colorblind").as_hex()
    looks, names = PUBLISHED.split()[::2], PUBLISHED.split()[1::2]
    styles = style.styles(names)
    for (colour, marker), name in zip(looks, names, strict=True):
        expected = "#1a1a1a" if colour == "k" else palette[int(colour)]
        assert (styles[name].colour, styles[name].marker) == (expected, marker), name


PLUGIN = """
from dataclasses import dataclass, replace
from plausibench.rules.oja import Oja

@dataclass(frozen=True)
class MyRule(Oja):
    card = replace(Oja.card, family={family!r})

@dataclass(frozen=True)
class Reflected(Oja):
    card = replace(Oja.card, family="learned feedback")  # which has the colour of the fixed one
"""


@pytest.mark.parametrize("family", ["targets", "fixed feedback", "others"])
def test_a_plug_in_is_drawn_with_its_family(tmp_path, monkeypatch, family):
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
    (tmp_path / "my_rule.py").write_text(PLUGIN.format(family=family))
    registry.load_plugin(tmp_path / "my_rule.py")
    rules = [*registry.entries("rule"), "another_rule"]  # which no plug-in defines any more
    *kin, last = members(rules)[family]
    assert last == "my_rule"
    assert members(rules)["others"][0] == "another_rule"
    looks = style.styles(rules)
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(rules)
    alike = looks["my_rule"].colour in {looks[rule].colour for rule in kin}
    assert alike == (family != "others")
    legend = style.ordered(rules, looks)
    assert legend[legend.index(kin[-1]) + 1] == "my_rule"


def test_a_plug_in_of_no_such_family_is_refused(tmp_path):
    (tmp_path / "my_rule.py").write_text(PLUGIN.format(family="target"))
    with pytest.raises(InputError) as refused:
        registry.load_plugin(tmp_path / "my_rule.py")
    assert "family: 'target' is not known; choose one of backpropagation, " in str(refused.value)
    assert "did you mean 'targets'?" in str(refused.value)
    assert "\n" not in str(refused.value)


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
    loose = [text for part in (figure, *figure.subfigs) for text in part.texts]
    keys = [text for legend in figure.findobj(Legend) for text in legend.get_texts()]
    texts = (*ticks, *rest, *loose, *keys)
    drawn = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent()) for text in drawn]


@pytest.mark.parametrize("index", range(7))
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
    numbers = frame[(frame["rule"] == "feedback_alignment") & (frame["projection"] == "all")]
    shown = aggregate(numbers[numbers["kind"] == "conditional"]).set_index("quantity")["value"]
    assert (one, two) == pytest.approx((shown["bias_squared"], shown["scale_free_bias"]))
    assert two < 0.7 * one
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
    assert all(said in texts_of(drawn[index]) for index in (0, 1, 3))
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
    assert len(paths) == len(found) == 4
    assert {style.label(rule).replace("\\$", "$") for rule in rules} <= {
        text.replace("\\$", "$") for text in looks_in(found[1].figure)
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
    assert len(set(paths)) == 1 + 4
    assert all(path.parent == tmp_path for path in paths)


def test_bytes_are_the_same_every_time(few, tmp_path):
    kinds = ("svg", "png")
    one, two = (
        [path.read_bytes() for path in plane(*few).save(tmp_path / name, kinds)]
        for name in ("one", "two")
    )
    assert one == two
    assert b"dc:date" not in one[0]


def test_processes_draw_the_same_files(run, tmp_path, monkeypatch):
    monkeypatch.setattr("plausibench.bench.report.figures.WORTH", 1)
    frame, units = run
    kinds = frame["kind"].isin(["budget", "averaging", "training"])
    alone, shared = (
        save_all(frame[kinds], units, tmp_path / str(jobs), ["svg"], jobs=jobs) for jobs in (1, 2)
    )
    assert [path.name for path in shared] == [path.name for path in alone]
    assert len(alone) == 3
    for one, other in zip(alone, shared, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_axes_lie_in_the_same_place_every_time():
    """To the last bit, wherever in memory the layout's solver keeps its variables."""
    frame, units = generate(seeds=2, steps=(0, 5), rules=list(RULES)[:3])
    places, kept = set(), []
    for count in range(12):
        kept.append([object() for _ in range(977 * count % 2000)])
        del kept[: -1 - count % 4]
        axes = variance_budget(frame, units).figure.axes
        places.add(tuple(tuple(part.get_position().bounds) for part in axes))
    assert len(places) == 1


def test_refuses_formats_and_folders(few, tmp_path):
    with pytest.raises(InputError, match="format: 'jpg' is not known; choose one of png"):
        save_all(*few, tmp_path, ["jpg"])
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_all(*few, tmp_path / "file" / "figures")


def test_pictures_leave_no_state_behind(drawn):
    import matplotlib
    from matplotlib import pyplot

    assert drawn
    assert pyplot.get_fignums() == []
    assert matplotlib.rcParams["svg.hashsalt"] is None


def test_few_checkpoints_are_evenly_chosen():
    assert panels.few([5, 0, 10, 0], 3) == [0, 5, 10]
    assert panels.few(range(101), 5) == [0, 25, 50, 75, 100]
    assert panels.few(range(7), 1) == [6]


def test_pictures_of_many_checkpoints_show_some_and_say_so():
    frame, units = generate(
        seeds=1, steps=range(0, 400, 10), rules=["backprop", "node_perturbation"]
    )
    for draw, shown in ((plane, 5), (variance_budget, 5), (along_training, 24)):
        figure = draw(frame, units).figure
        said = [text for text in figure.findobj(Text) if "checkpoints are shown" in text.get_text()]
        assert said[0].get_text().startswith(f"{shown} of 40 checkpoints are shown")
    assert len(plane(frame, units).figure.axes) == 2 * 5
    assert len(plane(frame, units, steps=[0, 10, 20, 30, 40, 50]).figure.axes) == 2 * 6


@pytest.mark.parametrize(("flag", "said"), FLAWS.items())
def test_a_rule_without_values_is_named_with_its_reason(flag, said):
    silent = {"value": NAN, "low": NAN, "high": NAN, "flag": flag}
    frame, _ = generate(seeds=2, steps=(0,), protocols=("shared",), rules=["backprop", "hebb"])
    frame = frame.assign(
        **{name: frame[name].mask(frame["rule"] == "hebb", to) for name, to in silent.items()}
    )
    notes = panels.notes(None, panels.select(frame, ("conditional",), ("variance",)))
    assert notes == [f"{said} at some points: hebb."]


def test_long_file_names_are_cut_and_stay_apart():
    texts = ["a" * 300, "a" * 301, "b/" * 300, "short", "with space"]
    names = [style.file_name("plane", text) for text in texts]
    assert len(set(names)) == len(texts)
    assert max(len(f"{name}.png".encode()) for name in names) <= 255
    assert names[3] == "plane-short"
