"""Trains a field on a scene for a minute, scores it, and writes images, parameters and a video.

python examples/train_and_render.py procedural:flower --seconds=60 --out=out
"""

import argparse
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import nerf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", nargs="?", default="procedural:flower", help="a folder or a name")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--frames", type=int, default=30, help="of the video")
    parser.add_argument("--out", type=Path, default=Path("out"))
    arguments = parser.parse_args()

    nerf.use_all_cores()
    scene = nerf.load_scene(arguments.scene)
    config = nerf.fit_config("planes", scene)
    trained = nerf.train(scene, config, seconds=arguments.seconds, callback=report)

    scores = nerf.evaluate(trained, scene)
    print(f"held-out views: PSNR {scores.psnr:.2f} dB, SSIM {scores.ssim:.4f}")

    arguments.out.mkdir(parents=True, exist_ok=True)
    image = nerf.render_view(trained, scene.view(scores.split.test[0]))
    iio.imwrite(arguments.out / "view.png", np.round(255 * image.rgb).astype(np.uint8))
    nerf.save_params(arguments.out / "params.safetensors", trained)
    if arguments.frames:
        nerf.render_video(trained, arguments.out / "video.mp4", num_frames=arguments.frames)
    print(f"everything is in {arguments.out}")


def report(event: nerf.Event) -> None:
    if isinstance(event, nerf.StepMetrics) and event.step % 50 == 0:
        values = event.values
        print(f"step {event.step}: PSNR {values['psnr']:.2f} dB, {values['seconds']:.0f} s")


if __name__ == "__main__":
    main()
