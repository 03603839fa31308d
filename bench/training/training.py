"""Train a network with a learning rule, and stop at checkpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.arguments import check_parts
from plausibench.bench.measuring.draws import WITHIN, formed_blocks, prepare, reference_of
from plausibench.bench.measuring.vectors import vector, vectors
from plausibench.bench.tasks.task import Task
from plausibench.bench.training.descent import copied, descend
from plausibench.bench.training.optimisers import (
    LayerRates,
    Memory,
    Optimiser,
    layer_factors,
    make_optimiser,
)
from plausibench.bench.training.reordering import Reordering
from plausibench.kernels.errors import Divergence, choose, integer
from plausibench.kernels.streams import stream
from plausibench.kernels.threads import all_threads
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective, in_rows
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, State, Step

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

HELD = 1 << 24
"""Numbers of the activities that an evaluation holds at a time."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights and rule state after a number of training steps."""

    step: int
    network: Network
    state: State


def trajectory(
    trainer: Rule,
    follower: Rule,
    network: Network,
    objective: Objective,
    task: Task,
    optimise: Optimiser,
    checkpoints: Sequence[int],
    batch_size: int,
    seed: int,
    reorder: Callable[[int, Network], Mapping[str, Array]] | None = None,
    draws: int | None = None,
    dtype: str = "float64",
) -> Iterator[Checkpoint]:
    """Train with one rule while the state of another, or of itself, follows the weights.

    Parameters
    ----------
    trainer
        Rule whose estimates change the weights.
    follower
        Rule whose state is carried along; the same as ``trainer`` for a rule's own training.
    checkpoints
        Increasing numbers of steps at which to stop.
    batch_size
        Examples per step.
    seed
        Root of the streams: batches, rule noise and feedback.
    reorder
        Asked after every step, with its number and the network: the new order of the neurons of
        populations. All that is indexed by them follows.
    draws
        Root of the streams of rule noise and feedback, by default ``seed``: with another one the
        batches stay the same.
    dtype
        Floating-point type of weights, activities and what the optimiser remembers.

    Yields
    ------
    Checkpoint

    Raises
    ------
    Divergence
        If a weight or the state is no longer finite.
    InputError
        If the optimiser has factors for another number of layers.
    """
    factors = layer_factors(network, optimise.layer_rates)
    network = network.astype(dtype)
    own = trainer == follower
    draws = seed if draws is None else draws
    state = follower.initial_state(network, draws)
    lead = state if own else trainer.initial_state(network, draws)
    memory: Memory = {}
    batches = task.batches(batch_size, seed=seed)
    noise_seed = stream(draws, "training")
    stops, last = set(checkpoints), max(checkpoints)
    # What follows the weights may keep some of them: then every step has arrays of its own.
    held = reorder is None and not any(follows(rule) for rule in (trainer, follower))
    network = network.with_parameters(copied(network.parameters))
    for step in range(last + 1):
        if step in stops:
            if not all(np.isfinite(array).all() for array in state.values()):
                raise Divergence(f"the state is not finite after {step} training steps")
            kept = network.with_parameters(copied(network.parameters)) if held else network
            yield Checkpoint(step, kept, state)
        if step == last:
            return
        batch = next(batches).astype(network.dtype)
        clean = network.forward(batch.inputs)
        noise = Noise(noise_seed, np.array([step], np.int64), batch.keys, network.dtype)
        estimates = trainer.estimate(network, objective.data, batch, clean, lead, noise)
        extra = objective.penalty_gradient(network.parameters)
        # A new network, for it may keep what it makes of its parameters.
        moved = network.parameters if held else copied(network.parameters)
        applied = None if held else {name: np.empty_like(w) for name, w in moved.items()}
        network = network.at(moved)
        if not descend(optimise, network, estimates, extra, memory, factors, applied):
            raise Divergence(f"the weights are not finite after {step + 1} training steps")
        if applied is None:
            continue
        taken = Step(network, objective.data, batch, clean, applied, optimise.decay, noise)
        lead = trainer.advance(lead, taken)
        state = lead if own else follower.advance(state, taken)
        for name, order in ({} if reorder is None else reorder(step + 1, network)).items():
            move = Reordering(network, name, order)
            memory = move.memory(optimise, memory)
            lead = move.state(trainer, lead)
            state = lead if own else move.state(follower, state)
            network = move.network


def follows(rule: Rule) -> bool:
    """Whether the state of a rule changes with the steps of training."""
    return type(rule).advance is not Rule.advance


def evaluate(
    network: Network, objective: Objective, task: Task, trainer: Rule | None = None
) -> dict[str, float]:
    """Losses on the training and the test set, and accuracy on the test set where defined.

    Parameters
    ----------
    network, objective, task
        What is tested.
    trainer
        Rule that trained the network, whose :meth:`~plausibench.rules.rule.Rule.scores` say how
        it answers; by default it answers by its output. Losses are those of the output.

    Raises
    ------
    Divergence
        If a loss is not finite.
    """
    found = {}
    for name, batch in (("train_loss", task.train), ("test_loss", task.test)):
        batch = batch.astype(network.dtype)
        output = outputs(network, batch)
        found[name] = float(objective.data.batch_loss(output, batch))
        found[name] += objective.penalty(network.parameters)
    if not all(np.isfinite(value) for value in found.values()):
        raise Divergence("the loss is not finite")
    if task.kind == "classification":
        scores = None if trainer is None else trainer.scores(network, task.test.inputs)
        read = output if scores is None else scores
        found["test_accuracy"] = accuracy(read, task.test, task.idle)
    return found


def answers(trainer: Rule, network: Network, inputs: Array) -> Array:
    """What a network says to inputs, read as the rule that trained it has it.

    A row for each input, over time for each step and input, and a column for each class.
    """
    scores = trainer.scores(network, inputs)
    return network.forward(inputs).output if scores is None else scores


def outputs(network: Network, batch: Batch) -> Array:
    """Output of a network, of so many examples at a time that their activities take little memory.

    Rows as of a pass over the whole batch: over time, ordered by step.
    """
    steps = batch.inputs.shape[1] if batch.inputs.ndim == 3 else 1
    width = network.inputs + sum(population.size for population in network.populations)
    few = max(1, HELD // (steps * width))
    if few >= batch.size:
        return network.forward(batch.inputs).output
    parts = [
        network.forward(batch.inputs[first : first + few]).output
        for first in range(0, batch.size, few)
    ]
    rows = [part.reshape(-1, min(few, batch.size), part.shape[-1]) for part in parts[:-1]]
    rows.append(parts[-1].reshape(len(rows[0]), -1, parts[-1].shape[-1]))
    return np.concatenate(rows, axis=1).reshape(-1, parts[-1].shape[-1])


def accuracy(output: Array, batch: Batch, idle: int | None = None) -> float:
    """Share of right classes; over time, with the weights that the loss has.

    Parameters
    ----------
    output : ndarray
        Output of a network, a row for each example, over time for each step and example.
    batch : Batch
        The examples, with integer classes.
    idle : int, optional
        The class that stands for no response, as of :attr:`Task.idle`. Then it is the share of
        right responses among those that are asked for or given: most steps ask for none, and
        answering them is no achievement, but a response that nobody asked for is wrong.

    Returns
    -------
    float
        NaN if no response is asked for or given.
    """
    targets, weights = in_rows(output, batch)
    given = output.argmax(axis=-1)
    right = given == targets
    if idle is None:
        return float(right.mean() if weights is None else right @ weights.reshape(-1) / batch.size)
    counted = ((given != idle) | (targets != idle)).astype(float)
    if weights is not None:
        counted *= weights.reshape(-1)
    total = counted.sum()
    return float(right @ counted / total) if total else float("nan")


def constant_accuracy(batch: Batch, classes: int, idle: int | None = None) -> float:
    """Accuracy of the best constant answer, as of :func:`accuracy`: what any network must beat.

    Parameters
    ----------
    batch : Batch
        The examples, with integer classes.
    classes : int
        Number of classes.
    idle : int, optional
        The class that stands for no response.
    """
    steps = batch.inputs.shape[1] if batch.inputs.ndim == 3 else 1
    outputs = (np.broadcast_to(row, (steps * batch.size, classes)) for row in np.eye(classes))
    return max(accuracy(output, batch, idle) for output in outputs)


def alignment(
    rule: Rule, network: Network, objective: Objective, batch: Batch, state: State, seed: int
) -> float:
    """Cosine between one estimate and the rule's reference gradient of the same batch."""
    setting = prepare(rule, network, objective, batch, state, stream(seed, "alignment"))
    g = vector(network, reference_of(setting)[1])
    (estimate,) = vectors(network, next(formed_blocks(setting, 1, WITHIN)))
    lengths = float(np.linalg.norm(estimate) * np.linalg.norm(g))
    return float(estimate @ g) / lengths if lengths else float("nan")


@dataclass(frozen=True, eq=False)
class Training:
    """A learning curve, and the network and state at its end.

    Attributes
    ----------
    rows
        One dict per step and quantity: ``step``, ``quantity``, ``value``.
    network, state
        At the last step that was evaluated.
    diverged
        Why training stopped early, or an empty text.
    """

    rows: list[dict[str, Any]]
    network: Network = field(repr=False)
    state: State = field(repr=False)
    diverged: str = ""

    def __repr__(self) -> str:
        last = self.rows[-1]["step"] if self.rows else 0
        said = [f"{r['quantity']} {r['value']:.3g}" for r in self.rows if r["step"] == last]
        return f"Training({', '.join([f'step {last}', *said, *filter(None, [self.diverged])])})"

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Tidy table with columns ``step``, ``quantity`` and ``value``.

        Quantities: ``train_loss``, ``test_loss``, ``test_accuracy`` (classification) and
        ``alignment`` (cosine of one estimate with its reference gradient).
        """
        import pandas as pd

        return pd.DataFrame(self.rows)


def train(
    rule: Rule,
    task: Task,
    network: Network,
    objective: Objective,
    *,
    steps: int = 1000,
    batch_size: int = 32,
    optimiser: str = "sgd",
    learning_rate: float = 0.1,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    layer_rates: LayerRates = (),
    seed: int = 0,
    evaluate_every: int = 100,
    dtype: str = "float64",
) -> Training:
    """Train a network and follow loss, accuracy and alignment.

    Parameters
    ----------
    rule, task, network, objective
        What to train; the network given is not changed.
    steps
        Number of updates.
    batch_size
        Examples per update.
    optimiser
        ``sgd`` or ``adam``.
    learning_rate
        Of the optimiser; it is no part of a rule.
    weight_decay
        Every parameter loses this share times ``learning_rate`` in a step.
    momentum
        Share of the last change that is added to the next, with ``sgd`` (heavy ball).
    layer_rates
        Factors of the learning rate, one for each layer from the first on; or one number, the
        factor of each layer over that before it.
    seed
        Root of the streams: batches, rule noise and feedback.
    evaluate_every
        Steps between evaluations.
    dtype
        Floating-point type of the training: ``float64`` or ``float32``.

    Returns
    -------
    Training
        If weights or loss stop being finite the curve ends there and ``diverged`` says so.

    Raises
    ------
    InputError
        If an argument is not allowed or the parts do not fit.
    """
    steps = integer("steps", steps, least=0)
    batch_size = integer("batch_size", batch_size, least=1)
    seed = integer("seed", seed)
    evaluate_every = integer("evaluate_every", evaluate_every, least=1)
    dtype = choose("dtype", dtype, ("float64", "float32"))
    check_parts(rule=rule, task=task, network=network, objective=objective)
    optimise = make_optimiser(optimiser, learning_rate, weight_decay, momentum, layer_rates)
    layer_factors(network, optimise.layer_rates)
    probe = task.batch(batch_size, seed=stream(seed, "probe"))
    stops = sorted({*range(0, steps, evaluate_every), steps})
    rows: list[dict[str, Any]] = []
    # On the way to divergence numbers overflow; that is looked for, not warned of.
    with all_threads(), np.errstate(over="ignore", invalid="ignore"):
        state = prepare(rule, network, objective, probe, None, seed, dtype).state
        reached, reason = Checkpoint(0, network, state), ""
        parts = (rule, rule, network, objective, task, optimise, stops, batch_size, seed)
        course = trajectory(*parts, dtype=dtype)
        try:
            for reached in course:
                found = evaluate(reached.network, objective, task, rule)
                found["alignment"] = alignment(
                    rule, reached.network, objective, probe, reached.state, seed
                )
                rows += [
                    {"step": reached.step, "quantity": name, "value": value}
                    for name, value in found.items()
                ]
        except Divergence as error:
            reason = str(error)
    return Training(rows, reached.network, reached.state, reason)
