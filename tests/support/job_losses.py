"""One process of a job that trains a tiny field of some backends, and prints its steps' losses.

It trains on images and on known depths; with the first backend once more where each process has
only its own pixels.

    python -m tests.support.job_losses --field=mlp --backends=flax --coordinator=HOST:PORT

with `--num_processes=N --process_id=I`.
"""

import dataclasses
import json
import sys

import jax
import numpy as np

from nerf.config import presets
from nerf.config import text as config_text
from nerf.field import make_field
from nerf.runtime import exchange, fixed_order, processes
from nerf.training.batch import PixelShare, pixels_of_strata
from nerf.training.depth_batch import DepthTable
from nerf.training.state import init_state
from nerf.training.step import make_step
from tests.support.cameras import cameras_at_origin, ndc_of, views_from_origin

NUM_STEPS = 50
SMALL = (
    *("render.num_coarse=8", "render.num_fine=8", "train.num_rays=32"),
    *("train.depth=on", "train.num_depth_rays=8"),
)
SETTINGS = {
    "mlp": config_text.override(
        presets.NOTEBOOK,
        *("field.width=16", "field.rgb_width=8", "field.num_layers=2", "field.skip_layer=1"),
        *SMALL,
    ),
    "planes": config_text.override(
        presets.PLANES,
        *("field.resolution=[8, 6, 4]", "field.num_features=4", "field.width=16"),
        *("field.proposal.resolution=[6, 6, 6]", *SMALL),
    ),
}


def known_depths(rng, num=12):
    """Depths at some pixels of the view."""
    depth = rng.uniform(1.5, 4.0, num).astype(np.float32)
    column, row = (rng.uniform(0.0, size - 1, num).astype(np.float32) for size in (6, 5))
    ones = np.ones(num, np.float32)
    return DepthTable(np.zeros(num, np.int32), column, row, depth, 0.05 * ones, ones)


def own_pixels(views, num_rays):
    """The views with the pixels that this process draws from, and no other."""
    num_strata = fixed_order.num_shards(num_rays, jax.device_count())
    own = (processes.index(), processes.index() + 1)
    first, end = (number * num_strata // processes.count() for number in own)
    low, high = pixels_of_strata(first, end, num_strata, len(views.pixels))
    share = PixelShare(num_strata, low)
    return dataclasses.replace(views, pixels=views.pixels[low:high], share=share)


def losses(backend, name, *, sharded=False):
    """The loss of each step, on rays of one small view."""
    config = SETTINGS[name]
    rng = np.random.default_rng(0)
    views = views_from_origin(rng.random((1, 5, 6, 3), np.float32))
    views = dataclasses.replace(views, depths=known_depths(rng))
    views = own_pixels(views, config.train.num_rays) if sharded else views
    field = make_field(backend, name, config.field)
    step = make_step(field, config, views, space=ndc_of(cameras_at_origin(1, 5, 6)))
    state, found = init_state(field, config, jax.random.key(1)), []
    for _ in range(NUM_STEPS):
        state, metrics = step(state, 1)
        found.append(float(metrics.loss))
    return found


def main():
    given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
    exchange.join(
        processes.JobOptions(
            False,
            given["coordinator"],
            int(given["num_processes"]),
            int(given["process_id"]),
        )
    )
    name, backends = given["field"], given["backends"].split(",")
    found = {backend: losses(backend, name) for backend in backends}
    print(json.dumps({**found, "sharded": losses(backends[0], name, sharded=True)}))
    exchange.barrier()
    processes.cancel_exit_report()


if __name__ == "__main__":
    main()
