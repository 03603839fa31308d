"""Networks on a plane."""

from plausibench import bench

LAYER, RECURRENT = "layer1", "layer1.recurrent"


def network(shape=(3, 3), edges=False, seed=0, inputs=4, outputs=3, **options):
    sizes = [inputs, shape[0] * shape[1], outputs]
    return bench.make(
        "architecture", "spatial_rnn", sizes=sizes, grid=shape, edges=edges, seed=seed, **options
    )
