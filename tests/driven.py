"""A study run by the driver, for the tests of studies."""

from plausibench.bench.running import driver
from plausibench.bench.running.store import Run


def driven(study, path, executor=driver.IN_PROCESS, **given):
    """The run of a study in a folder; its options come back, and its keys tell rows apart."""
    options = study.choose(given)
    driver.run(study.name, options, study.jobs(options), path, executor)
    found = Run.open(path)
    assert study.choose(found.options) == options
    assert set(study.keys) <= set(found.frame)
    assert not found.frame.duplicated(subset=list(study.keys)).any()
    return found
