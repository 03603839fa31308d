"""Trials rendered one by one and step by step, readable beside the descriptions of the tasks."""

import numpy as np

from plausibench.kernels.streams import generator


def bump(angle, ring):
    activity = np.empty(ring)
    for unit in range(ring):
        distance = abs(angle - 2 * np.pi * unit / ring)
        distance = min(distance, 2 * np.pi - distance)
        spread = distance / (np.pi / 8)
        activity[unit] = 0.8 * np.exp(-0.5 * (spread * spread))
    return activity


def ring_inputs(trial, ring, steps, rules):
    """Inputs of one trial without noise; ``trial`` holds the conditions of that trial."""
    inputs = np.zeros((steps, 1 + 2 * ring + rules))
    for step in range(trial.length):
        if step < trial.fixation:
            inputs[step, 0] = 1
        for stimulus in (0, 1):
            if trial.onset[stimulus] <= step < trial.offset[stimulus]:
                for modality in (0, 1):
                    shown = trial.strength[stimulus][modality] * bump(trial.angle[stimulus], ring)
                    inputs[step, 1 + modality * ring : 1 + (modality + 1) * ring] += shown
        if rules:
            inputs[step, 1 + 2 * ring + trial.rule] = 1
    return inputs


def yang2019(task, part, conditions, rule_numbers):
    """Inputs, targets and mask of `Yang2019` of the conditions drawn."""
    size, steps, ring, dt = task.trials, task.steps, task.ring, task.dt
    inputs = np.zeros((size, steps, 1 + 2 * ring + 20))
    targets = np.zeros((size, steps, 1 + ring))
    mask = np.zeros((size, steps))
    stream = generator(task.seed, "data", "yang2019", part, "noise")
    for b in range(size):
        trial = type(conditions)(*(field[b] for field in conditions))
        trial = trial._replace(rule=rule_numbers[b])
        inputs[b] = ring_inputs(trial, ring, steps, 20)
        if task.noise:
            noise = stream.standard_normal((trial.length, 1 + 2 * ring + 20))
            inputs[b, : trial.length] += task.noise * np.sqrt(2 * 100 / dt) * noise
        for step in range(trial.length):
            targets[b, step] = 0.05
            if step < trial.go or np.isnan(trial.answer):
                targets[b, step, 0] = 0.8
            else:
                targets[b, step, 1:] += bump(trial.answer, ring)
            if step >= trial.go + 100 // dt:
                mask[b, step] = 25
            elif 100 // dt <= step < trial.go:
                mask[b, step] = 1
    return inputs, targets, mask


def yang2019_neurogym(task, part, conditions, rules, families):
    """Inputs, classes and mask of `Yang2019Neurogym` of the conditions drawn."""
    size, steps, ring = task.trials, task.steps, task.ring
    inputs = np.zeros((size, steps, 1 + 2 * ring + rules))
    targets = np.zeros((size, steps), dtype=int)
    mask = np.zeros((size, steps))
    stream = generator(task.seed, "data", "yang2019_neurogym", part, "noise")
    for b in range(size):
        trial = type(conditions)(*(field[b] for field in conditions))
        inputs[b] = ring_inputs(trial, ring, steps, rules)
        for step in range(trial.length):
            mask[b, step] = 1
            shown = any(on <= step < off for on, off in zip(trial.onset, trial.offset, strict=True))
            if task.noise and shown and families[trial.rule] not in ("go", "reaction", "memory"):
                noise = stream.standard_normal(2 * ring)
                inputs[b, step, 1 : 1 + 2 * ring] += task.noise / np.sqrt(task.dt) * noise
            if step >= trial.go and not np.isnan(trial.answer):
                targets[b, step] = 1 + round(trial.answer / (2 * np.pi / ring))
    return inputs, targets, mask


def contextual_integration(task, signs, context, switched, edges, stream):
    """Inputs and targets of `ContextualIntegration`, given what is drawn of the trials."""
    inputs = np.zeros((task.trials, task.steps, 4))
    targets = np.zeros((task.trials, task.steps, 1))
    for b in range(task.trials):
        start, go, end = edges[b]
        for step in range(end):
            stream_that_counts = context[b]
            if switched[b] and step >= go + (end - go) // 5:
                stream_that_counts = 1 - context[b]
            if start <= step < go:
                inputs[b, step, :2] = task.offset * signs[b]
                inputs[b, step, :2] += task.noise * stream.standard_normal(2)
            inputs[b, step, 2 + stream_that_counts] = 1
            if step >= go:
                targets[b, step] = signs[b, stream_that_counts]
    return inputs, targets


def evidence_accumulation(task, sides, edges, stream):
    """Inputs and classes of `EvidenceAccumulation`, given the sides (B, cues) and the edges."""
    inputs = np.zeros((task.trials, task.steps, 3))
    classes = np.zeros(task.trials, dtype=int)
    for b in range(task.trials):
        step = 0
        for cue in range(task.cues):
            while step < edges[b][2 * cue]:
                inputs[b, step, sides[b][cue]] = 1
                step += 1
            step = edges[b][2 * cue + 1]
        inputs[b, edges[b][-2] : edges[b][-1], 2] = 1
        for step in range(edges[b][-1]):
            inputs[b, step] += task.noise * stream.standard_normal(3)
        classes[b] = sum(sides[b]) > task.cues / 2
    return inputs, classes


def copy(lists, symbols, delay):
    """Inputs and a class for each step of lists of symbols, counted from 1."""
    size, length = len(lists), len(lists[0])
    steps = length + delay + length
    inputs = np.zeros((size, steps, symbols + 2))
    targets = np.zeros((size, steps), dtype=int)
    for b in range(size):
        for step in range(steps):
            shown = 0
            if step < length:
                shown = lists[b][step]
            if step == length + delay - 1:
                shown = symbols + 1
            inputs[b, step, shown] = 1
            if step >= length + delay:
                targets[b, step] = lists[b][step - length - delay]
    return inputs, targets


def adding(numbers, marks):
    """Inputs and sums of numbers, marked at two places each."""
    size, steps = len(numbers), len(numbers[0])
    inputs, targets = np.zeros((size, steps, 2)), np.zeros((size, 1))
    for b in range(size):
        for step in range(steps):
            inputs[b, step, 0] = numbers[b][step]
            if step in marks[b]:
                inputs[b, step, 1] = 1
                targets[b, 0] += numbers[b][step]
    return inputs, targets


def delayed_parity(task, bits, stream):
    """Inputs and classes of ones and minus ones."""
    size = len(bits)
    inputs = np.zeros((size, task.steps, 2))
    classes = []
    for b in range(size):
        ones = 0
        for step, bit in enumerate(bits[b]):
            inputs[b, step, 0] = bit
            ones += bit == 1
        inputs[b, task.steps - 1, 1] = 1
        inputs[b] += task.noise * stream.standard_normal((task.steps, 2))
        classes.append(int(ones % 2 == 1))
    return inputs, classes
