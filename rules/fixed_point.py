"""Fixed points of many examples at once, each found by itself."""

from collections.abc import Callable

import numpy as np

Array = np.ndarray

DEPTH = 3
"""Earlier turns that are combined."""
RIDGE = 1e-14
"""Added to the normal equations, relative to their trace: late differences are nearly parallel."""


def fixed_point(
    turn: Callable[[Array], Array],
    start: Array,
    rest: float,
    most: int,
    floor: float | Array = 0.0,
) -> Array | None:
    r"""Find :math:`x = g(x)` by the acceleration of Anderson (1965).

    Plain turns :math:`x \leftarrow g(x)` take hundreds where g contracts slowly, and never end
    where it does not contract; these may not end where it expands in more than ``DEPTH``
    directions. Of the last differences of :math:`x` and of the residual
    :math:`r = g(x) - x` each example takes the combination that leaves the smallest residual,
    were g linear (Walker & Ni 2011, eq. 2.2).

    Parameters
    ----------
    turn
        The function g, of ``(B, U)``; rows depend on themselves alone.
    start
        ``(B, U)``: where to begin.
    rest
        Largest residual at rest, relative to the largest entry of g(x), in each row.
    most
        Number of turns.
    floor
        Residual that counts as rest in any case, as rounding in g alone can make it: one number,
        or one for each row ``(B,)``.

    Returns
    -------
    ndarray or None
        ``(B, U)``; None if a row is not at rest after ``most`` turns, or not finite.
    """
    points: list[Array] = []
    residuals: list[Array] = []
    x = start
    for _ in range(most):
        found = turn(x)
        residual = found - x
        moved = np.abs(residual).max(axis=-1)
        if not np.isfinite(moved).all():
            return None
        if (moved <= np.maximum(rest * np.abs(found).max(axis=-1), floor)).all():
            return x
        points, residuals = [*points, x][-DEPTH - 1 :], [*residuals, residual][-DEPTH - 1 :]
        x = found
        if len(points) > 1:
            changes, turned = np.diff(points, axis=0), np.diff(residuals, axis=0)
            gram = np.einsum("ibu,jbu->bij", turned, turned)
            ridge = RIDGE * np.trace(gram, axis1=1, axis2=2) + np.finfo(float).tiny
            gram += ridge[:, None, None] * np.eye(len(turned))
            right = np.einsum("ibu,bu->bi", turned, residual)
            shares = np.linalg.solve(gram, right[..., None])[..., 0]
            x = x - np.einsum("bi,ibu->bu", shares, changes + turned)
    return None
