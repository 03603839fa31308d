"""MNIST from files of every format, whole, damaged or of other content."""

import gzip
import pickle
import struct
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausibench.bench.tasks.mnist import Mnist
from plausibench.kernels.errors import (
    InputError,
)
from plausibench.objectives.batch import Batch
from task_cells import rows

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
NAMES += ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
KEYS = ("x_train", "y_train", "x_test", "y_test")
OTHER_KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def small_mnist():
    """Images and labels of a training set of 30 and a test set of 20 examples of 4 x 3 pixels."""
    draw = np.random.default_rng(0)
    return [
        array
        for size in (30, 20)
        for array in (
            draw.integers(0, 256, (size, 4, 3), dtype=np.uint8),
            np.arange(size, dtype=np.uint8) % 10,
        )
    ]


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_folder(folder, arrays, compress=False, dotted=False):
    folder.mkdir(parents=True)
    for name, array in zip(NAMES, arrays, strict=True):
        file = name.replace("-idx", ".idx") if dotted else name
        if compress:
            (folder / f"{file}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / file).write_bytes(idx(array))
    return folder


def write_npz(path, arrays, keys=KEYS, save=np.savez):
    save(path, **dict(zip(keys, arrays, strict=True)))
    return path


FORMATS = {
    "idx": lambda folder, arrays: write_folder(folder / "a", arrays),
    "gz": lambda folder, arrays: write_folder(folder / "a", arrays, compress=True),
    "dotted": lambda folder, arrays: write_folder(folder / "a", arrays, dotted=True),
    "npz": lambda folder, arrays: write_npz(folder / "a.npz", arrays),
    "keys": lambda folder, arrays: write_npz(folder / "a.npz", arrays, OTHER_KEYS),
    "compressed": lambda folder, arrays: write_npz(
        folder / "a.npz", arrays, save=np.savez_compressed
    ),
    "torchvision": lambda folder, arrays: (
        write_folder(folder / "MNIST" / "raw", arrays).parent.parent
    ),
    "torchvision, below its root": lambda folder, arrays: (
        write_folder(folder / "FashionMNIST" / "raw", arrays, compress=True).parent
    ),
    "labels in a column": lambda folder, arrays: write_npz(
        folder / "a.npz", [arrays[0], arrays[1][:, None], arrays[2], arrays[3][:, None]]
    ),
    "wide labels": lambda folder, arrays: write_npz(
        folder / "a.npz", [arrays[0], arrays[1].astype(np.int64), arrays[2], arrays[3]]
    ),
}


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS.keys())
def test_mnist_of_every_format_is_the_same_data(write, tmp_path):
    arrays = small_mnist()
    task = Mnist(path=write(tmp_path, arrays))
    for batch, images, labels in ((task.train, *arrays[:2]), (task.test, *arrays[2:])):
        assert np.array_equal(batch.inputs, images.reshape(-1, 12) / 255)
        assert np.array_equal(batch.targets, labels)
    assert (task.inputs_size, task.outputs_size) == (12, 10)
    elsewhere = Mnist(path=str(write_folder(tmp_path / "elsewhere", arrays)))
    assert task.identity == elsewhere.identity
    assert np.array_equal(task.batch(9).keys, elsewhere.batch(9).keys)


def test_several_data_sets_below_one_folder_are_refused(tmp_path):
    for name in ("MNIST", "KMNIST"):
        write_folder(tmp_path / name / "raw", small_mnist())
    with pytest.raises(InputError, match=r"several data sets, .*KMNIST.*; allowed is one"):
        Mnist(path=tmp_path).load()
    assert Mnist(path=tmp_path / "KMNIST").train.size == 30


def test_other_data_have_another_identity(tmp_path):
    arrays = small_mnist()
    task = Mnist(path=write_folder(tmp_path / "a", arrays))
    arrays[2][0, 0, 0] ^= 1
    assert Mnist(path=write_folder(tmp_path / "b", arrays)).identity != task.identity


@pytest.mark.parametrize("compress", [False, True])
def test_a_single_pair_is_split(compress, tmp_path):
    images, labels = small_mnist()[:2]
    folder = write_folder(tmp_path / "a", small_mnist(), compress=compress)
    task = Mnist(path=folder / (NAMES[0] + (".gz" if compress else "")))
    assert np.bincount(task.test.targets).tolist() == [1] * 10
    assert np.bincount(task.train.targets).tolist() == [2] * 10
    whole = Batch(images.reshape(-1, 12) / 255, labels)
    assert np.array_equal(rows(task.train, task.test), rows(whole))


@pytest.mark.parametrize(
    "path", ["", None, 3, b"mnist", "nowhere", "no\0where", "~nobody/x", "x" * 5000]
)
def test_mnist_without_a_path(path):
    with pytest.raises(InputError, match=r"^path: .* is not a directory of IDX files, an .npz"):
        Mnist(path=path).load()


def test_mnist_has_no_default_path():
    with pytest.raises(InputError, match="mnist_5k"):
        Mnist()


@pytest.mark.parametrize("path", ["x.npz", "images-idx3-ubyte", "no\0images", "no\0where.npz"])
def test_mnist_of_a_missing_file(path, tmp_path):
    with pytest.raises(InputError, match=r"^path: .*(cannot be read|neither)"):
        Mnist(path=tmp_path / path).load()


@pytest.mark.parametrize("missing", NAMES)
def test_missing_file_of_a_folder_is_named(missing, tmp_path):
    folder = write_folder(tmp_path / "a", small_mnist())
    (folder / missing).unlink()
    with pytest.raises(
        InputError, match=rf"^path: .*/a has neither a file {missing} nor {missing}.gz$"
    ):
        Mnist(path=folder).load()


def test_unreadable_folder_is_not_a_file(tmp_path):
    (tmp_path / "x.npz").mkdir()
    (tmp_path / "x-images").mkdir()
    for name in ("x.npz", "x-images"):
        with pytest.raises(InputError, match=r"has neither a file train-images"):
            Mnist(path=tmp_path / name).load()


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_not_executed(tmp_path):
    sprung = tmp_path / "sprung"
    arrays = small_mnist()
    arrays[1] = np.array([Trap(sprung)] * 30, dtype=object)
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):
        Mnist(path=write_npz(tmp_path / "a.npz", arrays)).load()
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(InputError, match=r"b\.npz cannot be read"):
        Mnist(path=tmp_path / "b.npz").load()
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (0, lambda a: a / 255, r"images of type float64 and shape \(30, 4, 3\), not bytes"),
        (0, lambda a: a[0, 0], r"images of type uint8 and shape \(3,\), not bytes"),
        (0, lambda a: a[:0], r"images of type uint8 and shape \(0, 4, 3\), not bytes"),
        (0, lambda a: a[:, :3], r"9 pixels in its training images but 12 in its test images"),
        (1, lambda a: a[:-1], r"shape \(29,\), not one whole number for each of 30 images"),
        (1, lambda a: a / 2, r"labels of type float64"),
        (1, lambda a: np.eye(10, dtype=int)[a], r"labels of type int64 and shape \(30, 10\)"),
        (3, lambda a: a + 1, r"labels from 1 to 10, not from 0 to 9"),
        (3, lambda a: a.astype(int) - 1, r"labels from -1 to 8, not from 0 to 9"),
    ],
)
def test_npz_of_other_contents(index, change, message, tmp_path):
    arrays = small_mnist()
    arrays[index] = change(arrays[index])
    with pytest.raises(InputError, match=rf"^path: .*a\.npz .*{message}"):
        Mnist(path=write_npz(tmp_path / "a.npz", arrays)).load()


def test_npz_of_other_names(tmp_path):
    path = write_npz(tmp_path / "a.npz", small_mnist(), ("a", "b", "c", "d"))
    with pytest.raises(InputError, match=r"holds \['a', 'b', 'c', 'd'\], not the arrays x_train,"):
        Mnist(path=path).load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing, not with 00000803"),
        (b"\0\0\x08\x01" + bytes(12), "starts with 00000801, not with 00000803"),
        (b"\0\0\x0d\x03" + bytes(12), "starts with 00000d03"),
        (b"\0\0\x08\x03" + bytes(11), "ends within its header, after 15 bytes"),
        (b"\0\0\x08\x03" + bytes(12), r"holds nothing: its header says \(0, 0, 0\)"),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "holds nothing"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "holds 0 values where its header"),
        (idx(np.ones((2, 1, 1), np.uint8)) + b"1", r"holds 3 values .*, \(2, 1, 1\), says 2"),
        (b"\x1f\x8b", r"cannot be read \("),
        (b"\x1f\x8b\x08" + bytes(100), r"cannot be read \("),
    ],
)
def test_idx_of_other_contents(content, message, tmp_path):
    folder = write_folder(tmp_path / "a", small_mnist())
    (folder / NAMES[0]).write_bytes(content)
    with pytest.raises(InputError, match=rf"^path: .*{NAMES[0]} {message}"):
        Mnist(path=folder).load()


def test_a_pair_too_small_to_split(tmp_path):
    images, labels = (array[:10] for array in small_mnist()[:2])
    folder = write_folder(tmp_path / "a", [images, labels, images, labels])
    with pytest.raises(InputError, match=r"^path: .* too few images to keep any for testing$"):
        Mnist(path=folder / NAMES[0]).load()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Fresh folders: a path that was read once is not read again."""
    root = tmp_path_factory.mktemp("mnist")
    return (root / str(number) for number in count())


def read_damaged(places, kind, content, name):
    """The small MNIST with one file's content replaced, as (train, test)."""
    folder = next(places)
    folder.mkdir()
    path = FORMATS[kind](folder, small_mnist())
    (path / name if path.is_dir() else path).write_bytes(content)
    return Mnist(path=path).load()


def intact(kind, tmp_path_factory, name):
    path = FORMATS[kind](tmp_path_factory.mktemp("intact"), small_mnist())
    return (path / name if path.is_dir() else path).read_bytes()


DAMAGED = [("idx", name) for name in NAMES[:2]]
DAMAGED += [("gz", f"{name}.gz") for name in NAMES[:2]]
DAMAGED += [("npz", "a.npz"), ("compressed", "a.npz")]
each_file = pytest.mark.parametrize(("kind", "name"), DAMAGED)
some = settings(max_examples=60)


@each_file
@some
@given(data=st.data())
def test_a_truncated_file_is_refused(kind, name, data, places, tmp_path_factory):
    content = intact(kind, tmp_path_factory, name)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(InputError, match=r"^path: [^\n]+$"):
        read_damaged(places, kind, content[:cut], name)


@each_file
@some
@given(data=st.data())
def test_a_garbled_file_is_refused_or_read_as_valid_data(
    kind, name, data, places, tmp_path_factory
):
    content = bytearray(intact(kind, tmp_path_factory, name))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        train, test = read_damaged(places, kind, bytes(content), name)
    except InputError as refused:
        message = str(refused)
    else:
        message = "valid"
        arrays = small_mnist()
        assert train.inputs.shape == (30, 12)
        assert train.targets.max() <= 9
        if kind != "idx":  # compressed files and archives have checksums
            assert np.array_equal(train.inputs, arrays[0].reshape(-1, 12) / 255)
            assert np.array_equal(train.targets, arrays[1])
            assert np.array_equal(test.inputs, arrays[2].reshape(-1, 12) / 255)
            assert np.array_equal(test.targets, arrays[3])
    assert len(message.splitlines()) == 1


@each_file
@some
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(kind, name, content, places):
    with pytest.raises(InputError, match=r"^path: [^\n]+$"):
        read_damaged(places, kind, content, name)
