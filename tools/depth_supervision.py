"""What known depths are worth: runs with and without, on a bundled scene with noisy points.

    python -m tools.depth_supervision --views=6,all --steps=1000

Points are drawn on the surfaces that the training views show, as COLMAP finds them: each is seen by
all training views in which nothing is in front of it. Their depths are wrong by 1 %, and one point
in twenty is anywhere.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

import nerf
from nerf.runtime.events import Event, Preview, ignore_event
from nerf.scenes.depth_samples import DepthSamples
from nerf.scenes.scene import Split
from nerf.scenes.splits import Holdout

_SAME_SURFACE = 0.03  # of the depth


def noisy_points(
    scene: nerf.Scene,
    views: Sequence[int],
    num_points: int,
    *,
    noise: float = 0.01,
    outliers: float = 0.05,
    seed: int = 0,
) -> DepthSamples:
    """Depths of points on the surfaces of a bundled scene, in all views that see them.

    Args:
      scene: with exact depth and pinhole cameras.
      views: the views that see points.
      num_points: points.
      noise: standard deviation of a point's depth, relative to it.
      outliers: the share of points that are anywhere between near and far.
      seed: of the random numbers.
    """
    assert scene.depth is not None
    rng = np.random.default_rng(seed)
    _, height, width = scene.depth.shape
    first = rng.choice(np.asarray(views), num_points)
    columns, rows = rng.integers(0, width, num_points), rng.integers(0, height, num_points)
    depth = scene.depth[first, rows, columns].astype(np.float64)
    is_wrong = rng.random(num_points) < outliers
    shift = 1.0 + noise * rng.normal(size=num_points)
    near, far = np.asarray(scene.cameras.bounds, np.float64)[first].T
    anywhere = near + rng.random(num_points) * (far - near)
    points = _points(scene, first, columns, rows, depth)
    moved = _points(scene, first, columns, rows, np.where(is_wrong, anywhere, shift * depth))
    found = []
    for view in views:
        column, row, own = _project(scene, view, points)
        inside = (
            (own > 0) & (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
        )
        at = [
            np.clip(np.round(x), 0, n - 1).astype(int) for x, n in ((row, height), (column, width))
        ]
        true = scene.depth[view][tuple(at)]
        inside &= np.abs(own - true) < _SAME_SURFACE * true
        column, row, own = (x[inside] for x in _project(scene, view, moved))
        keep = own > 0
        found.append(np.stack([np.full(keep.sum(), view), column[keep], row[keep], own[keep]]))
    view, column, row, depth = np.concatenate(found, axis=1)
    column, row, depth = (x.astype(np.float32) for x in (column, row, depth))
    sigma = np.float32(noise) * depth
    weight = np.ones_like(depth)
    return DepthSamples(
        view.astype(np.int32), column, row, depth, sigma, weight, source="noisy points"
    )


def _points(
    scene: nerf.Scene,
    views: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    depth: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Points `[num_points, 3]` in scene units at depths of pixels."""
    cameras = scene.cameras
    focal = np.asarray(cameras.focal, np.float64)[views]
    x, y = (columns - 0.5 * cameras.width) / focal, (rows - 0.5 * cameras.height) / focal
    local = np.stack([x, -y, -np.ones_like(x)], axis=-1) * depth[:, None]
    poses = np.asarray(cameras.camtoworlds, np.float64)[views]
    return np.asarray(np.einsum("pij,pj->pi", poses[:, :, :3], local) + poses[:, :, 3])


def _project(
    scene: nerf.Scene, view: int, points: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Columns, rows and depths `[num_points]` of points in a view."""
    cameras = scene.cameras
    pose = np.asarray(cameras.camtoworlds, np.float64)[view]
    local = (points - pose[:, 3]) @ pose[:, :3]
    depth, focal = -local[:, 2], float(cameras.focal[view])
    column = focal * local[:, 0] / depth + 0.5 * cameras.width
    row = -focal * local[:, 1] / depth + 0.5 * cameras.height
    return column, row, depth


def with_points(
    scene: nerf.Scene, num_views: int | None, choice: str, num_points: int, seed: int
) -> nerf.Scene:
    """The scene with some of its training views, and points that they see.

    Args:
      scene: with exact depth.
      num_views: training views; None for all.
      choice: `even`, spread over all of them, or `left`, those farthest to the left, so that the
        held-out views are not between them.
      num_points, seed: see `noisy_points`.
    """
    split = scene.split(Holdout.of(nerf.fit_config("planes", scene).train))
    train = split.train
    if num_views is not None and choice == "left":
        train = tuple(sorted(train, key=lambda i: scene.cameras.camtoworlds[i, 0, 3])[:num_views])
    elif num_views is not None:
        which = np.linspace(0, len(train) - 1, num_views).round().astype(int)
        train = tuple(train[i] for i in which)
    return dataclasses.replace(
        scene,
        given_split=Split(tuple(sorted(train)), split.test),
        depth_samples=noisy_points(scene, sorted(train), num_points, seed=seed),
    )


def row(scene: nerf.Scene, args: argparse.Namespace, seed: int, setting: str) -> None:
    """Trains, and prints a row."""
    settings = dict(pair.split("=") for pair in args.settings.split(",") if pair)
    config = nerf.fit_config(
        args.field,
        scene,
        depth=setting,
        use_file_split=True,
        **{k: float(v) if "." in v else int(v) for k, v in settings.items()},
    )
    scores: dict[int, float] = {}

    def listen(event: Event) -> None:
        if isinstance(event, Preview):
            scores[event.step] = event.psnr

    start = time.monotonic()
    trained = nerf.train(
        scene, config, steps=args.steps, seed=seed, callback=listen,
        options=nerf.TrainOptions(eval_every=args.eval_every),
    )  # fmt: skip
    seconds = time.monotonic() - start
    scored = nerf.evaluate(trained, scene, callback=ignore_event)
    curve = " ".join(f"{step}:{psnr:.2f}" for step, psnr in scores.items())
    num = len(scene.split(Holdout.of(config.train)).train)
    show(
        num,
        seed,
        setting,
        args.settings,
        f"{scored.psnr:.2f}",
        f"{scored.depth_error:.4f}",
        curve,
        f"{seconds:.0f}",
    )


def show(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main(argv: Sequence[str]) -> None:
    """Measures what the arguments ask for, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", default="procedural:room")
    parser.add_argument("--field", default="planes")
    parser.add_argument("--views", default="6,all")
    parser.add_argument("--choice", choices=("even", "left"), default="even")
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--eval_every", type=int, default=100)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--depth", default="off,on")
    parser.add_argument("--settings", default="", help="NAME=NUMBER,...")
    args = parser.parse_args(argv)
    show(
        "views",
        "seed",
        "depth",
        "settings",
        "held out, dB",
        "depth error",
        "one held-out view by step",
        "s",
    )
    show(*["---"] * 8)
    scene = nerf.load_scene(args.scene, callback=ignore_event)
    for views in args.views.split(","):
        for seed in map(int, args.seeds.split(",")):
            num_views = None if views == "all" else int(views)
            seen = with_points(scene, num_views, args.choice, args.points, seed)
            for setting in args.depth.split(","):
                row(seen, args, seed, setting)


if __name__ == "__main__":
    main(sys.argv[1:])
