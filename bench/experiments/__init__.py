"""Studies that ask one question and have a report of their own."""

EXPERIMENTS = {
    "figure2": "the plane of Richards et al. 2019, Fig. 2, with every rule tuned alike",
    "identification": "what neurons compute and where they look, against neurons and time",
    "scaling": "bias and variance of perturbation rules against size, batch and amplitude",
    "time": "bias and variance in recurrent networks against trial length, delay and recurrence",
}
"""Name of each study, which is that of its module, and what it measures."""
