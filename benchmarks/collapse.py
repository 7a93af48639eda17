"""How often training collapses, with and without what prevents it, and whether that is noticed.

    python -m benchmarks.collapse                       # both presets, ten seeds each: an hour
    python -m benchmarks.collapse --seeds=1 --steps=3   # a minute

Every run trains the full network on the bundled flower with few rays and samples, so that it takes
seconds. Each kind of prevention is tried alone, against none of them, at the preset's learning rate
and at ten times that. At the end the held-out views tell whether the run has collapsed, without a
look at the counters that are to notice it: a picture whose colours hardly differ from ray to ray is
no picture. A run that has collapsed unnoticed goes on for the 200 steps within which that must be
noticed; where it has recovered by then, it had not collapsed.
"""

import argparse
import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from benchmarks import machine
from nerf import field as field_lib
from nerf.config import presets
from nerf.config import text as config_text
from nerf.config.settings import Config
from nerf.render.rays import render_rays
from nerf.runtime import parallel
from nerf.scenes import names
from nerf.scenes.scene import Scene
from nerf.training import health
from nerf.training.batch import TrainingViews, sample_batch
from nerf.training.step import StepFn, TrainState, init_state, make_step

NUM_RAYS, NUM_COARSE, NUM_FINE = 32, 8, 8
NUM_TEST_RAYS = 512
FLAT = 0.1  # spread of the colours of no picture, as a share of that of the pixels
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="flax")
    parser.add_argument("--presets", default="notebook,paper")
    parser.add_argument("--lr_factors", default="1,10", help="times the preset's learning rate")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--scene", default="procedural:flower")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    parallel.use_all_cores()
    scene = names.load_scene(args.scene).scene
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **machine.describe(),
        "backend": args.backend,
        "scene": args.scene,
        "steps": args.steps,
        "rays": NUM_RAYS,
        "samples": [NUM_COARSE, NUM_FINE],
        "rows": [],
    }
    name = f"collapse-{machine.file_name(result['device'], result['date'])}"
    out = args.out or Path(__file__).parent / "results" / name
    for preset in args.presets.split(","):
        for factor in map(float, args.lr_factors.split(",")):
            for variant in args.variants.split(","):
                config = settings(preset, factor, VARIANTS[variant])
                runs = measure(args.backend, config, scene, args.seeds, args.steps)
                result["rows"].append(summary(preset, factor, variant, runs))
                print(line(result["rows"][-1]), flush=True)
                out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {out}")


def settings(preset: str, lr_factor: float, changes: Mapping[str, str]) -> Config:
    """A preset with few rays and samples, a learning rate times `lr_factor`, and `changes`.

    The learning rate falls as it would in the first steps of the preset's whole run: hardly.
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
    """One run a seed: whether it collapsed, and when and as what that was noticed."""
    field = field_lib.make_field(backend, "mlp", config.field)
    split = scene.split(config.train.holdout)
    train, test = (_views(scene, indices) for indices in (split.train, split.test))
    step = make_step(
        field,
        config,
        scene.cameras,
        space=scene.space,
    )

    @jax.jit
    def score(state: TrainState) -> tuple[jax.Array, jax.Array, jax.Array]:
        batch = sample_batch(
            jax.random.key(0),
            test,
            scene.cameras,
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
        run = _Run(step, init_state(field, config, jax.random.key(seed)), train)
        run.go_on(num_steps)
        psnr, spread, acc = map(float, score(run.state))
        if spread <= FLAT and run.noticed is None:
            run.go_on(MUST_BE_NOTICED)
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
    """One run, and the first sign of collapse, looked for at every tenth step."""

    def __init__(self, step: StepFn, state: TrainState, views: TrainingViews):
        self._step, self._views, self.state = step, views, state
        self.noticed: dict[str, Any] | None = None

    def go_on(self, num_steps: int) -> None:
        for _ in range(num_steps):
            self.state, _ = self._step(self.state, self._views)
            number = int(self.state.step)
            if self.noticed is None and number % 10 == 0:
                try:
                    health.check(jax.device_get(self.state.health), number)
                except health.TrainingCollapsed as collapse:
                    self.noticed = {"sign": collapse.sign, "step": number}


def _views(scene: Scene, indices: Sequence[int]) -> TrainingViews:
    index = np.array(indices)
    return TrainingViews(
        jnp.asarray(scene.images[index]),
        jnp.asarray(scene.cameras.camtoworlds[index]),
        jnp.asarray(scene.bounds[index]),
    )


def summary(
    preset: str, lr_factor: float, variant: str, runs: list[dict[str, Any]]
) -> dict[str, Any]:
    """Counts over the seeds, and every run."""
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


def line(row: dict[str, Any]) -> str:
    """One row of the table, in Markdown."""
    return (
        f"| {row['preset']} | {row['lr_factor']:g} | {row['variant']} | {row['num_collapsed']} of "
        f"{row['num_runs']} | {row['num_unnoticed']} | {row['num_false_alarms']} | "
        f"{row['last_noticed_at'] or ''} | {row['median_psnr']:.1f} |"
    )


if __name__ == "__main__":
    main()
