"""Studies that ask one question and have a report of their own."""

EXPERIMENTS = {
    "apical_activity": "apical activity by tuning when one of two stimuli is reinforced",
    "brain_set": "skill on tasks that brains solve, and on controls that none has to",
    "dose_response": "whether bias and variance, measured and given to backprop, predict learning",
    "figure2": "the plane of Richards et al. 2019, Fig. 2, with every rule tuned alike",
    "gradient_fields": "rules that follow no gradient: fields, and the symmetry of Jacobians",
    "identification": "what neurons compute and where they look, against neurons and time",
    "identify_rule": "which rule it was, told from what an experimenter could observe",
    "improvement": "improvement against step, directions of equal improvement, steps that improve",
    "inductive_biases": "what sparseness, slowness, convolution and a gate are good for",
    "modes": "recurrent networks of few modes: what they learn, and what rules do in them",
    "modularity": "whether wiring cost and swaps of neurons make recurrent networks grow modules",
    "representation_change": "tuning change by layer after learning by reward, minus a control",
    "scaling": "bias and variance of perturbation rules against size, batch and amplitude",
    "tags": "attention tags and reward-prediction errors, trial by trial",
    "three_components": "performance by objective, architecture and rule, and their interactions",
    "time": "bias and variance in recurrent networks against trial length, delay and recurrence",
}
"""Name of each study, which is that of its module, and what it measures."""
