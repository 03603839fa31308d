"""Studies by the driver, at any size."""

from plausibench.bench.running import driver
from plausibench.bench.running.executor import IN_PROCESS
from plausibench.bench.studies.study import find


def run(name, path, only=lambda job: True, executor=IN_PROCESS, **given):
    """The run of a study, of some of its jobs if asked; its keys tell all rows apart."""
    study, chosen = find(name), options(name, **given)
    todo = filter(only, study.jobs(chosen))
    found = driver.run(name, chosen, todo, path / name, executor)
    assert not found.frame.duplicated(subset=list(study.keys)).any()
    return found


def options(name, **given):
    """Options of a study; what it does not allow is refused."""
    return find(name).choose(given)
