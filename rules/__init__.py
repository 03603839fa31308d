"""Learning rules: maps from activity and objective to a gradient estimate, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

BUILTIN = {
    "backprop": "plausibench.rules.backprop:Backprop",
    "feedback_alignment": "plausibench.rules.feedback_alignment:FeedbackAlignment",
    "direct_feedback_alignment": (
        "plausibench.rules.direct_feedback_alignment:DirectFeedbackAlignment"
    ),
    "indirect_feedback_alignment": (
        "plausibench.rules.indirect_feedback_alignment:IndirectFeedbackAlignment"
    ),
    "direct_random_target_projection": (
        "plausibench.rules.direct_random_target_projection:DirectRandomTargetProjection"
    ),
    "sign_symmetry": "plausibench.rules.sign_symmetry:SignSymmetry",
    "weight_mirror": "plausibench.rules.weight_mirror:WeightMirror",
    "kolen_pollack": "plausibench.rules.kolen_pollack:KolenPollack",
    "learned_feedback": "plausibench.rules.learned_feedback:LearnedFeedback",
    "regression_discontinuity_feedback": (
        "plausibench.rules.regression_discontinuity_feedback:RegressionDiscontinuityFeedback"
    ),
    "direct_kolen_pollack": "plausibench.rules.direct_kolen_pollack:DirectKolenPollack",
    "product_feedback_alignment": (
        "plausibench.rules.product_feedback_alignment:ProductFeedbackAlignment"
    ),
    "stdwi": "plausibench.rules.stdwi:Stdwi",
    "phaseless_alignment_learning": (
        "plausibench.rules.phaseless_alignment_learning:PhaselessAlignmentLearning"
    ),
    "weight_perturbation": "plausibench.rules.weight_perturbation:WeightPerturbation",
    "forward_gradient": "plausibench.rules.forward_gradient:ForwardGradient",
    "node_perturbation": "plausibench.rules.node_perturbation:NodePerturbation",
    "activity_node_perturbation": (
        "plausibench.rules.activity_node_perturbation:ActivityNodePerturbation"
    ),
    "decorrelated_node_perturbation": (
        "plausibench.rules.decorrelated_node_perturbation:DecorrelatedNodePerturbation"
    ),
    "three_factor": "plausibench.rules.three_factor:ThreeFactor",
    "regression_discontinuity": (
        "plausibench.rules.regression_discontinuity:RegressionDiscontinuity"
    ),
    "attention_gated": "plausibench.rules.attention_gated:AttentionGated",
    "brainprop": "plausibench.rules.brainprop:Brainprop",
    "augment": "plausibench.rules.augment:Augment",
    "reinforce": "plausibench.rules.reinforce:Reinforce",
    "straight_through": "plausibench.rules.straight_through:StraightThrough",
    "surrogate_gradient": "plausibench.rules.surrogate_gradient:SurrogateGradient",
    "r_max": "plausibench.rules.r_max:RMax",
    "reward_modulated_stdp": "plausibench.rules.reward_modulated_stdp:RewardModulatedStdp",
    "predictive_coding": "plausibench.rules.predictive_coding:PredictiveCoding",
    "equilibrium_propagation": "plausibench.rules.equilibrium_propagation:EquilibriumPropagation",
    "contrastive_hebbian": "plausibench.rules.contrastive_hebbian:ContrastiveHebbian",
    "holomorphic_equilibrium_propagation": (
        "plausibench.rules.holomorphic_equilibrium_propagation:HolomorphicEquilibriumPropagation"
    ),
    "dual_propagation": "plausibench.rules.dual_propagation:DualPropagation",
    "lagrangian_predictive_coding": (
        "plausibench.rules.lagrangian_predictive_coding:LagrangianPredictiveCoding"
    ),
    "incremental_predictive_coding": (
        "plausibench.rules.incremental_predictive_coding:IncrementalPredictiveCoding"
    ),
    "error_based_predictive_coding": (
        "plausibench.rules.error_based_predictive_coding:ErrorBasedPredictiveCoding"
    ),
    "dendritic_error": "plausibench.rules.dendritic_error:DendriticError",
    "segregated_dendrites": "plausibench.rules.segregated_dendrites:SegregatedDendrites",
    "burstprop": "plausibench.rules.burstprop:Burstprop",
    "spiking_burstprop": "plausibench.rules.spiking_burstprop:SpikingBurstprop",
    "target_propagation": "plausibench.rules.target_propagation:TargetPropagation",
    "difference_target_propagation": (
        "plausibench.rules.difference_target_propagation:DifferenceTargetPropagation"
    ),
    "deep_feedback_control": "plausibench.rules.deep_feedback_control:DeepFeedbackControl",
    "least_control": "plausibench.rules.least_control:LeastControl",
    "difference_reconstruction": (
        "plausibench.rules.difference_reconstruction:DifferenceReconstruction"
    ),
    "backpropagation_through_time": (
        "plausibench.rules.backpropagation_through_time:BackpropagationThroughTime"
    ),
    "readout_only": "plausibench.rules.readout_only:ReadoutOnly",
    "real_time_recurrent_learning": (
        "plausibench.rules.real_time_recurrent_learning:RealTimeRecurrentLearning"
    ),
    "random_feedback_through_time": (
        "plausibench.rules.random_feedback_through_time:RandomFeedbackThroughTime"
    ),
    "e_prop": "plausibench.rules.e_prop:EProp",
    "rflo": "plausibench.rules.rflo:Rflo",
    "uoro": "plausibench.rules.uoro:Uoro",
    "ottt": "plausibench.rules.ottt:Ottt",
    "kf_rtrl": "plausibench.rules.kf_rtrl:KfRtrl",
    "snap": "plausibench.rules.snap:Snap",
    "kernl": "plausibench.rules.kernl:Kernl",
    "dni": "plausibench.rules.dni:Dni",
    "mod_prop": "plausibench.rules.mod_prop:ModProp",
    "pepita": "plausibench.rules.pepita:Pepita",
    "forward_forward": "plausibench.rules.forward_forward:ForwardForward",
    "hebb": "plausibench.rules.hebb:Hebb",
    "oja": "plausibench.rules.oja:Oja",
    "local_losses": "plausibench.rules.local_losses:LocalLosses",
    "soft_hebb": "plausibench.rules.soft_hebb:SoftHebb",
}
"""Registry name -> where to find it; nothing is imported before it is asked for.

In the order of legends. A rule goes behind the others of its family: its place among them gives it
its look in pictures, and none may take that of another.
"""
