"""Fashion-MNIST and CIFAR from the files that people have, of which nothing is executed."""

import copyreg
import gzip
import io
import pickle
import re
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausibench import bench
from plausibench.bench.components.networks import build_network
from plausibench.bench.tasks.cifar10 import Cifar10
from plausibench.bench.tasks.cifar100 import Cifar100
from plausibench.bench.tasks.fashion_mnist import FashionMnist
from plausibench.bench.tasks.mnist import Mnist
from plausibench.bench.tasks.pickled import read_pickled
from plausibench.kernels.errors import InputError

PARTS = ("train", "t10k")
FOLDERS = {Cifar10: "cifar-10-batches-bin", Cifar100: "cifar-100-binary"}
PICKLED = {Cifar10: "cifar-10-batches-py", Cifar100: "cifar-100-python"}
ARCHIVES = {Cifar10: "cifar-10-binary.tar.gz", Cifar100: "cifar-100-binary.tar.gz"}
BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
each = pytest.mark.parametrize("make", [Cifar10, Cifar100])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder of its own; tests name paths in full, because what was read is not read again."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def garments():
    draw = np.random.default_rng(0)
    return [
        (
            draw.integers(0, 256, (size, 28, 28), dtype=np.uint8),
            np.arange(size, dtype=np.uint8) % 10,
        )
        for size in (30, 20)
    ]


def write_idx(folder, sets, compress=False):
    folder.mkdir(parents=True)
    for part, (images, labels) in zip(PARTS, sets, strict=True):
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = gzip.compress(idx(array)) if compress else idx(array)
            (folder / f"{part}-{name}-ubyte{'.gz' if compress else ''}").write_bytes(content)
    return folder.absolute()


class TestFashionMnist:
    @pytest.mark.parametrize("compress", [False, True])
    @pytest.mark.parametrize("place", [".", "FashionMNIST/raw", "deep/FashionMNIST/raw"])
    def test_is_read_from_idx_files(self, place, compress):
        sets = garments()
        write_idx(Path("data") / place, sets, compress)
        path = Path("data").absolute() / ("deep" if place.startswith("deep") else ".")
        task = FashionMnist(path=path)
        for batch, (images, labels) in zip(task.load(), sets, strict=True):
            assert np.array_equal(batch.inputs, images.reshape(len(images), -1) / 255)
            assert np.array_equal(batch.targets, labels)
        assert (task.inputs_size, task.outputs_size, task.image) == (784, 10, (28, 28, 1))

    def test_is_read_from_npz(self, home):
        sets = garments()
        (x, y), (u, v) = sets
        np.savez("a.npz", x_train=x, y_train=y, x_test=u, y_test=v)
        task, from_idx = FashionMnist(path=home / "a.npz"), write_idx(Path("data"), sets)
        assert task.identity == FashionMnist(path=from_idx).identity
        # Batches of another task are others, though the data are the same.
        digits = Mnist(path=home / "a.npz")
        assert not np.array_equal(task.batch(9).keys, digits.batch(9).keys)

    def test_is_told_from_digits_beside_it(self):
        garment, digit = garments(), [(images[::-1], labels) for images, labels in garments()]
        write_idx(Path("data/FashionMNIST/raw"), garment)
        write_idx(Path("data/MNIST/raw"), digit)
        task = FashionMnist(path=Path("data").absolute())
        assert np.array_equal(task.train.inputs, garment[0][0].reshape(30, -1) / 255)

    @pytest.mark.parametrize("path", ["", 3, "nowhere", "a.csv"])
    def test_says_how_to_get_it(self, path):
        with pytest.raises(InputError, match=r"^path: .*plausibench fetch fashion_mnist"):
            FashionMnist(path=path).load()


def photographs(make, sizes=(15, 5)):
    """Images (B, 32, 32, 3), and coarse and fine labels, of both sets."""
    draw, classes = np.random.default_rng(0), 10 if make is Cifar10 else 100
    return [
        (
            draw.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8),
            draw.integers(0, 20, size),
            draw.integers(0, classes, size),
        )
        for size in sizes
    ]


def record(image, coarse, fine, make):
    """A record of the binary version: labels, then the three colours, row by row."""
    labels = [fine] if make is Cifar10 else [coarse, fine]
    planes = [image[row, column, k] for k in range(3) for row in range(32) for column in range(32)]
    return bytes([*map(int, labels), *map(int, planes)])


def binary(make):
    """Files of the binary version by name."""
    sets = photographs(make)
    train, test = (
        [record(image, c, f, make) for image, c, f in zip(*parts, strict=True)] for parts in sets
    )
    if make is Cifar100:
        return {"train.bin": b"".join(train), "test.bin": b"".join(test)}
    parts = {f"{name}.bin": b"".join(train[3 * n : 3 * n + 3]) for n, name in enumerate(BATCHES)}
    return {**parts, "test_batch.bin": b"".join(test)}


def text(value):
    """A text as Python 2 pickles it."""
    return b"U" + bytes([len(value)]) + value.encode()


def whole(value):
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def pickled(images, lists):
    """A file of the version for Python, instruction by instruction as Python 2 wrote it.

    Beside the images there is a list of numbers for each name, and a list of the files' names.
    """
    content = np.moveaxis(images, -1, 1).reshape(len(images), -1).tobytes()
    made = b"\x80\x02}q\x01(" + text("batch_label") + b"q\x02" + text("batch 1") + b"q\x03"
    for name, numbers in lists.items():
        made += text(name) + b"](" + b"".join(whole(int(number)) for number in numbers) + b"e"
    made += text("data") + b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06"
    made += b"K\x00\x85" + text("b") + b"\x87R(K\x01" + whole(len(images)) + whole(3072) + b"\x86"
    made += b"cnumpy\ndtype\nq\x07" + text("u1") + b"K\x00K\x01\x87R(K\x03" + text("|") + b"NNN"
    made += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(content))
    made += content + b"tb" + text("filenames") + b"](" + text("a.png") + b"e"
    return made + b"u."


def for_python(make):
    """Files of the version for Python by name."""
    train, test = photographs(make)
    if make is Cifar100:
        return {
            name: pickled(images, {"coarse_labels": coarse, "fine_labels": fine})
            for name, (images, coarse, fine) in (("train", train), ("test", test))
        }
    images, _, labels = train
    cuts = [slice(3 * n, 3 * n + 3) for n in range(5)]
    parts = {
        name: pickled(images[cut], {"labels": labels[cut]})
        for name, cut in zip(BATCHES, cuts, strict=True)
    }
    return {**parts, "test_batch": pickled(test[0], {"labels": test[2]})}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder.absolute()


def write_tar(path, folder, files, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        archive.addfile(tarfile.TarInfo(folder))
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path.absolute()


def write_npz(make, first):
    def axes(images):
        return np.moveaxis(images, -1, 1) if first else images

    (x, _, y), (u, _, v) = photographs(make)
    np.savez("a.npz", x_train=axes(x), y_train=y[:, None], x_test=axes(u), y_test=v[:, None])
    return Path("a.npz").absolute()


LAYOUTS = {
    "binary": lambda make: write(Path("a"), binary(make)),
    "binary, below": lambda make: write(Path("a") / FOLDERS[make], binary(make)).parent,
    "archive": lambda make: write_tar(Path("a") / ARCHIVES[make], FOLDERS[make], binary(make)),
    "archive, below": lambda make: (
        write_tar(Path("a") / ARCHIVES[make], FOLDERS[make], binary(make)).parent
    ),
    "tar": lambda make: write_tar(Path("a.tar"), FOLDERS[make], binary(make), "w"),
    "python": lambda make: write(Path("a"), for_python(make)),
    "torchvision": lambda make: write(Path("a") / PICKLED[make], for_python(make)).parent,
    "python archive": lambda make: write_tar(Path("a.tar.gz"), PICKLED[make], for_python(make)),
    "keras": lambda make: write_npz(make, first=False),
    "channels first": lambda make: write_npz(make, first=True),
}


class TestCifar:
    @each
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_of_every_layout_is_the_same_data(self, make, layout):
        task = make(path=LAYOUTS[layout](make))
        for batch, (images, _, labels) in zip(task.load(), photographs(make), strict=True):
            assert np.array_equal(batch.inputs, images.reshape(len(images), -1) / 255)
            assert np.array_equal(batch.targets, labels)
        assert (task.inputs_size, task.image) == (3072, (32, 32, 3))
        assert task.outputs_size == (10 if make is Cifar10 else 100)
        assert task.identity == make(path=write(Path("b"), binary(make))).identity

    @pytest.mark.parametrize("layout", ["binary", "archive", "python"])
    def test_100_has_twenty_groups(self, layout):
        path = LAYOUTS[layout](Cifar100)
        task = Cifar100(path=path, labels="coarse")
        for batch, (_, coarse, _) in zip(task.load(), photographs(Cifar100), strict=True):
            assert np.array_equal(batch.targets, coarse)
        assert task.outputs_size == 20
        assert task.identity != Cifar100(path=path).identity
        with pytest.raises(InputError, match=r"^labels: 'corse' is not known; .*'coarse'\?$"):
            Cifar100(path=path, labels="corse")

    def test_is_seen_by_a_convolutional_network(self):
        task = Cifar10(path=write(Path("a"), binary(Cifar10)))
        network = build_network("convolutional", task, (), seed=0)
        objective = bench.make("objective", "cross_entropy")
        assert np.isfinite(bench.loss(network, objective, task.batch(8)))

    @each
    @pytest.mark.parametrize("path", ["", 3, "nowhere", "empty", "a.csv", "no\0where"])
    def test_says_what_is_allowed(self, make, path):
        Path("empty").mkdir()
        with pytest.raises(
            InputError, match=r"^path: .* is not a folder with cifar-.*-bin.*, or an \.npz file"
        ):
            make(path=path).load()

    @each
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda content: content[:-1],
                r"has \d+ bytes, not records of 307[34] \(labels and an",
            ),
            (lambda content: b"", r"has 0 bytes, not records of 307[34]"),
            (
                lambda content: bytes([255] * len(content)),
                r"holds labels from \d+ to 255, not from 0",
            ),
        ],
    )
    def test_refuses_other_contents(self, make, change, message):
        files = binary(make)
        name = next(iter(files))
        folder = write(Path("a"), {**files, name: change(files[name])})
        with pytest.raises(InputError, match=rf"^path: .*{message}"):
            make(path=folder).load()

    @each
    def test_refuses_a_damaged_archive(self, make):
        path = write_tar(Path("a") / ARCHIVES[make], FOLDERS[make], binary(make))
        content = path.read_bytes()
        for cut in (0, 20, len(content) // 2):
            path = Path(f"cut{cut}.tar.gz").absolute()
            path.write_bytes(content[:cut])
            with pytest.raises(InputError, match=r"^path: .*/cut\d+\.tar\.gz cannot be read \("):
                make(path=path).load()

    @each
    def test_refuses_an_archive_of_something_else(self, make):
        path = write_tar(Path("a.tar.gz"), "x", {"readme": b"x"})
        with pytest.raises(InputError, match=r"^path: .*/a\.tar\.gz lacks some of .*test"):
            make(path=path).load()

    def test_archives_are_not_unpacked(self):
        files = {f"../../{name}": content for name, content in binary(Cifar10).items()}
        path = write_tar(Path("deep/er/a.tar.gz"), "..", files)
        assert Cifar10(path=path).train.size == 15
        assert sorted(map(str, Path().rglob("*.*"))) == ["deep/er/a.tar.gz"]


class Trap:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("sprung").absolute(),)


class TestPickles:
    @each
    def test_are_what_the_real_unpickler_finds(self, make):
        """The twin files are pickles: Python reads of them what we do."""
        files = for_python(make)
        by_column = {name: c.replace(b"tb\x89T", b"tb\x88T") for name, c in files.items()}
        for name, content in (*files.items(), *by_column.items()):
            ours = read_pickled(content, Path(name), "")
            real = pickle.loads(content, encoding="bytes")
            assert {key.decode() for key in real} == set(ours)
            for key, value in real.items():
                assert np.array_equal(ours[key.decode()], value)

    @pytest.mark.parametrize("protocol", [2, 3, 4])
    def test_written_by_python_3_are_read_as_far_as_they_are_plain(self, protocol):
        table = {"labels": [1, 2], "name": "x", "ok": True, "none": None}
        read = read_pickled(pickle.dumps(table, protocol), Path("a"), "")
        assert read == table
        array = np.arange(6, dtype=np.uint8).reshape(2, 3)
        content = pickle.dumps({"data": array}, protocol)
        if protocol == 2:  # bytes are written as a call of a codec
            with pytest.raises(
                InputError, match=r"it names _codecs\.encode, which is not looked up"
            ):
                read_pickled(content, Path("a"), "")
        else:
            assert np.array_equal(read_pickled(content, Path("a"), "")["data"], array)

    @pytest.mark.parametrize(
        "content",
        [
            pickle.dumps(Trap(), 2),
            pickle.dumps({"data": Trap()}, 2),
            pickle.dumps({"data": Trap()}, 4),
            pickle.dumps({"data": np.array([Trap()], dtype=object)}, 2),
            pickle.dumps({"data": np.array([Trap()], dtype=object)}, 4),
            b"cos\nsystem\n(S'touch sprung'\ntR.",
            b'cbuiltins\nexec\n(S\'open("sprung","w")\'\ntR.',
            b"(S'touch sprung'\nios\nsystem\n.",
            b"\x80\x02cnumpy\ndtype\n\x8c\x02O8\x85R.",
            b"\x80\x02cnumpy\nload\n.",
            b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
            b"\x80\x02cnumpy\n__builtins__\n.",
        ],
    )
    def test_execute_nothing(self, content):
        files = for_python(Cifar10)
        folder = write(Path("a"), {**files, "data_batch_3": content})
        with pytest.raises(
            InputError,
            match=r"^path: .*/a/data_batch_3 (cannot be read|does not hold) .*use the "
            r"binary version, cifar-10-binary\.tar\.gz$",
        ):
            Cifar10(path=folder).load()
        assert not Path("sprung").exists()

    def test_do_not_reach_what_other_code_has_registered(self):
        """Extensions may be in a cache that no look-up of names guards."""
        copyreg.add_extension("pathlib", "Path", 240)
        try:
            with pytest.raises(InputError, match=r"instruction EXT1"):
                read_pickled(b"\x80\x02\x82\xf0.", Path("a"), "")
        finally:
            copyreg.remove_extension("pathlib", "Path", 240)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ((b"u1", b"u2"), r"an array in it does not hold bytes"),
            ((b"u1", b"O8"), r"an array in it does not hold bytes"),
            ((b"K\x01K\x03M", b"K\x01K\x04M"), r"has not the size that its shape \(4, 3072\) says"),
            ((b"U\x06labels", b"U\x06lebals"), r"does not hold images of 3072 bytes as data and a"),
            ((b"U\x04data", b"U\x04dota"), r"does not hold images of 3072 bytes as data and a"),
        ],
    )
    def test_of_other_contents_are_refused(self, change, message):
        files = for_python(Cifar10)
        assert change[0] in files["data_batch_1"]
        files["data_batch_1"] = files["data_batch_1"].replace(*change)
        with pytest.raises(
            InputError, match=rf"^path: .*/a/data_batch_1 .*{message}.*; use the binary"
        ):
            Cifar10(path=write(Path("a"), files)).load()

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_that_are_garbled_are_read_or_refused_in_a_sentence(self, data):
        images, _, labels = photographs(Cifar10)[1]
        content = bytearray(pickled(images[:1], {"labels": labels[:1]}))
        # Where instructions are; what is in the image is data of any kind.
        places = [*range(190), *range(len(content) - 30, len(content))]
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.sampled_from(places))] = data.draw(st.integers(0, 255))
        said = "read"
        try:
            read_pickled(bytes(content), Path("a"), "use the binary version")
        except InputError as error:
            said = str(error)
        assert len(said.splitlines()) == 1
        assert re.match(r"read$|path: a cannot be read \(.*\); use the binary version$", said)
