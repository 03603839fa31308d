"""Cores that a process may use."""

import os

import pytest

from plausibench.bench.cli.running import workers
from plausibench.kernels.cores import cores


class TestCores:
    def group(self, tmp_path, **files):
        """Folder of control groups with these files, and the file of the groups of a process."""
        for name, text in files.items():
            file = tmp_path / "groups" / name.replace("__", "/").replace("_max", ".max")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / "groups", tmp_path / "member"

    @pytest.fixture(autouse=True)
    def eight(self, monkeypatch):
        """A machine of sixteen processors, of which eight may be used."""
        monkeypatch.setattr(os, "cpu_count", lambda: 16)
        monkeypatch.setattr(os, "process_cpu_count", lambda: 16, raising=False)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def test_are_those_that_the_process_may_run_on(self, tmp_path):
        assert cores({}, tmp_path, tmp_path / "member") == 8

    def test_without_affinity_are_those_of_the_machine(self, tmp_path, monkeypatch):
        monkeypatch.delattr(os, "sched_getaffinity")
        assert cores({}, tmp_path, tmp_path / "member") == 16

    @pytest.mark.parametrize(("given", "count"), [("3", 3), ("12", 8), ("", 8), ("x", 8), ("0", 1)])
    def test_slurm_gives_some_to_a_task(self, tmp_path, given, count):
        assert cores({"SLURM_CPUS_PER_TASK": given}, tmp_path, tmp_path / "member") == count

    @pytest.mark.parametrize(
        ("own", "above", "count"),
        [("200000 100000", "max 100000", 2), ("max 100000", "150000 100000", 2), ("max", "", 8)],
    )
    def test_a_quota_of_version_2_binds(self, tmp_path, own, above, count):
        for place, text in (("a/b", own), ("a", above)):
            (tmp_path / "groups" / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / "groups" / place / "cpu.max").write_text(text)
        (tmp_path / "member").write_text("0::/a/b\n")
        assert cores({}, tmp_path / "groups", tmp_path / "member") == count

    def test_a_quota_binds_inside_of_a_container(self, tmp_path):
        """Where the path of the group is that outside of it."""
        (tmp_path / "groups").mkdir()
        (tmp_path / "groups" / "cpu.max").write_text("50000 100000\n")
        (tmp_path / "member").write_text("0::/kubepods/pod1\n")
        assert cores({}, tmp_path / "groups", tmp_path / "member") == 1

    @pytest.mark.parametrize(("quota", "count"), [("300000", 3), ("-1", 8)])
    def test_a_quota_of_version_1_binds(self, tmp_path, quota, count):
        folder = tmp_path / "groups" / "cpu,cpuacct" / "job"
        folder.mkdir(parents=True)
        (folder / "cpu.cfs_quota_us").write_text(quota)
        (folder / "cpu.cfs_period_us").write_text("100000")
        (tmp_path / "member").write_text("4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n")
        assert cores({}, tmp_path / "groups", tmp_path / "member") == count

    def test_decide_how_many_workers_there_are(self, monkeypatch):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
        assert (workers(None), workers(5)) == (1, 5)
