"""Selectors of rules and of their variants, by the places where they are tested."""

SETTLING = [
    "contrastive_hebbian",
    "deep_feedback_control",
    "deep_feedback_control[compared=drive,feedback=random]",
    "difference_target_propagation",
    "equilibrium_propagation",
    "equilibrium_propagation[variant=one_sided]",
    "equilibrium_propagation[variant=random_sign]",
    "predictive_coding",
    "predictive_coding[variant=fixed_prediction]",
    "predictive_coding[variant=nudged]",
    "predictive_coding[variant=nudged,symmetric=true]",
    "predictive_coding[variant=zero_divergence]",
    "target_propagation",
]
PERTURBATION = [
    "activity_node_perturbation",
    "activity_node_perturbation[antithetic=false]",
    "activity_node_perturbation[noise=rademacher]",
    "decorrelated_node_perturbation",
    "forward_gradient",
    "forward_gradient[perturbing=activity]",
    "node_perturbation",
    "node_perturbation[antithetic=false,noise=rademacher]",
    "weight_perturbation",
    "weight_perturbation[noise=rademacher]",
    "weight_perturbation[antithetic=false]",
    "reinforce",
    "straight_through",
]
FEEDBACK = [
    "direct_random_target_projection",
    "feedback_alignment",
    "forward_forward",
    "forward_forward[normalise=false]",
    "hebb",
    "indirect_feedback_alignment",
    "kolen_pollack",
    "learned_feedback",
    "oja",
    "oja[variant=ordered]",
    "oja[variant=subspace]",
    "pepita",
    "readout_only",
    "sign_symmetry",
    "sign_symmetry[variant=batchwise]",
    "sign_symmetry[variant=fixed]",
    "three_factor",
    "three_factor[baseline=running,sigma=0.1]",
    "three_factor[noise=rademacher,delay=0,decay=0]",
    "weight_mirror",
    "weight_mirror[noise=gaussian,scale=0]",
    "weight_mirror[noise=rademacher,bias=false]",
]
DENDRITIC = ["burstprop", "segregated_dendrites"]
KEYED = [
    "augment",
    "augment[exploration=softmax,trace=1]",
    "augment[exploration=uniform,discount=0]",
    "regression_discontinuity_feedback",
    "regression_discontinuity_feedback[regression=local_constant,response=drive,common=0]",
    "spiking_burstprop",
    "spiking_burstprop[units=3,nudging=0.5]",
]
REWARDED_SPIKES = ["r_max", "r_max[baseline=none]", "reward_modulated_stdp"]
GRADIENTS = ["backprop", "backpropagation_through_time"]
IN_TIME = [
    *GRADIENTS,
    "real_time_recurrent_learning",
    "rflo",
    "rflo[feedback=adaptive]",
    "ottt",
    "ottt[feedback=random]",
    "e_prop",
    "e_prop[feedback=random]",
    "random_feedback_through_time",
    "uoro",
    "weight_perturbation",
    "node_perturbation",
    "node_perturbation[antithetic=false,noise=rademacher]",
    "three_factor[decay=1,delay=2]",
    "forward_gradient",
    "forward_gradient[perturbing=activity]",
    "surrogate_gradient",
]


MICROCIRCUIT = ["dendritic_error"]
SPIKING = ["regression_discontinuity"]
