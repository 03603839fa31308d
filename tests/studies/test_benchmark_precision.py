"""Draws for a precision: the pilot, the share of each rule, and what a run makes of them."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from plausibench.bench import estimates, measure
from plausibench.bench.cli import main
from plausibench.bench.measuring.draws import (
    WITHIN,
    companion_of,
    prepare,
    reference_of,
    sum_block,
)
from plausibench.bench.measuring.factors import BLOCK
from plausibench.bench.measuring.moments import Moments
from plausibench.bench.measuring.statistics import (
    GROUPS,
    GroupSums,
    interval,
    quantities,
    student_quantile,
)
from plausibench.bench.running.store import Run
from plausibench.bench.studies.benchmark.cell import cells
from plausibench.bench.studies.benchmark.precision import (
    FEWEST,
    JACKKNIFE,
    STEP,
    Pilot,
    allocate,
    pilot,
    resolve,
    seconds,
    variance_along,
)
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import units
from plausibench.kernels.errors import InputError
from plausibench.kernels.streams import stream
from sweeps import run

BIASED = "node_perturbation[sigma=2]"
SPEC = Spec(
    tasks=("teacher_student",),
    architectures=("mlp",),
    objectives=("mean_squared_error",),
    rules=("feedback_alignment", "weight_perturbation", BIASED),
    hidden=(4,),
    protocols=("shared",),
    checkpoints=(0, 2),
    seeds=2,
    marginal_samples=32,
    averaging_samples=16,
)


def cell(rule, spec=SPEC):
    unit = next(unit for unit in units(spec) if unit.rule == rule)
    return next(iter(cells(unit, spec)))


@pytest.fixture(scope="module")
def resolved():
    return resolve(SPEC, 0.2)


@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_variance_along_the_bias_is_that_of_the_definition(bias):
    """Mean over replicates within 4 standard errors; what is clipped at 0 counts as noise."""
    generator = np.random.default_rng(0)
    size, groups, each = 6, 20, 16
    spectrum = np.linspace(0.5, 2, size)
    beta = bias * np.eye(size)[-1]
    found = []
    for _ in range(400):
        draws = beta + generator.standard_normal((groups, each, size)) * np.sqrt(spectrum)
        total = draws.sum(axis=1)
        found.append(
            variance_along(
                GroupSums(
                    np.full(groups, float(each)),
                    total @ total.T,
                    np.zeros(groups),
                    (draws**2).sum(axis=(1, 2)),
                    np.zeros(groups),
                    1.0,
                )
            )
        )
    truth = bias**2 * spectrum[-1]
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    if bias:
        assert abs(np.mean(found) - truth) < 4 * error
    else:
        assert 0 <= np.mean(found) < 0.01 * spectrum.sum()


@pytest.mark.parametrize(("spread", "along"), [(1e4, 0.0), (0.0, 30.0), (1e4, 30.0)])
def test_draws_are_the_fewest_with_the_width_and_margin(spread, along):
    one = Pilot("rule", spread, along, 1.0)
    count = one.samples(0.05)
    assert count % STEP == 0

    def width(samples):
        variance = JACKKNIFE * 2 * spread / samples**2 + 4 * along / samples
        return student_quantile(0.95, GROUPS - 1) * np.sqrt(variance)

    assert 1.3 * width(count) <= 0.05 < 1.3 * width(count - STEP)


def test_a_rule_without_noise_gets_the_fewest_draws():
    assert Pilot("rule", 0.0, 0.0, 1.0).samples(0.05) == FEWEST


@pytest.mark.parametrize("rule", ["weight_perturbation", BIASED])
def test_most_intervals_are_as_narrow_as_asked(rule, record_figure):
    """Each replicate has a pilot and a measurement with seeds of its own."""
    precision, met = 0.1, []
    for seed in range(24):
        one = cell(rule, SPEC.with_values(seed=seed, seeds=1))
        count = pilot(one).samples(precision)
        at = one.checkpoint
        found = measure(
            one.rule, at.network, one.objective, one.batch, count, seed, state=at.state
        ).frame.query("projection == 'all' and quantity == 'bias_squared'")
        met.append(float((found["high"] - found["low"]).iloc[0]) / 2 <= precision)
    record_figure(f"intervals as narrow as asked, {rule}", np.mean(met), 0.8)
    assert np.mean(met) >= 0.8


def test_the_pilot_shares_no_draw_with_the_measurement():
    one = cell("weight_perturbation")
    at = one.checkpoint
    arguments = (one.rule, at.network, one.objective, one.batch)
    own = estimates(*arguments, 64, stream(one.unit.seed, "pilot"), state=at.state)
    measured = estimates(*arguments, 64, one.unit.seed, state=at.state)
    for name, drawn in own.items():
        assert not np.isin(drawn, measured[name]).any()


@pytest.mark.parametrize("method", ["sampled", "auto"])
def test_a_longer_run_extends_a_shorter_one(method):
    """The sums of the first draws, with the later draws added, are those of the whole."""
    one = cell("weight_perturbation")
    at = one.checkpoint
    setting = prepare(one.rule, at.network, one.objective, one.batch, at.state, 0)
    companion = companion_of(setting, WITHIN) if method == "auto" else None
    moments = Moments(setting.network, setting.clean, reference_of(setting)[1], companion)

    def extend(first, last):
        for index in range(first // BLOCK, last // BLOCK):
            moments.add(sum_block(setting, moments, index, WITHIN))
        return interval(quantities(moments.results()[0]["all"])["variance"])

    def whole(samples):
        found = measure(
            *(one.rule, at.network, one.objective, one.batch, samples, 0),
            state=at.state,
            method=method,
        ).frame.query("projection == 'all' and quantity == 'variance'")
        return tuple(found[["value", "low", "high"]].iloc[0])

    assert extend(0, STEP) == whole(STEP)
    assert extend(STEP, 3 * STEP) == whole(3 * STEP)


class TestAllocation:
    pilots = (
        Pilot("quiet", 10.0, 0.0, operations=5.0, seconds=2e-5),
        Pilot("quiet", 40.0, 0.0, operations=5.0, seconds=2e-5),
        Pilot("noisy", 1e4, 0.0, operations=1.0, seconds=1e-5),
    )

    def cost(self, draws):
        return 10 * draws["quiet"] + draws["noisy"]

    def test_every_rule_gets_what_its_noisiest_cell_needs(self):
        draws = allocate(self.pilots, 0.05, 1e12)
        assert draws == {
            "quiet": self.pilots[1].samples(0.05),
            "noisy": self.pilots[2].samples(0.05),
        }
        assert draws["noisy"] > draws["quiet"]

    @pytest.mark.parametrize("limit", [15_000, 30_000, 60_000])
    def test_the_limit_is_kept_and_used(self, limit):
        full = allocate(self.pilots, 0.01, 1e12)
        assert self.cost(full) > limit
        draws = allocate(self.pilots, 0.01, limit)
        assert self.cost(draws) <= limit
        # One more step for every rule would not fit.
        assert self.cost(draws) + 11 * STEP > limit
        assert draws["noisy"] >= draws["quiet"]

    def test_time_is_counted_by_the_pilot(self):
        draws = allocate(self.pilots, 0.01, 0.1, "seconds")
        assert 4e-5 * draws["quiet"] + 1e-5 * draws["noisy"] <= 0.1

    def test_a_limit_below_the_fewest_draws_is_refused(self):
        with pytest.raises(InputError, match="budget: 100 operations is less than the"):
            allocate(self.pilots, 0.05, 100)

    def test_a_cell_that_says_nothing_is_left_out(self):
        lost = Pilot("quiet", float("nan"), 0.0, 1.0)
        assert allocate([lost, *self.pilots], 0.05, 1e12) == allocate(self.pilots, 0.05, 1e12)


def test_only_sampled_rules_have_draws(resolved):
    assert set(resolved.samples_of) == {"weight_perturbation", BIASED}
    assert resolved.precision == 0.2
    assert all(count % STEP == 0 for count in resolved.samples_of.values())
    assert resolve(SPEC, 0.2) == resolved


def test_the_resolved_spec_gives_the_same_table(resolved, tmp_path):
    first = run(resolved, tmp_path / "first")
    again = Spec.of(Run.open(tmp_path / "first").options)
    assert again == resolved
    second = run(again, tmp_path / "second")
    assert first.frame.to_csv().encode() == second.frame.to_csv().encode()
    sampled = first.frame.query("kind == 'conditional' and rule == 'weight_perturbation'")
    assert set(sampled["samples"]) == {resolved.samples_of["weight_perturbation"]}


def test_values_with_wider_intervals_are_flagged(tmp_path):
    rules = ("feedback_alignment", "weight_perturbation[sigma=1]", BIASED)
    spec = SPEC.with_values(rules=rules, precision=0.2, samples=320, checkpoints=(0,), seeds=1)
    frame = run(spec, tmp_path / "run").frame.query("kind == 'conditional'")
    wide = (frame["quantity"] == "bias_squared") & ((frame["high"] - frame["low"]) / 2 > 0.2)
    flagged = frame["flag"].str.contains("unresolved")
    assert wide.any()
    squared = frame["quantity"] == "bias_squared"
    assert (flagged[squared] == wide[squared]).all()
    plain = run(spec.with_values(precision=0.0), tmp_path / "plain").frame
    own = plain[(plain["kind"] == "conditional") & (plain["quantity"] == "bias_squared")]
    assert not own["flag"].str.contains("unresolved").any()


@pytest.mark.parametrize(("text", "found"), [("60s", 60), ("5m", 300), ("2h", 7200), ("1.5s", 1.5)])
def test_times_are_read(text, found):
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "60", "s", "-1s", "0s", "nans", "infs", "5 days", "1d"])
def test_other_texts_are_refused(text):
    with pytest.raises(InputError, match="such as 60s, 5m or 2h"):
        seconds(text)


class TestCommand:
    small = (
        *("run", "--rules", "weight_perturbation", "--tasks", "teacher_student"),
        *("--objectives", "mean_squared_error", "--hidden", "4", "--checkpoints", "0"),
        *("--seeds", "1", "--averaging-samples", "16", "--jobs", "1", "--no-pictures"),
    )

    @pytest.fixture(autouse=True)
    def own_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_a_precision_is_resolved_and_written(self):
        given = [*self.small, "--precision", "0.2", "--out", "out"]
        done = CliRunner().invoke(main, given)
        assert done.exit_code == 0, done.output
        assert "Draws for a precision of 0.2" in done.stdout
        spec = Spec.of(Run.open("out").options)
        assert list(spec.samples_of) == ["weight_perturbation"]
        # The same command finds the same draws, and the run directory as it was.
        assert CliRunner().invoke(main, given).exit_code == 0
        assert CliRunner().invoke(main, ["run", "--resume", "out", "--no-pictures"]).exit_code == 0
        assert Spec.of(Run.open("out").options) == spec

    def test_a_budget_alone_aims_at_the_finest_precision(self):
        done = CliRunner().invoke(main, [*self.small, "--budget", "2s", "--out", "out"])
        assert done.exit_code == 0, done.output
        assert Run.open("out").options["precision"] == 0.01

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--precision", "0.001"), "precision: 0.001 is not a finite number at least 0.01"),
            (("--precision", "0"), "precision: 0.0 is not a finite number at least 0.01"),
            (("--precision", "fine"), "'fine' is not a valid float"),
            (("--budget", "60"), "budget: '60' is not a time above 0"),
            (("--precision", "0.1", "--samples", "9"), "samples: the draws follow from"),
        ],
    )
    def test_bad_input_is_refused_in_one_sentence(self, arguments, said):
        done = CliRunner().invoke(main, [*self.small, *arguments])
        assert done.exit_code == 2, done.output
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
        assert list(Path().iterdir()) == []

    def test_a_budget_that_does_not_suffice_is_refused_and_keeps_the_pilot_alone(self):
        given = [*self.small, "--budget", "0.000001s", "--out", "out"]
        done = CliRunner().invoke(main, given)
        assert done.exit_code == 2, done.output
        assert "budget: 1e-06s is less than" in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
        assert [path.name for path in Path("out").iterdir()] == ["pilot"]

    def test_the_pilot_is_kept_in_the_run(self):
        given = [*self.small, "--precision", "0.2", "--out", "out"]
        assert CliRunner().invoke(main, given).exit_code == 0
        pilot = Run.open("out/pilot")
        assert pilot.finished == len(pilot.due) == 2
        times = pilot.timings
        assert CliRunner().invoke(main, given).exit_code == 0
        assert Run.open("out/pilot").timings.equals(times)

    def test_shares_take_the_pilot_and_then_the_run(self):
        given = [*self.small, "--precision", "0.2", "--out"]
        assert CliRunner().invoke(main, [*given, "whole"]).exit_code == 0
        said = [
            CliRunner().invoke(main, [*given, "shared", "--shard", share]).stdout
            for share in ("1/2", "2/2", "1/2")
        ]
        assert said[0].startswith("Shard 1/2 of the pilot is done: shared/pilot; give the same")
        assert said[1].endswith("Shard 2/2 is done: shared\n")
        assert Run.open("shared").frame.equals(Run.open("whole").frame)

    def test_a_dry_run_writes_nothing(self):
        done = CliRunner().invoke(main, [*self.small, "--precision", "0.2", "--dry-run"])
        assert done.exit_code == 0
        assert "Draws for a precision of 0.2" in done.stdout
        assert list(Path().iterdir()) == []
