"""Run everything that a rule claims, and what every rule must keep."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from plausibench.bench.certificate.claims import measure_claim
from plausibench.bench.certificate.closed import measure_closed_form
from plausibench.bench.certificate.line import Line
from plausibench.bench.conformance.case import Case, case_for, cases_for
from plausibench.bench.conformance.locality import Fact, audit
from plausibench.bench.conformance.outcome import Outcome
from plausibench.bench.conformance.suite import run_checks
from plausibench.kernels.errors import InputError
from plausibench.kernels.threads import one_blas_thread
from plausibench.rules.rule import Rule

VERDICTS = ("passed", "failed", "not applicable")


@dataclass(frozen=True)
class Certificate:
    """What a rule claims, what was measured, and its plausibility card.

    Attributes
    ----------
    name
        Selector of the rule.
    rule
        The rule, with its options.
    lines
        One for each claim: theory, closed form, conformance.
    facts
        The plausibility card; empty where the rule cannot be run.
    """

    name: str
    rule: Rule
    lines: list[Line]
    facts: list[Fact]

    @property
    def counts(self) -> dict[str, int]:
        """Number of lines with each verdict."""
        found = Counter(line.verdict for line in self.lines)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def passed(self) -> bool:
        """Whether no line failed."""
        return self.counts["failed"] == 0

    @property
    def tightest(self) -> Line | None:
        """The line that used the largest share of what is allowed, if any has a share."""
        shares = [line for line in self.lines if line.margin is not None]
        return max(shares, key=lambda line: line.margin or 0.0, default=None)

    def fact(self, name: str) -> str:
        """Answer of one line of the plausibility card, a dash where there is none."""
        found = next((fact for fact in self.facts if fact.name == name), None)
        if found is None:
            return "-"
        return found.value if found.source == "measured" else f"{found.value} ({found.source})"


def certify(rule: Rule, name: str, case: Case | None = None) -> Certificate:
    """Measure everything that a rule claims, and audit its locality.

    Parameters
    ----------
    rule
        An instance, with the options to certify.
    name
        Its name in the certificate.
    case
        Where it is tested; by default the small networks that it supports, of several
        architectures, shapes and objectives.

    Raises
    ------
    InputError
        If no registered network suits the rule, and no case is given.
    """
    first = case_for(rule) if case is None else case
    cases = cases_for(rule) if case is None else [case]
    outcomes = run_checks(rule, first)
    conformance = [_line(outcome) for outcome in outcomes]
    if any(outcome.name == "shapes" and outcome.status == "failed" for outcome in outcomes):
        # Whatever else is wrong with it would be a consequence.
        return Certificate(name, rule, conformance, [])
    with one_blas_thread():
        lines = _claims(rule, cases)
        lines += _safely("closed form", lambda: measure_closed_form(rule, first.copy()))
        facts, trouble = _audited(rule, first)
    return Certificate(name, rule, [*lines, *conformance, *trouble], facts)


def _claims(rule: Rule, cases: list[Case]) -> list[Line]:
    def declared() -> list[Line]:
        return [measure_claim(claim, rule, cases) for claim in rule.theory()]

    return _safely("theory", declared)


def _audited(rule: Rule, case: Case) -> tuple[list[Fact], list[Line]]:
    facts: list[Fact] = []

    def run() -> list[Line]:
        facts.extend(audit(rule, case))
        return []

    return facts, _safely("locality audit", run)


def _safely(what: str, run: Callable[[], list[Line]]) -> list[Line]:
    """Whatever a rule raises is its failure, in a line of its own."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - as the docstring says
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return [Line(what, what, "an answer", "an error", "failed", None, said)]


def _line(outcome: Outcome) -> Line:
    return Line(
        "conformance",
        outcome.name,
        outcome.asked,
        outcome.measured,
        outcome.status,
        None,
        outcome.reason,
    )
