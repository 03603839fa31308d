"""Let a rule learn its feedback while the weights are held."""

import numpy as np

from plausibench.architectures.network import Network
from plausibench.bench.components.arguments import check_parts, given_state
from plausibench.bench.components.support import obstacle
from plausibench.bench.tasks.task import Task
from plausibench.kernels.errors import InputError, integer
from plausibench.kernels.streams import stream
from plausibench.kernels.threads import one_blas_thread
from plausibench.objectives.objective import Objective
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Rule, State, Step


def advance(
    rule: Rule,
    task: Task,
    network: Network,
    objective: Objective,
    *,
    steps: int = 1,
    batch_size: int = 32,
    state: State | None = None,
    seed: int = 0,
) -> State:
    """Advance the state of a rule on batches of a task, with the weights held.

    Parameters
    ----------
    rule, task, network, objective
        Whose state, and where; the network is not changed.
    steps
        Number of batches.
    batch_size
        Examples in a batch.
    state
        Where to start; by default the initial state of the same seed. It is not changed.
    seed
        Root of the streams: feedback, batches and rule noise.

    Returns
    -------
    dict
        The state after the last step, for ``measure(state=...)``.

    Raises
    ------
    InputError
        If an argument is not allowed or the parts do not fit.
    """
    steps = integer("steps", steps, least=0)
    seed = integer("seed", seed)
    check_parts(rule=rule, task=task, network=network, objective=objective)
    network.checked(network.parameters)
    reason = obstacle(rule, network, objective)
    if reason is not None:
        raise InputError(f"rule: {reason}")
    batches = task.batches(batch_size, seed=seed)
    if state is None:
        state = rule.initial_state(network, seed)
    else:
        state = given_state(rule, network, state)
    held = {name: np.zeros_like(array) for name, array in network.parameters.items()}
    with one_blas_thread():
        for number in range(steps):
            batch = next(batches)
            network.check_inputs(batch.inputs)
            objective.check(batch.targets, network.output.size)
            clean = network.forward(batch.inputs)
            noise = Noise(
                stream(seed, "advance"), np.array([number], np.int64), batch.keys, network.dtype
            )
            step = Step(network, objective.data, batch, clean, held, 0.0, noise)
            state = rule.advance(state, step)
    return state
