"""What a run is said to cost before it runs is what it then takes."""

from dataclasses import replace

import pytest

from plausibench import bench
from plausibench.bench.studies.benchmark.cell import measured
from plausibench.bench.studies.benchmark.cost import passes
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import units

SPEC = Spec(
    tasks=("digits",),
    architectures=("mlp",),
    objectives=("cross_entropy",),
    rules=("node_perturbation", "backprop"),
    hidden=(4,),
    checkpoints=(0,),
    seeds=1,
    samples=64,
    averaging_samples=4,
    batch_size=4,
)


@pytest.mark.parametrize("rule", SPEC.rules)
def test_the_budget_is_priced_by_the_draws_that_it_takes(rule):
    (unit,) = (
        one
        for one in units(replace(SPEC, rules=(rule,)))
        if one.protocol == "shared" and one.rule.startswith(rule)
    )
    rows = list(measured(unit, SPEC))
    (drawn,) = {row["samples"] for row in rows if row["kind"] == "budget"}
    own = replace(unit, protocol="own")
    extra = passes(unit, SPEC) - passes(own, SPEC)
    assert extra == drawn * bench.make("rule", rule).card.forward_passes
