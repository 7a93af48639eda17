"""Two videos of one camera path beside each other, under what they show.

python -m tools.videos_beside --out=beside.mp4 'MLP=demo/flower/video.mp4' 'planes=other/video.mp4'
"""

import argparse
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from nerf.errors import UserError
from nerf.output import images


def write_beside(out: Path, named: list[tuple[str, Path]]) -> None:
    """Writes the frames of several videos in a row.

    Args:
      out: the .mp4 to write.
      named: caption and file of each.

    Raises:
      UserError: if one cannot be read, or they differ in size or in their number of frames.
    """
    videos = []
    for _, path in named:
        if not path.is_file():
            raise UserError(f"no video at {path}: render it first, with --mode=render")
        try:
            videos.append(iio.imread(path, plugin="FFMPEG"))
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path} cannot be read as a video ({error})") from error
    shapes = {video.shape for video in videos}
    if len(shapes) > 1:
        sizes = ", ".join(f"{len(v)} frames of {v.shape[2]}x{v.shape[1]}" for v in videos)
        raise UserError(f"the videos do not match: {sizes}")
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, frames in enumerate(zip(*videos, strict=True)):
            panels = [
                (caption, frame.astype(np.float32) / 255.0)
                for (caption, _), frame in zip(named, frames, strict=True)
            ]
            files.append(Path(folder) / f"{number:05d}.png")
            images.write_sheet(files[-1], images.side_by_side(panels))
        images.write_video(out, files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the .mp4 to write")
    parser.add_argument("videos", nargs="+", metavar="CAPTION=FILE", help="what it is, and where")
    args = parser.parse_args()
    named = [(caption, Path(path)) for caption, _, path in (v.partition("=") for v in args.videos)]
    try:
        write_beside(args.out, named)
    except UserError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"both videos: {args.out}")


if __name__ == "__main__":
    main()
