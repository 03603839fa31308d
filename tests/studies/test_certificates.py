"""Certificates as a study: the same as in this process, kept, and made once."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from plausibench.bench.certificate import Certificate, Line, certify, suite_page
from plausibench.bench.certificate.page import suite_row
from plausibench.bench.certificate.rows import certificates, rows
from plausibench.bench.cli import main
from plausibench.bench.cli.check import certificates_of
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.running.executor import Processes
from plausibench.bench.running.store import Run, _frame
from plausibench.bench.studies.certificates.report import report
from plausibench.bench.studies.certificates.study import CERTIFICATES, UNKNOWN, Options
from plausibench.bench.studies.run import run
from plausibench.kernels.errors import InputError
from plausibench.rules.backprop import Backprop

RULES = ("backprop", "feedback_alignment", "node_perturbation[noise=rademacher]")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    (found,) = run(CERTIFICATES, Options(RULES), tmp_path_factory.mktemp("made"))
    return found


def test_the_same_as_when_they_are_made_here(made):
    here = [certify(select("rule", rule).make(), rule) for rule in RULES]
    assert certificates(made.frame) == here
    assert suite_page(certificates(made.frame)) == suite_page(here)


@pytest.mark.acceptance
def test_the_same_in_processes(made, tmp_path):
    (found,) = run(CERTIFICATES, Options(RULES[:2]), tmp_path, executor=Processes(2))
    assert found.frame.equals(made.frame[made.frame["rule"].isin(RULES[:2])])


@pytest.mark.parametrize("margin", [None, 0.5, float("inf"), float("nan"), 1e-300])
def test_margins_come_back_as_they_are(margin):
    line = Line("law", "a claim", "1", "2", "failed", margin, "on a net")
    whole = Certificate("backprop", Backprop(), [line], [])
    (back,) = certificates(_frame(({"rule": "backprop", **row} for row in rows(whole)), ["rule"]))
    assert repr(back.lines[0].margin) == repr(margin)
    assert replace(back.lines[0], margin=0.0) == replace(line, margin=0.0)


def test_the_table_has_a_line_for_each(made):
    tables, pictures = report(made.frame)
    expected = [list(suite_row(certificate)) for certificate in certificates(made.frame)]
    assert tables["certificates"].cells.to_numpy().tolist() == expected
    assert pictures == ()


def test_what_is_done_is_not_done_again(made):
    again = []
    run(CERTIFICATES, Options(RULES), made.path, on_done=lambda job, *_: again.append(job))
    assert again == []


def test_a_rule_that_is_not_known_is_not_certified(tmp_path):
    (found,) = run(CERTIFICATES, Options(("backprop", "a_plugin[small=1]")), tmp_path)
    assert found.jobs["status"].tolist() == ["done", "unsupported"]
    assert found.jobs["reason"].tolist() == ["", UNKNOWN]
    with pytest.raises(InputError, match="'samll' is not an option"):
        Options(("node_perturbation[samll=1]",))


def test_of_a_run_they_are_kept_in_it(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (first,) = certificates_of(tmp_path / "run", ["backprop", "gone", "backprop"], jobs=1)
    assert capsys.readouterr().err.endswith(f"gone: not certified: {UNKNOWN}\n")
    times = Run.open(tmp_path / "run" / "certificates").timings
    (again,) = certificates_of(tmp_path / "run", ["backprop", "gone"], jobs=1)
    assert again == first
    assert Run.open(tmp_path / "run" / "certificates").timings.equals(times)
    assert certificates_of(tmp_path / "run", ["gone"], jobs=1) == []


def test_all_are_kept_and_made_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = registry.entries
    few = {name: known("rule")[name] for name in ("backprop", "feedback_alignment")}
    monkeypatch.setattr(registry, "entries", lambda kind: few if kind == "rule" else known(kind))
    first = CliRunner().invoke(main, ["check", "--all", "--jobs", "1"])
    assert first.exit_code == 0, first.output
    kept = Run.open(Path("results/certificates"))
    times = kept.timings["seconds"].tolist()
    assert kept.finished == 2
    again = CliRunner().invoke(main, ["check", "--all", "--jobs", "1"])
    assert again.stdout == first.stdout
    assert Run.open(kept.path).timings["seconds"].tolist() == times


def test_workers_are_for_all_rules():
    done = CliRunner().invoke(main, ["check", "backprop", "--jobs", "2"])
    assert done.exit_code == 2
    assert "jobs: one rule is certified in this process" in done.stderr
