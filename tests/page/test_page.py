"""The page about a run: complete, self-contained, escaped, and working in a real browser."""

import base64
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from PIL import Image

from generated import HOSTILE, RULES, generate
from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.page import page
from plausibench.bench.page.charts import MOST as MOST_IN_CHART
from plausibench.bench.page.charts import SHAPES, charts, legend, thinned
from plausibench.bench.page.page import _compared, _drawn, _json
from plausibench.bench.report.style import MARKERS, SPARE_MARKERS, Picture, label, styles
from plausibench.bench.running.store import plain_options
from plausibench.bench.studies.benchmark.spec import Spec
from sweeps import TINY, run

MOST = 4_000_000
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
    assert "default-src 'none'" in whole  # a browser refuses what the page would load
    for name in ("findings", "troubles", *CHARTS, "tables", "rules", "figures", "provenance"):
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
    made = {chart.name: chart for chart in charts(frame)}
    assert list(made) == CHARTS
    rows = unpacked(made["plane"])
    assert {row["axis"] for row in rows} == {"raw", "scale-free"}
    assert {row["rule"] for row in rows} == set(RULES)
    assert {row["feedback"] for row in rows} == {"held", "redrawn"}
    for row in rows:
        assert 0 <= row["x_low"] <= row["x"] <= row["x_high"]
        assert 0 <= row["y_low"] <= row["y"] <= row["y_high"]
    exact = [row["x"] for row in rows if row["rule"] == "backprop"]
    assert exact
    assert set(exact) == {0}


def test_legend_names_rules_as_pictures_do():
    looks = styles(RULES)
    named = legend(looks, {"backprop": "the gradient itself"})
    assert named[0]["label"] == "backprop"
    assert {rule["label"] for rule in named} == {label(rule, 90) for rule in RULES}
    assert named[0]["about"] == "the gradient itself"
    assert named[0]["colour"] == ""  # ink, of either theme
    assert all(rule["colour"] for rule in named[1:])


def test_what_a_step_realises_stands_beside_held_feedback_and_along_training():
    frame, _ = generate(seeds=3, steps=(0, 100))
    own = (frame["kind"] == "conditional") & (frame["quantity"] == "progress")
    stepped = frame[own & (frame["projection"] == "all")]
    stepped = stepped.assign(
        kind="progress", quantity="realised_progress", value=0.25, low=0.25, high=0.25
    )
    made = {chart.name: chart for chart in charts(pd.concat([frame, stepped]))}
    rows = unpacked(made["plane"])
    assert {row["realised"] for row in rows if row["feedback"] == "held"} == {"0.25"}
    assert {row["realised"] for row in rows if row["feedback"] == "redrawn"} == {"–"}
    assert "realised progress" in {row["shown"] for row in unpacked(made["training"])}


def test_no_rule_on_the_frontier_is_surpassed():
    frame, _ = generate(seeds=3, steps=(0,), protocols=("shared",))
    (chart,) = (one for one in charts(frame) if one.name == "frontier")
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
    made = charts(frame)
    assert [chart.name for chart in made] == CHARTS
    text = _json({chart.name: chart.packed() for chart in made})
    record_figure(f"bytes of charts of {number} rules at {steps} checkpoints", len(text), 2_000_000)
    assert len(text) < 2_000_000
    for chart in made:
        assert len(chart.rows) <= MOST_IN_CHART
        shown = set(chart.rows["step"])
        assert {0, steps - 1} <= shown
        assert len(shown) > min(steps, 30) - 1


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


def test_a_picture_of_many_marks_is_held_as_png():
    figure = Figure()
    figure.subplots().plot(range(20), range(20), "o")
    assert _drawn(Picture("few", figure, "")).kind == "svg"
    figure.axes[0].scatter(*np.random.default_rng(0).random((2, 20_000)))
    drawn = _drawn(Picture("many", figure, ""))
    assert drawn.kind == "png"
    assert Image.open(BytesIO(base64.b64decode(drawn.data))).size == (960, 720)


def test_every_marker_has_a_shape():
    builtin = {look.marker for look in styles(registry.entries("rule")).values()}
    assert {*builtin, *MARKERS, *SPARE_MARKERS} <= set(SHAPES)


def test_charts_need_their_data():
    frame, _ = generate(seeds=2, steps=(0,), protocols=("shared",))
    names = [chart.name for chart in charts(frame[frame["kind"] == "conditional"])]
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


def opened(browser, text, folder):
    from selenium.webdriver.support.ui import WebDriverWait

    file = folder / "report.html"
    file.write_text(text, encoding="utf-8")
    browser.get(file.as_uri())
    drawn = "return document.documentElement.dataset.drawn"
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script(drawn) == "yes")
    return browser


@pytest.fixture
def shown(browser, whole, tmp_path):
    """The page about three rules, freshly opened."""
    return opened(browser, whole, tmp_path)


@pytest.fixture(scope="module")
def several():
    """Of all rules on two tasks."""
    frame, units = generate(seeds=2, steps=(0, 100, 200))
    other, more = (table.assign(task="mnist_1d") for table in (frame, units))
    return page(Stored(pd.concat([frame, other]), pd.concat([units, more]), "several"))


def marks(browser, chart, chosen=""):
    """How many marks of rules a chart shows."""
    return browser.execute_script(
        "return document.querySelectorAll(`[data-chart=${arguments[0]}] ${arguments[1]} .mark`)"
        ".length",
        chart,
        chosen,
    )


def choose(browser, name, value):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element(By.ID, f"choose-{name}")).select_by_visible_text(value)


def test_what_is_chosen_changes_the_charts(shown):
    titles = "return [...document.querySelectorAll(`[data-chart=${arguments[0]}] .title`)]"
    titles += ".map(title => title.textContent)"
    assert "squared bias, in units of |g|²" in shown.execute_script(titles, "plane")
    choose(shown, "axis", "scale-free")
    assert "scale-free bias, in units of |g|²" in shown.execute_script(titles, "plane")
    choose(shown, "quantity", "test loss")
    assert "test loss, per example" in shown.execute_script(titles, "training")
    where = "return document.querySelector('[data-chart=plane] .setting').textContent"
    assert "own training, after 1000 steps" in shown.execute_script(where)
    choose(shown, "protocol", "shared weights")
    choose(shown, "step", "0")
    assert "shared weights, after 0 steps" in shown.execute_script(where)


def test_a_rule_that_is_picked_stands_out_everywhere(shown):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    chip = shown.find_element(By.CSS_SELECTOR, "#chips [data-rule=node_perturbation]")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    for chart in CHARTS:
        assert marks(shown, chart, ".dim") > 0
        assert marks(shown, chart, ".rule[data-rule=node_perturbation]:not(.dim)") > 0
        assert marks(shown, chart, ".rule[data-rule=node_perturbation].dim") == 0
    rows = shown.find_elements(By.CSS_SELECTOR, "tr.picked")
    assert rows
    assert {row.get_attribute("data-rule") for row in rows} == {"node_perturbation"}
    shown.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert marks(shown, "plane", ".dim") == 0


def test_marks_are_reached_by_keyboard_and_say_their_numbers(shown):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    stops = shown.find_elements(By.CSS_SELECTOR, "[data-chart=plane] [tabindex]")
    assert [stop.get_attribute("tabindex") for stop in stops].count("0") == 1
    shown.find_element(By.CSS_SELECTOR, "[data-save=plane]").send_keys(Keys.TAB)
    first = shown.switch_to.active_element
    assert first == stops[0]
    assert "bias²" in first.get_attribute("aria-label")
    card = shown.find_element(By.ID, "card")
    assert "variance" in card.text
    first.send_keys(Keys.ARROW_RIGHT)
    assert shown.switch_to.active_element == stops[1]
    rule = stops[1].get_attribute("data-rule")
    stops[1].send_keys(Keys.ENTER)
    again = shown.switch_to.active_element  # drawn anew, and still the one in focus
    assert again.get_attribute("data-rule") == rule
    chip = shown.find_element(By.CSS_SELECTOR, f"#chips [data-rule='{rule}']")
    assert chip.get_attribute("aria-pressed") == "true"


OVERLAPS = """
return [...document.querySelectorAll('[data-chart] .panel > svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()]);
  const edge = document.documentElement.clientWidth;
  const out = boxes.filter(([, box]) => box.left < 0 || box.right > edge);
  const pairs = boxes.flatMap(([a, p], n) => boxes.slice(n + 1).filter(([, q]) =>
    p.left + 1 < q.right && p.right > q.left + 1 && p.top + 3 < q.bottom && p.bottom > q.top + 3
  ).map(([b]) => `${a.textContent} on ${b.textContent}`));
  return [...pairs, ...out.map(([text]) => `${text.textContent} sticks out`)];
})
"""


@pytest.mark.parametrize("wide", [400, 1000, 2000])
def test_nothing_overflows_or_overlaps(browser, several, tmp_path, wide):
    size = {"width": wide, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        opened(browser, several, tmp_path)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= wide
        assert browser.execute_script(OVERLAPS) == []
        panels = "return document.querySelectorAll('[data-chart=plane] .panel').length"
        assert browser.execute_script(panels) == 2
        axes = "return [...document.querySelectorAll('.panel > svg')].map(svg =>"
        axes += "svg.querySelectorAll('.title').length)"
        assert set(browser.execute_script(axes)) <= {1, 2}  # rows of the budget are named
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_names_stand_at_the_points_of_the_plane(browser, several, tmp_path):
    opened(browser, several, tmp_path)
    names = "return [...document.querySelectorAll('[data-chart=plane] .panel:first-child .name')]"
    names += ".map(name => name.textContent)"
    assert set(browser.execute_script(names)) == {label(rule, 90) for rule in RULES}


def test_a_chart_is_saved_with_its_colours(shown):
    saved = shown.execute_script("return saved(document.querySelector('[data-chart=plane]'))")
    assert "var(--" not in saved
    assert "node perturbation" in saved
    from xml.etree import ElementTree

    assert ElementTree.fromstring(saved).tag.endswith("svg")


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
    told = shown.find_element(By.CSS_SELECTOR, ".bar-of-table [role=status]")
    assert told.text == f"{len(visible)} of {len(rows)} rows"
    field.send_keys("\b" * 9)
    shown.find_element(By.CSS_SELECTOR, "[data-copy=comparison-latex]").click()
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
