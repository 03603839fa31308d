"""A user's own data: what is read, what is made of it, and what is refused in a sentence."""

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components.selectors import select
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.study import BENCHMARK
from plausibench.bench.tasks.arrays import Arrays
from plausibench.kernels.errors import InputError

TINY = (
    *("--seeds", "1", "--samples", "60", "--averaging-samples", "16", "--marginal-samples", "20"),
    *("--batch-size", "16", "--training-batch-size", "16", "--jobs", "1"),
    *("--checkpoints", "0", "--checkpoints", "20", "--format", "png"),
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def blobs(size=90, features=3, classes=2, seed=0):
    """Inputs around a point for each class, and the classes."""
    draw = np.random.default_rng(seed)
    labels = np.arange(size) % classes
    return draw.normal(size=(size, features)) + 2 * labels[:, None], labels


def write_csv(path, inputs, targets, head=True, separator=","):
    rows = [
        [*map(repr, map(float, row)), str(target)]
        for row, target in zip(inputs, targets, strict=True)
    ]
    names = [[f"x{number}" for number in range(inputs.shape[1])] + ["y"]] if head else []
    Path(path).write_text("\n".join(separator.join(row) for row in names + rows) + "\n")
    return Path(path)


def rows(*batches):
    """All examples with their targets, sorted, so that two sets of them can be compared."""
    table = np.concatenate([np.column_stack([b.inputs, b.targets]) for b in batches])
    return table[np.lexsort(table.T)]


def refused(**options):
    with pytest.raises(InputError) as error:
        Arrays(**options).load()
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


class TestCsv:
    @pytest.mark.parametrize("head", [True, False])
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_is_read_as_it_stands(self, head, separator):
        inputs, labels = blobs()
        write_csv("a.csv", inputs, labels, head, separator)
        task = Arrays(file="a.csv", scale="none")
        assert (task.kind, task.inputs_size, task.outputs_size) == ("classification", 3, 2)
        expected = np.column_stack([inputs, labels])
        assert np.array_equal(rows(task.train, task.test), expected[np.lexsort(expected.T)])
        assert np.bincount(task.test.targets).tolist() == [9, 9]
        assert np.bincount(task.train.targets).tolist() == [36, 36]

    def test_quotes_blanks_and_a_mark_at_the_start_do_not_matter(self):
        inputs, labels = blobs(20)
        plain = Arrays(file=write_csv("a.csv", inputs, labels))
        text = Path("a.csv").read_text().replace("x0", '"x0"').replace(",", ", ")
        Path("b.csv").write_bytes(b"\xef\xbb\xbf\n" + text.replace("\n", "\r\n\r\n").encode())
        assert Arrays(file="b.csv").identity == plain.identity

    @pytest.mark.parametrize("column", ["species", "2", 2])
    def test_a_column_is_named_or_counted(self, column):
        Path("a.csv").write_text(
            "length,species,width\n" + "".join(f"{k},{'ab'[k % 2]},{-k}\n" for k in range(20))
        )
        task = Arrays(file="a.csv", column=column, scale="none")
        assert task.class_names == ("a", "b")
        both = rows(task.train, task.test)
        assert np.array_equal(both[:, 0], -both[:, 1])
        assert np.array_equal(both[:, 0] % 2, both[:, 2])

    def test_a_column_is_chosen_by_a_selector(self):
        Path("a.csv").write_text("y,x\n" + "".join(f"{k % 2},{k}\n" for k in range(20)))
        for text in ("arrays[file=a.csv,column=y]", "arrays[file=a.csv,column=1]"):
            chosen = select("task", text)
            assert str(select("task", str(chosen))) == str(chosen) == text
            assert chosen.make().inputs_size == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", r"^file: a\.csv is empty$"),
            ("\n \n", r"^file: a\.csv is empty$"),
            ("x,y\n", r"^file: a\.csv has no line below its names$"),
            ("1\n2\n", r"^file: a\.csv has one column; allowed are columns separated by commas,"),
            (
                "a,y\n1,0\n2,1,3\n",
                r"^file: line 3 of a\.csv has 3 values, but the first line has 2$",
            ),
            (
                "a,y\n1,0\n\nred,1\n",
                (
                    r"^file: line 4 of a\.csv holds 'red', not a finite number in "
                    r"column 1 \(a\)$"
                ),
            ),
            ("1,0\n2,1\nred,1\n", r"^file: line 3 of a\.csv holds 'red', .* in column 1$"),
            ("a,b,y\n1,,0\n", r"^file: line 2 of a\.csv holds nothing in column 2 \(b\)$"),
            ("a,y\n1,0\nnan,1\n", r"^file: line 3 of a\.csv holds 'nan', not a finite number"),
            ("a,y\n1,0\n-inf,1\n", r"^file: line 3 of a\.csv holds '-inf', not a finite number"),
            ("a,y\n1,0\n1,\n", r"^file: line 3 of a\.csv holds no target$"),
            (
                "a,y\n1,0\n1,no\n",
                (
                    r"^file: line 3 of a\.csv holds 'no' as target where others are "
                    r"numbers$"
                ),
            ),
            (
                "a,y\n1,no\n1,1\n",
                r"^file: line 3 of a\.csv holds '1' as target where others are names",
            ),
            ("a,y\n1,0\n1,inf\n", r"^file: line 3 of a\.csv holds 'inf' as target, not a finite"),
            (
                "a,y\n1,5\n2,5\n",
                r"^file: a\.csv: all targets are of one class, '5'$",
            ),
            (
                ",a,y\n0,1,0\n1,2,1\n",
                r"^file: the first column of a\.csv has no name, .*index=False",
            ),
            ("a;y\n1,5;0\n", r"^file: line 2 of a\.csv holds '1,5', .* decimals with a point$"),
            ('a,y\n"1,0\n', r"^file: line 2 of a\.csv has 1 values"),
            ("a,y\n1,0\n2,1\n", r"^file: a\.csv: 2 examples are too few to keep any for testing"),
        ],
    )
    def test_refuses(self, content, message):
        Path("a.csv").write_text(content)
        assert re.match(message, refused(file="a.csv"))

    def test_refuses_other_bytes_than_text(self):
        Path("a.csv").write_bytes(b"1,2\n\xff\xfe,3\n")
        assert refused(file="a.csv").startswith("file: a.csv is no text in UTF-8 (")

    @pytest.mark.parametrize(
        ("column", "message"),
        [
            (
                "speces",
                (
                    r"^column: a\.csv has no column 'speces', but \['x', 'species'\]; .* from 1 "
                    r"to 2; did you mean 'species'\?$"
                ),
            ),
            ("3", r"^column: a\.csv has no column '3'"),
            ("0", r"^column: a\.csv has no column '0'"),
            ("-1", r"^column: a\.csv has no column '-1'"),
        ],
    )
    def test_refuses_other_columns(self, column, message):
        Path("a.csv").write_text("x,species\n1,a\n2,b\n")
        assert re.match(message, refused(file="a.csv", column=column))

    @settings(max_examples=150, deadline=None)
    @given(st.text(alphabet="01.,;\t\n\"'ab-e \0ü", max_size=60))
    def test_of_anything_is_read_or_refused_in_a_sentence(self, text):
        Path("a.csv").write_text(text, encoding="utf-8", newline="")
        said = "file: read"
        try:
            train, test = Arrays(file="a.csv").load()
        except InputError as error:
            said = str(error)
        else:
            assert np.isfinite(train.inputs).all()
            assert test.size >= 1
        assert len(said.splitlines()) == 1
        assert said.startswith("file: ")


class TestNpz:
    @pytest.mark.parametrize(
        "names",
        [
            ("X_train", "y_train", "X_test", "y_test"),
            ("x_train", "y_train", "x_test", "y_test"),
            ("train_inputs", "train_targets", "test_inputs", "test_targets"),
            ("train_images", "train_labels", "test_images", "test_labels"),
        ],
    )
    def test_has_a_test_set_of_its_own(self, names):
        inputs, labels = blobs()
        parts = (inputs[:60], labels[:60], inputs[60:], labels[60:])
        np.savez("a.npz", **dict(zip(names, parts, strict=True)))
        task = Arrays(file="a.npz", scale="none")
        for batch, x, y in ((task.train, *parts[:2]), (task.test, *parts[2:])):
            assert np.array_equal(batch.inputs, x)
            assert np.array_equal(batch.targets, y)
        # Nothing is split, and what would split it does not matter.
        assert Arrays(file="a.npz", scale="none", seed=3).identity == task.identity

    @pytest.mark.parametrize("names", [("X", "y"), ("inputs", "targets"), ("data", "target")])
    def test_or_is_split_by_a_seed(self, names):
        np.savez_compressed("a.npz", **dict(zip(names, blobs(), strict=True)))
        tasks = [Arrays(file="a.npz", seed=seed, scale="none") for seed in (0, 0, 1)]
        assert np.array_equal(tasks[0].test.inputs, tasks[1].test.inputs)
        assert not np.array_equal(tasks[0].test.inputs, tasks[2].test.inputs)
        assert tasks[0].identity != tasks[2].identity
        assert np.array_equal(rows(*tasks[0].load()), rows(*tasks[2].load()))

    def test_of_a_table_is_the_table(self):
        inputs, labels = blobs()
        np.savez("a.npz", X=inputs, y=labels)
        same = Arrays(file="a.npz"), Arrays(file=write_csv("a.csv", inputs, labels))
        assert same[0].identity == same[1].identity
        assert np.array_equal(same[0].batch(9).keys, same[1].batch(9).keys)
        assert np.array_equal(same[0].train.inputs, same[1].train.inputs)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            (
                {"a": np.ones(3)},
                (
                    r"^file: a\.npz holds \['a'\], not the arrays x_train, y_train, .* or "
                    r"x, y or "
                ),
            ),
            (
                {"X": np.ones((4, 2)), "y": np.arange(3)},
                (
                    r"^file: a\.npz, y: shape \(3,\) is not a "
                    r"target for each of 4 examples$"
                ),
            ),
            (
                {"X": np.array([[1.0], [np.nan]]), "y": [0, 1]},
                (
                    r"^file: a\.npz, x: nan at \[1, 0\] is "
                    r"not a finite number$"
                ),
            ),
            ({"X": np.ones((2, 1)), "y": [0.5, np.inf]}, r"^file: a\.npz, y: inf at \[1\] is not"),
            ({"X": np.ones((0, 3)), "y": np.ones(0)}, r"^file: a\.npz, x: shape \(0, 3\) is not"),
            (
                {"X": np.array([["a"], ["b"]]), "y": [0, 1]},
                r"^file: a\.npz, x: type <U1 is not a real",
            ),
            ({"X": np.ones((2, 1)) * 1j, "y": [0, 1]}, r"^file: a\.npz, x: type complex128"),
            ({"X": np.float64(1), "y": np.ones(1)}, r"^file: a\.npz, x: shape \(\) is not"),
            (
                {"X": np.eye(4), "y": [3, 3, 3, 3]},
                r"^file: a\.npz: all targets are of one class, '3'$",
            ),
            (
                {"X": np.ones((4, 5, 6)), "y": [0, 1, 0, 1]},
                (
                    r"^file: a\.npz: examples of shape \(5, 6\) "
                    r"may be images or sequences; say pixels=5-6 or time=5$"
                ),
            ),
            (
                {"X": np.ones((4, 3, 8, 8)), "y": [0, 1, 0, 1]},
                (
                    r"^file: a\.npz: images of shape "
                    r"\(3, 8, 8\) seem to have their channels first"
                ),
            ),
            (
                {"X": np.eye(4), "y": np.ones((4, 2, 2))},
                (
                    r"^file: a\.npz: targets of shape \(4, 2, 2\) "
                    r"are neither"
                ),
            ),
            (
                {"X": np.eye(4), "y": np.array([["a", "b"]] * 4)},
                (
                    r"^file: a\.npz: names of shape "
                    r"\(4, 2\) are not one for each example$"
                ),
            ),
        ],
    )
    def test_refuses(self, arrays, message):
        np.savez("a.npz", **arrays)
        assert re.match(message, refused(file="a.npz"))

    @pytest.mark.parametrize(
        ("test", "message"),
        [
            (
                (np.ones((2, 4)), [0, 1]),
                (
                    r"examples of the training set have the shape \(3,\), those of "
                    r"the test set \(4,\)$"
                ),
            ),
            (
                (np.ones((2, 3)), [0, 2]),
                (
                    r"the test set has a class, '2\.0', that the training set has "
                    r"not$"
                ),
            ),
            (
                (np.ones((2, 3)), ["0", "1"]),
                r"targets of the test set are of another kind or shape$",
            ),
            (
                (np.ones((2, 3)), [[1, 0, 0], [0, 1, 0]]),
                r"targets of the test set are of another kind",
            ),
        ],
    )
    def test_refuses_a_test_set_of_something_else(self, test, message):
        inputs, labels = blobs()
        np.savez("a.npz", X_train=inputs, y_train=labels, X_test=test[0], y_test=test[1])
        assert re.search(rf"^file: a\.npz: {message}", refused(file="a.npz"))

    def test_executes_nothing(self):
        class Trap:
            def __reduce__(self):
                return Path.touch, (Path("sprung").absolute(),)

        np.savez("a.npz", X=np.ones((2, 1)), y=np.array([Trap(), Trap()], dtype=object))
        assert re.match(
            r"^file: a\.npz cannot be read \(it holds objects, which are not opened "
            r"because that may execute what is in them; ",
            refused(file="a.npz"),
        )
        Path("b.npz").write_bytes(pickle.dumps(Trap()))
        assert refused(file="b.npz").startswith("file: b.npz cannot be read (")
        assert not Path("sprung").exists()

    def test_of_other_content_is_refused(self):
        Path("a.npz").write_text("1,2\n3,4\n")
        assert refused(file="a.npz").startswith("file: a.npz cannot be read (")
        assert refused(file="gone.npz").startswith("file: gone.npz cannot be read (No such file")
        assert refused(file="gone.csv").startswith("file: gone.csv cannot be read (No such file")
        Path("folder.csv").mkdir()
        assert refused(file="folder.csv").startswith("file: folder.csv cannot be read (")

    def test_has_no_columns(self):
        np.savez("a.npz", X=np.eye(4), y=np.arange(4))
        assert refused(file="a.npz", column="y").startswith("column: a.npz holds arrays with names")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"^file: '' is not the path of an \.npz or a \.csv file$"),
        ({"file": 3}, r"^file: 3 is not the path"),
        (
            {"file": "a.pkl"},
            r"^file: 'a\.pkl' is not an \.npz file, or a \.csv, \.tsv or \.txt file$",
        ),
        ({"file": "a.csv", "column": 1.5}, r"^column: 1\.5 is not the name of a column"),
        ({"file": "a.csv", "classes": "yes"}, r"^classes: 'yes' is not true or false$"),
        ({"file": "a.csv", "test_fraction": 1}, r"^test_fraction: "),
        ({"file": "a.csv", "seed": -1}, r"^seed: "),
        ({"file": "a.csv", "pixels": (28,)}, r"^pixels: .*height and width"),
        ({"file": "a.csv", "pixels": (2, 0)}, r"^pixels: "),
        ({"file": "a.csv", "time": -1}, r"^time: "),
        (
            {"file": "a.csv", "time": 2, "pixels": (2, 2)},
            r"^time: inputs are images, by pixels, or",
        ),
        (
            {"file": "a.csv", "scale": "z"},
            r"^scale: 'z' is not known; choose one of auto, standard",
        ),
        ({"file": "no\0where.csv"}, r"^file: "),
        ({"file": "~nobody/a.csv"}, r"^file: "),
        ({"file": "x" * 5000 + ".csv"}, r"^file: "),
    ],
)
def test_options_refused(options, message):
    assert re.match(message, refused(**options))


class TestTargets:
    @pytest.mark.parametrize(
        ("targets", "names"),
        [
            (["no", "yes"] * 10, ("no", "yes")),
            (np.array(["no", "yes"] * 10, dtype=object), ("no", "yes")),
            (np.array([b"no", b"yes"] * 10), ("no", "yes")),
            ([True, False] * 10, ("0", "1")),
            ([-1, 1] * 10, ("-1", "1")),
            ([7.0, 3.0] * 10, ("3", "7")),
            ([[7], [3]] * 10, ("3", "7")),
            ([[0, 1], [1, 0]] * 10, ("0", "1")),
            (list(range(4)) * 5, ("0", "1", "2", "3")),
            (np.repeat(np.arange(20), 5), tuple(map(str, range(20)))),
            (pd.Series(["b", "a"] * 10), ("a", "b")),
            (pd.Series(["b", "a"] * 10, dtype="category"), ("a", "b")),
        ],
    )
    def test_that_are_classes(self, targets, names):
        task = bench.task_from_arrays(np.arange(len(targets)), targets, scale="none")
        assert (task.kind, task.class_names) == ("classification", names)
        both = rows(task.train, task.test)
        for example, target in both:
            told = np.asarray(targets)[int(example)]
            if np.size(told) > 1:
                assert told[int(target)] == 1
            elif isinstance(told, bytes | str):
                assert names[int(target)] == (told.decode() if isinstance(told, bytes) else told)
            else:
                assert float(names[int(target)]) == float(np.ravel(told)[0])

    @pytest.mark.parametrize(
        "targets",
        [
            np.linspace(0, 1, 20),
            np.arange(20),  # twenty different values, once each
            np.stack([np.arange(20), np.ones(20)], axis=1),
            [[1, 1], [1, 0]] * 10,
        ],
    )
    def test_that_are_values(self, targets):
        task = bench.task_from_arrays(np.arange(20), targets, scale="none")
        expected = np.asarray(targets, dtype=float).reshape(20, -1)
        assert task.kind == "regression"
        assert task.outputs_size == expected.shape[1]
        assert (task.train.size, task.test.size) == (16, 4)
        for batch in (task.train, task.test):
            assert np.array_equal(batch.targets, expected[batch.inputs[:, 0].astype(int)])

    def test_are_what_one_says(self):
        counts = np.arange(20)
        labels = [0, 1] * 10
        assert bench.task_from_arrays(counts, labels, classes=False).kind == "regression"
        many = bench.task_from_arrays(np.arange(40), np.repeat(counts, 2), classes=True)
        assert (many.kind, many.outputs_size) == ("classification", 20)

    @pytest.mark.parametrize(
        ("targets", "classes", "message"),
        [
            (["a", "b"] * 5, False, r"^classes: targets are names, such as 'a'$"),
            (
                [0.5, 1] * 5,
                True,
                r"^classes: targets are numbers such as 0\.5, neither whole numbers",
            ),
            (np.ones((10, 2)), True, r"^classes: targets are of shape \(10, 2\), neither whole"),
        ],
    )
    def test_are_not_what_they_cannot_be(self, targets, classes, message):
        with pytest.raises(InputError, match=message):
            bench.task_from_arrays(np.arange(10), targets, classes=classes)


class TestScale:
    def test_brings_inputs_and_values_to_variance_one(self):
        draw = np.random.default_rng(0)
        inputs, targets = 50 + 9 * draw.normal(size=(80, 3)), 1e5 * draw.normal(size=(80, 2))
        inputs[:, 1] = 0.1
        task = bench.task_from_arrays(inputs, targets)
        raw = bench.task_from_arrays(inputs, targets, scale="none")
        for field, constant in (("inputs", [1]), ("targets", [])):
            made, given = getattr(task.train, field), getattr(raw.train, field)
            assert np.allclose(made.mean(axis=0), 0, atol=1e-12)
            expected = np.ones(made.shape[1])
            expected[constant] = 0
            assert np.allclose(made.std(axis=0), expected)
            # The test set is moved as the training set is.
            varying = [place for place in range(made.shape[1]) if place not in constant]
            moved = (getattr(raw.test, field) - given.mean(axis=0))[:, varying]
            expected = moved / given.std(axis=0)[varying]
            assert np.allclose(getattr(task.test, field)[:, varying], expected)

    @pytest.mark.parametrize(
        ("inputs", "factor"),
        [
            (np.arange(80).reshape(20, 4) % 256, 255),
            (np.arange(80).reshape(20, 4) / 79, 1),
            (np.arange(80).reshape(20, 4) % 2, 1),
            (np.arange(80).reshape(20, 4) * 10, 1),
            (np.arange(80).reshape(20, 4) - 1, 1),
        ],
    )
    def test_of_images_divides_bytes(self, inputs, factor):
        task = bench.task_from_arrays(inputs, np.arange(20) % 2, pixels=(2, 2))
        raw = bench.task_from_arrays(inputs, np.arange(20) % 2, pixels=(2, 2), scale="none")
        assert np.array_equal(task.train.inputs, raw.train.inputs / factor)
        standard = bench.task_from_arrays(
            inputs, np.arange(20) % 2, pixels=(2, 2), scale="standard"
        )
        assert np.allclose(standard.train.inputs.mean(axis=0), 0)


class TestShapes:
    def test_of_images(self):
        draw = np.random.default_rng(0)
        pixels, labels = draw.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8), np.arange(20) % 2
        colour = bench.task_from_arrays(pixels, labels)
        flat = bench.task_from_arrays(pixels.reshape(20, -1), labels, pixels=(4, 5, 3))
        assert colour.image == flat.image == (4, 5, 3)
        assert colour.identity != bench.task_from_arrays(pixels.reshape(20, -1), labels).identity
        assert np.array_equal(colour.test.inputs, flat.test.inputs)
        grey = bench.task_from_arrays(pixels[..., 0], labels, pixels=(4, 5))
        assert (grey.image, grey.inputs_size) == ((4, 5, 1), 20)
        assert bench.task_from_arrays(pixels[..., :1], labels).image == (4, 5, 1)
        with pytest.raises(InputError, match=r"^pixels: an example of shape \(20,\) is no image"):
            bench.task_from_arrays(pixels[..., 0].reshape(20, -1), labels, pixels=(4, 4))

    def test_of_sequences(self):
        draw = np.random.default_rng(0)
        inputs = draw.normal(size=(20, 6, 2))
        for shaped in (inputs, inputs.reshape(20, 12)):
            task = bench.task_from_arrays(shaped, np.arange(20) % 2, time=6, scale="none")
            assert (task.steps, task.inputs_size, task.outputs_size) == (6, 2, 2)
            assert np.array_equal(rows_of(task), inputs[order_of(task, inputs)])
        scaled = bench.task_from_arrays(inputs, np.arange(20) % 2, time=6).train.inputs
        assert np.allclose(scaled.reshape(-1, 2).mean(axis=0), 0)
        assert np.allclose(scaled.reshape(-1, 2).std(axis=0), 1)

    @pytest.mark.parametrize(
        ("targets", "kind", "shape"),
        [
            (np.arange(120).reshape(20, 6) % 3, "classification", (6,)),
            (np.arange(120).reshape(20, 6) / 7, "regression", (6, 1)),
            (np.arange(120).reshape(20, 6, 1) / 7, "regression", (6, 1)),
            (np.arange(240).reshape(20, 6, 2) / 7, "regression", (6, 2)),
            (np.arange(40).reshape(20, 2) / 7, "regression", (2,)),
            (np.arange(20) / 7, "regression", (1,)),
        ],
    )
    def test_of_targets_of_sequences(self, targets, kind, shape):
        draw = np.random.default_rng(0)
        task = bench.task_from_arrays(draw.normal(size=(20, 6, 2)), targets, time=6)
        assert (task.kind, task.train.targets.shape[1:]) == (kind, shape)
        network = bench.make("architecture", "rate_rnn", sizes=[2, 5, task.outputs_size], seed=0)
        name = "cross_entropy" if kind == "classification" else "mean_squared_error"
        objective = bench.make("objective", name)
        assert np.isfinite(bench.loss(network, objective, task.batch(8)))

    def test_that_do_not_fit_are_refused(self):
        for shape in ((20, 13), (20, 5, 2), (20, 4, 5, 3)):
            with pytest.raises(InputError, match=r"^time: an example of shape .* 6 steps of equal"):
                bench.task_from_arrays(np.ones(shape), np.arange(20) % 2, time=6)


def rows_of(task):
    return np.concatenate([task.train.inputs, task.test.inputs])


def order_of(task, inputs):
    """Which of the given examples each is."""
    flat = inputs.reshape(len(inputs), -1)
    return [int(np.flatnonzero((flat == row.ravel()).all(axis=1))[0]) for row in rows_of(task)]


class TestFromPython:
    def test_is_the_same_as_from_a_file(self):
        inputs, labels = blobs()
        np.savez("a.npz", X=inputs, y=labels)
        task = bench.task_from_arrays(inputs, labels)
        assert task.identity == Arrays(file="a.npz").identity
        assert np.array_equal(task.batch(9).inputs, Arrays(file="a.npz").batch(9).inputs)

    def test_travels_to_another_process_and_is_equal_there(self):
        task = bench.task_from_arrays(*blobs())
        copy = pickle.loads(pickle.dumps(task))
        assert copy == task
        assert hash(copy) == hash(task)
        assert copy.train is task.train
        assert task != bench.task_from_arrays(*blobs(seed=1))

    def test_takes_what_pandas_and_torch_have(self):
        inputs, labels = blobs()
        expected = bench.task_from_arrays(inputs, labels)
        frame = pd.DataFrame(inputs, columns=["a", "b", "c"])
        assert bench.task_from_arrays(frame, pd.Series(labels)).identity == expected.identity
        torch = pytest.importorskip("torch")
        tensors = torch.tensor(inputs, requires_grad=True), torch.tensor(labels)
        assert bench.task_from_arrays(*tensors).identity == expected.identity

    def test_trains_and_is_measured(self):
        inputs, labels = blobs()
        task = bench.task_from_arrays(inputs[:60], labels[:60], inputs[60:], labels[60:])
        network = bench.make("architecture", "mlp", sizes=[3, 8, 2], seed=0)
        objective = bench.make("objective", "cross_entropy")
        rule = bench.make("rule", "backprop")
        curve = bench.train(rule, task, network, objective, steps=100, seed=0)
        accuracy = [row["value"] for row in curve.rows if row["quantity"] == "test_accuracy"]
        assert accuracy[-1] > 0.9  # two classes three standard deviations apart
        measured = bench.measure(rule, curve.network, objective, task.batch(32), seed=0)
        assert measured.value("bias_squared") == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((np.ones((3, 2)), [0, 1]), r"^targets: shape \(2,\) is not a target for each of 3"),
            (([[1.0], [np.nan]], [0, 1]), r"^inputs: nan at \[1, 0\] is not a finite number$"),
            (([[1.0], [2.0, 3.0]], [0, 1]), r"^inputs: no array can be made of rows of unequal"),
            (
                (np.ones((4, 1)), [0, 1] * 2, np.ones((2, 1))),
                r"^test_inputs: a test set has inputs and",
            ),
            ((np.ones((4, 1)), [0, 1] * 2, np.ones((2, 1)), [0]), r"^test_targets: shape \(1,\)"),
            ((np.ones((4, 1)), [0, None, 1, 1]), r"^targets: type object is not a real number"),
            (
                (np.ones((4, 1)), ["a", None, "b", "b"]),
                r"^targets: type object is not a real number",
            ),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(InputError, match=message):
            bench.task_from_arrays(*arguments)


class TestResults:
    def keys(self, file):
        spec = Spec(
            tasks=(str(select("task", f"arrays[file={file}]")),),
            rules=("backprop",),
            architectures=("mlp",),
            objectives=("cross_entropy",),
            seeds=1,
            protocols=("own",),
        )
        return [job.key for job in BENCHMARK.work(spec)]

    def test_are_kept_by_the_content_of_the_file(self):
        inputs, labels = blobs()
        first = self.keys(write_csv("a.csv", inputs, labels))
        Path("elsewhere").mkdir()
        assert self.keys(write_csv("elsewhere/b.csv", inputs, labels)) == first
        inputs[4, 1] += 1e-9
        assert self.keys(write_csv("c.csv", inputs, labels)) != first

    def test_follow_a_file_that_changes(self):
        inputs, labels = blobs()
        first, data = self.keys(write_csv("a.csv", inputs, labels)), Arrays(file="a.csv").train
        write_csv("a.csv", inputs + 1 + labels[:, None], labels)
        os.utime("a.csv", (1, 1))  # as if some time had passed
        assert self.keys("a.csv") != first
        assert Arrays(file="a.csv", scale="none").train is not data

    def test_of_a_newcomers_table_come_with_one_command(self):
        """Three features, two named classes, the default rules: a table and the plane."""
        inputs, labels = blobs(120)
        write_csv("my.csv", 100 * inputs, np.array(["healthy", "ill"])[labels])
        done = CliRunner().invoke(
            main, ["run", "--task", "arrays[file=my.csv]", *TINY, "--no-nulls", "--out", "out"]
        )
        assert done.exit_code == 0, done.output
        for rule in Spec.rules:
            assert f"\n{rule} " in done.stdout, done.stdout
        run = Run.open("out")
        assert set(run.jobs["status"]) == {"done"}
        assert set(run.frame["task"]) == {"arrays[file=my.csv]"}
        accuracy = run.frame.query("quantity == 'test_accuracy' and rule == 'backprop'")
        assert accuracy["value"].notna().all()
        assert sorted(path.name for path in Path("out/figures").glob("plane*.png"))

    def test_start_from_a_card(self):
        write_csv("my.csv", *blobs())
        for name in ("arrays", "arrays[file=my.csv]"):
            shown = CliRunner().invoke(main, ["show", name]).stdout
            assert "your own data, from an .npz or a .csv file" in shown
            assert "property object" not in shown
        assert "starts   mlp (3-32-32-2) on arrays[file=my.csv] with cross_entropy" in shown

    def test_of_values_come_too(self):
        draw = np.random.default_rng(0)
        inputs = draw.normal(size=(80, 2))
        write_csv("my.csv", inputs, 3000 + 50 * inputs.sum(axis=1))
        given = ("--rules", "backprop", "--rules", "feedback_alignment", "--no-pictures")
        done = CliRunner().invoke(
            main, ["run", "--tasks", "arrays[file=my.csv]", *TINY, *given, "--out", "out"]
        )
        assert done.exit_code == 0, done.output
        assert set(Run.open("out").frame["objective"]) == {"mean_squared_error"}

    def test_of_bad_files_are_refused_before_anything_is_computed(self):
        Path("my.csv").write_text("a,y\n1,0\nred,1\n")
        done = CliRunner().invoke(main, ["run", "--tasks", "arrays[file=my.csv]", "--out", "out"])
        assert done.exit_code == 2
        assert "line 3 of my.csv holds 'red'" in done.output
        assert not Path("out").exists()
