"""The figures of one training run, from its run folder."""

from pathlib import Path
from typing import Any

from nerf.errors import UserError
from nerf.runs import metrics, parameters, run_folder


def read(run_dir: Path, backend: str) -> dict[str, Any]:
    """What a run that is trained and scored has cost, and how good it is.

    Args:
      run_dir: its folder.
      backend: that it was trained with.

    Returns:
      Scene, size, numbers of views and parameters; steps, trained rays and seconds of training,
      compilation included; scores, as means over the held-out views and of each view. The rate is
      that of the whole training.

    Raises:
      UserError: if the folder lacks a file, or its training ended before the first step.
    """
    scored = run_folder.read_json(run_dir / run_folder.EVAL_FILE)
    settings = run_folder.read_json(run_dir / run_folder.CONFIG_FILE)["config"]
    num_rays = settings["train"]["num_rays"]
    readings = [line for line in metrics.read(run_dir) if "loss" in line]
    if not readings:
        raise UserError(f"training ended before its first step in {run_dir}: train longer")
    last = readings[-1]
    return {
        **{name: scored[name] for name in ("scene", "source", "resolution")},
        "num_views": {part: len(indices) for part, indices in scored["split"].items()},
        "train_seconds": last["seconds"],
        "steps": scored["step"],
        "rays": scored["step"] * num_rays,
        "rays_per_second": last["step"] * num_rays / last["seconds"],
        "psnr": scored["psnr"],
        "ssim": scored["ssim"],
        "depth_error": scored.get("depth_error"),
        "views": scored["views"],
        "num_parameters": parameters.count(parameters.load(run_dir, backend).params),
    }
