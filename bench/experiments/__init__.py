"""Studies that ask one question and have a report of their own."""

EXPERIMENTS = {
    "figure2": "the plane of Richards et al. 2019, Fig. 2, with every rule tuned alike",
    "modularity": "whether wiring cost and swaps of neurons make recurrent networks grow modules",
    "scaling": "bias and variance of perturbation rules against size, batch and amplitude",
    "modes": "recurrent networks of few modes: what they learn, and what rules do in them",
    "time": "bias and variance in recurrent networks against trial length, delay and recurrence",
}
"""Name of each study, which is that of its module, and what it measures."""
