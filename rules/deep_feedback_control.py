"""Deep feedback control: a controller pushes neurons until the output meets its target."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from plausibench.architectures.network import Activity, Network
from plausibench.architectures.permutation import Axes
from plausibench.kernels.errors import Divergence, InputError, choose, number, positive
from plausibench.kernels.streams import generator
from plausibench.objectives.batch import Batch
from plausibench.objectives.objective import Objective
from plausibench.rules.estimate import Estimates, Outer, form, outers
from plausibench.rules.layers import gated, in_double
from plausibench.rules.logistic import activity_change
from plausibench.rules.noise import Noise
from plausibench.rules.rule import Choices, Rule, RuleCard, State, Step
from plausibench.rules.theory import Claim, Law, Limit, Situation, Slope

Array = np.ndarray
Arrays = dict[str, Array]

COMPARED = ("drive", "activity")
FEEDBACK = ("average", "product", "random")


@dataclass(frozen=True)
class DeepFeedbackControl(Rule):
    r"""Deep feedback control (Meulemans et al. 2021), at the steady state of its controller.

    The output is to move by :math:`e = -\eta \, \partial F / \partial a_L`. A controller u drives
    every neuron through feedback weights, :math:`z_l = W_l a_{l-1} + b_l + Q_l u`. To first order
    the leaky integral controller comes to rest at

    .. math:: u = (J Q + \alpha I)^{-1} e, \quad J = \partial a_L / \partial (z_1, ..., z_L),

    and every neuron learns to do by itself what the controller makes it do. The estimate is
    multiplied by :math:`(1 + \alpha) / \eta`, so that it has the scale of the gradient where the
    leak is strong and that of a Gauss-Newton step where it is weak.

    The state holds Q ``(N_l, N_L)`` for every population, under its name.

    Parameters
    ----------
    target_step
        Length eta of the step asked of the output.
    leak
        Leak alpha of the controller.
    compared
        What a synapse takes for the error of its neuron: activity, with and without control, as
        in the paper; drive, the control itself, which leaves out a slope.
    feedback
        average: weights Q that follow the mean of :math:`J^T` over the examples of each step,
        and begin with the product; product: weights that carry the output back through the
        transposed weights of a network without non-linearity, and go astray when units saturate;
        random and fixed, of variance ``1 / N_L``.
    averaging
        Share of the step's mean in the average; other feedback has none, and refuses another value.
    """

    target_step: float = 0.0006
    leak: float = 0.0014
    compared: str = "activity"
    feedback: str = "average"
    averaging: float = 0.1

    double: ClassVar[bool] = True
    choices: ClassVar[Choices] = {"compared": COMPARED, "feedback": FEEDBACK}

    card: ClassVar[RuleCard] = RuleCard(
        summary="neurons learn what a controller of the output makes them do",
        family="targets",
        equation="u = (J Q + leak)^-1 e,  post_l = -(1 + leak) / target_step "
        "(f_l(z_l^c) - f_l(z_l^c - Q_l u)),  pre_l = a_(l-1)^c",
        randomness=frozenset({"feedback"}),
        unbiased=False,
        exact_when="Q = J^T of every example and drives compared, in the limit leak -> infinity",
        variance_law="0 for given feedback",
        synapse_knows="pre, feedforward and controlled drive of its neuron",
        forward_passes=15.0,
        no_more_than_readout=(
            "on digits after 500 steps: the search takes a rate just below those at which "
            "training fails, and three of five seeds end far below the null. With 2000 steps "
            "it takes a lower one, and is above the null"
        ),
        cites="Meulemans et al. 2021",
        notes=(
            "the controller is not simulated: its steady state is solved for in the network "
            "linearised at the clean pass, and the control is then applied to the network itself. "
            "A weak leak gives a minimum-norm step of Gauss-Newton kind: a bias by design. "
            "Feedback does not learn from noise as in the paper: where that leads, the column "
            "space of the mean J^T, is followed by a running mean. Without slopes (product) it "
            "goes astray as units saturate. Target step and leak are those of the authors' code "
            "for MNIST, whose feedback learns; its step of 0.0779 goes with a loss averaged over "
            "a batch of 128, and is 0.0006 an example"
        ),
        unverified="the controller's dynamics in time, and feedback that learns from noise",
    )

    def __post_init__(self) -> None:
        positive("target_step", self.target_step)
        positive("leak", self.leak)
        choose("compared", self.compared, COMPARED)
        choose("feedback", self.feedback, FEEDBACK)
        number("averaging", self.averaging, above=0, most=1)
        usual = type(self).averaging
        if self.feedback != "average" and self.averaging != usual:
            raise InputError(
                f"averaging: {self.averaging:g} averages nothing with feedback={self.feedback}; "
                f"allowed is {usual:g}, or feedback=average"
            )

    def randomness(self) -> frozenset[str]:
        return self.card.randomness if self.feedback == "random" else frozenset()

    def unsupported(self, network: Network, objective: Objective) -> str | None:
        return gated(network, "deep_feedback_control")

    def initial_state(self, network: Network, seed: int) -> State:
        outputs = network.output.size
        if self.feedback != "random":
            # Rows are outputs, sent back without slopes.
            rows = {network.output.name: np.eye(outputs, dtype=network.dtype)}
            for population in reversed(network.hidden):
                name = population.name
                rows[name] = np.zeros((outputs, population.size), network.dtype)
                for p in network.outgoing[name]:
                    rows[name] += p.synapse.feedback(network.parameters[p.name], rows[p.target])
            return {name: np.ascontiguousarray(array.T) for name, array in rows.items()}
        state = {}
        for population in network.populations:
            shape = (population.size, outputs)
            draw = generator(seed, "feedback", population.name).standard_normal(shape)
            state[population.name] = (draw / outputs**0.5).astype(network.dtype)
        return state

    def state_axes(self, network: Network) -> Axes:
        return {each.name: (each.name, network.output.name) for each in network.populations}

    def advance(self, state: State, step: Step) -> State:
        """Feedback of the weights after the step; random feedback stays."""
        if self.feedback == "random":
            return state
        if self.feedback == "product":
            return self.initial_state(step.network, 0)
        now = jacobians(step.network, step.network.forward(step.batch.inputs))
        return {
            name: feedback + self.averaging * (now[name].mean(axis=0).T - feedback)
            for name, feedback in state.items()
        }

    def estimate(
        self,
        network: Network,
        objective: Objective,
        batch: Batch,
        clean: Activity,
        state: State,
        noise: Noise,
    ) -> Estimates:
        """Estimate from the controlled activity.

        Raises
        ------
        Divergence
            If no steady state can be solved for.
        """
        dtype = network.dtype
        network, batch, clean = in_double(network, batch, clean)
        control = self.control(network, objective, batch, clean, state)
        passed = network.forward(
            batch.inputs,
            drive_noise={name: array[None] for name, array in control.items()},
            clean=clean,
        )
        factor, signals = -(1 + self.leak) / (self.target_step * batch.size), {}
        for population in network.populations:
            name = population.name
            if self.compared == "drive":
                moved = control[name]
            else:
                drive = passed.drive[name].reshape(control[name].shape)
                moved = activity_change(population.neurons, drive, control[name])
            signals[name] = (factor * moved).astype(dtype, copy=False)
        found: Estimates = {}
        for p in network.projections:
            pre = passed.presynaptic(p).reshape(batch.size, -1)
            found[p.name] = Outer(signals[p.target], pre.astype(dtype, copy=False))
        return found

    def control(
        self, network: Network, objective: Objective, batch: Batch, clean: Activity, state: State
    ) -> Arrays:
        """What the controller adds to the drive of each population, ``(B, N)``."""
        step = -self.target_step * objective.error(clean.output, batch.targets)
        outputs = network.output.size
        loop = np.zeros((batch.size, outputs, outputs)) + self.leak * np.eye(outputs)
        for name, jacobian in jacobians(network, clean).items():
            loop += jacobian @ state[name]
        try:
            controller = np.linalg.solve(loop, step[..., None])[..., 0]
        except np.linalg.LinAlgError as error:
            raise Divergence("deep_feedback_control: the controller has no steady state") from error
        return {name: controller @ feedback.T for name, feedback in state.items()}

    def theory(self) -> tuple[Claim, ...]:
        def matched(at: Situation, leak: float) -> Situation:
            """Feedback J^T, which differs between examples: on the first one."""
            batch = at.batch.take([0])
            exact = jacobians(at.network, at.network.forward(batch.inputs))
            state = {name: np.ascontiguousarray(array[0].T) for name, array in exact.items()}
            return replace(at, batch=batch, state=state, rule=replace(self, leak=leak))

        def strong(at: Situation, weakness: float) -> Situation:
            return matched(at, 1 / weakness)

        def with_slopes(at: Situation) -> Arrays:
            """The gradient, with the slope of each neuron once more."""
            network, clean = at.network, at.network.forward(at.batch.inputs)
            error = at.objective.batch_error(clean.output, at.batch)
            signals = network.credit(clean, {network.output.name: error})
            for population in network.populations:
                name = population.name
                signals[name] = population.neurons.adjoint(
                    clean.drive[name], clean.activity[name], signals[name]
                )
            return form(network, outers(network, clean, signals))

        def reached(at: Situation) -> tuple[float, float, float]:
            at = matched(at, 1e-11)
            clean, rule = at.network.forward(at.batch.inputs), replace(self, leak=1e-11)
            control = rule.control(at.network, at.objective, at.batch, clean, at.state)
            moved = sum(
                np.einsum("bkn,bn->bk", jacobian, control[name])
                for name, jacobian in jacobians(at.network, clean).items()
            )
            asked = -self.target_step * at.objective.error(clean.output, at.batch.targets)
            return float(np.linalg.norm(moved - asked) / np.linalg.norm(asked)), 0.0, 1e-8

        def followed(at: Situation) -> tuple[float, float, float]:
            """Distance of Q from the mean J^T, 20 steps from 0 and without learning."""
            clean, rule = at.network.forward(at.batch.inputs), replace(self, feedback="average")
            goal = {n: a.mean(axis=0).T for n, a in jacobians(at.network, clean).items()}
            still = Step(at.network, at.objective, at.batch, clean, {}, 0.0, at.noise())
            state: State = {name: np.zeros_like(array) for name, array in goal.items()}
            for _ in range(20):
                state = rule.advance(state, still)
            apart = sum(float(((state[n] - goal[n]) ** 2).sum()) for n in goal)
            whole = sum(float((array**2).sum()) for array in goal.values())
            return (apart / whole) ** 0.5, (1 - self.averaging) ** 20, 1e-12

        drives = self.compared == "drive"
        claims: tuple[Claim, ...] = (
            Slope(
                "feedback J^T, 1 / leak -> 0: "
                + ("backpropagation" if drives else "backpropagation, times f_l'"),
                strong,
                power=1,
                smallest=1e-6,
                tolerance=1e-5,
                expected=Situation.reference if drives else with_slopes,
            ),
            Law("feedback J^T, leak -> 0: the control moves the output as asked", reached),
            Limit("weak leak: biased", lambda at: matched(at, 1e-3), 0.01, holds=False),
        )
        if self.feedback == "average":
            claims += (
                Law("Q tends to the mean J^T: distance (1 - averaging)^20 of the first", followed),
            )
        return claims


def jacobians(network: Network, clean: Activity) -> Arrays:
    """Derivative of the output with respect to the drive of each population, ``(B, N_L, N)``."""
    identity = np.eye(network.output.size, dtype=network.dtype)[:, None, :]
    rows = np.broadcast_to(identity, (len(identity), *clean.output.shape))
    signals = network.credit(clean, {network.output.name: rows})
    return {name: signal.swapaxes(0, 1) for name, signal in signals.items()}
