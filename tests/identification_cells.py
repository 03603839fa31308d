"""Recordings of simulated neurons."""

from plausibench import bench


def simulated(**options):
    return bench.make("task", "simulated_neurons", **{"test_examples": 500, **options})
