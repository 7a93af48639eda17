"""Captures from Agisoft Metashape: the XML file of "Export Cameras", beside the images.

A camera's `transform` is camera to chunk, with the axes right, down, forward. A sensor's
calibration has f, cx, cy, b1, b2 in pixels and k1 to k4, p1, p2; cx and cy are measured from the
middle of the image, and the centre of the first pixel is at (0.5, 0.5):

    x' = x (1 + k1 r^2 + ...) + p1 (r^2 + 2 x^2) + 2 p2 x y     u = w/2 + cx + (f + b1) x' + b2 y'
    y' = y (1 + k1 r^2 + ...) + p2 (r^2 + 2 y^2) + 2 p1 x y     v = h/2 + cy + f y'

so its p1 and p2 are OpenCV's p2 and p1. Lengths and axes stay those of the chunk: its own transform
to a reference system is not applied, since that may be the earth's.

Source: Agisoft, "Metashape User Manual", appendix "Camera models"; its Python reference,
`Camera.transform`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from nerf.captures.advice.repeated_faults import merge_faults
from nerf.captures.capture import Capture, InvalidCapture
from nerf.captures.format_record import Format, Names
from nerf.captures.readers.posed_images import (
    PosedImage,
    finite_number,
    finite_numbers,
    from_opencv,
    image_length,
    make_capture,
)
from nerf.captures.safe_files.reading import files_with, read_and_not
from nerf.captures.safe_files.tables import changes_rays
from nerf.captures.safe_files.xml_files import read_xml, text_head_of
from nerf.errors import UserError, counted, listed

_NAME = "metashape"
_MAX_FILES = 20  # XML files that are looked at
_READ = ("f", "cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2")  # terms of a lens
_KINDS = {"frame": False, "fisheye": True}  # whether a sensor of that type is a fisheye


class _Sensor(NamedTuple):
    """The lens of a sensor: the ten numbers of `make_lens`, its size, and unused values."""

    row: tuple[float, ...]
    size: tuple[int, int]
    fisheye: bool
    skew: float


def metashape_files(folder: Path, *, follow_links: bool = False) -> list[Path]:
    """The XML files of cameras in a folder; the first is read."""
    found = []
    for path in files_with(folder, ".xml")[:_MAX_FILES]:
        head = text_head_of(path, follow_links=follow_links)
        if "<document" in head and "<chunk" in head:
            found.append(path)
    return found


def is_metashape(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has such a file."""
    return bool(metashape_files(folder, follow_links=follow_links))


def read_metashape(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the cameras of the first chunk and finds their images by their labels.

    Args:
      folder: contains the file and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    paths = metashape_files(poses or folder, follow_links=follow_links)
    if not paths:
        raise UserError(f"no XML file of cameras in {folder}: File > Export > Export Cameras")
    path = paths[0]
    chunks = read_xml(path, follow_links=follow_links).findall("chunk")
    cameras = list(chunks[0].iter("camera")) if chunks else []
    if not cameras:
        raise UserError(f"{path} has no chunk with cameras: export the cameras again")
    with_pose, notes = _cameras_with_pose(path, cameras)
    notes = [*read_and_not(paths), *notes]
    if len(chunks) > 1:
        notes.append(f"{path.name} has {len(chunks)} chunks, and only the first is read")
    sensors: dict[str, _Sensor | UserError] = {}
    for sensor in chunks[0].iter("sensor"):
        try:
            sensors[sensor.get("id", "")] = _sensor(path, sensor)
        except UserError as problem:
            sensors[sensor.get("id", "")] = problem
    images = _images(path, with_pose, sensors)
    skew = max((abs(s.skew) for s in sensors.values() if isinstance(s, _Sensor)), default=0.0)
    if skew > 0:
        notes.append(f"the skew b2 of {skew:.3g} pixels is not used")
    return make_capture(_NAME, folder, images, factor, notes, follow_links=follow_links)


def _cameras_with_pose(path: Path, cameras: list[Element]) -> tuple[list[Element], list[str]]:
    """The cameras that have a pose in the largest component, and notes on the others."""
    notes = []
    disabled = [camera for camera in cameras if camera.get("enabled") in ("0", "false")]
    if disabled:
        are = counted(len(disabled), "camera is", "cameras are")
        notes.append(f"{are} disabled in {path.name} and not used")
    enabled = [camera for camera in cameras if camera not in disabled]
    with_pose = [camera for camera in enabled if camera.find("transform") is not None]
    if not with_pose:
        raise UserError(f"{path} has no camera with a pose: align the photos and export them again")
    if len(with_pose) < len(enabled):
        labels = listed(camera.get("label", "?") for camera in enabled if camera not in with_pose)
        were = counted(len(enabled) - len(with_pose), "camera was", "cameras were")
        notes.append(f"{were} not aligned: {labels}")
    components = [camera.get("component_id", "") for camera in with_pose]
    largest = max(components, key=components.count)
    if components.count(largest) < len(with_pose):
        notes.append(
            f"{path.name} has {len(set(components))} components whose poses do not fit each other, "
            f"and only the largest, of {counted(components.count(largest), 'camera')}, is read"
        )
    return [c for c, part in zip(with_pose, components, strict=True) if part == largest], notes


def _images(
    path: Path, cameras: list[Element], sensors: Mapping[str, _Sensor | UserError]
) -> list[PosedImage]:
    """The poses of cameras with the lenses of their sensors."""
    images: list[PosedImage] = []
    problems: list[tuple[str, str]] = []
    for number, camera in enumerate(cameras):
        label = camera.get("label") or ""
        where = f"{path}, camera {label or number}"
        try:
            if not label.strip():
                raise UserError(f"{where} has no label: export the cameras again")
            sensor = sensors.get(camera.get("sensor_id", ""))
            if sensor is None:
                raise UserError(f"{where} has no sensor: export the cameras again")
            if isinstance(sensor, UserError):
                raise sensor
            words = (camera.findtext("transform") or "").split()
            matrix = np.array(finite_numbers(words, 16, f"{where}: transform")).reshape(4, 4)
            images.append(_image(label, matrix, sensor))
        except UserError as problem:
            problems.append((f"camera {label or number}", str(problem)))
    if problems:
        raise InvalidCapture(merge_faults(problems, "cameras"))
    return images


def _image(label: str, matrix: np.ndarray, sensor: _Sensor) -> PosedImage:
    return PosedImage(
        label, from_opencv(matrix), lambda *_: sensor.row, sensor.size, sensor.fisheye
    )


def _sensor(path: Path, sensor: Element) -> _Sensor:
    """The lens of a sensor."""
    where = f"{path}, sensor {sensor.get('label') or sensor.get('id')}"
    calibrations = sensor.findall("calibration")
    if not calibrations:
        raise UserError(f"{where} has no calibration: align the photos and export them again")
    adjusted = [c for c in calibrations if c.get("class") == "adjusted"]
    calibration = (adjusted or calibrations)[-1]
    kind = calibration.get("type") or sensor.get("type") or "frame"
    if kind not in _KINDS:
        raise UserError(
            f"{where} is of type {kind!r}, and only frame and fisheye are read: convert the images "
            "to perspective views first (Metashape: Tools > Convert Panorama)"
        )
    resolution = calibration.find("resolution")
    resolution = sensor.find("resolution") if resolution is None else resolution
    if resolution is None:
        raise UserError(f"{where} has no resolution: export the cameras again")
    width, height = (image_length(resolution.get(k), f"{where}: {k}") for k in ("width", "height"))

    def value(key: str) -> float:
        return finite_number(calibration.findtext(key, "0"), f"{where}: {key}")

    k1, k2, k3, k4, p1, p2 = map(value, ("k1", "k2", "k3", "k4", "p1", "p2"))
    if _KINDS[kind] and (p1 or p2):
        raise UserError(
            f"{where} is a fisheye with p1 or p2, which is not read: optimise the cameras without "
            "them, and export again"
        )
    unread = [
        element.tag
        for element in calibration
        if element.tag not in _READ and changes_rays(element.tag) and value(element.tag)
    ]
    if unread:
        are = "is" if len(unread) == 1 else "are"
        raise UserError(
            f"{where} has {', '.join(unread)}, which {are} not read: optimise the cameras without, "
            "and export again"
        )
    focal = value("f")
    row = (focal + value("b1"), focal, 0.5 * width + value("cx"), 0.5 * height + value("cy"))
    return _Sensor((*row, k1, k2, k3, k4, p2, p1), (width, height), _KINDS[kind], value("b2"))


FORMAT = Format(
    name=_NAME,
    files_in_words="an .xml of cameras (Metashape)",
    read=read_metashape,
    is_in=is_metashape,
    names=Names(suffixes=(".xml",)),
)
