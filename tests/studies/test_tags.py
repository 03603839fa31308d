"""Tags by the driver: the values of the study, at its smallest size."""

import pandas as pd

from plausibench.bench.experiments import tags
from plausibench.bench.experiments.parts import collect
from plausibench.bench.running import driver
from plausibench.bench.running.executor import Processes
from plausibench.bench.studies.tags import TAGS

GIVEN = {"rules": ("attention_gated", "reinforce"), "samples": 20, "seeds": 2}


def test_values_are_those_of_the_study(tmp_path):
    options = TAGS.choose(GIVEN)
    found = driver.run("tags", options, TAGS.jobs(options), tmp_path / "run", Processes(2))
    pd.testing.assert_frame_equal(
        found.frame, pd.DataFrame(collect(tags.parts(**GIVEN))), check_exact=True
    )
    assert not found.frame.duplicated(subset=list(TAGS.keys)).any()
    tables, pictures = tags.report(found.frame)
    assert tables
    assert pictures
