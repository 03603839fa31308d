"""Values of predictive coding that descend an energy whose last term is weighed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from plausibench.architectures.network import CONSTANT, INPUT, Activity, Network, Projection
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective

Array = np.ndarray
Arrays = dict[str, Array]


@dataclass(frozen=True, eq=False)
class ValueDescent:
    r"""Euler steps down an energy of predictive coding, from the forward pass.

    .. math:: \sum_{l<L} \tfrac12 |\epsilon_l|^2 + w E_L

    Hidden values are drives, with :math:`\epsilon_l = v_l - u_l`, or activities, with
    :math:`\epsilon_l = v_l - f(u_l)`; :math:`u_l = W_l a_{l-1} + b_l` is the drive that the
    values below predict. The last term is :math:`\tfrac12 |\epsilon_L|^2` with the output
    clamped one gradient step below its clean value, or the loss at the output that is predicted.

    Attributes
    ----------
    network, objective, batch, clean
        The cell, in float64.
    weight
        The weight w of the last term.
    activities
        Whether values are activities.
    loss
        Whether the last term is the loss.
    """

    network: Network
    objective: Objective
    batch: Batch
    clean: Activity
    weight: float
    activities: bool
    loss: bool

    def start(self) -> Arrays:
        """Values of the forward pass: every error is zero but that of the output."""
        first = self.clean.activity if self.activities else self.clean.drive
        return {population.name: first[population.name] for population in self.network.hidden}

    def shown(self, values: Mapping[str, Array]) -> Arrays:
        """Activity of inputs, constant and hidden populations at these values."""
        outside = {name: self.clean.activity[name] for name in (INPUT, CONSTANT)}
        return outside | {
            population.name: (
                values[population.name]
                if self.activities
                else population.neurons.activate(values[population.name])
            )
            for population in self.network.hidden
        }

    def predicted(self, shown: Mapping[str, Array]) -> Arrays:
        """Drive of each population from the activity below it."""
        return {
            name: sum(
                (self.drive(p, shown[p.source]) for p in projections),
                start=np.zeros(self.clean.drive[name].shape),
            )
            for name, projections in self.network.incoming.items()
        }

    def drive(self, p: Projection, activity: Array) -> Array:
        """What one projection adds to the drive of its target."""
        return p.synapse.drive(self.network.parameters[p.name], activity)

    def errors(self, values: Mapping[str, Array]) -> tuple[Arrays, Arrays, Arrays]:
        """Errors in units of values, errors in units of drives, and activity shown."""
        shown = self.shown(values)
        drive = self.predicted(shown)
        errors: Arrays = {}
        for population in self.network.populations:
            name, neurons = population.name, population.neurons
            if name == self.network.output.name:
                errors[name] = self.output_error(drive[name])
            elif self.activities:
                errors[name] = values[name] - neurons.activate(drive[name])
            else:
                errors[name] = values[name] - drive[name]
        if not self.activities:
            return errors, errors, shown
        on_drives = {
            population.name: population.neurons.adjoint(
                drive[population.name],
                population.neurons.activate(drive[population.name]),
                errors[population.name],
            )
            for population in self.network.populations
        }
        return errors, on_drives, shown

    def output_error(self, drive: Array) -> Array:
        """Weighed error of the output at the drive predicted for it, in units of its values."""
        top = self.network.output
        activity = top.neurons.activate(drive)
        before, output = self.clean.drive[top.name], self.clean.output
        at = (drive, activity) if self.loss else (before, output)
        push = self.objective.error(at[1], self.batch.targets)
        if not self.activities:
            push = top.neurons.adjoint(*at, push)
        if self.loss:
            return -self.weight * push
        moved = output - activity if self.activities else before - drive
        return self.weight * (moved - push)

    def pull(self, values: Mapping[str, Array], on_drives: Arrays, shown: Arrays) -> Arrays:
        """Force of the errors above on the values of each hidden population."""
        found: Arrays = {}
        for population in self.network.hidden:
            name = population.name
            back = sum(
                (
                    p.synapse.feedback(self.network.parameters[p.name], on_drives[p.target])
                    for p in self.network.outgoing[name]
                ),
                start=np.zeros(()),
            )
            found[name] = (
                back
                if self.activities
                else population.neurons.adjoint(values[name], shown[name], back)
            )
        return found

    def moved(self, values: Mapping[str, Array], step: float) -> Arrays:
        """Values after an Euler step."""
        return self.moved_by(values, step, *self.errors(values))

    def moved_by(
        self,
        values: Mapping[str, Array],
        step: float,
        errors: Arrays,
        on_drives: Arrays,
        shown: Arrays,
    ) -> Arrays:
        """The same where errors are known."""
        pull = self.pull(values, on_drives, shown)
        return {name: v + step * (pull[name] - errors[name]) for name, v in values.items()}
