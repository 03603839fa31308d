"""Studies that ask one question and have a report of their own."""

EXPERIMENTS = {
    "brain_set": "skill on tasks that brains solve, and on controls that none has to",
    "dose_response": "whether bias and variance, measured and given to backprop, predict learning",
    "figure2": "the plane of Richards et al. 2019, Fig. 2, with every rule tuned alike",
    "identify_rule": "which rule it was, told from what an experimenter could observe",
    "inductive_biases": "what sparseness, slowness, convolution and a gate are good for",
    "scaling": "bias and variance of perturbation rules against size, batch and amplitude",
    "three_components": "performance by objective, architecture and rule, and their interactions",
    "time": "bias and variance in recurrent networks against trial length, delay and recurrence",
}
"""Name of each study, which is that of its module, and what it measures."""
