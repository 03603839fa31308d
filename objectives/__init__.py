"""Objectives: the scalar to be minimised, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

BUILTIN = {
    "cross_entropy": "plausibench.objectives.cross_entropy:CrossEntropy",
    "expected_reward": "plausibench.objectives.expected_reward:ExpectedReward",
    "mean_squared_error": "plausibench.objectives.mean_squared_error:MeanSquaredError",
}
"""Registry name -> where to find it; nothing is imported before it is asked for."""
