"""The page about a run: complete, self-contained, escaped, and working in a real browser."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert
from click.testing import CliRunner
from matplotlib.figure import Figure
from PIL import Image

from generated import HOSTILE, RULES, generate
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.page import page
from plausibench.bench.page.charts import MOST as MOST_IN_CHART
from plausibench.bench.page.charts import SHAPES, charts, thinned
from plausibench.bench.page.page import _compared, _drawn
from plausibench.bench.report.style import MARKERS, SPARE_MARKERS, Picture, label, styles
from plausibench.bench.running.store import plain_options
from plausibench.bench.studies.benchmark.spec import Spec
from sweeps import TINY, run

MOST = 6_000_000
"""Bytes of the page about the default run."""
CHARTS = ["plane", "training", "budget", "frontier"]


class Stored:
    """What the page reads of a run directory."""

    def __init__(self, frame, units, name):
        self.frame, self.jobs, self.path = frame, units, Path(name)
        self.origins = {"key": {"command": ["plausibench", name], "libraries": {"numpy": name}}}
        self.study, self.options = "benchmark", plain_options(Spec(rules=("backprop",)))

    def remarks(self):
        return []


class Elements(HTMLParser):
    """Elements, with those that load something, and what would run."""

    def __init__(self):
        super().__init__()
        self.tags, self.loaded, self.texts, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and not value.startswith(("#", "data:")):
                self.loaded.append((tag, value))
            if name.startswith("on"):
                self.loaded.append((tag, name))
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def whole():
    """Of three rules, one of which has diverged."""
    rules = ("dendritic_error", "node_perturbation", "weight_perturbation")
    return page(Stored(*generate(seeds=2, steps=(0, 1000), rules=rules), "default"))


def unpacked(chart):
    """Rows of a chart's data, as the page's script reads them."""
    whole = {
        name: column
        if isinstance(column, list)
        else [column["texts"][place] for place in column["places"]]
        for name, column in chart.packed().items()
    }
    return [dict(zip(whole, row, strict=True)) for row in zip(*whole.values(), strict=True)]


def parsed(text):
    elements = Elements()
    elements.feed(text)
    return elements


@pytest.mark.acceptance
def test_page_of_nine_rules_is_small(record_figure):
    text = page(Stored(*generate(steps=(0, 100, 1000)), "default"))
    assert_complete(text)
    record_figure("bytes of a page with 9 rules at 3 checkpoints", len(text.encode()), MOST)
    assert len(text.encode()) < MOST


def test_page_has_its_parts_and_loads_nothing(whole):
    assert_complete(whole)


def assert_complete(whole):
    elements = parsed(whole)
    assert elements.loaded == []
    assert "@import" not in whole
    for name in (*CHARTS, "tables", "rules", "figures", "provenance"):
        assert name in elements.ids, name
    assert elements.tags.count("img") == 7
    assert "weights are not finite after 612 training steps" in whole


def test_names_from_users_are_text(whole):
    """Of rules, of the folder, and of libraries in a file that someone sent."""
    names = ["feedback_alignment", HOSTILE, "</script><img src=x onerror=alert(1)>"]
    frame, units = generate(seeds=2, steps=(0, 100), rules=names)
    text = page(Stored(frame, units, "<img src=y onerror=alert(2)>"))
    elements = parsed(text)
    assert elements.loaded == []
    assert elements.tags.count("script") == parsed(whole).tags.count("script")
    assert "<img src=y onerror=alert(2)>" in "".join(elements.texts)


def test_charts_hold_every_rule_and_both_axes():
    frame, _ = generate(seeds=3, steps=(0, 100))
    made = {chart.name: chart.specification for chart in charts(frame, {})}
    assert list(made) == CHARTS
    assert made["plane"]["data"] == {"name": "plane"}
    (rows,) = (unpacked(chart) for chart in charts(frame, {}) if chart.name == "plane")
    assert {row["axis"] for row in rows} == {"raw", "scale-free"}
    assert {row["label"] for row in rows} == {label(rule, 34) for rule in RULES}
    assert {row["feedback"] for row in rows} == {"held", "redrawn"}
    for row in rows:
        assert row["x_low"] <= row["x"] <= row["x_high"]
        assert row["y_low"] <= row["y"] <= row["y_high"]
    shown = {param["name"] for param in made["plane"]["params"]}
    assert {"plane_axis", "plane_protocol", "plane_step", "plane_architecture"} <= shown


def test_what_a_step_realises_stands_beside_held_feedback_and_along_training():
    frame, _ = generate(seeds=3, steps=(0, 100))
    own = (frame["kind"] == "conditional") & (frame["quantity"] == "progress")
    stepped = frame[own & (frame["projection"] == "all")]
    stepped = stepped.assign(
        kind="progress", quantity="realised_progress", value=0.25, low=0.25, high=0.25
    )
    made = {chart.name: chart for chart in charts(pd.concat([frame, stepped]), {})}
    rows = unpacked(made["plane"])
    assert {row["realised"] for row in rows if row["feedback"] == "held"} == {"0.25"}
    assert {row["realised"] for row in rows if row["feedback"] == "redrawn"} == {"–"}
    assert "realised progress" in {row["shown"] for row in unpacked(made["training"])}
    assert "realised" in json.dumps(made["plane"].specification)


def test_no_rule_on_the_frontier_is_surpassed():
    frame, _ = generate(seeds=3, steps=(0,), protocols=("shared",))
    (chart,) = (one for one in charts(frame, {}) if one.name == "frontier")
    rows = unpacked(chart)
    for row in rows:
        better = [o for o in rows if o["x"] <= row["x"] and o["y"] > row["y"]]
        assert row["best"] == (not better)
    assert any(row["best"] for row in rows)


@pytest.mark.parametrize(("number", "steps"), [(3, 121), (200, 3)])
def test_long_runs_and_many_rules_have_small_charts(number, steps, record_figure):
    """Any number of rows; the first and last checkpoint are among those that are left."""
    names = [*RULES, *(f"rule_{n}" for n in range(number))][:number]
    frame, _ = generate(seeds=1, steps=range(steps), rules=names)
    made = charts(frame, {})
    assert [chart.name for chart in made] == CHARTS
    text = json.dumps([(chart.specification, chart.packed()) for chart in made], default=str)
    record_figure(f"bytes of charts of {number} rules at {steps} checkpoints", len(text), 2_000_000)
    assert len(text) < 2_000_000
    for chart in made:
        assert len(chart.rows) <= MOST_IN_CHART
        shown = set(chart.rows["step"])
        assert {0, steps - 1} <= shown
        assert len(shown) > min(steps, 30) - 1


def test_charts_draw_the_data_that_the_page_holds():
    """By Vega itself, outside of a browser: without its data a chart has fewer marks."""
    frame, _ = generate(seeds=2, steps=(0, 100), rules=list(RULES)[:3])
    for chart in charts(frame, {}):
        counts = [
            vl_convert.vegalite_to_svg(
                {**chart.specification, "datasets": {chart.name: rows}}
            ).count("<path")
            for rows in ([], unpacked(chart))
        ]
        assert counts[1] > counts[0] + 2, chart.name


def test_charts_leave_checkpoints_out_evenly_where_there_are_too_many():
    rows = pd.DataFrame({"step": np.repeat(np.arange(0, 400, 2), 200), "value": 1.0})
    steps = sorted(thinned(rows)["step"].unique())
    assert len(thinned(rows)) <= MOST_IN_CHART
    assert (steps[0], steps[-1]) == (0, 398)
    assert set(np.diff(steps)) <= {6, 8}
    assert len(thinned(rows.head(900))) == 900


def test_the_table_of_a_page_leaves_checkpoints_out_and_says_so():
    frame, units = generate(seeds=1, steps=range(0, 1000, 2), rules=["backprop", "hebb"])
    table = _compared(frame, units)
    assert len(table.cells) <= 1500
    assert {"0", "998"} <= set(table.cells["step"])
    assert table.notes[-1].endswith("of 500 checkpoints; plausibench table gives all of them.")


def test_a_picture_of_many_marks_is_held_as_png_only():
    figure = Figure()
    figure.subplots().plot(range(20), range(20), "o")
    assert _drawn(Picture("few", figure, "")).svg
    figure.axes[0].scatter(*np.random.default_rng(0).random((2, 20_000)))
    drawn = _drawn(Picture("many", figure, ""))
    assert drawn.svg == ""
    assert Image.open(BytesIO(base64.b64decode(drawn.png))).size == (960, 720)


def test_every_marker_has_a_shape():
    builtin = {look.marker for look in styles(registry.entries("rule")).values()}
    assert {*builtin, *MARKERS, *SPARE_MARKERS} <= set(SHAPES)


def test_charts_need_their_data():
    frame, _ = generate(seeds=2, steps=(0,), protocols=("shared",))
    names = [chart.name for chart in charts(frame[frame["kind"] == "conditional"], {})]
    assert names == ["plane"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    run(TINY.with_values(rules=TINY.rules[:2], checkpoints=(0,)), folder)
    return folder


def test_command(measured, tmp_path):
    out = tmp_path / "page.html"
    done = CliRunner().invoke(main, ["report", str(measured), "--out", str(out)])
    assert done.exit_code == 0, done.output
    text = out.read_text(encoding="utf-8")
    elements = parsed(text)
    assert elements.loaded == []
    assert "certificates" in elements.ids
    for rule in TINY.rules[:2]:
        assert f"{rule}: passed" in "".join(elements.texts)


@pytest.mark.acceptance
def test_command_writes_the_same_page_twice(measured, tmp_path):
    out = tmp_path / "page.html"
    CliRunner().invoke(main, ["report", str(measured), "--out", str(out)])
    text = out.read_text(encoding="utf-8")
    again = tmp_path / "again.html"
    CliRunner().invoke(main, ["report", str(measured), "--out", str(again)])
    assert again.read_text(encoding="utf-8") == text


def test_refusals(tmp_path, measured, monkeypatch):
    monkeypatch.setattr("plausibench.bench.page.page", lambda *_: "drawn elsewhere")
    for arguments, said in (
        ((str(tmp_path),), "is not a run directory"),
        ((str(measured), "--no-certificates", "--out", str(tmp_path)), "cannot be written"),
        ((str(measured), "--plugin", str(tmp_path / "none.py")), "plugin"),
    ):
        done = CliRunner().invoke(main, ["report", *arguments])
        assert done.exit_code == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (Debian: chromium chromium-driver)")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "no-first-run",
        "window-size=1200,1600",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    made = Chrome(options=options, service=Service(driver))
    yield made
    made.quit()


@pytest.fixture(scope="module")
def shown(browser, whole, tmp_path_factory):
    from selenium.webdriver.support.ui import WebDriverWait

    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(whole, encoding="utf-8")
    browser.get(file.as_uri())
    drawn = "return document.querySelectorAll('.chart svg.marks').length"
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script(drawn) == len(CHARTS))
    return browser


def marks(browser, chart):
    return browser.execute_script(
        "return document.querySelectorAll(`[data-chart=${arguments[0]}] .mark-symbol path`).length",
        chart,
    )


def choose(browser, chart, name, value):
    """Choose from the list of this name below a chart, and wait until it is drawn again."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    place = browser.find_element(By.CSS_SELECTOR, f"[data-chart={chart}]")
    for bind in place.find_elements(By.CSS_SELECTOR, ".vega-bind"):
        if bind.find_element(By.CSS_SELECTOR, ".vega-bind-name").text.strip() == name:
            Select(bind.find_element(By.TAG_NAME, "select")).select_by_visible_text(value)
            browser.execute_async_script("requestAnimationFrame(() => arguments[0]())")
            return
    raise AssertionError(f"no list {name} below {chart}")


def test_a_filter_leaves_its_rules(shown):
    every = marks(shown, "plane")
    choose(shown, "plane", "architecture", "dendritic")
    assert 0 < marks(shown, "plane") < every
    choose(shown, "plane", "architecture", "all")
    assert marks(shown, "plane") == every
    choose(shown, "plane", "axis", "scale-free")
    choose(shown, "training", "quantity", "test loss")


def test_a_heading_sorts_by_number(shown):
    from selenium.webdriver.common.by import By

    table = shown.find_element(By.ID, "table-comparison")
    heads = table.find_elements(By.CSS_SELECTOR, "thead button")
    place = next(n for n, head in enumerate(heads) if head.text.startswith("variance"))

    def column():
        return [
            float(key)
            for key in shown.execute_script(
                "return [...arguments[0].tBodies[0].rows].map(r => r.cells[arguments[1]]"
                ".dataset.key)",
                table,
                place,
            )
            if re.fullmatch(r"[-+.e\d]+", key)
        ]

    heads[place].send_keys("\n")  # by keyboard
    assert column() == sorted(column())
    heads[place].click()
    assert column() == sorted(column(), reverse=True)
    assert len(set(column())) > 3


def test_a_search_hides_rows_and_a_copy_is_offered(shown):
    from selenium.webdriver.common.by import By

    field = shown.find_element(By.CSS_SELECTOR, "[data-find=comparison]")
    field.send_keys("node_pert")
    rows = shown.find_elements(By.CSS_SELECTOR, "#table-comparison tbody tr")
    visible = [row.text for row in rows if row.is_displayed()]
    assert visible
    assert all("node_perturbation" in text for text in visible)
    field.send_keys("\b" * 9)
    shown.find_element(By.CSS_SELECTOR, "[data-copy=comparison-latex]").click()
    told = shown.find_element(By.CSS_SELECTOR, ".bar [role=status]")
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(shown, 10).until(lambda _: told.text)
    text = shown.find_element(By.ID, "comparison-latex").get_attribute("value")
    assert r"\toprule" in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_error_in_either_theme(shown, theme):
    features = [{"name": "prefers-color-scheme", "value": theme}]
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    colours = shown.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
    assert (bright[0] < bright[1]) == (theme == "light")
    assert [entry for entry in shown.get_log("browser") if entry["level"] == "SEVERE"] == []
