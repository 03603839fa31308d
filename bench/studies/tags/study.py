r"""Attention tags and reward-prediction errors (Richards et al. 2019, Fig. 5a).

In a choice between two actions, feedback from the action that is chosen tags the synapses that
took part in it, and a global reward-prediction error then changes what is tagged. A synapse onto
hidden unit j from input i has the tag ``W_aj f'(z_j) x_i``, with a the chosen action. Hidden units
feed one of the two actions each, so that in every trial half of the synapses are tagged. Four
predictions are put to rules' own estimates, one trial (example) at a time:

- only synapses onto units that feed the chosen action change;
- their change has the sign of the error times that of the tag, and is their product;
- without an error nothing changes;
- the change expected over actions is that of the gradient which the rule names.

Changes are counted along the weight from the unit to the action that it feeds: above 0 they make
that action more likely. The null is REINFORCE on the same draws of actions: it has the error and
the action, but no gate, so that units which feed the other action learn as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plausibench.architectures.mlp import Mlp
from plausibench.architectures.network import Activity, Network
from plausibench.bench.components.selectors import select
from plausibench.bench.components.support import OBJECTIVES, obstacle
from plausibench.bench.measuring.vectors import vectors
from plausibench.bench.running.job import Job, Row
from plausibench.bench.studies.study import Study
from plausibench.kernels.errors import InputError, integer
from plausibench.kernels.streams import generator, stream
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.attention_gated import AttentionGated
from plausibench.rules.augment import Augment
from plausibench.rules.brainprop import Brainprop
from plausibench.rules.estimate import form
from plausibench.rules.noise import Noise
from plausibench.rules.reinforce import Reinforce
from plausibench.rules.rule import Rule

Array = np.ndarray

RULES = ("attention_gated", "augment[exploration=softmax]", "reinforce")

INPUTS, HIDDEN, ACTIONS = 12, 20, 2
DRAWS = 64
"""Draws of an action in a trial, among which all actions are."""
CERTAIN = 50.0
"""Drive of the chosen action, more than that of the other, with which it is certain."""
CELLS = {
    ("tagged", "positive"): "tagged, positive error",
    ("tagged", "negative"): "tagged, negative error",
    ("untagged", "positive"): "untagged, positive error",
    ("untagged", "negative"): "untagged, negative error",
}


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    rules
        Selectors of rules that learn from one action.
    samples
        Trials of each seed, at least 20.
    seeds, seed
        Number of seeds, at least 2, and the first; each has its own weights, trials and actions.

    Raises
    ------
    InputError
        If a value is not allowed, or a rule has no action to choose.
    """

    rules: tuple[str, ...] = RULES
    samples: int = 200
    seeds: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        integer("samples", self.samples, least=20)
        integer("seeds", self.seeds, least=2)
        integer("seed", self.seed, least=0)
        for rule in self.rules:
            cell(rule, self.seed)


def jobs(options: Options) -> list[Job]:
    """A job for each rule and seed; its rows have ``quantity`` and ``value``."""
    return [
        Job({"rule": rule, "seed": seed}, rows_of, (rule, options.samples, seed))
        for rule in options.rules
        for seed in range(options.seed, options.seed + options.seeds)
    ]


def cell(rule: str, seed: int) -> tuple[Rule, Network, Objective]:
    """Make a rule with the network, and the first objective that it takes.

    Raises
    ------
    InputError
        If the rule takes none of them, or does not choose an action.
    """
    made: Rule = select("rule", rule).make()
    if not isinstance(made, AttentionGated | Augment | Brainprop | Reinforce):
        raise InputError(
            f"rules: {rule} cannot run in this study (it does not learn from a choice of an action)"
        )
    network = two_pathways(seed)
    for name in OBJECTIVES:
        objective: Objective = select("objective", name).make()
        reason = obstacle(made, network, objective)
        if reason is None:
            return made, network, objective
    raise InputError(f"rules: {rule} cannot run in this study ({reason})")


def two_pathways(seed: int) -> Network:
    """A network in which each hidden unit feeds one action: the first half the first one."""
    network = Mlp((INPUTS, HIDDEN, ACTIONS), activation="sigmoid").build(seed)
    fed = np.repeat(np.arange(ACTIONS), HIDDEN // ACTIONS)
    weights = network.parameters["layer2.weights"] * (np.arange(ACTIONS)[:, None] == fed)
    return network.with_parameters({**network.parameters, "layer2.weights": weights})


def trials(samples: int, seed: int) -> Batch:
    """Inputs within 0 and 1, with the action that a random linear teacher would reward."""
    draw = generator(seed, "data", "tags")
    inputs = draw.uniform(size=(samples, INPUTS))
    teacher = draw.standard_normal((INPUTS, ACTIONS))
    return Batch(inputs, np.argmax((inputs - 0.5) @ teacher, axis=1))


@dataclass(frozen=True)
class Trial:
    """What one trial left behind: an action, its error, and the change of all synapses.

    Attributes
    ----------
    action
        The one that was chosen.
    error
        Reward-prediction error, in the rule's own sense.
    change
        Of the weights onto hidden units for every action that could have been chosen,
        ``(ACTIONS, HIDDEN, INPUTS)``.
    whole
        Change of all parameters for every action, ``(ACTIONS, P)``.
    policy
        Probability of each action.
    """

    action: int
    error: float
    change: Array
    whole: Array
    policy: Array


def trial(rule: Rule, network: Network, objective: Objective, batch: Batch, seed: int) -> Trial:
    """Run a trial, a batch of one example, with the rule's own estimates."""
    clean = network.forward(batch.inputs)
    noise = Noise(seed, np.arange(DRAWS), batch.keys, network.dtype)
    policy = policy_of(rule, clean)
    actions = noise.actions(policy)[:, 0]
    estimates = rule.estimate(network, objective, batch, clean, {}, noise)
    formed = form(network, estimates)
    # The first draw of each action; one that did not come up has no part in the mean.
    places = [int(np.argmax(actions == action)) for action in range(ACTIONS)]
    return Trial(
        action=int(actions[0]),
        error=error_of(rule, clean, int(actions[0]), int(batch.targets[0])),
        change=-formed["layer1.weights"][places],
        whole=-vectors(network, formed)[places],
        policy=policy[0] * np.isin(np.arange(ACTIONS), actions),
    )


def policy_of(rule: Rule, clean: Activity) -> Array:
    """Probability of each action ``(B, A)``."""
    if isinstance(rule, AttentionGated | Augment | Brainprop):
        return rule.policy(clean)
    return AttentionGated().policy(clean)  # the softmax, for REINFORCE too


def error_of(rule: Rule, clean: Activity, action: int, rewarded: int) -> float:
    """Reward-prediction error of a trial, as the paper of the rule defines it."""
    reward = float(action == rewarded)
    if isinstance(rule, Augment | Brainprop):
        return reward - float(clean.output[0, action])
    policy = policy_of(rule, clean)[0]
    if isinstance(rule, AttentionGated):
        return float((1 - policy[action]) / policy[action]) if reward else -1.0
    return reward - float(policy[rewarded])


def tag_of(network: Network, batch: Batch, action: int) -> Array:
    """Tags of the synapses onto hidden units, ``(HIDDEN, INPUTS)``, from their definition."""
    weights, bias = (network.parameters[f"layer1.{part}"] for part in ("weights", "bias"))
    rate = 1 / (1 + np.exp(-(batch.inputs[0] @ weights.T + bias)))
    fed_back = network.parameters["layer2.weights"][action] * rate * (1 - rate)
    return np.outer(fed_back, batch.inputs[0])


def rows_of(rule: str, samples: int, seed: int) -> Iterator[Row]:
    """All predictions of one rule, over the trials of a seed."""
    made, network, objective = cell(rule, seed)
    every = trials(samples, seed)
    sums: dict[tuple[str, str], list[float]] = {key: [] for key in CELLS}
    along, products, signs, silent, expected = [], [], [], [], []
    outgoing = network.parameters["layer2.weights"].sum(axis=0)[:, None]
    for number in range(samples):
        batch = every.take([number])
        one = trial(made, network, objective, batch, stream(seed, "tags"))
        tag, change = tag_of(network, batch, one.action), one.change[one.action]
        tagged, sign = tag != 0, "positive" if one.error > 0 else "negative"
        directed = change * np.sign(outgoing)
        sums["tagged", sign].append(float(directed[tagged].mean()))
        sums["untagged", sign].append(float(directed[~tagged].mean()))
        along.append(change[tagged])
        products.append(one.error * tag[tagged])
        signs.append(np.sign(change[tagged]) == np.sign(one.error * tag[tagged]))
        silent.append(float(np.abs(without_error(made, network, objective, batch, seed)).max()))
        expected.append(_apart(made, network, objective, batch, one))
    x, y = np.concatenate(products), np.concatenate(along)
    found = {CELLS[key]: float(np.mean(values)) for key, values in sums.items() if values}
    found |= {
        "sign": float(np.mean(np.concatenate(signs))),
        "factor": float(x @ y / (x @ x)),
        "correlation": float(np.corrcoef(x, y)[0, 1]),
        "without error": max(silent) / float(np.abs(y).mean()),
        "expected": max(expected),
    }
    for quantity, value in found.items():
        yield {"quantity": quantity, "value": value}


def without_error(
    rule: Rule, network: Network, objective: Objective, batch: Batch, seed: int
) -> Array:
    """Change of the weights onto hidden units in a trial that turns out as expected.

    The biases of the outputs are such that the rewarded action is chosen, and predicted to be
    rewarded with 1.
    """
    rewarded = int(batch.targets[0])
    drive = network.forward(batch.inputs).output[0]
    wanted = np.full(ACTIONS, 1.0 - CERTAIN)
    wanted[rewarded] = 1.0
    bias = network.parameters["layer2.bias"] + wanted - drive
    sure = network.with_parameters({**network.parameters, "layer2.bias": bias})
    return trial(rule, sure, objective, batch, stream(seed, "tags")).change[rewarded]


def _apart(rule: Rule, network: Network, objective: Objective, batch: Batch, one: Trial) -> float:
    """Relative distance between the mean over actions and the descent of the reference."""
    clean = network.forward(batch.inputs)
    reference = rule.reference(network, objective, batch, clean)
    if reference is None:
        reference = network.gradient(objective, batch, clean)
    (g,) = vectors(network, {name: array[None] for name, array in reference.items()})
    return float(np.linalg.norm(one.policy @ one.whole + g) / np.linalg.norm(g))


TAGS = Study(
    name="tags",
    summary="attention tags and reward-prediction errors, trial by trial",
    options=Options,
    keys=("rule", "seed", "quantity"),
    jobs=jobs,
    report="plausibench.bench.studies.tags.report:report",
)
