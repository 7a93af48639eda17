"""What the corrections of views are worth: runs with a fault put in, with and without correction.

    python -m tools.corrections exposure --scene=room,flower --steps=2000
    python -m tools.corrections poses --scene=flower,table --steps=2000

The fault of `exposure` is put into the training views of a bundled scene in memory: exposure
changes by up to one stop in either direction, in linear light and clipped at 1, and the white
balance with it. Held-out views keep their images; they are scored against those, after gains of the
three channels that are common to all of them.

The fault of `poses` is that of `tools.pose_noise`. Held-out views have it too; where poses are
corrected, they are scored from the poses that they are aligned to.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

import nerf
from nerf.corrections import exposure
from nerf.geometry.alignment import pose_errors
from nerf.render import image_metrics
from nerf.runtime.events import ignore_event
from nerf.scenes.image_store import ImageStore
from nerf.scenes.splits import Holdout
from tools.pose_noise import with_pose_noise

MAX_STOPS = 1.0
WHITE_BALANCE = 0.15  # standard deviation of the logarithm of a channel's gain


def with_exposure_fault(scene: nerf.Scene, config: nerf.Config, seed: int) -> nerf.Scene:
    """The scene with other exposure and white balance in each training view."""
    rng = np.random.default_rng(seed)
    stops = rng.uniform(-MAX_STOPS, MAX_STOPS, (scene.num_views, 1))
    log_gains = np.log(2.0) * stops + rng.normal(0.0, WHITE_BALANCE, (scene.num_views, 3))
    log_gains[list(scene.split(Holdout.of(config.train)).test)] = 0.0
    images = [
        exposure.clipped(image, gains.astype(np.float32))
        for image, gains in zip(scene.images, log_gains, strict=True)
    ]
    store = ImageStore.of(np.stack(images), scene.images.background or "white")
    return dataclasses.replace(scene, images=store)


def score_up_to_gains(trained: nerf.TrainedField, scene: nerf.Scene) -> float:
    """Mean PSNR of the held-out views in dB, after gains that are common to all of them."""
    test = scene.split(Holdout.of(trained.config.train)).test
    truths = [scene.images[index] for index in test]
    drawn = [
        nerf.render_view(trained, scene.cameras[index], callback=ignore_event).rgb for index in test
    ]
    log_gains = exposure.fit_log_gains(_joined(drawn), _joined(truths))
    scores = [
        image_metrics.psnr(exposure.clipped(image, log_gains), truth)
        for image, truth in zip(drawn, truths, strict=True)
    ]
    return float(np.mean(scores))


def _joined(images: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """The pixels `[num_pixels, 3]` of all images."""
    return np.concatenate([image.reshape(-1, 3) for image in images])


def exposure_rows(name: str, args: argparse.Namespace, seed: int) -> None:
    """Prints a row for each pair of fault and correction."""
    scene = nerf.load_scene(f"procedural:{name}", callback=ignore_event)
    plain = nerf.fit_config(args.field, scene)
    for is_faulty in (False, True):
        seen = with_exposure_fault(scene, plain, seed) if is_faulty else scene
        for setting in ("off", "on"):
            config = nerf.fit_config(args.field, seen, exposure=setting, **args.settings)
            start = time.monotonic()
            trained = nerf.train(seen, config, steps=args.steps, seed=seed, callback=ignore_event)
            seconds = time.monotonic() - start
            psnr = score_up_to_gains(trained, scene)
            fault = "exposure" if is_faulty else "none"
            show(name, seed, fault, f"exposure {setting}", f"{psnr:6.2f} dB", f"{seconds:.0f} s")


def poses_rows(name: str, args: argparse.Namespace, seed: int) -> None:
    """The same for poses, with their mean errors after a similarity alignment."""
    scene = nerf.load_scene(f"procedural:{name}", callback=ignore_event)
    for is_faulty in (False, True):
        seen = with_pose_noise(scene, seed=seed) if is_faulty else scene
        for setting in ("off", "on"):
            config = nerf.fit_config(args.field, seen, poses=setting, **args.settings)
            start = time.monotonic()
            trained = nerf.train(seen, config, steps=args.steps, seed=seed, callback=ignore_event)
            seconds = time.monotonic() - start
            views = sorted(trained.needed_scene().split.train)
            found, truth = (each.cameras.camtoworlds[views] for each in (seen, scene))
            if trained.corrections is not None and trained.corrections.camtoworlds is not None:
                found = trained.corrections.camtoworlds
            angles, distances = pose_errors(found, truth)
            psnr = nerf.evaluate(trained, seen, callback=ignore_event).psnr
            errors = f"{np.degrees(angles.mean()):.3f} deg, {distances.mean():.4f}"
            fault = "poses" if is_faulty else "none"
            score = f"{psnr:6.2f} dB, poses off by {errors}"
            show(name, seed, fault, f"poses {setting}", score, f"{seconds:.0f} s")


def show(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main(argv: Sequence[str]) -> None:
    """Measures what the arguments ask for, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fault", choices=("exposure", "poses"))
    parser.add_argument("--scene", default="room,flower")
    parser.add_argument("--field", default="planes")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rays", type=int, help="a step; those of the preset by default")
    args = parser.parse_args(argv)
    args.settings = {} if args.rays is None else {"num_rays": args.rays}
    show("scene", "seed", "fault", "correction", "held out", "training")
    show(*["---"] * 6)
    for name in args.scene.split(","):
        for seed in range(args.seeds):
            {"exposure": exposure_rows, "poses": poses_rows}[args.fault](name, args, seed)


if __name__ == "__main__":
    main(sys.argv[1:])
