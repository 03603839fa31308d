"""Tests lie where what they test lies: folders of the package, files of their subjects."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PLUGINS = {
    "kernels": ROOT / "kernels",
    "objectives": ROOT / "objectives",
    "architectures": ROOT / "architectures",
    "rules": ROOT / "rules",
    "tasks": ROOT / "bench" / "tasks",
}
"""Folders each of whose modules has a file of tests, its own or that of a family."""
BENCH = {path.parent.name: path.parent for path in (ROOT / "bench").glob("*/__init__.py")}
OUTSIDE = {"benchmarks", "project"}
"""Tests of no folder: what make performance times, and what surrounds the package."""
SUBJECTS = {
    "architectures": {"gradient"},
    "cli": {"cli"},
    "measuring": {"drawn_again", "no_gradient", "odd_batches", "realised_progress"},
    "objectives": {"every_objective", "penalties", "reward"},
    "rules": {
        *("choices", "closed_forms", "conformance", "degenerate"),
        *("refused_options", "size_of_errors"),
    },
    "running": {"kills", "large"},
    "studies": {"every_study", "kills"},
    "tasks": {"every_task"},
    "training": {"accuracy", "draws"},
}
"""Files of tests that are named after no module, but after what several do."""
FAMILIES = {
    "kernels": {
        "arrays": {"places"},
        "cache": {"compiled", "sources"},
        "threads": {"products"},
    },
    "objectives": {
        "every_objective": {"mean_squared_error", "objective"},
        "mutual_information": {"generative"},
        "penalties": {"readout_sparsity", "smooth_kernels", "weight_decay", "wiring_cost"},
        "reward": {"expected_reward", "scaled_log_probability"},
    },
    "architectures": {
        "convolution": {"convolutional", "locally_connected", "residual", "vision", "what_where"},
        "escape_rnn": {"escape_noise"},
        "gradient": {
            *("architecture", "chain", "dendritic", "linear", "mlp"),
            *("network", "neurons", "synapses"),
        },
        "hopfield": {"sweeps"},
        "modes": {"low_rank", "mode_rnn", "spiking_mode_rnn"},
        "pooling": {"wired"},
        "recurrent": {"blocks", "recurrent_options", "temporal"},
        "spatial": {"spatial_rnn"},
        "spiking_mlp": {"spiking"},
        "spiking_rnn": {"integrate_and_fire"},
        "stochastic_mlp": {"stochastic"},
    },
    "rules": {
        "attention_gated": {"enumeration", "winner"},
        "burstprop": {"bursting"},
        "closed_forms": {"layers", "linear_chain", "perturbation"},
        "conformance": {"estimate", "rule"},
        "predictive_coding": {"relaxation", "value_descent"},
        "r_max": {"rewarded_spikes"},
        "random_feedback": {"kolen_pollack"},
        "readout_only": {"patterns", "readout"},
        "target_propagation": {"difference_target_propagation", "targets"},
        "through_time": {
            *("backpropagation_through_time", "e_prop", "random_feedback_through_time"),
            *("real_time_recurrent_learning", "rflo", "surrogate_gradient", "uoro"),
            *("influence", "rank_one"),
        },
    },
    "tasks": {
        "arrays": {"examples", "images", "npz", "table"},
        "every_task": {"standard", "task"},
        "gaussian": {"linear_regression", "teacher_student"},
        "images": {"cifar", "cifar10", "cifar100", "fashion_mnist", "pickled"},
        "mnist": {"idx"},
        "neurons": {
            *("antolik2016", "grasshopper_receptor", "natural_scenes", "simulated_neurons"),
        },
        "trials": {
            *("adding", "contextual_integration", "copy", "delayed_match", "delayed_parity"),
            *("evidence_accumulation", "ring", "row_by_row", "sine_generation"),
            *("yang2019", "yang2019_neurogym"),
        },
    },
}
"""Modules that are tested together, by the file of their tests."""


def modules(folder):
    return {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}


def files_of(name):
    return {path.stem.removeprefix("test_") for path in (TESTS / name).glob("test_*.py")}


def test_every_folder_has_its_tests():
    folders = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    assert folders == {*PLUGINS, *BENCH, *OUTSIDE}
    assert not list(TESTS.glob("test_*.py"))


@pytest.mark.parametrize("name", PLUGINS)
def test_every_module_has_a_place(name):
    families = FAMILIES[name]
    assert families.keys() <= files_of(name)
    elsewhere = {"downloads"} if name == "tasks" else set()  # by the command that fetches them
    assert modules(PLUGINS[name]) <= files_of(name).union(elsewhere, *families.values())


@pytest.mark.parametrize("name", [*PLUGINS, *(name for name in BENCH if name not in PLUGINS)])
def test_every_file_of_tests_is_named_after_what_it_tests(name):
    folder = PLUGINS.get(name) or BENCH[name]
    within = [path.parent for path in folder.glob("*/__init__.py")]
    known = modules(folder) | SUBJECTS.get(name, set()) | {path.name for path in within}
    if name == "studies":
        known |= {f"{study.name}_{module}" for study in within for module in modules(study)}
    assert files_of(name) <= known
    assert SUBJECTS.get(name, set()) <= files_of(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_hold_modules(name):
    assert set().union(*FAMILIES[name].values()) <= modules(PLUGINS[name])
