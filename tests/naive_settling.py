"""Plain numpy twin of the settling microcircuit, readable beside the equations."""

import numpy as np

import naive


def settle(network, rule, state, x, target=None):
    """Settled voltages of one example from rest, or None if it does not settle.

    Lists by population: somata u, interneurons, basal and apical voltages, rates; and the steps.
    """
    layers = naive.layers(network)
    kinds = [population.neurons for population in network.populations]
    rates_of = [naive.activation(name)[0] for _, _, name in layers]
    top = len(layers) - 1
    u = [np.zeros(len(bias)) for _, bias, _ in layers]
    inner = [np.zeros(len(bias)) for _, bias, _ in layers[1:]]
    with np.errstate(all="ignore"):
        for count in range(rule.steps + 1):
            rates = [f(voltage) for f, voltage in zip(rates_of, u, strict=True)]
            below = [x, *rates]
            basal = [weights @ below[k] + bias for k, (weights, bias, _) in enumerate(layers)]
            apical, change, inner_change, dendrites = [], [], [], []
            for k in range(top):
                name = network.populations[k].name
                down = state[f"{network.populations[k + 1].name}.weights"]
                inhibition = state[f"{name}.interneuron_output"]
                apical.append(down @ rates[k + 1] + inhibition @ rates_of[k + 1](inner[k]))

                g_l, g_d, g_i = kinds[k + 1].leak, rule.dendrite, rule.interneuron_nudging
                dendrite = state[f"{name}.interneuron_input"] @ rates[k]
                dendrite += state[f"{name}.interneuron_input_bias"]
                dendrites.append(dendrite)
                inner_change.append(
                    -g_l * inner[k] + g_d * (dendrite - inner[k]) + g_i * (u[k + 1] - inner[k])
                )
            for k, kind in enumerate(kinds):
                current = -kind.leak * u[k] + kind.basal * (basal[k] - u[k])
                if k < top:
                    current += kind.apical * (apical[k] - (u[k] if kind.loads else 0))
                elif target is not None:
                    current += rule.nudging * (target - u[k])
                change.append(current)
            largest = max(np.abs(rule.step * flow).max() for flow in change + inner_change)
            highest = max(np.abs(each).max() for each in [*u, *inner, *basal, *dendrites])
            # Four units of rounding of the largest voltage are rest in any case.
            if largest <= max(rule.tolerance * rule.nudging, 2.0**-50 * max(1.0, highest)):
                return u, inner, basal, apical, rates, count
            u = [voltage + rule.step * flow for voltage, flow in zip(u, change, strict=True)]
            inner = [v + rule.step * flow for v, flow in zip(inner, inner_change, strict=True)]
    return None


def update(network, rule, state, x, target):
    """What the synapses do: [f(u) - f(c v)] r^T per parameter, for one example."""
    u, _, basal, _, rates, _ = settle(network, rule, state, x, target)
    found = {}
    below = [x, *rates]
    for k, (_, _, name) in enumerate(naive.layers(network)):
        population, f = network.populations[k], naive.activation(name)[0]
        kind = population.neurons
        pull = kind.leak + kind.basal + (kind.apical if kind.loads else 0)
        surprise = f(u[k]) - f(kind.basal / pull * basal[k])
        found[f"{population.name}.weights"] = np.outer(surprise, below[k])
        found[f"{population.name}.bias"] = surprise
    return found
