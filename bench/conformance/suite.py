"""Run the checks, as a list of outcomes or one by one under a test runner."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from plausibench.bench.conformance.case import Case, case_for
from plausibench.bench.conformance.companion import check_companion
from plausibench.bench.conformance.contract import (
    check_batch_order,
    check_card,
    check_determinism,
    check_float32,
    check_randomness,
    check_refusals,
    check_samples,
    check_shapes,
    check_support,
    check_unchanged,
)
from plausibench.bench.conformance.outcome import Outcome
from plausibench.bench.conformance.theory import check_bias, check_bias_order, check_enumeration
from plausibench.kernels.errors import InputError, choose, refusal
from plausibench.kernels.threads import one_blas_thread
from plausibench.rules.rule import Rule

Check = Callable[[Rule, Case], Outcome]

CHECKS: dict[str, Check] = {
    "card": check_card,
    "shapes": check_shapes,
    "randomness": check_randomness,
    "determinism": check_determinism,
    "samples": check_samples,
    "unchanged": check_unchanged,
    "batch_order": check_batch_order,
    "bias": check_bias,
    "enumeration": check_enumeration,
    "bias_order": check_bias_order,
    "companion": check_companion,
    "float32": check_float32,
    "refusals": check_refusals,
    "support": check_support,
}
NAMES = tuple(CHECKS)


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
    outcomes: list[Outcome] = []
    for name, run in _planned(rule, case, expected_failed):
        if any(o.name == "shapes" and o.status == "failed" for o in outcomes):
            # Whatever else is wrong with it would be a consequence.
            outcomes.append(Outcome(name, "not applicable", reason="shapes failed"))
        else:
            outcomes.append(run())
    return outcomes


def checks(
    rule: Rule, case: Case | None = None, *, expected_failed: Mapping[str, str] | None = None
) -> list[tuple[str, Callable[[], None]]]:
    """List name and callable of every check; the callable raises AssertionError if it fails.

    Parameters and errors are those of :func:`run_checks`.
    """
    planned = _planned(rule, case, expected_failed)
    return [(name, partial(_demand, run)) for name, run in planned]


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
        (name, partial(_run, name, check, rule, where, expected.get(name)))
        for name, check in CHECKS.items()
    ]


def _run(name: str, check: Check, rule: Rule, case: Case, expected: str | None) -> Outcome:
    try:
        with one_blas_thread():
            outcome = check(rule, case.copy())
    except Exception as error:  # noqa: BLE001 - whatever a rule raises is its failure
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        outcome = Outcome(name, "failed", "an error", "an answer", said)
    if expected is None:
        return outcome
    if outcome.status == "failed":
        return replace(outcome, status="expected failure", reason=expected)
    reason = "it was expected to fail: drop it from expected_failed"
    return replace(outcome, status="failed", reason=reason)


def _demand(run: Callable[[], Outcome]) -> None:
    outcome = run()
    if outcome.status == "failed":
        raise AssertionError(str(outcome))
