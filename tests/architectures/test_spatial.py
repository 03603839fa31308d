"""Networks on a plane: swaps, and the cost of wire."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_space as naive
from plane_cells import LAYER, RECURRENT, network
from plausibench import bench
from plausibench.architectures.permutation import permuted_network
from plausibench.architectures.spatial import Wire
from plausibench.kernels.errors import InputError
from plausibench.kernels.places import distances, grid
from plausibench.objectives.weight_decay import WeightDecay
from plausibench.objectives.wiring_cost import WiringCost

SHAPES = ((2, 2), (3, 4), (4, 4), (1, 7))


def ends(made):
    """Weights to inputs and outputs with the places of these, for the naive twin."""
    own = made.parameters
    return [
        (own["layer1.weights"], naive.edge(made.inputs, 0.0)),
        (own["layer2.weights"].T, naive.edge(made.output.size, 1.0)),
    ]


@settings(max_examples=30)
@given(st.sampled_from(SHAPES), st.booleans(), st.integers(0, 2**20))
def test_all_gains_of_swaps_are_those_of_trying_them(shape, edges, seed):
    made = network(shape, edges, seed)
    own, outside = made.parameters[RECURRENT], ends(made) if edges else []
    wire, places = made.wire(LAYER), naive.grid(*shape)
    assert wire.length == pytest.approx(naive.length(own, places, outside), rel=1e-12)
    np.testing.assert_allclose(
        wire.changes(), naive.changes(own, places, outside), rtol=0, atol=1e-10
    )


@settings(max_examples=30)
@given(st.sampled_from(SHAPES), st.booleans(), st.integers(0, 2**20), st.integers(0, 12))
def test_swaps_are_the_best_ones_one_after_the_other(shape, edges, seed, most):
    """The compiled search, which updates its sums by rank 2, against a new table after each."""
    made = network(shape, edges, seed)
    order, count = made.wire(LAYER).swaps(most)
    current, expected = made, np.arange(shape[0] * shape[1])
    for _ in range(count):
        table = current.wire(LAYER).changes()
        j, k = np.unravel_index(table.argmin(), table.shape)
        swap = np.arange(len(expected))
        swap[[j, k]] = k, j
        after = permuted_network(current, LAYER, swap)
        assert after.wire(LAYER).length < current.wire(LAYER).length
        current, expected = after, expected[swap]
    np.testing.assert_array_equal(order, expected)
    if count < most:
        assert current.wire(LAYER).changes().min() > -1e-9 * current.wire(LAYER).length


def test_nothing_is_swapped_at_a_local_optimum():
    made = network((5, 5), edges=True)
    order, count = made.wire(LAYER).swaps(10_000)
    assert 0 < count < 10_000
    best = permuted_network(made, LAYER, order)
    again, more = best.wire(LAYER).swaps(10_000)
    assert more == 0
    np.testing.assert_array_equal(again, np.arange(25))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_swaps_change_no_output_no_size_and_no_spectrum(activation):
    made = network((6, 6), activation=activation)
    inputs = np.random.default_rng(0).standard_normal((5, 12, 4))
    current = made
    for seed in range(30):
        order = np.random.default_rng(seed).permutation(36)
        current = permuted_network(current, LAYER, order)
        before, after = (each.forward(inputs).output for each in (made, current))
        np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12)
    one, other = (each.parameters[RECURRENT] for each in (made, current))
    assert np.abs(one).sum() == pytest.approx(np.abs(other).sum(), rel=1e-13)
    sizes = [np.sort(np.abs(np.linalg.eigvals(each))) for each in (one, other)]
    np.testing.assert_allclose(*sizes, atol=1e-9)


def test_swaps_recover_a_ring_on_a_line(record_figure):
    """A chain of neurons in random order comes back in order, up to reflection, in most draws."""
    rates = {}
    for neurons in (6, 8, 10, 12):
        chain = np.diag(np.ones(neurons - 1), 1)
        places = grid(1, neurons)
        lengths = distances(places, places)
        recovered = 0
        for seed in range(40):
            order = np.random.default_rng(seed).permutation(neurons)
            coupling = (chain + chain.T)[np.ix_(order, order)]
            found, _ = Wire(coupling, lengths, np.zeros_like(lengths)).swaps(1000)
            line = order[found]
            recovered += bool((np.diff(line) == 1).all() or (np.diff(line) == -1).all())
        rates[neurons] = recovered / 40
        record_figure(f"chain of {neurons}: share of orders recovered", rates[neurons], None)
    # Greedy pairwise exchange has local optima, more of them the longer the chain.
    assert rates[6] > 0.5
    assert np.mean(list(rates.values())) > 0.3


@pytest.mark.parametrize("edges", [False, True])
def test_the_gradient_of_the_cost_of_wire(edges):
    made = network((2, 3), edges, seed=4)
    cost = WiringCost(grid=(2, 3), base=0.3, distance=1.7, uniform=0.6, edges=edges)
    exact, h = cost.penalty_gradient(made.parameters), 1e-6
    assert set(exact) == {name for name, a in made.parameters.items() if a.ndim == 2}
    for name, array in made.parameters.items():
        for index in np.ndindex(array.shape):
            values = []
            for side in (h, -h):
                moved = {**made.parameters, name: array.copy()}
                moved[name][index] += side
                values.append(cost.penalty(moved))
            expected = exact[name][index] if name in exact else 0.0
            # Rounding of the sum, some ten, over 2 h.
            assert (values[0] - values[1]) / (2 * h) == pytest.approx(expected, abs=2e-8)


@pytest.mark.parametrize("edges", [False, True])
def test_the_objective_and_the_network_agree_on_length(edges):
    made = network((3, 4), edges, seed=2)
    cost = WiringCost(grid=(3, 4), edges=edges)
    assert cost.penalty(made.parameters) == pytest.approx(made.wire(LAYER).length, rel=1e-13)
    for name, lengths in made.distances.items():
        np.testing.assert_array_equal(cost.costs(made.parameters)[name], lengths)
    assert set(made.distances) == (
        {"layer1.weights", RECURRENT, "layer2.weights"} if edges else {RECURRENT}
    )


def test_without_distance_the_cost_is_the_l1_norm_bit_by_bit():
    made = network((4, 4), seed=3)
    cost, plain = WiringCost(grid=(4, 4), base=1, distance=0, uniform=1), WeightDecay(power=1)
    assert cost.penalty(made.parameters) == plain.penalty(made.parameters)
    ours, theirs = (each.penalty_gradient(made.parameters) for each in (cost, plain))
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": (3, 7, 2)}, "grid: 7 neurons do not fill a square"),
        ({"sizes": (3, 9, 2), "grid": (2, 4)}, "does not hold 9 neurons"),
        ({"sizes": (3, 9, 2), "grid": (9,)}, "does not hold 9 neurons"),
        ({"sizes": (3, 9, 2), "grid": "3x3"}, "a list of whole numbers"),
        ({"sizes": (3, 9, 2), "edges": 1}, "edges: 1 is not true or false"),
        ({"sizes": (3, 9, 9, 2)}, "2 recurrent layers do not lie in one plane"),
        ({"sizes": (3, 2)}, "at least 3"),
    ],
)
def test_grids_that_do_not_hold_the_neurons_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        bench.make("architecture", "spatial_rnn", **options)


def test_costs_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="name the grid too"):
        WiringCost(edges=True)
    with pytest.raises(InputError, match="grid"):
        WiringCost(grid=(3,))
    with pytest.raises(InputError, match="does not hold 9 neurons"):
        WiringCost(grid=(2, 2)).penalty(network().parameters)
    feed_forward = bench.make("architecture", "mlp", sizes=(4, 4, 3))
    with pytest.raises(InputError, match="one recurrent layer, and this one has 0"):
        WiringCost(grid=(2, 2)).penalty(feed_forward.parameters)


def test_a_plane_changes_no_activity():
    """With the same options, the network is ``rate_rnn`` but for its places."""
    inputs = np.random.default_rng(0).standard_normal((3, 6, 4))
    plain = bench.make("architecture", "rate_rnn", sizes=(4, 9, 3), seed=5)
    np.testing.assert_array_equal(
        network(seed=5).forward(inputs).output, plain.forward(inputs).output
    )
