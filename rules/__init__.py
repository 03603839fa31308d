"""Learning rules: maps from activity and objective to a gradient estimate, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

BUILTIN = {
    "activity_node_perturbation": (
        "plausibench.rules.activity_node_perturbation:ActivityNodePerturbation"
    ),
    "attention_gated": "plausibench.rules.attention_gated:AttentionGated",
    "augment": "plausibench.rules.augment:Augment",
    "backprop": "plausibench.rules.backprop:Backprop",
    "backpropagation_through_time": (
        "plausibench.rules.backpropagation_through_time:BackpropagationThroughTime"
    ),
    "brainprop": "plausibench.rules.brainprop:Brainprop",
    "burstprop": "plausibench.rules.burstprop:Burstprop",
    "contrastive_hebbian": "plausibench.rules.contrastive_hebbian:ContrastiveHebbian",
    "decorrelated_node_perturbation": (
        "plausibench.rules.decorrelated_node_perturbation:DecorrelatedNodePerturbation"
    ),
    "deep_feedback_control": "plausibench.rules.deep_feedback_control:DeepFeedbackControl",
    "dendritic_error": "plausibench.rules.dendritic_error:DendriticError",
    "difference_target_propagation": (
        "plausibench.rules.difference_target_propagation:DifferenceTargetPropagation"
    ),
    "direct_feedback_alignment": (
        "plausibench.rules.direct_feedback_alignment:DirectFeedbackAlignment"
    ),
    "direct_random_target_projection": (
        "plausibench.rules.direct_random_target_projection:DirectRandomTargetProjection"
    ),
    "e_prop": "plausibench.rules.e_prop:EProp",
    "equilibrium_propagation": "plausibench.rules.equilibrium_propagation:EquilibriumPropagation",
    "feedback_alignment": "plausibench.rules.feedback_alignment:FeedbackAlignment",
    "forward_forward": "plausibench.rules.forward_forward:ForwardForward",
    "forward_gradient": "plausibench.rules.forward_gradient:ForwardGradient",
    "hebb": "plausibench.rules.hebb:Hebb",
    "indirect_feedback_alignment": (
        "plausibench.rules.indirect_feedback_alignment:IndirectFeedbackAlignment"
    ),
    "kolen_pollack": "plausibench.rules.kolen_pollack:KolenPollack",
    "learned_feedback": "plausibench.rules.learned_feedback:LearnedFeedback",
    "node_perturbation": "plausibench.rules.node_perturbation:NodePerturbation",
    "oja": "plausibench.rules.oja:Oja",
    "pepita": "plausibench.rules.pepita:Pepita",
    "predictive_coding": "plausibench.rules.predictive_coding:PredictiveCoding",
    "random_feedback_through_time": (
        "plausibench.rules.random_feedback_through_time:RandomFeedbackThroughTime"
    ),
    "readout_only": "plausibench.rules.readout_only:ReadoutOnly",
    "real_time_recurrent_learning": (
        "plausibench.rules.real_time_recurrent_learning:RealTimeRecurrentLearning"
    ),
    "regression_discontinuity": (
        "plausibench.rules.regression_discontinuity:RegressionDiscontinuity"
    ),
    "regression_discontinuity_feedback": (
        "plausibench.rules.regression_discontinuity_feedback:RegressionDiscontinuityFeedback"
    ),
    "reinforce": "plausibench.rules.reinforce:Reinforce",
    "rflo": "plausibench.rules.rflo:Rflo",
    "segregated_dendrites": "plausibench.rules.segregated_dendrites:SegregatedDendrites",
    "sign_symmetry": "plausibench.rules.sign_symmetry:SignSymmetry",
    "spiking_burstprop": "plausibench.rules.spiking_burstprop:SpikingBurstprop",
    "straight_through": "plausibench.rules.straight_through:StraightThrough",
    "surrogate_gradient": "plausibench.rules.surrogate_gradient:SurrogateGradient",
    "target_propagation": "plausibench.rules.target_propagation:TargetPropagation",
    "three_factor": "plausibench.rules.three_factor:ThreeFactor",
    "uoro": "plausibench.rules.uoro:Uoro",
    "weight_mirror": "plausibench.rules.weight_mirror:WeightMirror",
    "weight_perturbation": "plausibench.rules.weight_perturbation:WeightPerturbation",
}
"""Registry name -> where to find it; nothing is imported before it is asked for."""
