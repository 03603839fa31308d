"""The overview: every rule named at its point, its path, and what it gains."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from generated import RULES, generate
from plausibench.bench.report import names, style
from plausibench.bench.report.aggregate import aggregate
from plausibench.bench.report.overview import overview
from plausibench.bench.training.nulls import NULL


@pytest.fixture(scope="module")
def run():
    return generate(steps=(0, 100, 1000))


def with_nulls(frame, readout=0.4, linear=0.5):
    """The frame with both nulls, whose accuracies are the same for every seed."""
    accurate = frame[(frame["quantity"] == "test_accuracy") & (frame["protocol"] == "own")]
    places = accurate.drop_duplicates(["task", "architecture", "objective", "seed", "step"])
    nulls = places.assign(protocol=NULL, rule="readout_only", value=readout)
    flat = places.drop_duplicates(["task", "objective", "seed", "step"])
    flat = flat.assign(protocol=NULL, architecture="linear", rule="backprop", value=linear)
    return pd.concat([frame, nulls, flat])


def texts(picture):
    return [text.get_text() for text in picture.figure.findobj(Text)]


def test_every_rule_is_named_twice_and_there_is_no_legend(run):
    picture = overview(*run)
    said = [" ".join(text.split()) for text in texts(picture)]
    for look in style.styles(RULES).values():
        assert said.count(look.label) == 2, look.label
    assert not picture.figure.legends
    assert not any(part.get_legend() for part in picture.figure.axes)


def test_tasks_stand_below_each_other(run):
    frame, units = run
    both = pd.concat([frame, frame.assign(task="mnist_1d")])
    figure = overview(both, units).figure
    planes = [axes for axes in figure.axes if axes.get_ylabel()]
    assert [axes.get_title(loc="left") for axes in planes] == [
        f"How biased, how noisy? ({task}, own training)" for task in ("digits", "mnist_1d")
    ]
    above, below = (axes.get_position() for axes in planes)
    assert above.y0 > below.y1
    assert (above.x0, above.x1) == (below.x0, below.x1)


def test_a_path_goes_from_initialisation_to_the_end(run):
    frame, units = run
    axes = overview(frame, units).figure.axes[0]
    look = style.styles(RULES)["attention_gated"]
    (path,) = [
        line
        for line in axes.lines
        if line.get_color() == look.colour and len(line.get_xdata()) == 3
    ]
    own = aggregate(frame[(frame["protocol"] == "own") & (frame["kind"] == "conditional")])
    own = own[(own["rule"] == "attention_gated") & (own["projection"] == "all")]
    variance = own[own["quantity"] == "variance"].sort_values("step")["value"]
    assert path.get_ydata() == pytest.approx(variance.to_numpy())


def test_gains_are_above_frozen_hidden_layers_and_beside_linear(run):
    frame, units = run
    *_, gained = overview(with_nulls(frame), units).figure.axes
    look = style.styles(RULES)["backprop"]
    (dot,) = [line for line in gained.lines if line.get_marker() == look.marker]
    reached = frame[
        (frame["quantity"] == "test_accuracy")
        & (frame["rule"] == "backprop")
        & (frame["protocol"] == "own")
        & (frame["step"] == 1000)
    ]["value"].mean()
    assert dot.get_xdata()[0] == pytest.approx(reached - 0.4)
    upright = [line.get_xdata()[0] for line in gained.lines if len(set(line.get_xdata())) == 1]
    assert any(place == pytest.approx(0.5 - 0.4) for place in upright)


def test_rules_are_sorted_by_what_they_gain(run):
    frame, units = run
    frame = frame.copy()
    order = list(RULES)[::-1]
    accurate = frame["quantity"] == "test_accuracy"
    rules = frame.loc[accurate, "rule"]
    frame.loc[accurate, "value"] = [0.9 - 0.05 * order.index(rule) for rule in rules]
    units = units.assign(status="done")
    frame = frame[frame["step"] < 1000]  # at which some have diverged
    figure = overview(with_nulls(frame), units).figure
    rows = sorted(
        (
            text
            for text in figure.texts
            if text.get_text() in {look.label for look in style.styles(RULES).values()}
        ),
        key=lambda text: -text.get_position()[1],
    )
    assert [text.get_text() for text in rows] == [style.styles(RULES)[rule].label for rule in order]


@given(
    st.lists(st.tuples(st.floats(5, 195), st.floats(5, 145)), min_size=1, max_size=5),
)
def test_names_stay_in_the_panel_and_do_not_overlap(anchors):
    """Five short names have room in any panel of this size."""
    placed = names.place(anchors, ["name"] * len(anchors), (200.0, 150.0))
    boxes = np.array([name[:4] for name in placed])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= 200).all()
    assert (boxes[:, 3] <= 150).all()
    for index, box in enumerate(boxes):
        for other in boxes[index + 1 :]:
            across = min(box[2], other[2]) - max(box[0], other[0])
            assert across <= 0 or min(box[3], other[3]) <= max(box[1], other[1])


def test_a_name_far_from_its_point_is_joined_to_it():
    crowd = [(150.0 + n % 4, 100.0 + n // 4) for n in range(12)]
    placed = names.place(crowd, ["a long name"] * 12, (300.0, 200.0))
    assert any(name.joined for name in placed)
    (alone,) = names.place([(100.0, 75.0)], ["name"], (200.0, 150.0))
    assert not alone.joined
