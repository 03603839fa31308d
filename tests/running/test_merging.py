"""Merging copies records, and says what does not fit."""

import json
import shutil
from dataclasses import replace

import pytest

import toy_jobs
from plausibench.bench.running import driver
from plausibench.bench.running.merging import merge
from plausibench.bench.running.shards import Shard
from plausibench.bench.running.store import Run, signed
from plausibench.kernels.errors import InputError
from toy_jobs import files, job, jobs


def run(path, listed=None, **options):
    return driver.run("toy", {"count": 5}, jobs() if listed is None else listed, path, **options)


@pytest.fixture
def whole(tmp_path):
    return run(tmp_path / "whole")


@pytest.fixture
def halves(tmp_path):
    return [run(tmp_path / f"half{index}", share=Shard(index, 2)) for index in (1, 2)]


def refusal(*arguments):
    with pytest.raises(InputError) as caught:
        merge(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edited(run, number, content=None, origin=None):
    """Change what is kept of a job, or where it is said to come from."""
    key = list(run.due)[number]
    for folder, change in (("records", content), ("origins", origin)):
        file = run.file(key, folder)
        file.write_text(json.dumps(signed({**json.loads(file.read_bytes()), **(change or {})})))
    return key


def paths(runs):
    return [run.path for run in runs]


def test_of_halves_is_the_whole(whole, halves, tmp_path):
    merged, told = merge(paths(halves), tmp_path / "merged")
    assert files(merged) == files(whole)
    assert merged.frame.equals(whole.frame)
    assert (merged.study, merged.options) == ("toy", {"count": 5})
    assert len(merged.timings) == 5
    assert told == merged.remarks() == []


def test_of_what_overlaps_is_the_whole(whole, halves, tmp_path):
    merged, told = merge([halves[1].path, whole.path, halves[0].path], tmp_path / "merged")
    assert files(merged) == files(whole)
    assert told == []


def test_is_what_copying_does(whole, halves):
    one, two = paths(halves)
    for folder in ("records", "origins"):
        shutil.copytree(two / folder, one / folder, dirs_exist_ok=True)
    assert files(Run.open(one)) == files(whole)
    assert Run.open(one).frame.equals(whole.frame)


def test_of_a_part_says_what_is_missing_and_can_go_on(whole, halves, tmp_path):
    merged, _ = merge([halves[1].path], tmp_path / "merged")
    (remark,) = merged.remarks()
    assert remark.startswith(f"2 of 5 jobs of {merged.path} are finished; plausibench run ")
    assert files(run(merged.path)) == files(whole)


def test_a_failed_job_gives_way(tmp_path):
    listed = [job(0), job(1, toy_jobs.failing_once, str(tmp_path / "mark"))]
    failed, done = (run(tmp_path / name, listed) for name in ("failed", "done"))
    for order in ([failed, done], [done, failed]):
        merged, told = merge(paths(order), tmp_path / f"merged{order.index(done)}")
        assert merged.jobs["status"].tolist() == ["done", "done"]
        assert told == []


def test_a_job_that_failed_everywhere_has_failed(tmp_path):
    listed = [job(0), job(1, toy_jobs.failing)]
    runs = [run(tmp_path / name, listed) for name in ("one", "two")]
    merged, _ = merge(paths(runs), tmp_path / "merged")
    assert merged.jobs["status"].tolist() == ["done", "failed"]


def test_of_two_processors_the_first_counts_and_it_is_told(whole, halves, tmp_path):
    rows = [{"power": 1, "value": 2.0000000000000004, "low": None}]
    key = edited(halves[0], 2, {"rows": rows}, {"processor": "Abacus"})
    merged, told = merge([whole.path, halves[0].path], tmp_path / "merged")
    assert files(merged) == files(whole)
    others = halves[0].path
    assert told == [
        f"1 of the results in {others} differ in the last bits; those in {whole.path} count."
    ]
    merged, told = merge([halves[0].path, whole.path], tmp_path / "other")
    assert json.loads(merged.file(key).read_bytes())["rows"] == rows
    assert "Abacus" in merged.remarks()[0]
    assert len(told) == 1


def test_of_results_that_nothing_explains_is_refused(whole, halves, tmp_path):
    key = edited(halves[0], 2, {"rows": []})
    sentence = refusal([whole.path, halves[0].path], tmp_path / "merged")
    assert str(whole.file(key)) in sentence
    assert str(halves[0].file(key)) in sentence
    assert not (tmp_path / "merged").exists()


def test_of_a_damaged_record_names_it(whole, tmp_path):
    key = list(whole.due)[2]
    whole.file(key).write_bytes(b"{")
    assert str(whole.file(key)) in refusal([whole.path], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_of_a_lost_origin_keeps_the_record(whole, tmp_path):
    key = list(whole.due)[2]
    whole.file(key, "origins").unlink()
    merged, _ = merge([whole.path], tmp_path / "merged")
    assert files(merged) == files(whole)
    assert len(merged.origins) == 4


def test_of_other_options_names_them(whole, tmp_path):
    driver.run("toy", {"count": 6}, jobs(6), tmp_path / "other")
    sentence = refusal([whole.path, tmp_path / "other"], tmp_path / "merged")
    assert sentence.endswith("with count 6, not 5")


def test_of_other_sources_is_refused(whole, tmp_path):
    run(tmp_path / "other", [replace(one, depends="edited") for one in jobs()])
    assert "other sources" in refusal([whole.path, tmp_path / "other"], tmp_path / "merged")


def test_into_a_run_is_refused(whole):
    before = files(whole)
    assert "holds a run already" in refusal([whole.path], whole.path)
    assert files(whole) == before
