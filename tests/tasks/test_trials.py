"""Tasks in time: twins, what their paper asks for, scores, balance, refusals.

Tests of frequencies allow 5 standard errors, a false alarm in about two million.
"""

import pickle
from itertools import islice

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_trials
from plausibench import bench
from plausibench.bench.cli import main
from plausibench.bench.components.selectors import select
from plausibench.bench.tasks.adding import Adding
from plausibench.bench.tasks.contextual_integration import ContextualIntegration
from plausibench.bench.tasks.copy import Copy
from plausibench.bench.tasks.delayed_match import DelayedMatch
from plausibench.bench.tasks.delayed_parity import DelayedParity
from plausibench.bench.tasks.digits import Digits
from plausibench.bench.tasks.evidence_accumulation import EvidenceAccumulation
from plausibench.bench.tasks.linear_regression import LinearRegression
from plausibench.bench.tasks.mnist_5k import Mnist5k
from plausibench.bench.tasks.ring import RULES, distance, popvec
from plausibench.bench.tasks.row_by_row import RowByRow
from plausibench.bench.tasks.sine_generation import SineGeneration
from plausibench.bench.tasks.yang2019 import Yang2019
from plausibench.bench.tasks.yang2019_neurogym import Yang2019Neurogym
from plausibench.kernels.errors import InputError
from plausibench.kernels.streams import generator

NAMES = list(RULES)
REACH = [name for name in NAMES if RULES[name].family in ("go", "reaction", "memory")]
DECISIONS = [name for name in NAMES if RULES[name].family in ("decision", "comparison")]
MATCHES = [name for name in NAMES if RULES[name].family in ("sample", "category")]
CHOICES = st.one_of(
    st.sampled_from([*NAMES, "all"]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map("-".join),
)
PROVIDED = [
    Yang2019(task="all", trials=40, dt=50, ring=8),
    Yang2019(task="dlygo", trials=30),
    Yang2019Neurogym(task="ctxdm1-dms", trials=30),
    ContextualIntegration(trials=30, stimulus=(100, 400), switch=0.5),
    DelayedMatch(trials=30, delay=(100, 500)),
    EvidenceAccumulation(trials=30, delay=(100, 500)),
    SineGeneration(trials=30, duration=(500, 1000)),
    Copy(trials=30, delay=4),
    Adding(trials=30),
    DelayedParity(trials=30),
    RowByRow(delay=3),
]
each_task = pytest.mark.parametrize("task", PROVIDED, ids=lambda task: task.name)
each_name = pytest.mark.parametrize("name", NAMES)


def share(hits, expected):
    """Whether a share of ``hits`` is ``expected`` within 5 standard errors."""
    error = np.sqrt(expected * (1 - expected) / hits.size)
    return abs(hits.mean() - expected) < 5 * error


def last_steps(batch):
    """Last step of each trial that counts, found by looking at every step."""
    return [max(t for t, weight in enumerate(row) if weight > 0) for row in batch.mask]


# Twins


@settings(max_examples=30, deadline=None)
@given(
    CHOICES,
    st.sampled_from([8, 10, 32]),
    st.sampled_from([20, 25, 50, 100]),
    st.sampled_from(["variable", "fixed"]),
    st.sampled_from([0.0, 0.01]),
    st.booleans(),
    st.integers(0, 5),
)
def test_yang2019_is_its_twin(name, ring, dt, periods, noise, easy, seed):
    task = Yang2019(
        task=name, trials=7, ring=ring, dt=dt, periods=periods, noise=noise, easy=easy, seed=seed
    )
    for part, batch in (("train", task.train), ("test", task.test)):
        conditions = task.conditions(part)
        numbers = [NAMES.index(task.names[number]) for number in conditions.rule]
        inputs, targets, mask = naive_trials.yang2019(task, part, conditions, numbers)
        assert np.array_equal(batch.inputs, inputs)
        assert np.array_equal(batch.targets, targets)
        assert np.array_equal(batch.mask, mask)


@settings(max_examples=30, deadline=None)
@given(
    CHOICES,
    st.sampled_from([8, 16]),
    st.sampled_from([20, 100]),
    st.sampled_from(["variable", "fixed"]),
    st.sampled_from([0.0, 1.0]),
    st.integers(0, 5),
)
def test_yang2019_neurogym_is_its_twin(name, ring, dt, periods, noise, seed):
    task = Yang2019Neurogym(
        task=name, trials=7, ring=ring, dt=dt, periods=periods, noise=noise, seed=seed
    )
    families = [RULES[name].family for name in task.names]
    rules = len(families) if len(families) > 1 else 0
    for part, batch in (("train", task.train), ("test", task.test)):
        conditions = task.conditions(part)
        inputs, targets, mask = naive_trials.yang2019_neurogym(
            task, part, conditions, rules, families
        )
        assert np.array_equal(batch.inputs, inputs)
        assert np.array_equal(batch.targets, targets)
        assert np.array_equal(batch.mask, mask)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from([(40,), (20, 60)]), st.integers(0, 9))
def test_contextual_integration_is_its_twin(switch, response, seed):
    task = ContextualIntegration(
        trials=9, before=(10, 20), stimulus=(30,), response=response, switch=switch, seed=seed
    )
    draws = task.draws("test")
    signs = np.stack([draws.sign("sign 0"), draws.sign("sign 1")], axis=1)
    inputs, targets = naive_trials.contextual_integration(
        task,
        signs,
        draws.pick("context", (0, 1)),
        draws.uniform("switch") < switch,
        draws.edges(task.timing, task.dt),
        generator(seed, "data", task.name, "test", "noise"),
    )
    assert np.array_equal(task.test.inputs, inputs)
    assert np.array_equal(task.test.targets, targets)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([1, 3, 7]), st.sampled_from([(40,), (20, 60)]), st.integers(0, 9))
def test_evidence_accumulation_is_its_twin(cues, gap, seed):
    task = EvidenceAccumulation(trials=9, cues=cues, gap=gap, cue=(20, 30), delay=(50,), seed=seed)
    draws = task.draws("train")
    favoured = draws.pick("favoured", (0, 1))
    sides = []
    for b in range(9):
        on_favoured = [draws.uniform(f"side of cue {cue}")[b] < 0.7 for cue in range(cues)]
        sides.append([favoured[b] if on else 1 - favoured[b] for on in on_favoured])
    inputs, classes = naive_trials.evidence_accumulation(
        task,
        sides,
        draws.edges(task.timing, task.dt),
        generator(seed, "data", task.name, "train", "noise"),
    )
    assert np.array_equal(task.train.inputs, inputs)
    assert np.array_equal(task.train.targets, classes)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 9), st.integers(1, 6), st.integers(1, 5), st.integers(0, 9))
def test_copy_is_its_twin(symbols, length, delay, seed):
    task = Copy(trials=9, symbols=symbols, length=length, delay=delay, seed=seed)
    draws = task.draws("test")
    columns = [draws.pick(f"symbol {k}", range(1, symbols + 1)) for k in range(length)]
    inputs, targets = naive_trials.copy(np.transpose(columns), symbols, delay)
    assert np.array_equal(task.test.inputs, inputs)
    assert np.array_equal(task.test.targets, targets)
    assert (task.test.mask == 1).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 15), st.integers(0, 9))
def test_adding_is_its_twin(length, seed):
    task = Adding(trials=9, length=length, seed=seed)
    draws = task.draws("train")
    columns = [draws.uniform(f"number {step}") for step in range(length)]
    first = draws.pick("first mark", range(length // 2))
    second = draws.pick("second mark", range(length // 2, length))
    marks = list(zip(first, second, strict=True))
    inputs, targets = naive_trials.adding(np.transpose(columns), marks)
    assert np.array_equal(task.train.inputs, inputs)
    assert np.array_equal(task.train.targets, targets)
    assert np.array_equal(task.train.mask.sum(axis=0), 9 * (np.arange(length) == length - 1))


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.sampled_from([0.1, 1.0]), st.integers(0, 9))
def test_delayed_parity_is_its_twin(bits, delay, noise, seed):
    task = DelayedParity(trials=9, bits=bits, delay=delay, noise=noise, seed=seed)
    draws = task.draws("train")
    columns = [draws.sign(f"bit {k}") for k in range(bits)]
    inputs, classes = naive_trials.delayed_parity(
        task, np.transpose(columns), generator(seed, "data", task.name, "train", "noise")
    )
    assert np.array_equal(task.train.inputs, inputs)
    assert np.array_equal(task.train.targets, classes)


# What holds for every task in time


@each_task
def test_shapes_types_and_padding(task):
    for batch in (task.train, task.test):
        size, steps = batch.mask.shape
        assert batch.inputs.shape == (size, steps, task.inputs_size)
        assert batch.inputs.dtype == batch.mask.dtype == np.float64
        if task.kind == "classification":
            assert batch.targets.shape in ((size,), (size, steps))
            assert batch.targets.max() < task.outputs_size
        else:
            assert batch.targets.shape in (
                (size, task.outputs_size),
                (size, steps, task.outputs_size),
            )
        assert (batch.mask > 0).any(axis=1).all()
        for row, last in enumerate(last_steps(batch)):
            assert not batch.inputs[row, last + 1 :].any()
            if batch.targets.shape[1:2] == (steps,):
                assert not batch.targets[row, last + 1 :].any()
    assert task.train.inputs.shape[1] == task.test.inputs.shape[1]
    assert "\n" not in task.summary


@each_task
def test_training_set_and_test_set_share_no_trial(task):
    rows = np.concatenate([task.train.inputs, task.test.inputs]).reshape(
        task.train.size + task.test.size, -1
    )
    assert np.unique(rows, axis=0).shape[0] == len(rows)


@each_task
def test_batches_take_the_mask_along_and_draw_again_the_same(task):
    batch = next(islice(task.batches(5, seed=3), 2, None))
    again = next(task.batches(5, seed=3, start=2))
    for field in ("inputs", "targets", "mask", "keys"):
        assert np.array_equal(getattr(batch, field), getattr(again, field))
    assert np.array_equal(batch.mask, task.train.mask[batch.keys])
    assert pickle.loads(pickle.dumps(task)).train is task.train


@pytest.mark.parametrize("task", PROVIDED[:-1], ids=lambda task: task.name)
def test_more_trials_extend_fewer_and_seeds_differ(task):
    options = {key: value for key, value in task.identity if key not in ("trials", "seed")}
    few, many = (type(task)(trials=trials, **options).test for trials in (11, 19))
    for field in ("inputs", "targets", "mask"):
        assert np.array_equal(getattr(few, field), getattr(many, field)[:11])
    assert not np.array_equal(few.inputs, type(task)(trials=11, seed=1, **options).test.inputs)


@each_task
def test_ideal_answers_are_right_and_silence_is_not(task):
    batch = task.test
    if task.name in ("sine_generation", "adding"):
        with pytest.raises(InputError, match=f"{task.name} has no right answers"):
            task.correct(batch.targets, batch)
        return
    outputs = batch.targets
    if task.kind == "classification":
        outputs = np.zeros((*batch.mask.shape, task.outputs_size))
        classes = np.broadcast_to(batch.targets.reshape(batch.size, -1), batch.mask.shape)
        # Wrong where the mask does not count, which must not matter.
        np.put_along_axis(outputs, classes[:, :, None], (2.0 * (batch.mask > 0) - 1)[..., None], 2)
    assert task.correct(outputs, batch).all()
    assert task.correct(outputs, batch).dtype == bool
    assert task.correct(-outputs, batch).mean() < 0.5
    assert task.correct(np.zeros_like(outputs), batch).mean() < 0.8


def test_tasks_without_time_are_scored_too():
    task = Digits()
    outputs = np.eye(10)[task.test.targets]
    assert task.correct(outputs, task.test).all()
    assert not task.correct(-outputs, task.test).any()
    with pytest.raises(InputError, match=r"^task: linear_regression has no right answers"):
        LinearRegression().correct(LinearRegression().test.targets, LinearRegression().test)


# The 20 tasks of Yang et al. (2019)


def yang(name, **options):
    task = Yang2019(**{"task": name, "trials": 400, "noise": 0.0, "ring": 32, **options})
    return task, task.test, task.conditions("test")


def test_there_are_20_tasks_of_85_inputs_and_33_outputs():
    task = Yang2019(task="all", trials=60)
    assert len(NAMES) == 20
    assert (task.inputs_size, task.outputs_size) == (85, 33)
    assert task.names == tuple(NAMES)
    rules = task.test.inputs[:, 0, 65:]
    assert rules.round().argmax(axis=1).tolist() == [*range(20)] * 3


@each_name
def test_fixation_before_go_and_a_bump_at_the_answer_after(name):
    _, batch, conditions = yang(name)
    for inputs, targets, trial in zip(
        batch.inputs, batch.targets, zip(*conditions, strict=True), strict=True
    ):
        trial = type(conditions)(*trial)
        hold = np.isnan(trial.answer)
        before, after = targets[: trial.go], targets[trial.go : trial.length]
        assert (before[:, 0] == 0.8).all()
        assert (before[:, 1:] == 0.05).all()
        assert (after[:, 0] == (0.8 if hold else 0.05)).all()
        if not hold:
            assert distance(popvec(after[:, 1:]), trial.answer).max() < 1e-6
            # The nearest unit is at most half a spacing away, a quarter of the bump's width.
            assert 0.05 + 0.8 * np.exp(-1 / 32) <= after[:, 1:].max() + 1e-12 <= 0.85 + 1e-11
        # The cue goes off when the answer is due, but in reactions and matches it never does.
        stays = RULES[name].family in ("reaction", "sample", "category")
        assert trial.fixation == (trial.length if stays else trial.go)
        assert inputs[:, 0].sum() == trial.fixation
        assert (inputs[: trial.length, 65 + NAMES.index(name)] == 1).all()
        assert inputs[:, 65:].sum() == trial.length


@each_name
def test_mask_has_the_weights_of_the_paper(name):
    _, batch, conditions = yang(name)
    assert set(np.unique(batch.mask)) == {0, 1, 25}
    for mask, go, length in zip(batch.mask, conditions.go, conditions.length, strict=True):
        assert mask[:5].tolist() == [0] * 5
        assert (mask[5:go] == 1).all()
        assert mask[go : go + 5].tolist() == [0] * 5
        assert (mask[go + 5 : length] == 25).all()
        assert not mask[length:].any()


@pytest.mark.parametrize("pair", [("go", "anti"), ("rtgo", "rtanti"), ("dlygo", "dlyanti")])
def test_anti_answers_half_a_turn_away_from_the_same_stimuli(pair):
    (_, go, first), (_, anti, second) = (yang(name) for name in pair)
    assert np.array_equal(go.inputs[:, :, :65], anti.inputs[:, :, :65])
    assert np.allclose(distance(first.answer, second.answer), np.pi, rtol=0, atol=1e-12)
    rows = np.arange(go.size)
    seen = go.inputs[rows, first.onset[:, 0], 1:65].reshape(-1, 2, 32).sum(axis=1)
    assert distance(popvec(seen), first.answer).max() < 1e-6


@pytest.mark.parametrize("pair", [("ctxdm1", "ctxdm2"), ("ctxdlydm1", "ctxdlydm2")])
def test_contexts_differ_in_their_rule_alone_and_cannot_be_told_without_it(pair):
    (task, one, first), (_, two, second) = (yang(name, trials=4000, dt=100) for name in pair)
    assert np.array_equal(one.inputs[:, :, :65], two.inputs[:, :, :65])
    assert not np.array_equal(one.inputs[:, :, 65:], two.inputs[:, :, 65:])
    assert share(first.answer == second.answer, 0.5)
    # Whoever adds up both modalities is right in 75 % of the trials.
    total = first.strength.sum(axis=2)
    guess = np.where(total[:, 0] > total[:, 1], first.angle[:, 0], first.angle[:, 1])
    assert share(guess == first.answer, 0.75)
    # Whoever answers by the other rule, in half.
    assert share(task.correct(two.targets, one), 0.5)


@pytest.mark.parametrize("name", DECISIONS)
def test_decisions_go_to_the_stronger_stimulus_of_the_attended_modality(name):
    _, _, trial = yang(name, trials=4000, dt=100)
    apart = distance(trial.angle[:, 0], trial.angle[:, 1])
    assert apart.min() >= np.pi / 2 - 1e-12
    rule = RULES[name]
    assert ((trial.strength > 0).any(axis=(0, 1)).nonzero()[0] == rule.shown).all()
    evidence = trial.strength[:, :, list(rule.attended)].sum(axis=2)
    assert (trial.answer == trial.angle[np.arange(4000), evidence.argmax(axis=1)]).all()
    assert share(evidence.argmax(axis=1), 0.5)
    half = 0.5 * abs(evidence[:, 0] - evidence[:, 1]) / len(rule.attended)
    allowed = [0.01, 0.02, 0.04, 0.08] if rule.family == "decision" else [0.08, 0.16, 0.32]
    for coherence in allowed:
        assert share(abs(half - coherence) < 1e-9, 1 / len(allowed))
    mean = evidence.mean(axis=1) / len(rule.attended)
    assert mean.min() >= 0.8 - 1e-9
    assert mean.max() <= 1.2 + 1e-9


@pytest.mark.parametrize("name", MATCHES)
def test_matches(name):
    _, _, trial = yang(name, trials=4000, dt=100)
    first, second = trial.angle.T
    rule = RULES[name]
    if rule.family == "sample":
        match = first == second
        assert distance(first, second)[~match].min() >= np.pi / 9 - 1e-12
    else:
        match = (first < np.pi) == (second < np.pi)
        assert np.unique(first.round(9)).size == np.unique(second.round(9)).size == 10
    assert share(match, 0.5)
    assert np.array_equal(np.isnan(trial.answer), match != rule.match)
    answered = ~np.isnan(trial.answer)
    assert np.array_equal(trial.answer[answered], second[answered])
    for stimulus in (0, 1):
        assert share(trial.strength[:, stimulus, 0], 0.5)
    assert (trial.strength.sum(axis=2) == 1).all()


@pytest.mark.parametrize("name", REACH)
def test_reaching_is_balanced(name):
    _, _, trial = yang(name, trials=4000, dt=100)
    for quadrant in range(4):
        assert share(trial.answer // (np.pi / 2) == quadrant, 0.25)
    assert share(trial.strength[:, 0, 0], 0.5)
    assert not trial.strength[:, 1].any()


DURATIONS = {
    "go": ((300, 680), (500, 1480), (500, 500)),
    "rtgo": ((500, 2480), (500, 500)),
    "dlygo": ((300, 700), (200, 600), (200, 1600), (500, 500)),
    "dm1": ((100, 380), (400, 1600), (500, 500)),
    "dlydm1": ((200, 600), (200, 600), (200, 1600), (200, 600), (100, 280), (500, 500)),
    "dms": ((200, 600), (200, 600), (200, 1600), (500, 500)),
    "dmc": ((200, 600), (200, 600), (200, 1600), (200, 600)),
}


@pytest.mark.parametrize("name", DURATIONS)
def test_durations_have_the_range_of_the_paper(name):
    task = Yang2019(task=name, trials=3000)
    ends = task.draws("x").edges(task.course(name).timing, 20)
    durations = 20 * np.diff(ends, axis=1, prepend=0)
    found = tuple(zip(durations.min(axis=0).tolist(), durations.max(axis=0).tolist(), strict=True))
    assert found == DURATIONS[name]
    assert task.steps == sum(longest for _, longest in found) // 20


@each_name
def test_fixed_periods_are_the_same_in_all_trials(name):
    task, batch, trial = yang(name, periods="fixed")
    for times in (trial.length, trial.go, trial.onset[:, 0]):
        assert np.unique(times).size == 1
    assert trial.length[0] == task.steps == batch.inputs.shape[1]
    assert np.array_equal(batch.mask[0], batch.mask[-1])


def test_a_task_draws_the_same_trials_in_turns_and_alone():
    turns = Yang2019(task="dm1-dms-anti", trials=31).conditions("train")
    for number, name in enumerate(("dm1", "dms", "anti")):
        alone = Yang2019(task=name, trials=31).conditions("train")
        for field, other in zip(turns[1:], alone[1:], strict=True):
            mine = field[number::3]
            assert np.array_equal(mine, other[: len(mine)], equal_nan=mine.dtype.kind == "f")
    assert turns.rule.tolist() == ([0, 1, 2] * 11)[:31]
    assert Yang2019(task="all", trials=3).conditions("test").rule.tolist() == [0, 1, 2]


def test_noise_has_the_deviation_of_the_paper_on_every_input():
    quiet, loud = (Yang2019(task="dlygo", trials=100, dt=20, noise=n).test for n in (0, 0.01))
    live = np.arange(quiet.mask.shape[1]) <= np.array(last_steps(quiet))[:, None]
    noise = (loud.inputs - quiet.inputs)[live]
    assert abs(noise.std() / (0.01 * np.sqrt(10)) - 1) < 5 / np.sqrt(2 * noise.size)
    assert (noise.std(axis=0) > 0).all()
    assert np.array_equal(loud.targets, quiet.targets)


def test_chance():
    """A fixed answer is right in a fifth of the trials, and holding fixation never is."""
    task, batch, _ = yang("dlygo", trials=4000, dt=100)
    outputs = np.zeros_like(batch.targets)
    outputs[:, :, 9] = 1
    assert share(task.correct(outputs, batch), 0.2)
    outputs[:, :, 0] = 0.6
    assert not task.correct(outputs, batch).any()
    task, batch, trial = yang("dms", trials=4000, dt=100)
    held = np.ones_like(batch.targets)
    assert np.array_equal(task.correct(held, batch), np.isnan(trial.answer))


@pytest.mark.parametrize(("turned", "right"), [(0.19, True), (-0.19, True), (0.21, False)])
def test_answers_up_to_a_fifth_of_pi_away_are_right(turned, right):
    task, batch, trial = yang("anti")
    outputs = batch.targets.copy()
    outputs[:, :, 1:] = task.bump(trial.answer + turned * np.pi + 2 * np.pi)[:, None]
    assert (task.correct(outputs, batch) == right).all()
    outputs[:, :, 0] = 0.51
    assert not task.correct(outputs, batch).any()


# NeuroGym

STEPS = {"go": 15, "rtgo": 10, "dlygo": 20, "dm1": 11, "dlydm1": 26, "dms": 32, "dmc": 32}


@pytest.mark.parametrize("name", STEPS)
def test_neurogym_timing(name):
    assert Yang2019Neurogym(task=name).steps == STEPS[name]


@each_name
def test_neurogym_classes(name):
    task = Yang2019Neurogym(task=name, trials=300)
    trial, batch = task.conditions("test"), task.test
    assert (task.inputs_size, task.outputs_size) == (33, 17)
    for target, go, length, answer in zip(
        batch.targets, trial.go, trial.length, trial.answer, strict=True
    ):
        assert not target[:go].any()
        expected = 0 if np.isnan(answer) else 1 + round(answer / (np.pi / 8))
        assert (target[go:length] == expected).all()
    assert RULES[name].family in ("sample", "category") or batch.targets.any(axis=1).all()


@pytest.mark.parametrize("name", ["dmc", "dnmc"])
def test_neurogym_categories_are_halves_for_sample_and_test_alike(name):
    trial = Yang2019Neurogym(task=name, trials=4000).conditions("test")
    first, second = np.rint(trial.angle / (np.pi / 8)).T // 8
    assert np.array_equal((first == second) == (name == "dmc"), ~np.isnan(trial.answer))
    assert share(first == second, 0.5)
    assert 8 in np.rint(trial.angle[:, 0] / (np.pi / 8))


def test_neurogym_nonmatches_are_opposite():
    trial = Yang2019Neurogym(task="dms", trials=500).conditions("test")
    apart = distance(*trial.angle.T)
    assert np.allclose(apart[np.isnan(trial.answer)], np.pi)
    assert not apart[~np.isnan(trial.answer)].any()


@pytest.mark.parametrize("name", ["multidm", "multidlydm"])
def test_neurogym_ties_are_broken_evenly(name):
    trial = Yang2019Neurogym(task=name, trials=6000).conditions("test")
    evidence = trial.strength.sum(axis=2)
    tie = abs(evidence[:, 0] - evidence[:, 1]) < 1e-9
    first = trial.answer == trial.angle[:, 0]
    assert tie.any()
    assert share(first[tie], 0.5)
    assert np.array_equal(first[~tie], (evidence[:, 0] > evidence[:, 1])[~tie])


# Other tasks


def test_contextual_integration_has_the_published_trial():
    task = ContextualIntegration(trials=4000)
    batch = task.test
    assert (task.steps, task.inputs_size, task.outputs_size) == (500, 4, 1)
    assert not batch.inputs[:, :50, :2].any()
    assert not batch.inputs[:, 250:, :2].any()
    assert not batch.targets[:, :250].any()
    context = batch.inputs[:, 0, 3]
    assert (batch.inputs[:, :, 2:] == np.stack([1 - context, context], axis=1)[:, None]).all()
    means = batch.inputs[:, 50:250, :2].mean(axis=1)
    signs = np.sign(means)  # a mean of 0.5 is 7 standard errors from 0
    assert np.array_equal(
        batch.targets[:, 250:, 0][:, 0], signs[np.arange(4000), context.astype(int)]
    )
    assert (batch.targets[:, 250:] == batch.targets[:, 250:251]).all()
    for fair in (context, signs[:, 0] > 0, signs[:, 1] > 0, signs[:, 0] == signs[:, 1]):
        assert share(fair, 0.5)
    noise = batch.inputs[:, 50:250, :2] - 0.5 * signs[:, None]
    assert abs(noise.std() - 1) < 5 / np.sqrt(2 * noise.size)
    assert share(task.correct(np.ones_like(batch.targets), batch), 0.5)


def test_a_switched_context_asks_for_the_other_stream():
    batch = ContextualIntegration(trials=2000, switch=1.0).test
    assert (batch.inputs[:, 0, 2] == 1 - batch.inputs[:, -1, 2]).all()
    assert (batch.inputs[:, 299, 2] == batch.inputs[:, 0, 2]).all()
    assert (batch.inputs[:, 300, 2] == batch.inputs[:, -1, 2]).all()
    assert share(batch.targets[:, 299, 0] == batch.targets[:, 300, 0], 0.5)
    some = ContextualIntegration(trials=4000, switch=0.1).test
    assert share(some.inputs[:, 0, 2] != some.inputs[:, -1, 2], 0.1)


def test_delayed_match_is_balanced_and_right():
    task = DelayedMatch(trials=4000, noise=0.0, stimuli=5, delay=(200, 1000))
    batch = task.test
    assert share(batch.targets, 0.5)
    lengths = set()
    for inputs, target, mask in zip(batch.inputs, batch.targets, batch.mask, strict=True):
        shown = np.flatnonzero(inputs.any(axis=1))
        response = np.flatnonzero(mask)
        sample, tested = inputs[shown[0]].argmax(), inputs[shown[-1]].argmax()
        assert (sample == tested) == target
        assert (shown.size, response.size, shown[0]) == (20, 5, 5)
        assert response[0] == shown[-1] + 1
        lengths.add(int(response[-1]) + 1)
    assert lengths == {40, 80}
    sample = batch.inputs[:, 5].argmax(axis=1)
    for stimulus in range(5):
        assert share(sample == stimulus, 0.2)


def test_evidence_is_counted():
    task = EvidenceAccumulation(trials=3000, noise=0.0)
    batch = task.test
    assert task.steps == 7 * 15 + 50 + 15
    left, right = batch.inputs[:, :105, 0].sum(axis=1), batch.inputs[:, :105, 1].sum(axis=1)
    assert (left + right == 70).all()
    assert np.array_equal(batch.targets, right > left)
    assert np.array_equal(batch.inputs[:, :, 2], batch.mask)
    assert (batch.mask.sum(axis=1) == 15).all()
    assert share(batch.targets, 0.5)
    # P(a cue agrees with the first) = share^2 + (1 - share)^2.
    assert share(batch.inputs[:, 0, 0] == batch.inputs[:, 15, 0], 0.58)


def test_sine_waves_have_the_frequency_asked_for():
    task = SineGeneration(trials=200, lowest=2.0, highest=8.0, dt=5)
    batch = task.test
    hertz = batch.inputs[:, 0, 0] * 8
    assert (batch.inputs == batch.inputs[:, :1]).all()
    assert 2 <= hertz.min() < 2.2
    assert 7.8 < hertz.max() <= 8
    seconds = 0.005 * np.arange(200)
    assert np.allclose(batch.targets[:, :, 0], np.sin(2 * np.pi * np.outer(hertz, seconds)))


def test_symbols_bits_and_marks_are_balanced():
    copy = Copy(trials=4000, length=3)
    answers = copy.train.targets[:, -3:]
    for symbol in range(1, 9):
        assert share(answers == symbol, 1 / 8)
    assert share(DelayedParity(trials=4000).train.targets == 1, 1 / 2)
    marks = Adding(trials=4000, length=10).train.inputs[:, :, 1]
    assert (marks[:, :5].sum(axis=1) == 1).all()
    assert (marks[:, 5:].sum(axis=1) == 1).all()
    for step in range(10):
        assert share(marks[:, step] == 1, 1 / 5)


def test_answering_one_to_sums_has_the_error_that_is_said():
    """1/6 within 5 standard errors: the square of the sum less 1 has a variance of 7/180."""
    batch = Adding(trials=4000).train
    error = ((batch.targets - 1) ** 2).mean()
    assert abs(error - 1 / 6) < 5 * np.sqrt(7 / 180 / 4000)
    objective = bench.make("objective", "mean_squared_error")
    assert np.isclose(
        objective.losses(np.ones_like(batch.targets), batch.targets).mean(), error / 2
    )


@pytest.mark.parametrize("task", [Copy(trials=40), Adding(trials=40), DelayedParity(trials=40)])
def test_sequences_are_learnt_in_time(task):
    """An untrained network has a finite loss, and a gradient that reaches the input layer."""
    network = bench.make(
        "architecture", "rate_rnn", sizes=[task.inputs_size, 12, task.outputs_size], seed=0
    )
    kind = "cross_entropy" if task.kind == "classification" else "mean_squared_error"
    objective, batch = bench.make("objective", kind), task.batch(20, seed=0)
    assert np.isfinite(bench.loss(network, objective, batch))
    first = next(iter(bench.gradient(network, objective, batch).values()))
    assert np.abs(first).max() > 0


@pytest.mark.parametrize(("images", "side"), [("digits", 8), ("mnist_5k", 28)])
def test_rows_put_together_are_the_images(images, side):
    whole = {"digits": Digits(), "mnist_5k": Mnist5k()}[images]
    task = RowByRow(images=images)
    assert (task.inputs_size, task.outputs_size) == (side, 10)
    for rows, image in ((task.train, whole.train), (task.test, whole.test)):
        assert rows.inputs.shape == (image.size, side, side)
        assert np.array_equal(rows.inputs.reshape(image.size, -1), image.inputs)
        assert np.array_equal(rows.targets, image.targets)
        assert np.array_equal(rows.mask.sum(axis=0), image.size * (np.arange(side) == side - 1))


def test_blank_steps_come_after_the_rows():
    plain, late = RowByRow().test, RowByRow(delay=4).test
    assert np.array_equal(late.inputs[:, :8], plain.inputs)
    assert not late.inputs[:, 8:].any()
    assert late.mask.shape[1] == 12


# Selectors, cards and refusals


@pytest.mark.parametrize(
    "text",
    [
        "yang2019[task=ctxdm1-ctxdm2]",
        "yang2019[task=all,ring=16,easy=true]",
        "contextual_integration[stimulus=200-400]",
        "row_by_row[images=mnist_5k]",
        "row_by_row[images=digits[test_fraction=0.3]]",
    ],
)
def test_selectors_name_a_task(text):
    chosen = select("task", text)
    assert str(select("task", str(chosen))) == str(chosen)
    assert chosen.make().name == text.partition("[")[0]


def test_every_rule_is_found_by_its_name():
    shown = CliRunner().invoke(main, ["show", "yang2019"]).output
    for name in NAMES:
        assert name in shown
        assert bench.make("task", "yang2019", task=name).names == (name,)


@pytest.mark.parametrize("make", [Yang2019, Yang2019Neurogym])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "dms1"}, r"^task: 'dms1' is not known; choose one of go, .*did you mean 'dms'"),
        ({"task": "go-all"}, r"^task: 'all' is not known; choose one of go, "),
        ({"task": "go-go"}, r"^task: go-go names a task twice"),
        ({"task": ""}, r"^task: '' is not known"),
        ({"task": 3}, r"^task: "),
        ({"dt": 30}, r"^dt: 30 does not divide 100 ms"),
        ({"dt": 200}, r"^dt: 200 does not divide 100 ms"),
        ({"dt": 0}, r"^dt: "),
        ({"dt": 12.5}, r"^dt: "),
        ({"ring": 7}, r"^ring: 7 is not a whole number of at least 8"),
        ({"ring": 9}, r"^ring: 9 is odd"),
        ({"periods": "long"}, r"^periods: 'long' is not known; choose one of variable, fixed"),
        ({"noise": -1}, r"^noise: "),
        ({"trials": 0}, r"^trials: "),
        ({"seed": -1}, r"^seed: "),
    ],
)
def test_ring_tasks_refuse(make, options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Yang2019, {"easy": 1}, r"^easy: 1 is not true or false"),
        (ContextualIntegration, {"stimulus": 401}, r"^stimulus: 401 ms is not a whole number of"),
        (ContextualIntegration, {"response": (400, 3)}, r"^response: 3 ms is not a whole number"),
        (ContextualIntegration, {"before": 0}, r"^before: "),
        (ContextualIntegration, {"switch": 1.5}, r"^switch: "),
        (ContextualIntegration, {"offset": 0}, r"^offset: "),
        (DelayedMatch, {"stimuli": 1}, r"^stimuli: "),
        (DelayedMatch, {"dt": 30}, r"^before: 100 ms is not a whole number of steps of 30 ms"),
        (DelayedMatch, {"delay": "long"}, r"^delay: "),
        (EvidenceAccumulation, {"cues": 4}, r"^cues: 4 is even"),
        (EvidenceAccumulation, {"cues": 0}, r"^cues: "),
        (EvidenceAccumulation, {"share": 0.4}, r"^share: "),
        (SineGeneration, {"lowest": 6.0}, r"^highest: 5 Hz is below lowest, 6 Hz"),
        (SineGeneration, {"highest": 30.0}, r"^highest: 30 Hz has fewer than four steps of 10 ms"),
        (SineGeneration, {"duration": ()}, r"^duration: "),
        (Copy, {"symbols": 1}, r"^symbols: "),
        (Copy, {"length": 0}, r"^length: "),
        (Copy, {"delay": 0}, r"^delay: 0 is not a whole number of at least 1"),
        (Copy, {"noise": -1}, r"^noise: "),
        (Copy, {"trials": 0}, r"^trials: "),
        (Adding, {"length": 1}, r"^length: 1 is not a whole number of at least 2"),
        (Adding, {"seed": -1}, r"^seed: "),
        (DelayedParity, {"bits": 0}, r"^bits: "),
        (DelayedParity, {"delay": 0.5}, r"^delay: "),
        (RowByRow, {"images": "digit"}, r"^task: 'digit' is not known.*did you mean 'digits'"),
        (RowByRow, {"images": "mnist"}, r"^task mnist: path: "),
        (RowByRow, {"delay": -1}, r"^delay: "),
    ],
)
def test_other_tasks_refuse(make, options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


@pytest.mark.parametrize("images", ["delayed_match", "linear_regression", "row_by_row"])
def test_rows_of_what_is_no_image_are_refused(images):
    with pytest.raises(InputError, match=rf"^images: {images} has no square images with classes"):
        RowByRow(images=images).load()
