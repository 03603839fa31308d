"""What surrounds a process: caches, folders, standard output, systems without POSIX."""

import errno
import os
import pickle
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.registry import load_plugin
from plausibench.bench.running.folders import check_folder
from plausibench.bench.running.shards import Shard, shard_of_array
from plausibench.bench.running.store import Run
from plausibench.kernels.errors import InputError
from sweeps import TINY

LONG = "a" * 300
RULE = """\
from dataclasses import dataclass, field
from plausibench.rules.feedback_alignment import FeedbackAlignment

@dataclass(frozen=True)
class Twin(FeedbackAlignment):
    gains: list = field(default_factory=lambda: [1.0, 2.0])
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A working folder, a registry without the plug-ins of other tests, and no job array."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_PLUGINS", {kind: {} for kind in registry.KINDS})
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)


def refused(*arguments, code=2):
    """The sentence with which a command is refused."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    assert isinstance(done.exception, SystemExit)
    assert done.stderr.count("\n") == 1
    return done.stderr


def python(code, *arguments, **options):
    """A script in a fresh Python that ends well; what it says."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestJobArray:
    def array(self, task, last, count, step):
        named = {"ID": task, "MIN": 1, "MAX": last, "COUNT": count, "STEP": step}
        return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in named.items()}

    def test_with_a_step(self):
        found = [shard_of_array(self.array(task, 10, 4, 3)) for task in (1, 4, 7, 10)]
        assert found == [Shard(index, 4) for index in (1, 2, 3, 4)]

    @pytest.mark.parametrize("values", [(2, 9, 5, 2), (3, 7, 3, 1), (1, 9, 4, 2), (1, 9, 5, 0)])
    def test_with_gaps_is_refused(self, values):
        with pytest.raises(InputError, match="give --shard i/n"):
            shard_of_array(self.array(*values))

    def test_a_study_is_divided_over_its_tasks(self, monkeypatch):
        study = ["run", "tags", "--samples", "20", "--seeds", "2", "--jobs", "1", "--out", "tags"]
        for task in (1, 2):
            for name, value in self.array(task, 2, 2, 1).items():
                monkeypatch.setenv(name, value)
            assert Run.open("tags").finished == 3 if task == 2 else not Path("tags").exists()
            done = CliRunner().invoke(main, study)
            assert done.stdout == f"Shard {task}/2 is done: tags\n"
        assert Run.open("tags").remarks() == []


class TestPaths:
    def test_a_home_is_expanded(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        TINY.with_values(rules=("backprop",), seeds=1).write(Path("spec.toml"))
        (tmp_path / "home").mkdir()
        done = CliRunner().invoke(
            main, ["run", "spec.toml", "--out=~/results", "--jobs", "1", "--no-pictures"]
        )
        assert done.exit_code == 0, done.output
        assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "spec.toml"]
        assert CliRunner().invoke(main, ["table", "~/results"]).exit_code == 0

    def test_nobodys_home_is_refused(self):
        assert "names the home of a user" in refused("run", "--out", "~no such user/a")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["new-rule", LONG],
            ["check", LONG],
            ["show", LONG],
            ["run", f"{LONG}.toml"],
            ["run", "--rules", "backprop", "--out", LONG],
            ["run", "--rules", "backprop", "--out", f"new/{LONG}/run", "--dry-run"],
            ["run", "--resume", LONG],
            ["run", "tags", "--out", LONG],
            ["train", "backprop", "--out", LONG],
            ["replicate", "werfel2005", "--out", LONG],
            ["table", LONG],
            ["merge", LONG, "--out", "merged"],
            ["plan", "--surface", LONG],
            ["list", "--plugin", LONG],
        ],
        ids=lambda words: " ".join(words).replace(LONG, "LONG"),
    )
    def test_a_name_that_is_too_long_is_refused(self, arguments, tmp_path):
        refused(*arguments)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_is_refused_before_it_is_needed(self):
        with pytest.raises(InputError, match=r"out: .* cannot be made \(File name too long\)"):
            check_folder(Path("new", LONG), tried=True)
        check_folder(Path("new", "deep", "folder"), tried=True)
        assert not Path("new").exists()


class TestStandardOutput:
    """In processes of their own, whose channels can be closed."""

    def said(self, redirection, *words, **environment):
        """Exit code and standard error of a command of a shell."""
        command = f"{shlex.join([sys.executable, '-m', 'plausibench.bench.cli', *words])} "
        done = subprocess.run(
            ["sh", "-c", command + redirection],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
        return done.returncode, done.stderr

    def test_letters_that_it_does_not_have_are_question_marks(self):
        Path("mine.py").write_text(RULE.replace("1.0, 2.0", "'\u2193'"), encoding="utf-8")
        words = ["show", "twin", "--plugin", "mine.py"]
        redirection = """| grep -q "default \\['?'\\]" """
        assert self.said(redirection, *words, PYTHONIOENCODING="latin-1") == (0, "")

    def test_closed(self):
        assert self.said(">&-", "list", "studies") == (0, "")

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
    def test_full(self, unbuffered):
        words = ["list", "studies"]
        code, said = self.said(">/dev/full", *words, PYTHONUNBUFFERED=unbuffered)
        assert code == 1
        assert said == "Error: standard output cannot be written (No space left on device)\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
    def test_full_is_no_failure_of_a_run(self):
        TINY.with_values(rules=("backprop",), seeds=1).write(Path("spec.toml"))
        words = ["run", "spec.toml", "--jobs", "1", "--no-pictures", "--out", "out"]
        code, said = self.said(">/dev/full", *words)
        assert code == 0
        assert said.endswith("(No space left on device); results: out\n")


def test_pictures_that_cannot_be_kept_are_no_failure_of_a_run(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("plausibench.bench.report.figures.save_all", full)
    TINY.with_values(rules=("backprop",), seeds=1).write(Path("spec.toml"))
    done = CliRunner().invoke(main, ["run", "spec.toml", "--jobs", "1", "--out", "out"])
    assert done.exit_code == 0
    assert "Results: out" in done.stdout
    assert "Pictures cannot be kept: [Errno" in done.stderr


class TestCaches:
    SCRIPT = """
        from pathlib import Path
        Path("twice.py").write_text(
            "from plausibench.kernels.compiled import kernel\\n@kernel\\ndef twice(x):\\n"
            "    return 2 * x\\n"
        )
        import sys
        sys.path.insert(0, ".")
        if sys.argv[1:]:
            import resource, signal
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
        from twice import twice
        assert twice(4) == 8
    """

    def compute(self, tmp_path, *arguments):
        """Compile and compute; the files that are kept then."""
        folder = tmp_path / "compiled"
        python(self.SCRIPT, *arguments, env={**os.environ, "NUMBA_CACHE_DIR": str(folder)})
        return sorted(file for file in folder.rglob("twice*") if file.is_file())

    def test_no_room_is_compiling_anew(self, tmp_path):
        self.compute(tmp_path, "no room")
        assert [file.suffix for file in self.compute(tmp_path)] == [".nbc", ".nbi"]

    @pytest.mark.parametrize(
        ("number", "garbled"),
        [
            (0, None),
            (1, b""),
            *(
                pytest.param(number, garbled, marks=pytest.mark.acceptance)
                for number, garbled in (
                    *((0, b""), (0, b"\x00" * 40)),
                    *((1, b"\x00" * 40), (1, None)),
                )
            ),
        ],
    )
    def test_a_damaged_file_is_made_anew(self, tmp_path, number, garbled):
        file = self.compute(tmp_path)[number]
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if garbled is None else garbled)
        assert len(self.compute(tmp_path)) == 2
        assert len(file.read_bytes()) > len(whole) // 2


class TestPlugins:
    @pytest.fixture(autouse=True)
    def files(self, tmp_path):
        """Two files that define one name."""
        for name in ("one.py", "two.py"):
            Path(name).write_text(f"{RULE}# {name} {tmp_path}\n")

    @pytest.mark.parametrize(
        "command", [["list"], ["show", "twin"], ["check", "twin"], ["train", "twin"], ["run"]]
    )
    def test_of_one_name_are_refused_everywhere(self, command):
        assert "a name that is taken by" in refused(
            *command, "--plugin", "one.py", "--plugin", "two.py"
        )

    def test_show_gives_a_default_that_is_made(self):
        said = CliRunner().invoke(main, ["show", "twin", "--plugin", "one.py"]).stdout
        assert "default [1.0, 2.0]" in said

    def test_an_instance_arrives_where_its_plug_in_was_not_loaded(self):
        load_plugin("one.py")
        rule = registry.make("rule", "twin", gains=[3.0])
        Path("sent").write_bytes(pickle.dumps({"rule": [rule]}))
        script = """
            import pickle
            (rule,) = pickle.load(open("sent", "rb"))["rule"]
            print(type(rule).__name__, rule.gains)
        """
        assert python(script) == "Twin (3.0,)\n"
        assert pickle.loads(Path("sent").read_bytes())["rule"][0] == rule

    def test_an_instance_of_a_file_that_has_changed_is_refused(self):
        load_plugin("one.py")
        sent = pickle.dumps(registry.make("rule", "twin"))
        with Path("one.py").open("a") as file:
            file.write("# edited\n")
        for name in [name for name in sys.modules if name.startswith("plausibench_plugin_one")]:
            del sys.modules[name]
        with pytest.raises(InputError, match="has changed since an instance of its Twin was made"):
            pickle.loads(sent)

    def test_printed_commands_can_be_copied(self, tmp_path):
        os.mkdir("my rules")
        said = CliRunner().invoke(main, ["new-rule", "mine", "--out", "my rules"]).stdout
        commands = [shlex.split(line) for line in said.splitlines()[1:]]
        assert all("my rules/mine.py" in words for words in commands)

    def test_a_dry_run_of_one_that_raises_says_what_a_run_says(self):
        body = "    def estimate(self, *_):\n        raise OSError('no luck')\n"
        Path("broken.py").write_text(RULE.replace("Twin", "Broken") + body)
        words = ["run", "--plugin", "broken.py", "--rules", "broken", "--out", "out"]
        for more in ([], ["--dry-run"]):
            said = CliRunner().invoke(main, [*words, *more])
            assert said.exit_code == 2
            assert said.stderr.endswith("rule broken: it raises OSError: no luck\n")
        assert not Path("out").exists()


def test_without_what_only_posix_has_a_sweep_runs():
    """Neither locks of files, nor masks of signals, nor affinity: as on Windows."""
    script = """
        import os, signal, sys
        from pathlib import Path
        sys.modules["fcntl"] = sys.modules["resource"] = None
        for module, name in ((signal, "pthread_sigmask"), (os, "sched_getaffinity")):
            if hasattr(module, name):
                delattr(module, name)
        if __name__ == "__main__":
            from plausibench.bench.cli import main
            arguments = ["run", "spec.toml", "--jobs", "2", "--no-pictures", "--out", "run"]
            main(arguments)
    """
    TINY.with_values(rules=("backprop",)).write(Path("spec.toml"))
    Path("script.py").write_text(textwrap.dedent(script))
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Results: run" in done.stdout


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_these_tests_heed_an_interrupt_where_the_shell_ignores_it():
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        import conftest, signal
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    """
    command = shlex.join([sys.executable, "-c", textwrap.dedent(script)])
    shell = ["sh", "-c", f'trap "" INT; {command}']
    assert subprocess.run(shell, capture_output=True, text=True).stdout == "True\n"
