"""Checks of what the engine relies on: shapes, randomness, purity, and clear refusals."""

from dataclasses import fields, replace

import numpy as np

from plausibench.bench.conformance.case import (
    SHAPES,
    Arrays,
    Case,
    differing,
    distance,
    draw,
    networks,
    objectives,
    rounding,
    teacher_batch,
    unsupported,
)
from plausibench.bench.conformance.outcome import Outcome, judge
from plausibench.bench.measuring.draws import WITHIN, Setting, reference_of
from plausibench.bench.measuring.factors import BLOCK
from plausibench.bench.measuring.measurement import measure
from plausibench.kernels.errors import InputError
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.rules.foreign import FunctionRule
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, RuleCard, State, Step

SOURCES = frozenset({"feedback", "rule", "action", "spike"})
PLACES = frozenset({"none", "low", "high"})
TEXTS = (
    "summary",
    "equation",
    "exact_when",
    "variance_law",
    "synapse_knows",
    "cites",
    "reference",
)
SINGLE = 2.0**29
"""Rounding of float32 relative to that of float64."""


def check_card(rule: Rule, case: Case) -> Outcome:
    """Every text of the card is there, its numbers make sense, and the rule cannot be changed."""
    card = getattr(rule, "card", None)
    asked = "a frozen dataclass with a RuleCard whose texts are all there"
    if not isinstance(card, RuleCard):
        return Outcome("card", "failed", "no card", asked, "card is not a RuleCard")
    wrong = [f"{name} is empty" for name in TEXTS if not getattr(card, name).strip()]
    if not card.forward_passes > 0:
        wrong.append(f"forward_passes is {card.forward_passes}")
    if card.bias_order is not None and not card.bias_order >= 1:
        wrong.append(f"bias_order is {card.bias_order}")
    if card.expected is not None and not set(card.expected) <= PLACES:
        wrong.append(f"expected is {card.expected}, not two of {', '.join(sorted(PLACES))}")
    if not type(rule).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        wrong.append("the dataclass is not frozen")
    measured = f"{len(wrong)} wrong" if wrong else "complete"
    return judge(not wrong, "card", measured, asked, ", ".join(wrong))


def check_shapes(rule: Rule, case: Case) -> Outcome:
    """One estimate for each projection, of its shape, with finite numbers."""
    asked = "one finite estimate for each projection, of its shape"
    try:
        drawn = case.estimates(rule, BLOCK)
    except InputError as error:
        return Outcome("shapes", "failed", "refused", asked, str(error))
    reference = reference_of(case.setting(rule))[1]
    bad = [name for name, array in drawn.items() if not np.isfinite(array).all()]
    bad += [
        f"the reference of {name}"
        for name, weights in case.network.parameters.items()
        if name not in reference
        or reference[name].shape != weights.shape
        or not np.isfinite(reference[name]).all()
    ]
    reason = f"NaN, infinity or a wrong shape in {', '.join(bad)}"
    return judge(not bad, "shapes", f"{len(bad)} wrong of {len(drawn)}", asked, reason)


def check_randomness(rule: Rule, case: Case) -> Outcome:
    """Samples, seeds and feedback differ if the rule declares it, and only then."""
    declared, asked = rule.randomness(), "what differs is what is declared"
    wrong = [f"{source!r} is no source of randomness" for source in sorted(declared - SOURCES)]
    state, other = (rule.initial_state(case.network, case.seed + more) for more in (0, 1))
    redrawn = bool(differing(state, other))
    here = case.estimates(rule, BLOCK, state)
    elsewhere = replace(case, seed=case.seed + 1).estimates(rule, BLOCK, state)
    differs = {
        "its samples": any((array != array[:1]).any() for array in here.values()),
        "its draws from two seeds": bool(differing(here, elsewhere)),
    }
    for what, seen in differs.items():
        if seen != bool(declared & WITHIN):
            wrong.append(f"{what} {'differ' if seen else 'are equal'}")
    if redrawn != ("feedback" in declared):
        wrong.append(f"its states from two seeds {'differ' if redrawn else 'are equal'}")
    measured = "+".join(sorted(declared)) or "nothing"
    reason = f"the rule declares {measured}, but {' and '.join(wrong)}"
    return judge(not wrong, "randomness", f"{measured} declared", asked, reason)


def check_determinism(rule: Rule, case: Case) -> Outcome:
    """The same seed gives the same bits."""
    differ = differing(case.estimates(rule, 2 * BLOCK), case.estimates(rule, 2 * BLOCK))
    return judge(
        not differ,
        "determinism",
        "other bits" if differ else "the same bits",
        "the same bits from the same seed",
        f"{', '.join(differ)} differ; draw from noise and from the seed of initial_state only",
    )


def check_samples(rule: Rule, case: Case) -> Outcome:
    """A sample is the same however many are asked for, and in whatever chunks."""
    long, short = case.estimates(rule, 40), case.estimates(rule, 8)
    differ = differing(short, {name: array[:8] for name, array in long.items()})
    numbers = [21, 3, 9]
    setting, chosen = case.setting(rule), {name: array[numbers] for name, array in long.items()}
    alone = [draw(setting, [number]) for number in numbers]
    joined = {name: np.concatenate([one[name] for one in alone]) for name in chosen}
    apart = max(distance(draw(setting, numbers), chosen), distance(joined, chosen))
    allowed = rounding(rule)
    return judge(
        not differ and apart <= allowed,
        "samples",
        f"relative difference {apart:.1e}",
        f"the same first samples; other chunks within {allowed:.0e}",
        "a sample depends on those drawn with it; keep the sample axis apart throughout",
    )


def check_unchanged(rule: Rule, case: Case) -> Outcome:
    """Measuring changes neither weights, batch, state nor the clean pass, and advances nothing."""
    calls: list[str] = []
    watched, state = _watched(rule, calls), rule.initial_state(case.network, case.seed)
    setting = case.setting(watched, state)
    given = lent(setting)
    before = {name: array.copy() for name, array in given.items()}
    draw(setting, list(range(BLOCK)))
    case.estimates(watched, BLOCK, state)
    measure(
        watched,
        case.network,
        case.objective,
        case.batch,
        BLOCK,
        case.seed,
        state=state,
        method="sampled",
    )
    changed = [*differing(before, given), *(["the state, by advance"] if calls else [])]
    if not changed:
        rule.advance(state, _learned(setting))
        changed = [f"{name}, in advance" for name in differing(before, given)]
    return judge(
        not changed,
        "unchanged",
        f"{len(changed)} changed",
        "weights, batch, state and clean pass keep their bits; measuring calls no advance",
        f"the rule changes {', '.join(changed)}",
    )


def _learned(setting: Setting) -> Step:
    """A step that doubled the weights."""
    before = setting.network.parameters
    learned = {name: 2 * weights for name, weights in before.items()}
    return Step(
        network=setting.network.with_parameters(learned),
        objective=setting.objective,
        batch=setting.batch,
        clean=setting.clean,
        applied={name: weights.copy() for name, weights in before.items()},
        decay=0.0,
        noise=Noise(setting.seed, np.zeros(1, np.int64), setting.batch.keys, setting.network.dtype),
    )


def _watched(rule: Rule, calls: list[str]) -> Rule:
    """The same rule, noting calls of ``advance``."""

    def advance(self: Rule, state: State, step: Step) -> State:
        calls.append("advance")
        return rule.advance(state, step)

    options = {
        field.name: getattr(rule, field.name)
        for field in fields(rule)  # type: ignore[arg-type]
        if field.init
    }
    watching: Rule = type(type(rule).__name__, (type(rule),), {"advance": advance})(**options)
    return watching


def lent(setting: Setting) -> Arrays:
    """Everything that a rule is given to read."""
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
    if not rule.keyed and rule.randomness() & WITHIN:
        reason = "its draws belong to the batch, not to the examples"
        return Outcome("batch_order", "not applicable", reason=reason)
    order = generator(0, "conformance", "order").permutation(case.batch.size)
    permuted = replace(case, batch=case.batch.take(order))
    state = rule.initial_state(case.network, case.seed)
    apart = distance(case.estimates(rule, BLOCK, state), permuted.estimates(rule, BLOCK, state))
    allowed = rounding(rule)
    return judge(
        apart <= allowed,
        "batch_order",
        f"relative difference {apart:.1e}",
        f"within {allowed:.0e} when rows are permuted with their keys",
        "noise must be keyed by the example, as noise.examples does, not by its place",
    )


def _last_digits(rule: Rule, case: Case, estimates: Arrays) -> float:
    """What the last digit of the weights makes of estimates in float64.

    What a function divides, such as a change of the loss by its own sigma, nobody is told; but
    rounding is divided by it too, and in float32 by as much.
    """
    network = case.network.with_parameters(
        {name: np.nextafter(array, np.inf) for name, array in case.network.parameters.items()}
    )
    return distance(replace(case, network=network).estimates(rule, BLOCK), estimates)


def check_float32(rule: Rule, case: Case) -> Outcome:
    """The rule runs in float32, and differs from float64 by rounding."""
    single, double = (case.estimates(rule, BLOCK, dtype=name) for name in ("float32", "float64"))
    types = sorted({str(array.dtype) for array in single.values()})
    digits = rounding(rule)
    if isinstance(rule, FunctionRule):
        digits = max(digits, 4 * _last_digits(rule, case, double))
    apart, allowed = distance(single, double), SINGLE * digits
    return judge(
        types == ["float32"] and apart <= allowed,
        "float32",
        f"{' and '.join(types)}, relative difference {apart:.1e}",
        f"float32 within {allowed:.0e} of float64",
        "it is far from float64" if types == ["float32"] else "numbers change their type",
    )


def check_refusals(rule: Rule, case: Case) -> Outcome:
    """A batch that does not fit is refused in one sentence."""
    batch, outputs = case.batch, case.network.output.size
    wide = np.concatenate([batch.inputs, batch.inputs[:, :1]], axis=1)
    real = np.zeros((batch.size, outputs + 1))
    unfit = {
        "inputs too wide": Batch(wide, batch.targets, batch.keys),
        "a class too many": Batch(batch.inputs, np.full(batch.size, outputs), batch.keys),
        "targets too wide": Batch(batch.inputs, real, batch.keys),
    }
    wrong = [
        f"{what}: {answer or 'accepted'}"
        for what, given in unfit.items()
        if (answer := _answer(rule, replace(case, batch=given))) != "refused"
    ]
    # Whether real-valued targets make sense is the rule's own affair, but it must say so.
    answer = _answer(rule, replace(case, batch=Batch(batch.inputs, real[:, :-1], batch.keys)))
    if answer not in ("refused", None):
        wrong.append(f"real-valued targets: {answer}")
    return judge(
        not wrong,
        "refusals",
        f"{4 - len(wrong)} of 4 answered clearly",
        "an InputError of one line for a batch that does not fit",
        "; ".join(wrong),
    )


def _answer(rule: Rule, case: Case) -> str | None:
    """None if the rule runs, ``refused`` if it refuses well, else what it does."""
    try:
        drawn = case.estimates(rule, 1)
    except InputError as error:
        return "refused" if str(error).strip() and "\n" not in str(error) else "not one line"
    except Exception as error:  # noqa: BLE001 - whatever a rule raises is its answer
        return f"{type(error).__name__}: {error}"
    return None if all(np.isfinite(a).all() for a in drawn.values()) else "NaN or infinity"


def check_support(rule: Rule, case: Case) -> Outcome:
    """The rule runs wherever it does not say why it cannot.

    On networks of the first sizes at which it runs anywhere.
    """
    for sizes in SHAPES:
        runs, wrong = _support(rule, sizes)
        if runs or wrong:
            break
    if not runs and not wrong:
        return Outcome("support", "not applicable", reason="it refuses every registered network")
    return judge(
        not wrong,
        "support",
        f"{runs} combinations, sizes {'-'.join(map(str, sizes))}",
        "finite estimates where unsupported returns None, a reason elsewhere",
        "; ".join(wrong),
    )


def _support(rule: Rule, sizes: tuple[int, ...]) -> tuple[int, list[str]]:
    """Number of combinations at these sizes that the rule supports, and what went wrong."""
    runs, wrong = 0, []
    for network in networks(sizes):
        batch = teacher_batch(network)
        for objective in objectives(network, batch):
            where = f"{network.architecture} with {type(objective).__name__}"
            reason = unsupported(rule, network, objective)
            if reason is None:
                runs += 1
                answer = _answer(rule, Case(network, objective, batch))
                wrong += [] if answer is None else [f"{where}: {answer}"]
            elif not isinstance(reason, str) or not reason.strip():
                wrong.append(f"{where}: unsupported gives no reason")
    return runs, wrong
