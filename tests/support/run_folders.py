"""Run folders for the tests of pages, written by hand: no field is trained."""

import json

import numpy as np

from nerf.config import presets, text
from nerf.output import images

HEIGHT, WIDTH = 40, 60


def write_run(folder, names=("IMG_1", "IMG_2"), *, quality=0.1, step=100, **record):
    """A finished run with images of two held-out views and a few readings.

    Args:
      folder: the run folder to make.
      names: of the held-out views.
      quality: how far the renderings are from the truth.
      step: the last one.
      **record: entries of `config.json`.
    """
    renders = folder / "renders"
    renders.mkdir(parents=True)
    values = {
        "mode": "train", "scene": "meadow", "source": "photographs", "field": "planes",
        "backend": "flax", "resolution": [HEIGHT, WIDTH], "space": "ndc", "device": "cpu",
        "precision": "float32", "notes": [], "seed": 0,
        "config": text.to_json(presets.PLANES), "versions": {"jax": "0.6.1"},
    } | record  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values))
    views = [_write_view(renders, index, name, quality) for index, name in enumerate(names)]
    means = {key: float(np.mean([v[key] for v in views])) for key in ("psnr", "ssim", "flip")}
    scored = means | {
        "views": views,
        "split": {"train": [8, 9], "test": list(range(len(names)))},
        "split_names": {"train": ["a", "b"], "test": list(names)},
        "resolution": [HEIGHT, WIDTH],
        "scene": values["scene"], "source": values["source"], "backend": values["backend"],
        "field": values["field"], "step": step, "renderer": "exact",
    }  # fmt: skip
    (folder / "eval.json").write_text(json.dumps(scored))
    lines = [
        {
            "step": n,
            "loss": 1.0 / n,
            "psnr": 20.0 + n / 10,
            "rays_per_second": 1e4,
            "seconds": n / 5,
        }
        for n in (1, step // 2, step)
    ]
    lines.append({"step": step, "test_psnr": 25.0, "seconds": step / 5})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def _write_view(renders, index, name, quality):
    """The images of a view; returns its scores."""
    v, u = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    truth = np.stack([u, v, np.full_like(u, 0.2 + 0.3 * (index % 2))], axis=-1).astype(np.float32)
    rendered = np.clip(truth + quality * np.sin(40 * u)[..., None], 0, 1).astype(np.float32)
    files = {
        "": rendered,
        "_truth": truth,
        "_error": images.colorize_error(rendered, truth),
        "_depth": images.colorize_depth((1.0 + v).astype(np.float32)),
    }
    for ending, image in files.items():
        images.write_png(renders / f"view_{index:03d}{ending}.png", image)
    psnr = -10 * np.log10(np.mean((rendered - truth) ** 2))
    return {
        "index": index, "name": name, "psnr": float(psnr), "ssim": 0.9 - quality - index / 100,
        "flip": quality, "depth_range": [1.0, 2.0],
    }  # fmt: skip
