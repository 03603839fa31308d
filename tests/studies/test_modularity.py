"""Modules and their nulls; the study of modularity in a small version, and its report."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_space as naive
import studied
from plausibench.bench.running.executor import Processes
from plausibench.bench.running.job import compute
from plausibench.bench.studies.modularity import modules, study
from plausibench.bench.studies.modularity.report import crossing, fronts, pictures
from plausibench.bench.studies.modularity.report import modules as modules_table
from plausibench.bench.studies.modularity.report import sequence as sequence_table
from plausibench.bench.studies.modularity.study import MODULARITY
from plausibench.kernels.errors import Divergence, InputError
from plausibench.kernels.places import distances, grid

GRID = grid(10, 10)
LENGTHS = distances(GRID, GRID)
QUADRANTS = (GRID[:, 0] > 0.5) + 2 * (GRID[:, 1] > 0.5)


def blocks(count, size, seed=0):
    weights = np.zeros((count * size, count * size))
    for block in range(count):
        own = slice(block * size, (block + 1) * size)
        weights[own, own] = 1.0
    labels = np.repeat(np.arange(count), size)
    return weights, labels


def test_a_single_community_has_no_modularity():
    weights = np.random.default_rng(0).standard_normal((12, 12))
    assert modules.modularity(weights, np.zeros(12)) == pytest.approx(0, abs=1e-15)
    assert modules.modularity(np.zeros((3, 3)), np.arange(3)) == 0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_modularity_of_separate_blocks(count):
    assert modules.modularity(*blocks(count, 4)) == pytest.approx(1 - 1 / count, rel=1e-14)


@settings(max_examples=30)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 2**20))
def test_modularity_is_the_sum_over_pairs(neurons, communities, seed):
    """And depends neither on the scale of weights nor on what communities are called."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((neurons, neurons))
    labels = generator.integers(0, communities, neurons)
    found = modules.modularity(weights, labels)
    assert found == pytest.approx(naive.modularity(weights, labels), abs=1e-12)
    assert modules.modularity(-7 * weights, labels) == pytest.approx(found, abs=1e-12)
    renamed = generator.permutation(communities)[labels]
    assert modules.modularity(weights, renamed) == pytest.approx(found, abs=1e-12)


def test_locality_of_random_labels_and_of_quadrants():
    generator = np.random.default_rng(0)
    random = [modules.locality(LENGTHS, generator.integers(0, 4, 100)) for _ in range(20)]
    assert all(abs(ratio - 1) < 0.05 for ratio in random)
    # In a quadrant, of half the side, distances are half as long.
    assert modules.locality(LENGTHS, QUADRANTS) == pytest.approx(0.5, abs=0.03)
    halves = np.arange(100) // 4
    assert np.isnan(modules.locality(LENGTHS, np.arange(100)))
    assert modules.locality(LENGTHS, halves) < 0.5


def test_autocorrelation_of_a_gradient_and_of_noise():
    noise = np.random.default_rng(1).standard_normal((100, 20))
    assert modules.autocorrelation(GRID[:, :1], LENGTHS) > 0.2
    assert abs(modules.autocorrelation(noise, LENGTHS) + 1 / 99) < 0.02
    assert np.isnan(modules.autocorrelation(np.ones((100, 1)), LENGTHS))


def test_a_correlation_of_matrices_is_that_of_their_pairs():
    generator = np.random.default_rng(2)
    one, other = (m + m.T for m in generator.standard_normal((2, 8, 8)))
    order = generator.permutation(8)
    above = np.triu_indices(8, 1)
    expected = np.corrcoef(one[np.ix_(order, order)][above], other[above])[0, 1]
    assert modules.correlation(one, other)(order) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(modules.correlation(np.ones((8, 8)), other)(order))


def test_a_null_tells_places_from_chance():
    """By chance p is below 0.05 in one of 20; 3 of 12 or more would come up in 2 %."""
    draw = np.random.default_rng(3)

    def tested(labels):
        return modules.against_null(
            lambda order: modules.locality(LENGTHS, labels[order]), 100, draw, small=True
        )

    real = tested(QUADRANTS)
    assert real.z < -10
    assert real.p == pytest.approx(1 / (1 + modules.DRAWS))
    chance = [tested(draw.permutation(QUADRANTS)).p < 0.05 for _ in range(12)]
    assert sum(chance) < 3


def test_a_statistic_that_is_not_defined_is_beyond_no_null():
    draw = np.random.default_rng(0)
    flat = modules.correlation(np.ones((8, 8)), np.arange(64.0).reshape(8, 8))
    for small in (True, False):
        found = modules.against_null(flat, 8, draw, small=small)
        assert np.isnan([found.value, found.z, found.p]).all()


def test_a_constant_has_no_correlation_whatever_its_rounding():
    constant, other = np.full((9, 9), 0.1), LENGTHS[:9, :9]
    for one, two in ((constant, other), (other, constant)):
        assert np.isnan(modules.correlation(one, two)(np.arange(9)))


@pytest.mark.parametrize("small", [True, False])
def test_a_null_that_varies_by_rounding_is_not_beyond_itself(small):
    draw = np.random.default_rng(1)

    def flat(order):
        return 0.3 + 1e-16 * float(order[0])

    found = modules.against_null(flat, 8, draw, small=small)
    assert np.isnan(found.z)
    assert found.p == 1


def test_task_variance_is_across_conditions():
    """The mean over steps of the variance across trials; a task without weight does not count."""
    generator = np.random.default_rng(4)
    rates, conditions = generator.random((5, 12, 3)), np.arange(12) % 2
    steps = np.zeros((5, 12))
    steps[2:] = 1
    found = modules.task_variance(rates, conditions, steps)
    assert found.shape == (3, 2)
    for task in (0, 1):
        own = rates[2:, conditions == task]
        np.testing.assert_allclose(found[:, task], own.var(axis=1).mean(axis=0), rtol=1e-12)


def test_clusters_are_those_that_were_put_in():
    generator = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], 20)
    variance = np.eye(4)[labels] + 0.05 * generator.random((60, 4))
    variance[::10] = 1e-6
    found = modules.clusters(variance, seed=0)
    assert (found[::10] == -1).all()
    kept = found >= 0
    table = pd.crosstab(labels[kept], found[kept])
    assert table.shape == (3, 3)
    assert ((table > 0).sum(axis=1) == 1).all()
    assert set(modules.clusters(np.ones((6, 4)), seed=0)) == {0}
    assert set(modules.clusters(np.zeros((6, 4)), seed=0)) == {-1}


def test_specificity_of_lesions():
    assert modules.specificity(np.eye(3)) == 1
    assert modules.specificity(np.ones((2, 3))) == 0
    assert modules.specificity(np.array([[0.4, 0.2, -1.0]])) == pytest.approx(0.75)
    assert np.isnan(modules.specificity(np.zeros((2, 3))))


def test_a_cost_at_equal_performance_is_read_off_the_last_crossing():
    assert crossing([0.9, 0.7], [100, 1], 0.8) == pytest.approx(10)
    assert crossing([0.9, 0.95, 0.5], [100, 100, 1], 0.5) == pytest.approx(1)
    assert crossing([0.9, 0.7, 0.9, 0.7], [1, 1, 16, 4], 0.8) == pytest.approx(8)
    assert np.isnan(crossing([0.9, 0.7], [100, 1], 0.6))
    assert np.isnan(crossing([0.9], [100], 0.9))


@pytest.fixture(scope="module")
def small():
    """The study with few trials, draws and steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "TRIALS", 160)
        patch.setattr(study, "PROBES", 80)
        patch.setattr(study, "RANDOM_LESIONS", 1)
        patch.setattr(study, "SHUFFLES", 5)
        patch.setattr(study, "STRENGTHS", (1e-3,))
        patch.setattr(study, "SEQUENTIAL", ("L1", "both"))
        patch.setattr(study, "EVERY", 10)
        patch.setattr(modules, "DRAWS", 20)
        patch.setattr(modules, "MOST_CLUSTERS", 4)
        patch.setattr(modules, "STARTS", 2)
        yield


@pytest.fixture(scope="module")
def rows(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("modularity")
    found = studied.run("modularity", path, seeds=2, checkpoints=(30,))
    assert set(found.jobs["status"]) == {"done"}
    return found.frame


def one(rows, quantity, **which):
    own = rows[(rows["quantity"] == quantity) & (rows["of"] == which.pop("of", ""))]
    for column, value in which.items():
        own = own[own[column] == value]
    (found,) = own["value"]
    return found


def test_swaps_after_learning_leave_the_function_and_take_wire(rows):
    for seed in (0, 1):
        for quantity in ("performance", "size of weights", "alive weights", "modularity"):
            before, after = (one(rows, quantity, arm=arm, seed=seed) for arm in ("L1", "swaps"))
            assert after == pytest.approx(before, rel=1e-9), quantity
        before, after = (one(rows, "wiring", arm=arm, seed=seed) for arm in ("L1", "swaps"))
        assert after < before


def test_both_take_more_wire_than_either(rows):
    for seed in (0, 1):
        wiring = {
            arm: one(rows, "wiring", arm=arm, seed=seed) for arm in ("L1", "distance", "both")
        }
        assert wiring["both"] < wiring["distance"] < wiring["L1"]


def test_pruning_starts_with_all_weights(rows):
    own = rows[rows["quantity"] == "pruned performance"]
    kept = own["of"].astype(int)
    assert kept.max() == study.NEURONS**2
    assert kept.min() == study.NEURONS**2 >> study.HALVINGS
    needed = rows.loc[rows["quantity"] == "weights needed", "value"]
    assert needed.isin(kept).all()


def test_the_report_has_every_arm(rows):
    modules_found = modules_table(rows)
    assert set(modules_found.raw["arm"]) == set(study.ARMS)
    assert len(modules_found.cells) == len(study.ARMS)
    assert set(sequence_table(rows).raw["arm"]) == {"L1", "both"}
    assert fronts(rows).title.startswith("Cost at equal performance")
    (picture,) = pictures(rows)
    assert picture.name == "modularity"


def sequential(phases_of_seed):
    """Made up: performance 0.9 when learned and 0.7 later, for so many phases of each seed."""
    names = ["+".join(phase) for phase in study.PHASES]
    values = []
    for seed, count in enumerate(phases_of_seed):
        for number in range(count):
            values += [
                (seed, f"after {names[number]}", of, 0.9 if of == names[number] else 0.7)
                for of in names[: number + 1]
            ]
            values += [(seed, "transfer", names[number], 0.1)] if number else []
        if count < len(names):
            values.append((seed, "diverged", "", 1.0))
    made = pd.DataFrame(values, columns=["seed", "quantity", "of", "value"])
    return made.assign(rule="rflo", arm="both")


@pytest.mark.parametrize("late", [1, len(study.PHASES) - 1])
def test_a_network_that_diverges_late_leaves_the_end_to_the_others(late):
    """The last rows are those of the seed that diverged."""
    whole = len(study.PHASES)
    table = sequence_table(sequential([whole, whole, late]))
    (line,) = table.raw.to_dict("records")
    assert line["forgotten"] == pytest.approx(0.2)
    assert line["performance at the end"] == pytest.approx((0.7 * (whole - 1) + 0.9) / whole)
    assert "Left out, as they diverged after the first phase: 1 network." in table.notes


def test_sequences_that_all_diverge_are_counted():
    table = sequence_table(sequential([0, 0]))
    assert table.cells.to_dict("records") == [{"rule": "–", "arm": "–"}]
    assert table.notes[-1] == "Diverged and left out: 2 networks."
    (line,) = sequence_table(sequential([1, 1])).raw.to_dict("records")
    assert np.isnan(line["performance at the end"])


def test_costs_at_equal_performance_are_compared_within_seeds():
    """Made up: half the wire of L1 at every performance, in each of three seeds."""
    values = []
    for seed in range(3):
        for arm, factor in (("L1", 1.0), ("both", 0.5)):
            for strength, performance in ((1e-4, 0.95), (1e-3, 0.55)):
                cost = factor * 100 * performance * (1 + seed)
                values += [
                    (arm, seed, strength, "performance", performance),
                    *((arm, seed, strength, name, cost) for name in ("wiring", "alive weights")),
                    (arm, seed, strength, "weights needed", 8.0),
                ]
    columns = ["arm", "seed", "strength", "quantity", "value"]
    made = pd.DataFrame(values, columns=columns).assign(rule="rflo", of="")
    raw = fronts(made).raw
    both = raw[raw["arm"] == "both"]
    assert set(both["performance"]) == {0.6, 0.7, 0.8, 0.85, 0.9}
    np.testing.assert_allclose(both["wiring / L1"], 0.5)
    np.testing.assert_allclose(both["weights needed / L1"], 1.0)


def test_a_network_that_diverges_is_a_row(small, monkeypatch, tmp_path):
    monkeypatch.setattr(study, "LEARNING_RATE", 1e300)
    found = studied.run("modularity", tmp_path, rules=["rflo"], seeds=2, checkpoints=(10,))
    assert set(found.jobs["status"]) == {"diverged"}
    assert set(found.frame["quantity"]) == {"diverged"}
    first = found.frame[found.frame["seed"] == 0]
    both = first[["course", "arm"]].to_numpy().tolist()
    assert both == [
        *(["together", arm] for arm in ("none", "L1", "swaps", "distance", "both")),
        *(["sequence", arm] for arm in ("L1", "both")),
    ]


def test_a_sequence_keeps_what_was_before_it_diverged(small, monkeypatch, tmp_path):
    learned, seen = study._learned, []

    def late(*settings):
        seen.append(settings)
        if len(seen) == 4:  # the third phase: in the second a fresh network learned, too
            raise Divergence("late")
        return learned(*settings)

    monkeypatch.setattr(study, "_learned", late)
    job = next(
        job
        for job in MODULARITY.jobs(study.Options(seeds=2, checkpoints=(10,)))
        if job.about["course"] == "sequence"
    )
    outcome = compute(job)
    assert (outcome.status, outcome.reason) == ("diverged", "late")
    assert [row["quantity"] for row in outcome.rows] == [
        "after go",
        "transfer",
        "after dlygo",
        "after dlygo",
        "diverged",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 1}, "seeds: 1 is not a whole number of at least 2"),
        ({"checkpoints": (10, 20)}, "2 numbers of training steps"),
        ({"checkpoints": (3,)}, "at least 10"),
        ({"rules": ("feedback_alignment",)}, "is a rule for"),
        ({"rules": ("rflow",)}, "did you mean 'rflo'"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        study.Options(**options)


@pytest.mark.acceptance
def test_wire_and_modules_of_ten_seeds(record_figure, tmp_path):
    """At equal performance at least 30 % less wire than L1; modules beyond their nulls.

    Ten seeds; the claims are about the ends of 95 % intervals over them.
    """

    def compared(job):
        return job.about["course"] == "together" and job.about["arm"] in ("none", "L1", "both")

    run = studied.run("modularity", tmp_path, compared, Processes(2), seeds=10)
    rows = run.frame
    found = fronts(rows).raw
    (both,) = found[(found["arm"] == "both") & (found["performance"] == 0.9)].to_dict("records")
    record_figure("wiring / L1 at performance 0.9, upper end", both["wiring / L1 high"], "<= 0.7")
    table = modules_table(rows).raw
    (own,) = table[(table["arm"] == "both") & (table["strength"] == 3e-5)].to_dict("records")
    record_figure("locality, distance from its null, upper end", own["locality z high"], "< 0")
    for name in ("modularity", "similar are coupled", "similar are near", "near are coupled"):
        record_figure(f"{name}, distance from its null, lower end", own[f"{name} z low"], "> 0")
        assert own[f"{name} z low"] > 0, name
    assert both["wiring / L1 high"] <= 0.7
    assert own["locality z high"] < 0
