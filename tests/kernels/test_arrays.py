"""Arrays of numpy, pandas and PyTorch are read whole, or refused in a sentence; then nobody's."""

import decimal
import pickle
from fractions import Fraction

import numpy as np
import pytest

from plausibench import bench
from plausibench.kernels.arrays import numbers
from plausibench.kernels.errors import InputError

INPUTS, CLASSES = np.random.default_rng(0).random((5, 3)), [0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([[1, 2], [3, 4]], "int64"),
        ([True, False], "bool"),
        (np.float16([0.5]), "float16"),
        (np.array([1, 2], object), "int64"),
        (np.array([0.5, 2], object), "float64"),
        ([Fraction(1, 2)], "float64"),
        ([10**30], "float64"),
        (np.ma.masked_greater([1.0, 2.0], 10), "float64"),
        (range(3), "int64"),
        (memoryview(b"ab"), "uint8"),
    ],
)
def test_what_is_read(values, dtype):
    array = numbers("x", values)
    assert type(array) is np.ndarray
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.astype(float), np.array(values).astype(float))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "None is not an array"),
        ("oops", "type <U4 is not a real number"),
        (["1", "2"], "type <U1 is not a real number"),
        ([1, None], "type object .*; fill or leave out missing entries"),
        ([1, [2, 3]], "no array can be made of rows of unequal length"),
        ({"a": 1}, "type object is not a real number"),
        ({1, 2}, "type object is not a real number"),
        (object(), "type object is not a real number"),
        ([1j], "type complex128 has an imaginary part, which would be lost"),
        (np.complex64([1]), "type complex64 has an imaginary part"),
        (np.ma.masked_greater([1.0, 20.0], 10), "entries are masked"),
        (np.array(["2020-01-01"], "M8[D]"), r"type datetime64\[D\] is not"),
        ([decimal.Decimal("0.1")], "type object is not a real number"),
        (np.zeros(2, [("a", float)]), r"type \[\('a', '<f8'\)\] is not a real number"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_refused(values, said):
    with pytest.raises(InputError, match=f"^x: {said}") as caught:
        numbers("x", values)
    assert "\n" not in str(caught.value)


class TestTensors:
    @pytest.fixture(autouse=True)
    def torch(self):
        self.torch = pytest.importorskip("torch")

    def test_a_graph_is_left_behind(self):
        tensor = self.torch.tensor(INPUTS, requires_grad=True)
        for given in (tensor, 2 * tensor / 2, self.torch.nn.Parameter(tensor)):
            np.testing.assert_array_equal(bench.Batch(given, CLASSES).inputs, INPUTS)
        assert tensor.requires_grad

    def test_bfloat16_becomes_double(self):
        tensor = self.torch.tensor(INPUTS).bfloat16()
        inputs = bench.Batch(tensor, CLASSES).inputs
        assert inputs.dtype == np.float64
        np.testing.assert_array_equal(inputs, tensor.double().numpy())

    def test_views_that_numpy_cannot_take(self):
        tensor = self.torch.tensor([[1.0 + 2.0j]]).conj().imag
        np.testing.assert_array_equal(numbers("x", tensor), [[-2.0]])

    @pytest.mark.parametrize("name", ["to_sparse", "cfloat"])
    def test_what_would_lose_something(self, name):
        with pytest.raises(InputError, match=r"^inputs: (no array|type complex64)"):
            bench.Batch(getattr(self.torch.ones(5, 3), name)(), CLASSES)


class TestPandas:
    @pytest.fixture(autouse=True)
    def frame(self):
        self.pandas = pytest.importorskip("pandas")
        self.frame = self.pandas.DataFrame(INPUTS)

    def test_nullable_types_with_nothing_missing(self):
        labels = self.pandas.Series(CLASSES, dtype="Int64")
        batch = bench.Batch(self.frame.convert_dtypes(), labels)
        np.testing.assert_array_equal(batch.inputs, INPUTS)
        assert batch.targets.tolist() == CLASSES

    def test_labels_that_are_a_question(self):
        labels = self.pandas.Series(CLASSES, dtype="Int64") > 0
        assert bench.Batch(self.frame, labels).targets.tolist() == [0, 1, 1, 0, 1]

    def test_missing_entries_are_named(self):
        frame = self.frame.convert_dtypes()
        frame.iloc[1, 2] = self.pandas.NA
        labels = self.pandas.Series([0, 1, None, 0, 1], dtype="Int64")
        with pytest.raises(InputError, match=r"^inputs: "):
            bench.Batch(frame, CLASSES)
        with pytest.raises(InputError, match=r"^targets: "):
            bench.Batch(self.frame, labels)


class TestTargets:
    def test_booleans_are_classes(self):
        targets = bench.Batch(INPUTS, np.array(CLASSES) > 0).targets
        assert targets.dtype == np.int64
        assert targets.tolist() == [0, 1, 1, 0, 1]

    @pytest.mark.parametrize("dtype", [int, bool, np.uint8, float])
    def test_rows_that_are_1_at_the_class(self, dtype):
        network = bench.make("architecture", "mlp", sizes=[3, 4, 3], seed=0)
        objective = bench.make("objective", "cross_entropy")
        rows = bench.Batch(INPUTS, np.eye(3, dtype=dtype)[CLASSES])
        assert rows.targets.dtype == np.float64
        expected = bench.loss(network, objective, bench.Batch(INPUTS, CLASSES))
        assert bench.loss(network, objective, rows) == pytest.approx(expected, rel=1e-15)

    def test_counts(self):
        network = bench.make("architecture", "mlp", sizes=[3, 4, 2], seed=0)
        counts = np.array([[1, 0], [3, 2], [0, 0], [1, 1], [2, 5]])
        whole, floats = (bench.Batch(INPUTS, kind) for kind in (counts, counts.astype(float)))
        objective = bench.make("objective", "poisson")
        np.testing.assert_array_equal(whole.targets, floats.targets)
        assert bench.loss(network, objective, whole) == bench.loss(network, objective, floats)

    def test_whole_numbers_over_time(self):
        inputs = np.ones((2, 4, 3))
        assert bench.Batch(inputs, np.ones((2, 4), int)).targets.dtype == np.int64
        assert bench.Batch(inputs, np.ones((2, 4, 5), int)).targets.dtype == np.float64
        assert bench.Batch(inputs, np.ones((2, 5), int)).targets.dtype == np.float64

    def test_a_class_that_no_whole_number_of_64_bits_holds(self):
        with pytest.raises(InputError, match="9223372036854775808 is not a class"):
            bench.Batch(np.ones((2, 3)), np.array([1, 2**63], np.uint64))

    def test_one_column_of_whole_numbers_could_be_either(self):
        with pytest.raises(InputError, match="take its one column, or make it float"):
            bench.Batch(INPUTS, np.array(CLASSES)[:, None])


class TestNobodyElseWrites:
    def test_into_a_batch(self):
        arrays = [
            np.ones((2, 3, 4)),
            np.ones((2, 3, 2)),
            np.array([4, 5], np.uint64),
            np.ones((2, 3)),
        ]
        batch = bench.Batch(*arrays)
        for array in arrays:
            array += 1
        assert batch.inputs.max() == batch.targets.max() == batch.mask.max() == 1
        assert batch.keys.tolist() == [4, 5]

    @pytest.mark.parametrize("part", ["train", "test", "full"])
    @pytest.mark.parametrize("name", ["digits", "delayed_match"])
    def test_into_the_data_of_a_task(self, name, part):
        task = bench.make("task", name)
        batch = getattr(task, part)
        batch = batch() if callable(batch) else batch
        for array in (batch.inputs, batch.targets, batch.keys, batch.mask):
            if array is not None:
                with pytest.raises(ValueError, match="read-only"):
                    array[:] = 0
        copied = task.batch(3)
        copied.inputs[:] = 0

    def test_a_batch_of_all_examples_is_measured_like_its_copy(self):
        task = bench.make("task", "linear_regression", inputs=6, outputs=3, examples=16)
        network = bench.make("architecture", "mlp", sizes=[6, 5, 3], seed=0)
        shared = task.full()
        own = bench.Batch(shared.inputs, shared.targets, shared.keys)
        rule, objective = (
            bench.make("rule", "node_perturbation"),
            bench.make("objective", "mean_squared_error"),
        )
        one, two = (bench.estimates(rule, network, objective, b) for b in (shared, own))
        for key, array in one.items():
            np.testing.assert_array_equal(array, two[key])

    def test_pickling(self):
        batch = bench.make("task", "digits").full()
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(batch)).inputs, batch.inputs)
