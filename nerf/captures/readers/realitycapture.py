"""Captures from RealityCapture and RealityScan: a CSV file, or an XMP file beside each image.

The CSV is the export "Internal/External camera parameters", with the columns name, x, y, alt,
heading, pitch, roll in degrees, f, and perhaps px, py, k1 to k4, t1, t2:

    camera to world = Rz(-heading) Rx(pitch) Ry(roll), with the axes right, up, back

In an XMP file, `Rotation` is world to camera, row by row, with the axes right, down, forward, and
`Position` is the camera. In both, the focal length is for a film 36 mm wide and becomes pixels with
the longer side of the image, and so does the principal point, a share of that side, measured from
the middle of the image. t1 and t2 are OpenCV's p2 and p1.

Source: RealityCapture's help, "XMP camera math" and "Export registration"; the order of t1 and t2
from the templates that the program ships; nerfstudio's `realitycapture_utils.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from nerf.captures.capture import Array, Capture
from nerf.captures.format_record import Format, Names
from nerf.captures.readers.posed_images import (
    IMAGE_FOLDERS,
    MAX_VIEWS,
    PosedImage,
    finite_number,
    finite_numbers,
    from_opencv,
    make_capture,
    read_each,
    read_text_file,
)
from nerf.captures.safe_files.reading import check_inside, files_with, read_and_not
from nerf.captures.safe_files.tables import TableHeader, find_header, note_on_columns, rows_of
from nerf.captures.safe_files.xml_files import read_xml, text_head_of
from nerf.errors import UserError, counted, listed

_NAME = "realitycapture"
_FILM = 36.0  # mm, the width of the film that focal lengths are given for
_MAX_FILES, _MAX_FOLDERS = 20, 50  # that are looked at
_NEEDED = ("name", "x", "y", "alt", "heading", "pitch", "roll", "f")
_OTHER_NAMES = {"yaw": "heading", "f_35mm": "f", "px_norm": "px", "py_norm": "py"}
_DISTORTION = ("k1", "k2", "k3", "k4", "t1", "t2")
_KNOWN = (*_NEEDED, "px", "py", *_DISTORTION)
_IS_OURS = ("name", "heading", "pitch", "roll")  # columns that no other table of poses has
_OF_GPS = ("latitude", "lat", "longitude", "lon", "lng")  # columns that this program never writes
_NAMESPACE = "capturingreality.com/ns/xcr"
_MODELS = ("perspective", "brown3", "brown3t2", "brown4", "brown4t2")


def _header(lines: Sequence[str]) -> TableHeader:
    """The names of the columns, which may come after the number of cameras."""
    return find_header(lines, _IS_OURS, _OTHER_NAMES)


def _csv_files(folder: Path, follow_links: bool, *, whole: bool) -> list[Path]:
    """The tables of cameras that have all columns, or those that lack some."""
    found = []
    for path in files_with(folder, ".csv", ".tsv")[:_MAX_FILES]:
        columns = _header(text_head_of(path, follow_links=follow_links).splitlines()).columns
        if columns and set(_OF_GPS).isdisjoint(columns) and whole == (set(_NEEDED) <= set(columns)):
            found.append(path)
    return found


def _xmp_files(folder: Path, follow_links: bool) -> list[Path]:
    """The XMP files in the first folder that has some with a pose of the program.

    The usual folders of images are looked in first, then all others in `folder`.
    """
    others = sorted(path.name for path in folder.glob("*") if path.is_dir())[:_MAX_FOLDERS]
    for name in dict.fromkeys((*IMAGE_FOLDERS, *others)):
        try:
            check_inside(folder, folder / name, follow_links=follow_links)
        except UserError:
            continue
        paths = files_with(folder / name, ".xmp")[:MAX_VIEWS]
        heads = (text_head_of(path, follow_links=follow_links) for path in paths[:_MAX_FILES])
        if any(_NAMESPACE in head for head in heads):
            return paths
    return []


def is_realitycapture(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has a file of camera parameters of the program."""
    tables = _csv_files(folder, follow_links, whole=True)
    return bool(tables or _xmp_files(folder, follow_links))


def is_incomplete(folder: Path, *, follow_links: bool = False) -> bool:
    """Whether a folder has a table of headings that lacks other columns.

    It may be the program's, exported without the lens; or it has the positions of a GPS beside the
    poses of another program.
    """
    return bool(_csv_files(folder, follow_links, whole=False))


def read_realitycapture(
    folder: Path,
    factor: int | None = None,
    *,
    poses: Path | None = None,
    follow_links: bool = False,
) -> Capture:
    """Reads the CSV file, or else the XMP files, and finds the images.

    Args:
      folder: contains the files and the images.
      factor: N to read the images in `images_N`; None or 1 for the originals.
      poses: the folder below it that has the files of poses; None if it has them itself.
      follow_links: whether symbolic links that lead out of the folder are followed.

    Raises:
      UserError: for what is missing or impossible.
    """
    place = poses or folder
    tables = _csv_files(place, follow_links, whole=True)
    if not tables and not _xmp_files(place, follow_links):
        tables = _csv_files(place, follow_links, whole=False)
    if tables:
        images, notes = _read_csv(tables[0], follow_links)
        notes = [*read_and_not(tables), *notes]
        return make_capture(_NAME, folder, images, factor, notes, follow_links=follow_links)
    paths = _xmp_files(place, follow_links)
    if not paths:
        raise UserError(
            f"no camera parameters of RealityCapture in {folder}: export the registration as "
            '"Internal/External camera parameters" (CSV), or as XMP beside the images'
        )
    images, without_pose = read_each(
        paths, lambda path: _read_xmp(path, follow_links), lambda path: path.name, "files"
    )
    notes = []
    if without_pose:
        not_used = "XMP file has no pose and is not used", "XMP files have no pose and are not used"
        notes.append(counted(without_pose, *not_used))
    xmp_folder = paths[0].parent.relative_to(folder).as_posix()
    folders = list(dict.fromkeys((xmp_folder, *IMAGE_FOLDERS)))
    return make_capture(_NAME, folder, images, factor, notes, folders, follow_links=follow_links)


def _read_csv(path: Path, follow_links: bool) -> tuple[list[PosedImage], list[str]]:
    """The cameras of a table, and notes on its columns."""
    lines = read_text_file(path, follow_links=follow_links).splitlines()[: MAX_VIEWS + 2]
    header = _header(lines)
    missing = [name for name in _NEEDED if name not in header.columns]
    if missing:
        raise UserError(
            f"{path} has no {'column' if len(missing) == 1 else 'columns'} {listed(missing)}: "
            'export the registration as "Internal/External camera parameters", or give rotations '
            "as qx, qy, qz, qw and the lens in intrinsics.json"
        )
    rows = dict(rows_of(path, lines, header))
    notes = note_on_columns(path, header, _KNOWN, list(rows.values()))
    images, _ = read_each(
        rows.items(),
        lambda row: _of_row(
            dict(zip(header.columns, row[1], strict=False)), f"{path}, line {row[0]}"
        ),
        lambda row: f"line {row[0]}",
        "lines",
    )
    if not images:
        raise UserError(f"{path} has no cameras: export the registration again")
    return images, notes


def _of_row(row: Mapping[str, str], where: str) -> PosedImage:
    """The pose of a line of the CSV file."""
    missing = [name for name in _NEEDED if not row.get(name, "").strip()]
    if missing:
        raise UserError(f"{where} has no {missing[0]}: export the file again")

    def value(key: str) -> float:
        return finite_number(row.get(key) or "0", f"{where}: {key}")

    heading, pitch, roll = (np.radians(value(key)) for key in ("heading", "pitch", "roll"))
    rotation = _turn(2, -heading) @ _turn(0, pitch) @ _turn(1, roll)
    position = np.array([[value("x")], [value("y")], [value("alt")]])
    lens = _ImageIntrinsics(
        value("f"), (value("px"), value("py")), [value(key) for key in _DISTORTION]
    )
    return PosedImage(row["name"].strip(), np.concatenate([rotation, position], axis=1), lens)


def _turn(axis: int, angle: float) -> Array:
    """A rotation about the axis x, y or z by an angle in radians, right-handed."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    return matrix


class _ImageIntrinsics:
    """The intrinsics of an image of any size, see `PosedImage.intrinsics`."""

    def __init__(
        self, film_focal: float, principal: tuple[float, float], distortion: Sequence[float]
    ):
        self._focal = film_focal / _FILM
        self._principal = principal
        k1, k2, k3, k4, t1, t2 = distortion
        self._distortion = (k1, k2, k3, k4, t2, t1)

    def __call__(self, width: int, height: int) -> Sequence[float]:
        scale = max(width, height)
        centre = (
            0.5 * size + scale * u for size, u in zip((width, height), self._principal, strict=True)
        )
        return (self._focal * scale, self._focal * scale, *centre, *self._distortion)


def _read_xmp(path: Path, follow_links: bool) -> PosedImage | None:
    """The pose in an XMP file; None if the file has none."""
    root = read_xml(path, follow_links=follow_links)
    values = _values(root)
    if "Rotation" not in values or "Position" not in values:
        return None
    rotation = finite_numbers(values["Rotation"].split(), 9, f"{path}: Rotation")
    position = finite_numbers(values["Position"].split(), 3, f"{path}: Position")
    model = values.get("DistortionModel", "perspective")
    words = values.get("DistortionCoeficients", "0 0 0 0 0 0").split()
    distortion = finite_numbers([*words, *["0"] * (6 - len(words))], 6, f"{path}: Distortion")
    if any(distortion) and model not in _MODELS:
        raise UserError(
            f"{path}: the distortion model {model[:50]!r} is not read, only {', '.join(_MODELS)}: "
            "choose Brown3 or Brown4 in RealityCapture's alignment settings, and export again"
        )

    def value(key: str) -> float:
        return finite_number(values.get(key, "0"), f"{path}: {key}")

    aspect = finite_number(values.get("AspectRatio", "1"), f"{path}: AspectRatio")
    if abs(value("Skew")) > 1e-6 or abs(aspect - 1.0) > 1e-6:
        raise UserError(
            f"{path}: a lens with skew or an aspect ratio is not read: choose a distortion model "
            "without K+ in RealityCapture's alignment settings, and export again"
        )
    principal = value("PrincipalPointU"), value("PrincipalPointV")
    camtoworld = np.concatenate(
        [np.array(rotation).reshape(3, 3).T, np.array(position)[:, None]], axis=1
    )
    lens = _ImageIntrinsics(value("FocalLength35mm"), principal, distortion)
    return PosedImage(path.stem, from_opencv(camtoworld), lens)


def _values(root: Element) -> dict[str, str]:
    """The values of the program in an XMP file, by their names; attributes or elements."""
    found = {}
    for element in root.iter():
        pairs = [*element.attrib.items(), (element.tag, (element.text or "").strip())]
        for name, text in pairs:
            namespace, _, key = str(name).rpartition("}")
            if "capturingreality.com" in namespace and text:
                found[key] = text
    return found


FORMAT = Format(
    name=_NAME,
    files_in_words="a .csv or .xmp of cameras (RealityCapture)",
    read=read_realitycapture,
    is_in=is_realitycapture,
    may_be_in=is_incomplete,
    names=Names(suffixes=(".csv", ".tsv", ".xmp")),
)
