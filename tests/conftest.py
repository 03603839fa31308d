"""What every test shares: the table of measured figures, headless pictures, repeatable examples."""

import importlib
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

# Compiling on first use would break any deadline; the same examples each run keep the suite honest
# about what it covers.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

# A shell that starts the tests in the background, and nohup, hand down that Ctrl-C is ignored: the
# processes that tests interrupt would hand it on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

FIGURE = "figure"
HEADER = ("what", "measured", "asked", "outcome", "test")


def pytest_addoption(parser):
    parser.addoption(
        "--figures",
        default="build/figures.md",
        help="where the table of measured figures against what is asked is written",
    )


def pytest_configure(config):
    config.pluginmanager.register(FigureTable(config), "figure-table")


@pytest.fixture
def record_figure(request):
    """Put a measured figure beside what is asked, in the table written when the tests end.

    Call it as ``record_figure(line, measured, asked)``: what was measured in a few words, the
    figure (a number or a string), and the requirement. It asserts nothing.
    """

    def record(line, measured, asked):
        figure = measured if isinstance(measured, str) else f"{measured:.4g}"
        request.node.user_properties.append((FIGURE, (str(line), figure, str(asked))))

    return record


@pytest.fixture
def one_network(monkeypatch):
    """Rules are certified on the first of the small networks alone."""
    from plausibench.bench.conformance.case import case_for

    certifying = importlib.import_module("plausibench.bench.certificate.certify")
    monkeypatch.setattr(certifying, "cases_for", lambda rule: [case_for(rule)])


class FigureTable:
    """Collects the recorded figures from the test reports, which also travel between processes."""

    def __init__(self, config):
        self.path = Path(config.rootpath, config.getoption("--figures"))
        self.writes = not hasattr(config, "workerinput")  # a parallel worker leaves it to others
        self.failed = set()
        self.rows = []

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.add(report.nodeid)
        if report.when == "teardown":
            outcome = "failed" if report.nodeid in self.failed else "passed"
            for name, figure in report.user_properties:
                if name == FIGURE:
                    self.rows.append((*figure, outcome, report.nodeid))

    def pytest_sessionfinish(self):
        if self.writes and self.rows:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(markdown([HEADER, ("---",) * len(HEADER), *sorted(self.rows)]))

    def pytest_terminal_summary(self, terminalreporter):
        if self.rows:
            terminalreporter.write_line(f"Measured figures: {self.path}")


def markdown(rows):
    """Lay out rows of cells as a Markdown table."""
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "".join(f"| {line} |\n" for line in lines)
