"""Published figures and ours beside them, one recipe a module."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

# Listing the recipes imports none of them.
REPLICATIONS = {
    "werfel2005": "loss removed by one step of three rules in a linear perceptron",
    "akrout2019": "angles and accuracy of random, Kolen-Pollack and mirrored feedback",
    "lillicrap2016": "alignment of random feedback in a linear network",
    "murray2019": "error of RFLO and of backpropagation through time on three sines",
    "klindt2017": "explained variance against images and neurons, Fig. 3b",
    "lin2023": "accuracy of spiking networks against their number of modes",
    "ghosh2023": "loss after training with a bias and a variance that are injected",
    "bartunov2018": "test errors of a fully connected network on MNIST",
    "biotorch": "test errors of a convolutional network on MNIST, from a benchmark table",
}
"""Name of each recipe, which is that of its module, and what it compares."""
