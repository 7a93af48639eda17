"""How often training collapses, with and without what prevents it, and whether that is noticed.

    python -m benchmarks.collapse                       # both presets, ten seeds each: an hour
    python -m benchmarks.collapse --seeds=1 --steps=3   # a minute

Every run trains the full network on the bundled flower, with few rays and samples so that it takes
seconds. Each kind of prevention is tried alone, and compared with none and with all of them, at
the preset's learning rate and at ten times that. After a run, held-out rays are rendered: where
their colours hardly differ, the run has collapsed. This test does not look at the step health
that training itself checks. A run that has collapsed unnoticed trains for another 200 steps,
within which the collapse must be noticed; if it has recovered by then, it does not count.
"""

import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from absl import flags

from benchmarks import command_line, compare, list_flags, report
from nerf import field as field_lib
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import Config
from nerf.jobs.training_run.views import training_views
from nerf.render.rays import render_rays
from nerf.scenes import names
from nerf.scenes.scene import Scene
from nerf.training import health
from nerf.training.batch import sample_batch
from nerf.training.state import TrainState, init_state
from nerf.training.step import StepFn, make_step

NUM_RAYS, NUM_COARSE, NUM_FINE = 32, 8, 8
NUM_TEST_RAYS = 512
# The run has collapsed where the rendered colours vary less than this share of the true ones.
FLAT = 0.1
_NONE = {
    "field.density_activation": "relu",
    "field.density_noise": "0",
    "train.warmup_steps": "0",
    "train.clip_norm": "0",
}
_PREVENTION = {
    "softplus density": {"field.density_activation": "softplus"},
    "density noise": {"field.density_noise": "1"},
    "warm-up": {"train.warmup_steps": "100"},
    "clipping": {"train.clip_norm": "1"},
}
MUST_BE_NOTICED = 200  # steps
VARIANTS = {
    "none": _NONE,
    **{name: {**_NONE, **change} for name, change in _PREVENTION.items()},
    "all": {name: value for change in _PREVENTION.values() for name, value in change.items()},
}


BENCHMARK = command_line.Benchmark(
    "collapse",
    "rows",
    report.collapse_row,
    compare.collapse,
    file_prefix="collapse-",
    heading=report.COLLAPSE_HEADING,
)

FLAGS = command_line.new_flags(chart=False)
command_line.define_backend(FLAGS)
list_flags.define_names(FLAGS, "preset", "notebook,paper", "which presets")
flags.DEFINE_alias("presets", "preset", flag_values=FLAGS)
list_flags.define_numbers(
    FLAGS, "lr_factors", "1,10", "factors of the preset's learning rate", low=1e-6, high=1e38
)
list_flags.define_choices(
    FLAGS, "variants", ",".join(VARIANTS), tuple(VARIANTS), "which kinds of prevention"
)
flags.DEFINE_string("scene", "procedural:flower", "a scene, as for nerf.main", flag_values=FLAGS)
flags.DEFINE_integer(
    "seeds", 10, "runs of each kind", lower_bound=1, upper_bound=10_000, flag_values=FLAGS
)
flags.DEFINE_integer(
    "steps", 200, "training steps of a run", lower_bound=1, upper_bound=1_000_000, flag_values=FLAGS
)


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        for preset in FLAGS.preset:
            presets.preset_of("mlp", preset)
        field_lib.check_names(FLAGS.backend, "mlp")
        asked = {name: FLAGS[name].value for name in ("backend", "scene", "steps", "seeds")}
        return {**asked, "rays": NUM_RAYS, "samples": [NUM_COARSE, NUM_FINE]}, measure_rows

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def measure_rows() -> Iterator[dict[str, Any]]:
    """One row for each preset, learning rate and kind of prevention."""
    scene = names.resolve_scene(FLAGS.scene).scene
    for preset, factor, variant in itertools.product(
        FLAGS.preset, FLAGS.lr_factors, FLAGS.variants
    ):
        config = settings(preset, factor, VARIANTS[variant])
        runs = measure(FLAGS.backend, config, scene, FLAGS.seeds, FLAGS.steps)
        yield summary(preset, factor, variant, runs)


def settings(preset: str, lr_factor: float, changes: Mapping[str, str]) -> Config:
    """A preset with few rays and samples, `lr_factor` times its learning rate, and `changes`.

    The learning rate decays as in the first steps of the preset's whole run, so it hardly changes.
    """
    base = presets.preset(preset)
    render = dataclasses.replace(base.render, num_coarse=NUM_COARSE, num_fine=NUM_FINE)
    train = dataclasses.replace(
        base.train,
        num_rays=NUM_RAYS,
        learning_rate=lr_factor * base.train.learning_rate,
        final_learning_rate=lr_factor * base.train.final_learning_rate,
    )
    config = dataclasses.replace(base, render=render, train=train)
    return config_text.override(config, *(f"{name}={value}" for name, value in changes.items()))


def measure(
    backend: str, config: Config, scene: Scene, num_seeds: int, num_steps: int
) -> list[dict[str, Any]]:
    """One run for each seed: whether it collapsed, and when and by which sign it was noticed."""
    field = field_lib.make_field(backend, "mlp", config.field)
    split = scene.split(config.train.holdout)
    train, test = (training_views(scene, indices) for indices in (split.train, split.test))
    step = make_step(field, config, train, space=scene.space)

    @jax.jit
    def score(state: TrainState) -> tuple[jax.Array, jax.Array, jax.Array]:
        batch = sample_batch(
            jax.random.key(0),
            test,
            num_rays=NUM_TEST_RAYS,
            space=scene.space,
            config=config.render,
        )
        fine = render_rays(field, state.params, batch.rays, config.render).fine
        mse = jnp.mean(jnp.square(fine.rgb - batch.rgb))
        spread = jnp.max(jnp.std(fine.rgb, axis=0)) / jnp.max(jnp.std(batch.rgb, axis=0))
        return -10.0 * jnp.log10(mse), spread, jnp.mean(fine.acc)

    runs = []
    for seed in tqdm.trange(num_seeds, desc=config.preset, leave=False):
        run = _Run(step, init_state(field, config, jax.random.key(seed)))
        run.train(num_steps)
        psnr, spread, acc = map(float, score(run.state))
        if spread <= FLAT and run.noticed is None:
            run.train(MUST_BE_NOTICED)
            psnr, spread, acc = map(float, score(run.state))
        runs.append(
            {
                "seed": seed,
                "steps": int(run.state.step),
                "psnr": psnr,
                "spread": spread,
                "acc": acc,
                "collapsed": not spread > FLAT,
                "noticed": run.noticed,
            }
        )
    return runs


class _Run:
    """One run; its step health is checked at every tenth step."""

    def __init__(self, step: StepFn, state: TrainState):
        self._step, self.state = step, state
        self.noticed: dict[str, Any] | None = None

    def train(self, num_steps: int) -> None:
        for _ in range(num_steps):
            self.state, _ = self._step(self.state)
            number = int(self.state.step)
            if self.noticed is None and number % 10 == 0:
                try:
                    health.check(jax.device_get(self.state.health), number)
                except health.TrainingCollapsed as collapse:
                    self.noticed = {"sign": collapse.symptom, "step": number}


def summary(
    preset: str, lr_factor: float, variant: str, runs: list[dict[str, Any]]
) -> dict[str, Any]:
    """One row: counts over the seeds, and every run."""
    collapsed = [run for run in runs if run["collapsed"]]
    return {
        "preset": preset,
        "lr_factor": lr_factor,
        "variant": variant,
        "num_runs": len(runs),
        "num_collapsed": len(collapsed),
        "num_unnoticed": sum(run["noticed"] is None for run in collapsed),
        "num_false_alarms": sum(run["noticed"] is not None for run in runs if not run["collapsed"]),
        "last_noticed_at": max(
            (run["noticed"]["step"] for run in runs if run["noticed"]), default=None
        ),
        "median_psnr": float(np.median([run["psnr"] for run in runs])),
        "runs": runs,
    }


if __name__ == "__main__":
    main(sys.argv)
