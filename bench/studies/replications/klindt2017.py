"""Explained variance against images and neurons (Klindt, Ecker, Euler & Bethge 2017, Fig. 3b).

Neurons of one type lie at random places. The more of them are recorded together, the fewer images
it takes to know them, and with very many it is as if their receptive field was known.
"""

from plausibench.bench.studies.identification.study import model_scores, surface_scores
from plausibench.bench.studies.replications.recipe import Recipe, Setting, Target

POPULATION = 100
FEW, MANY = 512, 2048
"""Images shown."""
PUBLISHED = {(1, FEW): 0.0, (1, MANY): 0.35, (POPULATION, FEW): 0.75, (POPULATION, MANY): 0.95}
SCORE = "explained_variance"
KNOWN = 0.82
"""Read off the figure, where the kernel is known: at ``POPULATION`` and ``FEW``."""


def _cell(neurons: int, images: int) -> str:
    return f"explained variance, {neurons} neuron{'s' * (neurons > 1)}, {images} images"


KERNEL = f"explained variance, kernel known, {POPULATION} neurons, {FEW} images"
LEFT = f"kernel known minus learned, {POPULATION} neurons, {FEW} images"
TOGETHER = {images: f"{POPULATION} neurons minus 1, {images} images" for images in (FEW, MANY)}
LONGER = {
    neurons: f"{MANY} images minus {FEW}, {neurons} neuron{'s' * (neurons > 1)}"
    for neurons in (1, POPULATION)
}


def explained(seed: int, data: str) -> dict[str, float]:
    """Explained variance of new images without noise, and its differences."""
    found = {
        (together, images): surface_scores("factorised", together, images, seed)[SCORE]
        for together, images in PUBLISHED
    }
    known = model_scores("kernel_known", POPULATION, FEW, seed)[SCORE]
    return {
        **{_cell(*cell): value for cell, value in found.items()},
        KERNEL: known,
        LEFT: known - found[POPULATION, FEW],
        **{what: found[POPULATION, n] - found[1, n] for n, what in TOGETHER.items()},
        **{what: found[n, MANY] - found[n, FEW] for n, what in LONGER.items()},
    }


RECIPE = Recipe(
    name="klindt2017",
    source="Fig. 3b, read off to about 0.03",
    cites="Klindt, Ecker, Euler & Bethge 2017",
    smaller=Setting(
        description=(
            "simulated neurons of one type, images of 24 x 24 pixels of white noise, kernels of "
            "9 x 9, factorised readout"
        ),
        deviations=(
            "images of 48 x 48 and kernels of 17 x 17 in the paper: only orderings are judged",
            (
                "fitted by accelerated proximal steps on second moments instead of Adam on "
                "batches, with a penalty that follows from the noise instead of a grid"
            ),
            "1 neuron: the mean of 8 that are fitted apart",
        ),
        targets=(
            *(
                Target(what, PUBLISHED[POPULATION, n] - PUBLISHED[1, n], "F", above=0.0)
                for n, what in TOGETHER.items()
            ),
            *(
                Target(what, PUBLISHED[n, MANY] - PUBLISHED[n, FEW], "F", above=0.0)
                for n, what in LONGER.items()
            ),
            Target(LEFT, KNOWN - PUBLISHED[POPULATION, FEW], "F"),
            *(Target(_cell(*cell), value, "F") for cell, value in PUBLISHED.items()),
            Target(KERNEL, KNOWN, "F"),
        ),
        work=explained,
    ),
)
