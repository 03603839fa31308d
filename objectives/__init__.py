"""Objectives: the scalar to be minimised, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

BUILTIN = {
    "binary_cross_entropy": "plausibench.objectives.binary_cross_entropy:BinaryCrossEntropy",
    "cross_entropy": "plausibench.objectives.cross_entropy:CrossEntropy",
    "description_length": "plausibench.objectives.description_length:DescriptionLength",
    "empowerment": "plausibench.objectives.empowerment:Empowerment",
    "expected_reward": "plausibench.objectives.expected_reward:ExpectedReward",
    "homeostasis": "plausibench.objectives.homeostasis:Homeostasis",
    "information_gain": "plausibench.objectives.information_gain:InformationGain",
    "mean_squared_error": "plausibench.objectives.mean_squared_error:MeanSquaredError",
    "mutual_information": "plausibench.objectives.mutual_information:MutualInformation",
    "poisson": "plausibench.objectives.poisson:Poisson",
    "readout_sparsity": "plausibench.objectives.readout_sparsity:ReadoutSparsity",
    "scaled_log_probability": (
        "plausibench.objectives.scaled_log_probability:ScaledLogProbability"
    ),
    "smooth_kernels": "plausibench.objectives.smooth_kernels:SmoothKernels",
    "sparse_coding": "plausibench.objectives.sparse_coding:SparseCoding",
    "temporal_coherence": "plausibench.objectives.temporal_coherence:TemporalCoherence",
    "weight_decay": "plausibench.objectives.weight_decay:WeightDecay",
    "weighted_sum": "plausibench.objectives.weighted_sum:WeightedSum",
    "wiring_cost": "plausibench.objectives.wiring_cost:WiringCost",
}
"""Registry name -> where to find it; nothing is imported before it is asked for."""
