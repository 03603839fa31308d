"""The conformance suite: what every learning rule must pass. It needs no pytest.

A plug-in's whole test file::

    import pytest
    from my_package.my_rule import MyRule
    from plausibench.bench.conformance import checks

    @pytest.mark.parametrize(("name", "check"), checks(MyRule()))
    def test_conformance(name, check):
        check()
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench import registry
from plausibench.bench.draws import WITHIN, Setting, formed_blocks, prepare, reference_of
from plausibench.bench.exact import exact
from plausibench.bench.measurement import estimates, measure, one_blas_thread
from plausibench.bench.moments import BLOCK
from plausibench.kernels.errors import InputError, choose, refusal
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, SampledAction, State

Array = np.ndarray
Arrays = dict[str, Array]

SIZES = (6, 5, 4, 3)
EXAMPLES = 8
PREFERRED = {"architecture": ("mlp", "dendritic"), "objective": ("cross_entropy",)}
SOURCES = frozenset({"feedback", "rule", "action", "spike"})
PLACES = ("none", "low", "high")
SMALL = ("sigma", "nudging")
"""Options that are the small parameter of a rule's bias, if it has one of them."""

ROUNDING = 1e-12
"""Relative rounding allowed in float64 where sums run in another order."""
EXACT = 1e-20
"""Largest relative squared bias of a rule that is exact."""
LIMIT = 1e-3
"""Value of the small parameter at which a vanishing bias counts as vanished."""
SAMPLES = 16384
"""Draws for a test of the mean: enough to see a relative squared bias of 0.01 in 75 directions."""
THRESHOLD = 4.5
"""Of the one-sided z-tests: one false alarm in 300 000."""
RESOLVED = 0.1
"""Widest half interval of the relative squared bias at which its test says anything."""
SLOPE = 0.05
"""Largest difference between the declared and the measured power of the bias."""


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes
    ----------
    name
        Name of the check.
    status
        ``passed``, ``failed``, ``expected failure`` or ``not applicable``.
    measured, asked
        The figure and the requirement, in a few words.
    reason
        Why it failed, was expected to, or does not apply.
    """

    name: str
    status: str
    measured: str = ""
    asked: str = ""
    reason: str = ""

    def __str__(self) -> str:
        parts = [self.status, self.measured, f"asked: {self.asked}" if self.asked else ""]
        return f"{self.name}: {'; '.join(filter(None, [*parts, self.reason]))}"


@dataclass(frozen=True)
class Case:
    """Network, objective and batch on which a rule is checked."""

    network: Network
    objective: Objective
    batch: Batch
    seed: int = 0


Check = Callable[[Rule, Case], Outcome]


def run_checks(
    rule: Rule, case: Case | None = None, *, expected_failed: Mapping[str, str] | None = None
) -> list[Outcome]:
    """Run every check on a rule.

    Parameters
    ----------
    rule
        An instance, with the options to check.
    case
        Where to check it; by default a small network, the first that the rule supports.
    expected_failed
        Reason for each check that is known to fail. One that passes all the same fails.

    Returns
    -------
    list of Outcome
        One for each check, in the order of ``CHECKS``.

    Raises
    ------
    InputError
        If ``rule`` is no rule, no registered network suits it, or a check is unknown.
    """
    return [run() for _, run in _planned(rule, case, expected_failed)]


def checks(
    rule: Rule, case: Case | None = None, *, expected_failed: Mapping[str, str] | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield name and callable of every check; the callable raises AssertionError if it fails.

    Parameters and errors are those of :func:`run_checks`.
    """
    for name, run in _planned(rule, case, expected_failed):
        yield name, partial(_demand, run)


def _planned(
    rule: Rule, case: Case | None, expected_failed: Mapping[str, str] | None
) -> list[tuple[str, Callable[[], Outcome]]]:
    if not isinstance(rule, Rule):
        raise refusal("rule", rule, "an instance of a class derived from Rule")
    expected = dict(expected_failed or {})
    for name in expected:
        choose("expected_failed", name, NAMES)
    where = case_for(rule) if case is None else case
    return [
        (name, partial(_run, check, rule, where, expected.get(name)))
        for name, check in zip(NAMES, CHECKS, strict=True)
    ]


def _run(check: Check, rule: Rule, case: Case, expected: str | None) -> Outcome:
    try:
        with one_blas_thread():
            outcome = check(rule, case)
    except Exception as error:  # noqa: BLE001, the rule is someone else's: whatever it raises is its failure
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        outcome = Outcome(_name(check), "failed", "an error", "an answer", said)
    if expected is None:
        return outcome
    if outcome.status == "failed":
        return replace(outcome, status="expected failure", reason=expected)
    return replace(
        outcome, status="failed", reason="it was expected to fail: drop it from expected_failed"
    )


def _demand(run: Callable[[], Outcome]) -> None:
    outcome = run()
    if outcome.status == "failed":
        raise AssertionError(str(outcome))


def _name(check: Check) -> str:
    return getattr(check, "__name__", "check").removeprefix("check_")


def _judge(good: bool, name: str, measured: str, asked: str, reason: str = "") -> Outcome:
    if good:
        return Outcome(name, "passed", measured, asked)
    return Outcome(name, "failed", measured, asked, reason)


def case_for(rule: Rule) -> Case:
    """Return the first small network and objective that a rule supports, with data of a teacher.

    Raises
    ------
    InputError
        If the rule supports no registered combination.
    """
    reasons = []
    for network in _networks():
        batch = teacher_batch(network)
        for objective in _objectives(network, batch):
            reason = _unsupported(rule, network, objective)
            if reason is None:
                return Case(network, objective, batch)
            reasons.append(reason)
    raise InputError(
        f"rule: {type(rule).__name__} supports no registered architecture and objective "
        f"({reasons[0] if reasons else 'there are none'}); give a case"
    )


def small_network(architecture: str) -> Network:
    """Build a small network whose biases are not zero.

    Raises
    ------
    InputError
        If the architecture has options without default other than its sizes.
    """
    component = registry.find("architecture", architecture)
    sized = any(field.name == "sizes" for field in fields(component))
    network: Network = registry.make("architecture", architecture, **{"sizes": SIZES} if sized else {})
    shifted = {
        name: array + 0.1 * generator(0, "conformance", name).standard_normal(array.shape)
        for name, array in network.parameters.items()
    }
    return network.with_parameters(shifted)


def teacher_batch(network: Network) -> Batch:
    """Gaussian inputs with the class that a random linear teacher gives them, and random keys."""
    inputs = generator(0, "conformance", "inputs").standard_normal((EXAMPLES, network.inputs))
    weights = generator(0, "conformance", "teacher").standard_normal(
        (network.inputs, network.output.size)
    )
    keys = generator(0, "conformance", "keys").permutation(1000)[:EXAMPLES]
    return Batch(inputs, (inputs @ weights).argmax(axis=1), keys)


def _networks() -> Iterator[Network]:
    """Small networks of every architecture that can be built from its sizes alone."""
    for name in _ordered("architecture"):
        try:
            yield small_network(name)
        except InputError:
            continue


def _objectives(network: Network, batch: Batch) -> Iterator[Objective]:
    """Objectives that the targets of the batch fit."""
    for name in _ordered("objective"):
        try:
            objective: Objective = registry.make("objective", name)
            objective.check(batch.targets, network.output.size)
        except InputError:
            continue
        yield objective


def _ordered(kind: str) -> list[str]:
    first = PREFERRED[kind]
    return [*first, *(name for name in registry.entries(kind) if name not in first)]


def _unsupported(rule: Rule, network: Network, objective: Objective) -> str | None:
    try:
        return rule.unsupported(network, objective)
    except Exception as error:
        raise InputError(
            f"{type(rule).__name__}.unsupported raised {type(error).__name__}: {error}"
        ) from error


def _setting(rule: Rule, case: Case, state: State | None = None) -> Setting:
    return prepare(rule, case.network, case.objective, case.batch, state, case.seed)


def _estimates(rule: Rule, case: Case, samples: int, **options: object) -> Arrays:
    return estimates(
        rule, case.network, case.objective, case.batch, samples, case.seed, **options  # type: ignore[arg-type]
    )


def _draw(setting: Setting, numbers: list[int], noise: type[Noise] = Noise) -> Arrays:
    """Samples of the given numbers ``(S, *shape)``, asked of the rule itself in one chunk."""
    asked = np.array(numbers, dtype=np.int64)
    given = setting.rule.estimate(
        setting.network,
        setting.objective,
        setting.batch,
        setting.clean,
        setting.state,
        noise(setting.seed, asked, setting.batch.keys, setting.network.dtype),
    )
    formed = form(setting.network, given)
    return {
        p.name: np.broadcast_to(formed[p.name], (asked.size, *p.synapse.shape))
        for p in setting.network.projections
    }


def _same_bits(one: Mapping[str, Array], two: Mapping[str, Array]) -> list[str]:
    """Names of the arrays that differ in a bit, a type or a shape."""
    return [
        name
        for name in {**one, **two}
        if name not in one
        or name not in two
        or one[name].dtype != two[name].dtype
        or one[name].shape != two[name].shape
        or one[name].tobytes() != two[name].tobytes()
    ]


def _distance(one: Arrays, two: Arrays) -> float:
    """Largest distance between the arrays of a parameter, relative to their length."""
    largest = 0.0
    for name in one:
        length = max(np.linalg.norm(one[name]), np.linalg.norm(two[name]))
        if length > 0:
            largest = max(largest, float(np.linalg.norm(one[name] - two[name]) / length))
    return largest


def _small(rule: Rule) -> str | None:
    """Name of the option in which the bias vanishes."""
    names = [field.name for field in fields(rule)]  # type: ignore[arg-type]
    return next((name for name in SMALL if name in names), None)


def _amplification(rule: Rule) -> float:
    """Factor by which a difference quotient amplifies the rounding of the loss."""
    small = _small(rule)
    return 1.0 if small is None else max(1.0, 1 / float(getattr(rule, small)))


def check_card(rule: Rule, case: Case) -> Outcome:
    """Every text of the card is there, what it names exists, and the rule cannot be changed."""
    card = getattr(rule, "card", None)
    asked = "a frozen dataclass with a RuleCard whose texts are all there"
    if not isinstance(card, RuleCard):
        return Outcome("card", "failed", "no card", asked, "card is not a RuleCard")
    texts = ("summary", "equation", "exact_when", "variance_law", "synapse_knows", "cites")
    wrong = [name for name in (*texts, "reference") if not getattr(card, name).strip()]
    if not card.forward_passes > 0:
        wrong.append("forward_passes")
    if card.bias_order is not None and not card.bias_order >= 1:
        wrong.append("bias_order")
    if card.expected is not None and not set(card.expected) <= set(PLACES):
        wrong.append("expected")
    if not type(rule).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        wrong.append("frozen")
    said = f"{', '.join(wrong)}: empty, out of range or not so"
    return _judge(not wrong, "card", "complete" if not wrong else "incomplete", asked, said)


def check_shapes(rule: Rule, case: Case) -> Outcome:
    """One estimate for each projection, of its shape, with finite numbers."""
    asked = "one finite estimate for each projection, of its shape"
    try:
        drawn = _estimates(rule, case, BLOCK)
    except InputError as error:
        return Outcome("shapes", "failed", "refused", asked, str(error))
    bad = [name for name, array in drawn.items() if not np.isfinite(array).all()]
    measured = f"{len(drawn) - len(bad)} of {len(drawn)} finite"
    return _judge(not bad, "shapes", measured, asked, f"NaN or infinity in {', '.join(bad)}")


def check_randomness(rule: Rule, case: Case) -> Outcome:
    """Samples, seeds and feedback differ if the rule declares it, and only then."""
    declared, asked = rule.randomness(), "what differs is what is declared"
    wrong = [f"{source!r} is no source of randomness" for source in sorted(declared - SOURCES)]
    state = rule.initial_state(case.network, case.seed)
    here = _estimates(rule, case, BLOCK, state=state)
    elsewhere = _estimates(rule, replace(case, seed=case.seed + 1), BLOCK, state=state)
    differs = {
        "samples": any((array != array[:1]).any() for array in here.values()),
        "seeds": bool(_same_bits(here, elsewhere)),
    }
    noisy = bool(declared & WITHIN)
    for what, seen in differs.items():
        if seen != noisy:
            wrong.append(f"{what} {'differ' if seen else 'are equal'}")
    other = rule.initial_state(case.network, case.seed + 1)
    if bool(_same_bits(state, other)) != ("feedback" in declared):
        wrong.append(f"the states of two seeds {'are equal' if 'feedback' in declared else 'differ'}")
    measured = "+".join(sorted(declared)) or "none"
    reason = f"the rule declares {measured}, but {' and '.join(wrong)}"
    return _judge(not wrong, "randomness", f"{measured} declared", asked, reason)


def check_determinism(rule: Rule, case: Case) -> Outcome:
    """The same seed gives the same bits."""
    differ = _same_bits(_estimates(rule, case, 2 * BLOCK), _estimates(rule, case, 2 * BLOCK))
    return _judge(
        not differ,
        "determinism",
        "other bits" if differ else "the same bits",
        "the same bits from the same seed",
        f"{', '.join(differ)} differ; draw from noise and from the seed of initial_state only",
    )


def check_samples(rule: Rule, case: Case) -> Outcome:
    """A sample is the same however many are asked for, and in whatever chunks."""
    long, short = _estimates(rule, case, 40), _estimates(rule, case, BLOCK // 2)
    differ = _same_bits(short, {name: array[: BLOCK // 2] for name, array in long.items()})
    numbers = [21, 3, 9]
    setting, chosen = _setting(rule, case), {name: array[numbers] for name, array in long.items()}
    alone = [_draw(setting, [number]) for number in numbers]
    joined = {name: np.concatenate([one[name] for one in alone]) for name in chosen}
    apart = max(_distance(_draw(setting, numbers), chosen), _distance(joined, chosen))
    allowed = ROUNDING * _amplification(rule)
    reason = (
        f"the first samples of a longer run differ in {', '.join(differ)}"
        if differ
        else "samples asked for in other chunks differ: take S from the noise, never sum over it"
    )
    return _judge(
        not differ and apart <= allowed,
        "samples",
        f"relative difference {apart:.1e}",
        f"the same first samples; other chunks within {allowed:.0e}",
        reason,
    )


def check_unchanged(rule: Rule, case: Case) -> Outcome:
    """Measuring changes neither weights, batch, state nor the clean pass, and advances nothing."""
    calls: list[str] = []
    watched, state = _watched(rule, calls), rule.initial_state(case.network, case.seed)
    setting = _setting(watched, case, state)
    held = _arrays(setting)
    before = {name: array.copy() for name, array in held.items()}
    _draw(setting, list(range(BLOCK)))
    _estimates(watched, case, BLOCK, state=state)
    measure(
        watched, case.network, case.objective, case.batch, BLOCK, case.seed,
        state=state, method="sampled",
    )  # fmt: skip
    changed = _same_bits(before, held)
    if calls:
        changed.append("the state, by advance")
    rule.advance(state, case.network.with_parameters({n: 2 * w for n, w in case.network.parameters.items()}))
    if _same_bits(before, held) and not changed:
        changed.append("the state it is given, in advance")
    return _judge(
        not changed,
        "unchanged",
        f"{len(changed)} changed",
        "weights, batch, state and clean pass keep their bits; advance is not called",
        f"the rule changes {', '.join(changed)}",
    )


def _watched(rule: Rule, calls: list[str]) -> Rule:
    """The same rule, noting calls of ``advance``."""

    def advance(self: Rule, state: State, network: Network) -> State:
        calls.append("advance")
        return rule.advance(state, network)

    options = {field.name: getattr(rule, field.name) for field in fields(rule) if field.init}  # type: ignore[arg-type]
    watching: Rule = type(type(rule).__name__, (type(rule),), {"advance": advance})(**options)
    return watching


def _arrays(setting: Setting) -> Arrays:
    """Everything that a rule is lent."""
    batch, clean = setting.batch, setting.clean
    groups = {
        "parameter": setting.network.parameters,
        "state": setting.state,
        "batch": {"inputs": batch.inputs, "targets": batch.targets, "keys": batch.keys},
        "clean drive": clean.drive,
        "clean activity": clean.activity,
    }
    return {f"{group} {name}": a for group, arrays in groups.items() for name, a in arrays.items()}


def check_batch_order(rule: Rule, case: Case) -> Outcome:
    """Rows permuted together with their keys give the same estimate."""
    order = generator(0, "conformance", "order").permutation(case.batch.size)
    permuted = replace(case, batch=case.batch.take(order))
    state = rule.initial_state(case.network, case.seed)
    apart = _distance(
        _estimates(rule, case, BLOCK, state=state), _estimates(rule, permuted, BLOCK, state=state)
    )
    allowed = ROUNDING * _amplification(rule)
    return _judge(
        apart <= allowed,
        "batch_order",
        f"relative difference {apart:.1e}",
        f"within {allowed:.0e} when rows are permuted with their keys",
        "noise must be keyed by the example, as noise.examples does, not by its place",
    )


def check_bias(rule: Rule, case: Case) -> Outcome:
    """The mean estimate is the reference gradient if the card says unbiased, and else is not."""
    small, unbiased = _small(rule), rule.card.unbiased
    if unbiased and rule.card.bias_order is not None and small is not None:
        # A bias that vanishes with the small parameter is judged where it has vanished.
        rule = _with(rule, small, min(LIMIT, float(getattr(rule, small))))
    found = measure(rule, case.network, case.objective, case.batch, SAMPLES, case.seed)
    row = next(
        row for row in found.rows if (row["projection"], row["quantity"]) == ("all", "bias_squared")
    )
    if row["method"] == "sampled":
        return _sampled_bias(rule, case, row)
    value = float(row["value"])
    measured = f"relative bias² {value:.1e}, {row['method']}"
    if unbiased and rule.card.bias_order is not None:
        return Outcome("bias", "not applicable", measured, reason="see bias_order")
    if unbiased:
        reason = "the card says unbiased, but the mean is not the reference gradient"
        return _judge(value <= EXACT, "bias", measured, f"at most {EXACT:.0e}", reason)
    reason = "the card says biased, but the mean is the reference gradient"
    return _judge(value > EXACT, "bias", measured, f"above {EXACT:.0e}", reason)


def _sampled_bias(rule: Rule, case: Case, row: dict[str, object]) -> Outcome:
    value, low, high = (float(row[key]) for key in ("value", "low", "high"))  # type: ignore[arg-type]
    setting = _setting(rule, case)
    z = split_test(setting, reference_of(setting)[1], SAMPLES)
    measured = f"z {z:.1f}, relative bias² {value:.2g} [{low:.2g}, {high:.2g}], {SAMPLES} samples"
    if not rule.card.unbiased:
        reason = "the card says biased, but no bias was seen"
        return _judge(z > THRESHOLD, "bias", measured, f"z above {THRESHOLD}", reason)
    if z <= THRESHOLD and not (high - low) / 2 <= RESOLVED:
        reason = f"too noisy to see a relative bias² of {RESOLVED}"
        return Outcome("bias", "not applicable", measured, "", reason)
    reason = "the card says unbiased, but the mean is not the reference gradient"
    return _judge(z <= THRESHOLD, "bias", measured, f"z at most {THRESHOLD}", reason)


def split_test(setting: Setting, expected: Mapping[str, Array], samples: int) -> float:
    """z-statistic of a deviation of the mean estimate from ``expected``.

    The first half of the samples chooses the direction of the deviation, and the second half is
    projected on it. Without a deviation z is standard normal, whatever the number of directions
    that the noise fills: unlike the statistic of the squared bias itself, which is a weighted
    sum of chi-squares. A deviation makes z positive.
    """
    names = list(expected)
    aim = np.concatenate([np.ravel(expected[name]) for name in names])
    half, direction, along = samples // 2, np.zeros(aim.size), []
    for number, block in enumerate(formed_blocks(setting, samples, WITHIN)):
        rows = np.concatenate([block[name].reshape(len(block[name]), -1) for name in names], axis=1)
        if number < half // BLOCK:
            direction += (rows - aim).sum(axis=0)
        else:
            along.append((rows - aim) @ direction)
    projected = np.concatenate(along)
    error = projected.std(ddof=1) / np.sqrt(projected.size)
    mean = float(projected.mean())
    return mean / float(error) if error > 0 else np.copysign(np.inf, mean) if mean else 0.0


def check_enumeration(rule: Rule, case: Case) -> Outcome:
    """Sampled actions average to the mean that is enumerated."""
    setting = _setting(rule, case)
    answer = exact(setting, WITHIN) if isinstance(rule, SampledAction) else None
    if answer is None:
        reason = "the rule does not sample actions"
        return Outcome("enumeration", "not applicable", reason=reason)
    z = split_test(setting, answer.mean, SAMPLES)
    return _judge(
        z <= THRESHOLD,
        "enumeration",
        f"z {z:.1f}, {SAMPLES} samples",
        f"z at most {THRESHOLD}",
        "the mean of sampled actions is not that of policy and respond",
    )


class _Mirrored(Noise):
    """The same noise with the opposite sign; every law is symmetric."""

    def examples(self, arrays, law="gaussian", stream_name="rule"):  # type: ignore[no-untyped-def]
        drawn = super().examples(arrays, law, stream_name)
        return {name: -array for name, array in drawn.items()}

    def parameters(self, arrays, law="gaussian"):  # type: ignore[no-untyped-def]
        return {name: -array for name, array in super().parameters(arrays, law).items()}


def check_bias_order(rule: Rule, case: Case) -> Outcome:
    """The bias vanishes with the declared power of the small parameter.

    Where the mean is exact, it is compared with the reference gradient. Else estimates at two
    values are compared on the same noise and its mirror image, whose average has the order of
    the bias: odd powers, which average out, are gone.
    """
    order, small = rule.card.bias_order, _small(rule)
    if order is None or small is None:
        reason = "no bias_order" if order is None else f"no option {' or '.join(SMALL)}"
        return Outcome("bias_order", "not applicable", reason=f"the rule declares {reason}")
    values = LIMIT * 10 ** np.array([1.0, 0.5, 0.0])
    setting = _setting(rule, case)
    reference = reference_of(setting)[1]
    length = np.sqrt(sum(float((g * g).sum()) for g in reference.values()))
    if exact(setting, WITHIN) is None:
        means = [_mirrored_mean(_with(rule, small, x), case) for x in (*values, values[-1] / 10**0.5)]
        found = np.array([np.linalg.norm(a - b) for a, b in zip(means, means[1:], strict=False)])
    else:
        found = np.array([_deviation(_with(rule, small, x), case) for x in values])
    if found.max() <= ROUNDING * length / LIMIT:
        return Outcome("bias_order", "passed", "no bias above rounding", f"power {order}")
    with np.errstate(divide="ignore"):
        slope = float(np.polyfit(np.log(values), np.log(found), 1)[0])
    return _judge(
        abs(slope - order) <= SLOPE,
        "bias_order",
        f"power {slope:.3f} of {small} from {values[0]:g} to {values[-1]:g}",
        f"{order} within {SLOPE}",
        f"the bias does not vanish as declared; the card says: {rule.card.exact_when}",
    )


def _with(rule: Rule, name: str, value: float) -> Rule:
    return replace(rule, **{name: value})  # type: ignore[type-var]


def _mirrored_mean(rule: Rule, case: Case) -> Array:
    setting, numbers = _setting(rule, case), list(range(4 * BLOCK))
    plus, minus = _draw(setting, numbers), _draw(setting, numbers, _Mirrored)
    both = [(plus[name] + minus[name]).mean(axis=0).ravel() / 2 for name in plus]
    return np.concatenate(both)


def _deviation(rule: Rule, case: Case) -> float:
    found = measure(rule, case.network, case.objective, case.batch, seed=case.seed)
    return float(np.sqrt(found.value("absolute_bias_squared")))


def check_float32(rule: Rule, case: Case) -> Outcome:
    """The rule runs in float32 and says about the same as in float64."""
    single, double = (_estimates(rule, case, BLOCK, dtype=t) for t in ("float32", "float64"))
    types = sorted({str(array.dtype) for array in single.values()})
    apart, allowed = _distance(single, double), 1e-5 * _amplification(rule)
    reason = "it is far from float64" if types == ["float32"] else "numbers change their type"
    return _judge(
        types == ["float32"] and apart <= allowed,
        "float32",
        f"{' and '.join(types)}, relative difference {apart:.1e}",
        f"float32 within {allowed:.0e} of float64",
        reason,
    )


def check_refusals(rule: Rule, case: Case) -> Outcome:
    """A batch that does not fit gets an InputError, and one sentence."""
    batch, outputs = case.batch, case.network.output.size
    wide = np.concatenate([batch.inputs, batch.inputs[:, :1]], axis=1)
    real = np.zeros((batch.size, outputs + 1))
    unfit = {
        "inputs too wide": Batch(wide, batch.targets, batch.keys),
        "a class too many": Batch(batch.inputs, np.full(batch.size, outputs), batch.keys),
        "targets too wide": Batch(batch.inputs, real, batch.keys),
    }
    wrong = []
    for what, given in unfit.items():
        answer = _refused(rule, replace(case, batch=given))
        if answer != "":
            wrong.append(f"{what}: {answer or 'accepted'}")
    answer = _refused(rule, replace(case, batch=Batch(batch.inputs, real[:, :-1], batch.keys)))
    if answer:
        wrong.append(f"real-valued targets: {answer}")
    return _judge(
        not wrong,
        "refusals",
        f"{4 - len(wrong)} of 4 refused clearly or run",
        "an InputError of one line for a batch that does not fit",
        "; ".join(wrong),
    )


def _refused(rule: Rule, case: Case) -> str | None:
    """Empty if refused well, None if accepted, else what is wrong."""
    try:
        _estimates(rule, case, 1)
    except InputError as error:
        return "" if str(error) and "\n" not in str(error) else "the message is not one line"
    except Exception as error:  # noqa: BLE001, a clear refusal is what is being checked
        return f"{type(error).__name__}: {error}"
    return None


def check_support(rule: Rule, case: Case) -> Outcome:
    """The rule runs wherever it does not say why it cannot."""
    runs, wrong = 0, []
    for network in _networks():
        batch = teacher_batch(network)
        for objective in _objectives(network, batch):
            where = f"{network.architecture} with {type(objective).__name__}"
            reason = _unsupported(rule, network, objective)
            if reason is None:
                runs += 1
                answer = _runs(rule, Case(network, objective, batch))
                wrong += [f"{where}: {answer}"] if answer else []
            elif not isinstance(reason, str) or not reason.strip():
                wrong.append(f"{where}: unsupported gives no reason")
    return _judge(
        not wrong,
        "support",
        f"{runs} combinations",
        "finite estimates where unsupported returns None, a reason elsewhere",
        "; ".join(wrong),
    )


def _runs(rule: Rule, case: Case) -> str:
    try:
        drawn = _estimates(rule, case, 1)
    except Exception as error:  # noqa: BLE001, whatever it raises, it does not run there
        return f"{type(error).__name__}: {error}"
    return "" if all(np.isfinite(a).all() for a in drawn.values()) else "NaN or infinity"


CHECKS: tuple[Check, ...] = (
    check_card,
    check_shapes,
    check_randomness,
    check_determinism,
    check_samples,
    check_unchanged,
    check_batch_order,
    check_bias,
    check_enumeration,
    check_bias_order,
    check_float32,
    check_refusals,
    check_support,
)
NAMES = tuple(_name(check) for check in CHECKS)
