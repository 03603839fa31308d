"""Neurons one by one, at the place where each is known to look: linear regression."""

from typing import Any

import numpy as np

from plausibench.bench.identification.placement import Placement
from plausibench.kernels.errors import choose
from plausibench.kernels.threads import one_blas_thread

Array = np.ndarray

BASELINES = ("least_squares", "ridge", "lasso")
STRENGTHS: dict[str, tuple[float, ...]] = {
    "least_squares": (0.0,),
    "ridge": (10.0, 100.0, 1000.0, 5000.0, 20000.0),
    "lasso": (1e-5, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3),
}
"""Strengths of the penalty, of which validation chooses one for each neuron."""


def baseline(
    images: Array,
    responses: Array,
    unseen: Array,
    places: Array,
    patch: int,
    kind: str,
    validation: float = 0.2,
) -> Array:
    """Predict responses ``(B, N)`` to ``unseen`` images from a window for each neuron.

    Parameters
    ----------
    images, responses
        ``(D, pixels)`` and ``(D, N)``.
    unseen
        ``(B, pixels)``.
    places
        Row and column of the top left pixel of each window, ``(N, 2)``: more than any other
        model is told.
    patch
        Height and width of a window.
    kind
        ``least_squares``, ``ridge`` or ``lasso``.
    validation
        Share of the images, the last ones, to choose the strength with.
    """
    kind = choose("kind", kind, BASELINES)
    placement = Placement(round(images.shape[1] ** 0.5), patch)
    kept = len(images) - round(validation * len(images))
    predicted = np.empty((len(unseen), responses.shape[1]))
    flat = np.asarray(places) @ (placement.across, 1)
    with one_blas_thread():
        for n, window in enumerate(placement.covered[:, flat].T):
            seen, said = images[:, window], responses[:, n]
            models = [
                _model(kind, strength).fit(seen[:kept], said[:kept]) for strength in STRENGTHS[kind]
            ]
            errors = [((model.predict(seen[kept:]) - said[kept:]) ** 2).mean() for model in models]
            predicted[:, n] = models[int(np.argmin(errors))].predict(unseen[:, window])
    return predicted


def _model(kind: str, strength: float) -> Any:
    from sklearn.linear_model import Lasso, LinearRegression, Ridge

    if kind == "least_squares":
        return LinearRegression()
    return Ridge(strength) if kind == "ridge" else Lasso(strength, max_iter=2000)
