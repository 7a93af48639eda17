"""Joins videos of one camera path side by side, each with its caption.

python -m tools.side_by_side_videos --out=both.mp4 'MLP=mlp/video.mp4' 'planes=planes/video.mp4'
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from nerf.cli.exits import exit_on_error
from nerf.errors import UserError
from nerf.output import images, video


def write_side_by_side(out: Path, named: list[tuple[str, Path]]) -> None:
    """Writes one video whose frames show those of several videos in a row.

    A video with a whole fraction of another's frames stands still in between.

    Args:
      out: the .mp4 to write.
      named: caption and file of each video.

    Raises:
      UserError: if a video cannot be read, or they differ in size, or their numbers of frames have
        no such relation.
    """
    videos = []
    for _, path in named:
        if not path.is_file():
            raise UserError(f"no video at {path}: render it first, with --mode=render")
        try:
            videos.append(iio.imread(path, plugin="FFMPEG"))
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path} cannot be read as a video ({error})") from error
    most = max(len(video) for video in videos)
    if len({video.shape[1:] for video in videos}) > 1 or any(most % len(v) for v in videos):
        sizes = ", ".join(f"{len(v)} frames of {v.shape[2]}x{v.shape[1]}" for v in videos)
        raise UserError(f"the videos do not match: {sizes}")
    videos = [np.repeat(video, most // len(video), axis=0) for video in videos]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, frames in enumerate(zip(*videos, strict=True)):
            panels = [
                (caption, frame.astype(np.float32) / 255.0)
                for (caption, _), frame in zip(named, frames, strict=True)
            ]
            files.append(Path(folder) / f"{number:05d}.png")
            images.write_sheet(files[-1], images.side_by_side(panels))
        video.write_video(out, files)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the .mp4 to write")
    parser.add_argument("videos", nargs="+", metavar="CAPTION=FILE", help="caption and video")
    args = parser.parse_args(argv)
    named = [(caption, Path(path)) for caption, _, path in (v.partition("=") for v in args.videos)]
    with exit_on_error(out_of_memory="take smaller videos"):
        write_side_by_side(args.out, named)
        print(f"video: {args.out}")


if __name__ == "__main__":
    main()
