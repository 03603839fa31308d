"""Neurons to identify: simulated ones, scenes, and recordings with what their files may lack."""

import numpy as np
import pytest

from plausibench import bench
from plausibench.kernels.errors import InputError
from plausibench.kernels.threads import one_blas_thread


def simulated(**options):
    return bench.make("task", "simulated_neurons", **{"test_examples": 500, **options})


class TestSimulatedNeurons:
    def test_responses_have_the_mean_and_the_noise_of_the_paper(self):
        task = simulated(neurons=20, examples=4000)
        mu = task.responses(task.train.inputs)
        # Mean absolute value of a gaussian: four standard errors, neurons being near alike.
        assert np.abs(mu).mean() == pytest.approx(0.1, rel=0.01)
        noise = task.train.targets - mu
        for low, high in ((0, 0.05), (0.1, 0.2), (0.2, 0.5)):
            part = (np.abs(mu) >= low) & (np.abs(mu) < high)
            ratio = noise[part] ** 2 / np.abs(mu[part])
            # The square of a normal number has the variance 2.
            assert abs(ratio.mean() - 1) < 4 * np.sqrt(2 / part.sum())
        with one_blas_thread():
            np.testing.assert_array_equal(task.test.targets, task.responses(task.test.inputs))
        explainable = mu.var() / task.train.targets.var()
        assert explainable == pytest.approx(0.135, abs=0.01)

    def test_the_surround_outweighs_the_centre(self):
        kernel = simulated().kernel()
        assert kernel[4, 4] > 0.3
        assert kernel.sum() < -1
        assert np.linalg.norm(kernel) == pytest.approx(1)

    def test_receptive_fields_lie_in_the_image_where_they_are_said_to(self):
        task = simulated(neurons=30, variation=0.0, types=2)
        assert task.places.min() >= 0
        assert task.places.max() < task.positions
        for field, (row, column), kind in zip(task.fields, task.places, task.kinds, strict=True):
            window = field.reshape(24, 24)[row : row + 9, column : column + 9]
            cosine = (window * task.kernel(kind)).sum() / np.linalg.norm(field)
            assert cosine == pytest.approx(1)

    def test_shuffling_changes_the_training_responses_alone(self):
        plain, other = simulated(neurons=5), simulated(neurons=5, shuffled=True)
        np.testing.assert_array_equal(plain.train.inputs, other.train.inputs)
        np.testing.assert_array_equal(plain.test.targets, other.test.targets)
        assert not np.array_equal(plain.train.targets, other.train.targets)
        np.testing.assert_array_equal(
            np.sort(plain.train.targets[:, 0]), np.sort(other.train.targets[:, 0])
        )

    def test_more_examples_extend_fewer(self):
        few, many = simulated(neurons=5, examples=20), simulated(neurons=5, examples=30)
        np.testing.assert_array_equal(few.train.inputs, many.train.inputs[:20])
        np.testing.assert_allclose(few.train.targets, many.train.targets[:20], rtol=1e-12)

    @pytest.mark.parametrize(
        "options", [{"patch": 4}, {"side": 8}, {"types": 3}, {"variation": -1}, {"neurons": 0}]
    )
    def test_bad_options_are_refused(self, options):
        with pytest.raises(InputError, match=next(iter(options))):
            simulated(**options)


@pytest.fixture(scope="module")
def scenes():
    return bench.make("task", "natural_scenes", neurons=8, examples=300, test_examples=100, side=12)


class TestNaturalScenes:
    def test_patches_and_responses(self, scenes):
        task = scenes
        assert task.train.inputs.shape == (300, 144)
        assert abs(task.train.inputs.std() - 1) < 0.3
        assert (task.test.targets >= 0).all()
        assert task.responses(task.images("train", 2000)).mean() == pytest.approx(0.1, rel=1e-9)
        assert set(task.kinds) == {0, 1, 2, 3}
        assert task.places.max() < task.positions == 4

    def test_a_shift_of_the_image_is_a_shift_of_the_place(self, scenes):
        """Every neuron computes the same as others of its feature, elsewhere."""
        task = scenes
        image = task.images("train", 1).reshape(12, 12)
        moved = np.roll(image, (1, 1), axis=(0, 1)).reshape(1, -1)
        where = (task.places < 3).all(axis=1)
        seen = task.seen(image.reshape(1, -1))
        places = task.places

        class Moved(type(task)):
            @property
            def places(self):
                return places + 1

            def _neurons(self):
                return np.minimum(self.places, 3), task.kinds

        again = Moved(neurons=8, examples=300, test_examples=100, side=12)
        np.testing.assert_allclose(again.seen(moved)[0, where], seen[0, where], rtol=1e-10)

    def test_photographs_of_scikit_image(self):
        pytest.importorskip("skimage")
        task = bench.make(
            "task", "natural_scenes", neurons=2, examples=20, side=12, collection="both"
        )
        assert np.isfinite(task.train.inputs).all()

    def test_a_missing_package_is_said(self, monkeypatch):
        from plausibench.bench.tasks import natural_scenes

        natural_scenes._photographs.cache_clear()
        monkeypatch.setattr(natural_scenes, "find_spec", lambda name: None)
        task = bench.make("task", "natural_scenes", collection="scikit-image", examples=20)
        with pytest.raises(InputError, match=r"scikit-image, which is not installed"):
            task.images("train", 1)
        natural_scenes._photographs.cache_clear()


def recorded(folder, images=12, pixels=16, neurons=3, repeats=4, region=2):
    """Files in the layout of Antolík et al., with arrays that are made up."""
    generator = np.random.default_rng(0)
    arrays = {
        "training_inputs": generator.uniform(0, 255, (images, pixels)),
        "training_set": generator.uniform(0, 5, (images, neurons)),
        "validation_inputs": generator.uniform(0, 255, (5, pixels)),
        "raw_validation_set": generator.uniform(0, 5, (repeats, 5, neurons)),
    }
    home = folder / f"region{region}"
    home.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(home / f"{name}.npy", array)
    return home, arrays


class TestAntolik2016:
    def test_the_layout_is_read(self, tmp_path):
        _, arrays = recorded(tmp_path)
        task = bench.make("task", "antolik2016", path=tmp_path, region=2)
        assert (task.inputs_size, task.outputs_size) == (16, 3)
        np.testing.assert_allclose(task.train.inputs.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(task.train.inputs.std(axis=0), 1)
        np.testing.assert_array_equal(task.train.targets, arrays["training_set"])
        np.testing.assert_allclose(task.test.targets, arrays["raw_validation_set"].mean(axis=0))
        np.testing.assert_array_equal(task.repeats, arrays["raw_validation_set"])
        other = tmp_path / "other"
        recorded(other)
        assert task.identity == bench.make("task", "antolik2016", path=other, region=2).identity

    def test_images_shown_less_often_than_others(self, tmp_path):
        home, arrays = recorded(tmp_path)
        repeats = arrays["raw_validation_set"]
        repeats[2:, ::2] = np.nan
        np.save(home / "raw_validation_set.npy", repeats)
        task = bench.make("task", "antolik2016", path=tmp_path, region=2)
        np.testing.assert_array_equal(task.repeats, repeats)
        np.testing.assert_allclose(task.test.targets[::2], repeats[:2, ::2].mean(axis=0))
        np.testing.assert_allclose(task.test.targets[1::2], repeats[:, 1::2].mean(axis=0))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda a: a * [np.nan, 1, 1], "no trial of image 0 for neuron 0"),
            (lambda a: a * [np.inf, 1, 1], "not finite"),
            (lambda a: a[0], r"shape \(5, 3\); allowed are numbers with 3 axes"),
            (lambda a: np.array([*a, None], dtype=object), "array of objects.* padded with NaN"),
        ],
    )
    def test_repeats_that_cannot_be_used_are_refused(self, tmp_path, change, said):
        home, arrays = recorded(tmp_path)
        np.save(home / "raw_validation_set.npy", change(arrays["raw_validation_set"]))
        with pytest.raises(InputError, match=said):
            bench.make("task", "antolik2016", path=tmp_path, region=2).load()

    def test_only_repeats_may_be_missing(self, tmp_path):
        home, arrays = recorded(tmp_path)
        np.save(home / "training_set.npy", arrays["training_set"] * [np.nan, 1, 1])
        with pytest.raises(InputError, match=r"training_set.npy holds a value that is not finite"):
            bench.make("task", "antolik2016", path=tmp_path, region=2).load()

    def test_a_constant_pixel_keeps_its_scale(self, tmp_path):
        """Its standard deviation is the rounding of its mean, by which it would become noise."""
        home, arrays = recorded(tmp_path)
        images, unseen = arrays["training_inputs"], arrays["validation_inputs"]
        images[:, 0], unseen[:, 0] = 77.7, 77.9
        assert images.std(axis=0)[0] > 0
        np.save(home / "training_inputs.npy", images)
        np.save(home / "validation_inputs.npy", unseen)
        task = bench.make("task", "antolik2016", path=tmp_path, region=2)
        assert not task.train.inputs[:, 0].any()
        np.testing.assert_allclose(task.test.inputs[:, 0], 0.2)
        np.testing.assert_allclose(task.train.inputs[:, 1:].std(axis=0), 1)

    def test_missing_and_damaged_files_are_refused(self, tmp_path):
        home, arrays = recorded(tmp_path)
        with pytest.raises(InputError, match=r"region1.* cannot be read"):
            bench.make("task", "antolik2016", path=tmp_path).load()
        np.save(home / "training_set.npy", arrays["training_set"][:-1])
        with pytest.raises(InputError, match="do not fit together"):
            bench.make("task", "antolik2016", path=tmp_path, region=2).load()
        bad = [b"", b"nonsense", (home / "validation_inputs.npy").read_bytes()[:90]]
        for number, content in enumerate(bad):
            elsewhere = tmp_path / str(number)
            recorded(elsewhere)
            (elsewhere / "region2" / "training_inputs.npy").write_bytes(content)
            with pytest.raises(InputError, match="training_inputs"):
                bench.make("task", "antolik2016", path=elsewhere, region=2).load()
        with pytest.raises(InputError, match="path"):
            bench.make("task", "antolik2016")
        with pytest.raises(InputError, match="region"):
            bench.make("task", "antolik2016", path=tmp_path, region=4)


class TestGrasshopperReceptor:
    def test_spikes_follow_the_sound(self):
        pytest.importorskip("nitime")
        task = bench.make("task", "grasshopper_receptor", bin=2, lags=10)
        counts = [batch.targets.sum() for batch in (task.train, task.test)]
        assert sum(counts) == pytest.approx(929, abs=5)
        # The last lag is the bin in which spikes are counted.
        np.testing.assert_array_equal(task.train.inputs[1:, :-1], task.train.inputs[:-1, 1:])
        x, y = task.train.inputs, task.train.targets[:, 0]
        weights = np.linalg.solve(x.T @ x + 10 * np.eye(10), x.T @ (y - y.mean()))
        predicted = task.test.inputs @ weights
        found = np.corrcoef(predicted, task.test.targets[:, 0])[0, 1]
        shuffled = np.random.default_rng(0).permutation(task.test.targets[:, 0])
        assert found > 0.3
        assert abs(np.corrcoef(predicted, shuffled)[0, 1]) < 4 / np.sqrt(len(shuffled))

    def test_a_missing_package_is_said(self, monkeypatch):
        from plausibench.bench.tasks import grasshopper_receptor

        grasshopper_receptor._recording.cache_clear()
        monkeypatch.setattr(grasshopper_receptor, "find_spec", lambda name: None)
        with pytest.raises(InputError, match="nitime, which is not installed"):
            bench.make("task", "grasshopper_receptor").load()
        with pytest.raises(InputError, match="recording"):
            bench.make("task", "grasshopper_receptor", recording=3)
