"""What a run will cost, before it runs."""

import time
from contextlib import suppress

from plausibench.bench.components.networks import build_network
from plausibench.bench.components.selectors import select
from plausibench.bench.measuring.draws import WITHIN
from plausibench.bench.measuring.exact import is_exact
from plausibench.bench.measuring.factors import BLOCK
from plausibench.bench.measuring.measurement import estimates
from plausibench.bench.measuring.variance_budget import SWEEP
from plausibench.bench.studies.benchmark.spec import Spec
from plausibench.bench.studies.benchmark.units import Unit
from plausibench.bench.training.nulls import FACTORS, NULL
from plausibench.kernels.errors import Divergence
from plausibench.rules.rule import Rule

STEP = 3 * 64
"""Passes that measure the best step."""


def passes(unit: Unit, spec: Spec) -> int:
    """Forward passes of a batch that a unit takes, trained and measured at every checkpoint."""
    if unit.reason is not None:
        return 0
    rule: Rule = select("rule", unit.rule).make()
    if unit.protocol == NULL:
        return round(_steps(unit, spec) * rule.card.forward_passes)
    steps, draws = _steps(unit, spec), len(spec.checkpoints) * _draws(rule, unit, spec)
    return round((steps + draws) * rule.card.forward_passes + len(spec.checkpoints) * STEP)


def _steps(unit: Unit, spec: Spec) -> int:
    """Steps of training, at all learning rates that are tried."""
    return max(spec.checkpoints) * (len(FACTORS) if unit.protocol == NULL else 1)


def _draws(rule: Rule, unit: Unit, spec: Spec) -> int:
    """Draws of the estimator at a checkpoint; a null is trained, and nothing else."""
    if unit.protocol == NULL:
        return 0
    sources = rule.randomness() & WITHIN
    exact = is_exact(rule, WITHIN)
    draws = (1 if exact else spec.samples_for(unit.rule)) + (
        spec.averaging_samples if sources else 1
    )
    if unit.protocol == "shared":
        draws += SWEEP.feedbacks * SWEEP.batches * (1 if exact else SWEEP.samples)
        draws += spec.marginal_samples if "feedback" in rule.randomness() else 0
    return draws


def seconds(units: list[Unit], spec: Spec) -> float:
    """Time that the units take on one core, from a few draws of every combination."""
    times: dict[tuple[str, ...], float] = {}
    total = 0.0
    for unit in units:
        if unit.reason is None:
            own = spec.on(unit.task)
            combination = (unit.task, unit.architecture, unit.objective, unit.rule)
            if combination not in times:
                times[combination] = _seconds_per_draw(unit, own)
            rule: Rule = select("rule", unit.rule).make()
            draws = len(own.checkpoints) * _draws(rule, unit, own)
            total += times[combination] * (draws + _steps(unit, own))
    return total


def _seconds_per_draw(unit: Unit, spec: Spec) -> float:
    task = select("task", unit.task).make()
    network = build_network(unit.architecture, task, spec.hidden_for(unit.architecture), unit.seed)
    rule, objective = select("rule", unit.rule).make(), select("objective", unit.objective).make()
    batch = task.batch(spec.batch_size, seed=0)
    samples = BLOCK if rule.randomness() & WITHIN else 1
    taken = []
    for _ in range(4):  # the first one compiles
        started = time.perf_counter()
        with suppress(Divergence):  # of a network: an outcome, which takes as long
            estimates(rule, network, objective, batch, samples)
        taken.append((time.perf_counter() - started) / samples)
    return min(taken[1:])
