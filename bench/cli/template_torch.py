"""What ``plausibench new-rule --torch`` writes: a function on the weights, in PyTorch."""

TORCH = '''"""@NAME@: a learning rule of my own, in PyTorch.

    plausibench check @NAME@ --plugin @FILE@
    plausibench check @NAME@ --plugin @FILE@ --against backprop
    plausibench run --plugin @FILE@ --rules backprop --rules @NAME@

As written it is backpropagation, by autograd. Change update() and the card, and run the lines above
again. --against says whether it is a rule that is known, or what it differs by.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from plausibench.bench import FunctionRule
from plausibench.rules.rule import RuleCard


@dataclass(frozen=True)  # fields are options: @NAME@[sigma=0.01]
class @CLASS@(FunctionRule):
    # sign: ClassVar[str] = "descent"  # where the answer goes against the gradient
    # scale: ClassVar[float] = 100.0  # what answers are multiplied by, such as 1 / learning rate
    # seeds_globals: ClassVar[bool] = True  # where torch draws by itself, as dropout does

    # What the rule claims. "check" measures it.
    card: ClassVar[RuleCard] = RuleCard(
        summary="the gradient, by autograd",
        family="backpropagation",  # which pictures draw together
        equation="post_l = W_(l+1)^T post_(l+1) f_l'(z_l),  pre_l = a_(l-1)",
        randomness=frozenset(),  # of: feedback (in the state), rule (drawn from rng)
        unbiased=True,  # is the mean estimate the gradient?
        exact_when="always",
        variance_law="0 for a given batch",
        synapse_knows="pre, slope of its neuron, the weights above",
        cites="Author & Author 2026",
    )

    # Weights that are no parameters, such as feedback: {name: array}, drawn from the seed.
    # def initial_state(self, network, seed):

    def unsupported(self, network, objective):
        if network.architecture != "mlp" or type(objective).__name__ != "CrossEntropy":
            return "@NAME@ is written for the mlp and cross-entropy"
        return None

    # Parameters and the batch are numpy arrays, rng a numpy generator for each draw. Returns
    # an array for each parameter, of its shape.
    def update(self, parameters, batch, rng, state):
        w = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
        layers = [name.removesuffix(".weights") for name in w if name.endswith(".weights")]
        a = torch.as_tensor(batch.inputs)
        for layer in layers:
            z = a @ w[f"{layer}.weights"].T + w[f"{layer}.bias"]
            a = z if layer == layers[-1] else torch.tanh(z)
        torch.nn.functional.cross_entropy(a, torch.as_tensor(batch.targets)).backward()
        return {name: weights.grad for name, weights in w.items()}
'''
