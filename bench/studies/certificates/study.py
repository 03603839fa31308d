"""Certificates: what rules claim, measured, a rule a job."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plausibench.bench.certificate.certify import certify
from plausibench.bench.certificate.rows import rows
from plausibench.bench.components import registry
from plausibench.bench.components.selectors import select
from plausibench.bench.running.job import Job
from plausibench.bench.running.provenance import digest
from plausibench.bench.studies.study import Study

UNKNOWN = "it is no rule that is known here; if a plug-in defines it, give --plugin FILE"


@dataclass(frozen=True)
class Options:
    """What to certify.

    Parameters
    ----------
    rules
        Selectors; by default every rule that is registered. One that is not known here is not
        certified.

    Raises
    ------
    InputError
        If a rule has no such option.
    """

    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in self.rules:
            if not isinstance(text, str) or is_known(text):
                select("rule", text)


def is_known(selector: str) -> bool:
    """Whether the rule of a selector is registered here."""
    return selector.partition("[")[0] in registry.entries("rule")


def jobs(options: Options) -> list[Job]:
    """A job for each rule."""
    return [_job(text) for text in options.rules or registry.entries("rule")]


def _job(text: str) -> Job:
    known = is_known(text)
    own = registry.digest(registry.find("rule", select("rule", text).name)) if known else ""
    return Job(
        about={"rule": text},
        work=certified,
        arguments=(text,),
        depends=json.dumps([digest(__name__, components=True), own]),
        reason="" if known else UNKNOWN,
    )


def certified(selector: str) -> Iterator[dict[str, Any]]:
    """Certify a rule; yield the rows of its certificate."""
    yield from rows(certify(select("rule", selector).make(), selector))


CERTIFICATES = Study(
    name="certificates",
    summary="what rules claim, what was measured, and what they ask of a brain",
    options=Options,
    keys=("rule", "kind", "condition"),
    jobs=jobs,
    report="plausibench.bench.studies.certificates.report:report",
)
