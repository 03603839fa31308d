"""Files of data sets are downloaded when asked for, and only as their checksums say."""

import gzip
import hashlib
import re
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench.bench.cli import main
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.tasks.downloads import DOWNLOADS, Download

pytest.importorskip("pooch", reason="downloading needs the extra fetch")

NAMES = [file.name for file in DOWNLOADS["fashion_mnist"]]


def contents():
    """The four files of a small set of garments, by name."""
    draw, made = np.random.default_rng(0), {}
    for part, size in (("train", 30), ("t10k", 20)):
        images = draw.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = np.arange(size, dtype=np.uint8) % 10
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            made[f"{part}-{name}-ubyte.gz"] = gzip.compress(header + array.tobytes(), mtime=0)
    return made


@pytest.fixture
def server():
    """A server on this machine, what it serves by path, and the paths that it was asked for."""
    served, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = served.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", served, asked
        listening.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def register(monkeypatch, folders, files=None, checksum="md5"):
    """Let the files of Fashion-MNIST be ours, in these folders."""
    downloads = tuple(
        Download(name, f"{checksum}:{hashlib.new(checksum, content).hexdigest()}", tuple(folders))
        for name, content in (files or contents()).items()
    )
    monkeypatch.setitem(DOWNLOADS, "fashion_mnist", downloads)


def call(*arguments, code=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


def serve(served, files, folder=""):
    served.update({f"{folder}/{name}": content for name, content in files.items()})


@pytest.mark.parametrize("checksum", ["md5", "sha256"])
@pytest.mark.parametrize("to", [None, "else where"])
def test_files_are_fetched_and_read(server, monkeypatch, to, checksum):
    address, served, asked = server
    files = contents()
    serve(served, files)
    register(monkeypatch, [f"{address}/"], checksum=checksum)
    said = call("fetch", "fashion_mnist", *(() if to is None else ("--to", to)))
    folder = Path(to or "data/fashion_mnist")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert sorted(asked) == sorted(f"/{name}" for name in files)
    (command,) = re.findall(r"^plausibench run --tasks '(.*)'$", said, re.MULTILINE)
    task = select("task", command.replace(str(folder), str(folder.absolute()))).make()
    assert (task.train.size, task.test.size) == (30, 20)


def test_files_that_are_there_are_kept(server, monkeypatch):
    address, served, asked = server
    serve(served, contents())
    register(monkeypatch, [f"{address}/"])
    call("fetch", "fashion_mnist", "--to", "a")
    Path("a", NAMES[1]).unlink()
    asked.clear()
    said = call("fetch", "fashion_mnist", "--to", "a")
    assert asked == [f"/{NAMES[1]}"]
    assert said.count(" is there\n") == 3


def test_other_places_are_tried_in_turn(server, monkeypatch):
    address, served, asked = server
    serve(served, contents(), "/second")
    serve(served, {NAMES[0]: b"something else"}, "/first")
    register(monkeypatch, [f"{address}/first/", f"{address}/second/"])
    call("fetch", "fashion_mnist", "--to", "a")
    assert {path.name: path.read_bytes() for path in Path("a").iterdir()} == contents()
    assert asked[:2] == [f"/first/{NAMES[0]}", f"/second/{NAMES[0]}"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, r"404 Client Error: Not Found for url: http\S+"),
        ({NAMES[0]: b"something else"}, r"is not what its checksum md5:[0-9a-f]{32} says"),
        ({NAMES[0]: contents()[NAMES[0]][:-1]}, r"is not what its checksum"),
    ],
)
def test_nothing_is_kept_that_is_not_what_its_checksum_says(server, monkeypatch, files, reason):
    address, served, _ = server
    serve(served, files)
    register(monkeypatch, [f"{address}/"])
    said = call("fetch", "fashion_mnist", "--to", "a", code=2)
    assert re.search(
        rf"^Error: fetch: {NAMES[0]} cannot be had \(.*{reason}.*\); if you have it, "
        r"put it into a$",
        said,
        re.MULTILINE,
    )
    assert not list(Path("a").iterdir())


def test_without_a_network_it_says_so(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    register(monkeypatch, [f"http://127.0.0.1:{port}/"])
    said = call("fetch", "fashion_mnist", "--to", "a", code=2)
    assert (
        f"fetch: {NAMES[0]} cannot be had (http://127.0.0.1:{port}/{NAMES[0]}: ConnectionError)"
        in said
    )


def test_a_file_of_the_user_is_never_replaced(server, monkeypatch):
    address, served, asked = server
    serve(served, contents())
    register(monkeypatch, [f"{address}/"])
    Path("a").mkdir()
    Path("a", NAMES[0]).write_bytes(b"mine")
    said = call("fetch", "fashion_mnist", "--to", "a", code=2)
    assert (
        f"fetch: a/{NAMES[0]} is another file than the published one, by its md5; move it" in said
    )
    assert Path("a", NAMES[0]).read_bytes() == b"mine"
    assert asked == []


def test_unknown_names_are_refused():
    said = call("fetch", "fashion-mnist", code=2)
    assert "name: 'fashion-mnist' is not known; choose one of mnist, fashion_mnist, cifar10" in said
    assert "did you mean 'fashion_mnist'?" in said


def test_without_pooch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    said = call("fetch", "fashion_mnist", code=2)
    assert said.strip().endswith("which is not installed; pip install 'plausibench[fetch]'")
    assert not Path("data").exists()


def test_what_there_is_belongs_to_tasks_that_read_it():
    for name, files in DOWNLOADS.items():
        task = registry.find("task", name)
        assert f"plausibench fetch {name}" in task.allowed
        for file in files:
            kind, digest = file.checksum.split(":")
            assert (kind, len(digest)) in {("md5", 32), ("sha256", 64)}
            assert set(digest) <= set("0123456789abcdef")
            assert file.folders
            for folder in file.folders:
                assert re.match(r"https?://\S+/$", folder)


def test_nothing_else_downloads(monkeypatch):
    """A missing file is refused, whatever is asked of it; no connection is tried."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "create_connection", None)
    for name in DOWNLOADS:
        said = call("run", "--tasks", f"{name}[path=gone]", "--dry-run", code=2)
        assert "path: " in said
