"""How fast the viewer draws: images a second while the camera moves, seconds to a sharp image.

    python -m benchmarks.viewer_speed --run=runs/flower-procedural-flax-planes
    python -m benchmarks.viewer_speed --run=RUN --readings=2 --seconds=1      # seconds

What is measured is what a window of `nerf.view` does, up to its JPEG images: the coarse image of
each new camera while the camera moves all the time, and all images of a camera that stands still,
from the coarse one to the one as large as the window. The browser and the network are not measured.
The seconds of all cores, of which a shared machine gives some to others, say what the image costs.
"""

import io
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from benchmarks import command_line, list_flags
from benchmarks.timing import spread
from nerf.errors import UserError
from nerf.jobs.load import load_run
from nerf.jobs.trained_field import TrainedField
from nerf.output.images import ByteImage
from nerf.viewer.cameras import PageCamera, PageFrame, home_index, upright_pose, window_fov
from nerf.viewer.drawing import DrawLoop, DrawRequest
from nerf.viewer.source import FieldSource
from nerf.viewer.status import Status

_SECONDS_BETWEEN_CAMERAS = 1 / 60  # as a browser sends them
_LONGEST = 600.0  # seconds to wait for an image
_STEP = 0.002  # radians that the camera turns from one to the next

HEADING = (
    "| run | window | images/s while moving | of pixels | seconds to the sharp image "
    "| seconds of all cores |\n| --- | --- | --- | --- | --- | --- |"
)


def table_row(row: dict[str, Any]) -> str:
    """One row of a Markdown table whose head is HEADING."""
    sharp = row["sharp_seconds"]
    return (
        f"| {row['scene']}, {row['field']} | {row['window']} | {row['moving_per_second']:.1f} | "
        f"{row['moving_size']} | {sharp['median']:.2f} ({sharp['min']:.2f} - {sharp['max']:.2f}) | "
        f"{row['sharp_core_seconds']['median']:.2f} |"
    )


def compared(now: dict[str, Any], earlier: dict[str, Any]) -> list[str]:
    """The ratio of the seconds to a sharp image, by window."""
    before = {row["window"]: row["sharp_seconds"]["median"] for row in earlier["windows"]}
    return [
        f"{row['window']}: {row['sharp_seconds']['median'] / before[row['window']]:.3f} times the "
        "seconds"
        for row in now["windows"]
        if row["window"] in before
    ]


BENCHMARK = command_line.Benchmark(
    "viewer", "windows", table_row, compared, file_prefix="viewer-", heading=HEADING
)

FLAGS = command_line.new_flags(chart=False)
flags.DEFINE_string("run", None, "the run folder that is shown", flag_values=FLAGS)
list_flags.define_names(FLAGS, "window", "504x378,1280x800", "sizes WIDTHxHEIGHT of the window")
command_line.define_readings(FLAGS, 5)
flags.DEFINE_float(
    "seconds", 5.0, "how long the camera moves", lower_bound=0.1, upper_bound=600, flag_values=FLAGS
)


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        if not FLAGS.run:
            raise UserError("--run names the run folder that is shown")
        windows = [_size(text) for text in FLAGS.window]
        asked = {"readings": FLAGS.readings, "seconds": FLAGS.seconds}
        return asked, lambda: measure(Path(FLAGS.run), windows, FLAGS.readings, FLAGS.seconds)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def _size(text: str) -> tuple[int, int]:
    """Width and height."""
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if found is None:
        raise UserError(f"--window={text}: expected WIDTHxHEIGHT in pixels, e.g. 504x378")
    return int(found[1]), int(found[2])


class Screen:
    """Takes the images of a window, as JPEG, and wakes whoever waits for a sharp one."""

    def __init__(self) -> None:
        self.statuses: list[Status] = []
        self._changed = threading.Condition()
        self._error: Exception | None = None

    def show(self, image: ByteImage, quality: int) -> None:
        """See `nerf.viewer.drawing.Screen`."""
        Image.fromarray(image).save(io.BytesIO(), format="jpeg", quality=quality)

    def report(self, status: Status) -> None:
        """See `nerf.viewer.drawing.Screen`."""
        with self._changed:
            self.statuses.append(status)
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """See `nerf.viewer.drawing.Screen`."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def wait_until_sharp(self, start: int) -> None:
        """Waits for a sharp image after the first `start` images; what was raised is raised."""

        def is_there() -> bool:
            return self._error is not None or any(x.is_sharp for x in self.statuses[start:])

        with self._changed:
            if not self._changed.wait_for(is_there, _LONGEST):
                raise UserError(f"no sharp image within {_LONGEST:.0f} s: give a smaller --window")
        if self._error is not None:
            raise self._error


def measure(
    run: Path, windows: Sequence[tuple[int, int]], num_readings: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """One row for each window, given by width and height."""
    trained = load_run(run.expanduser())
    record, source = trained.needed_scene(), FieldSource(trained)
    frame, screen = PageFrame.of(record), Screen()
    loop = DrawLoop(source, frame, screen)
    try:
        for width, height in windows:
            cameras = _turning(trained, frame, width, height)
            sharp = [_sharp_seconds(loop, screen, next(cameras)) for _ in range(2 + num_readings)]
            moving, took = _moving(loop, screen, cameras, seconds)
            yield {
                "scene": trained.scene_name,
                "field": trained.field_name,
                "window": f"{width}x{height}",
                # The first is compiled, and by the second the speed is known.
                "sharp_seconds": spread([wall for wall, _ in sharp[2:]])._asdict(),
                "sharp_core_seconds": spread([cores for _, cores in sharp[2:]])._asdict(),
                "moving_per_second": len(moving) / took,
                "moving_size": f"{moving[-1].width}x{moving[-1].height}" if moving else "none",
                "rays_per_second": source.speed.rays_per_second,
            }
    finally:
        loop.close()
        loop.join(_LONGEST)  # a thread that computes while Python ends would abort the process


def _turning(
    trained: TrainedField, frame: PageFrame, width: int, height: int
) -> Iterator[PageCamera]:
    """A camera at the start of the page that turns to and fro."""
    record = trained.needed_scene()
    camera = record.cameras[home_index(record)]
    wxyz, position = frame.to_page(upright_pose(camera.camtoworlds))
    fov, number = window_fov(camera, width / height), 0
    while True:
        angle = 0.05 * math.sin(number * _STEP / 0.05)
        w, x, y, z = wxyz
        c, s = math.cos(0.5 * angle), math.sin(0.5 * angle)  # about the camera's own vertical axis
        turned = (c * w - s * y, c * x - s * z, c * y + s * w, c * z + s * x)
        yield PageCamera(np.array(turned), position, fov, width, height)
        number += 1


def _sharp_seconds(loop: DrawLoop, screen: Screen, camera: PageCamera) -> tuple[float, float]:
    """From a new camera to the image as large as the window: seconds, and those of all cores."""
    start, before, busy = len(screen.statuses), time.perf_counter(), time.process_time()
    loop.request(DrawRequest(camera))
    screen.wait_until_sharp(start)
    return time.perf_counter() - before, time.process_time() - busy


def _moving(
    loop: DrawLoop, screen: Screen, cameras: Iterator[PageCamera], seconds: float
) -> tuple[list[Status], float]:
    """The images of a camera that moves for some seconds, and the seconds that it took."""
    first, start = len(screen.statuses), time.perf_counter()
    while time.perf_counter() - start < seconds:
        loop.request(DrawRequest(next(cameras)))
        time.sleep(_SECONDS_BETWEEN_CAMERAS)
    return screen.statuses[first:], time.perf_counter() - start


if __name__ == "__main__":
    main(sys.argv)
