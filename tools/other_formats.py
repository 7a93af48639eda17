"""Writers of the formats that this project only reads, for tests and fuzzing.

Each makes a folder `out` of a capture, as the programs do, and copies the images. Lenses are
perspective ones.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from nerf.captures.capture import HALF_PIXEL, Array, Capture


class Writer(Protocol):
    def __call__(self, capture: Capture, out: Path, /) -> Path:
        """Writes the folder `out`, and returns it."""


TO_OPENCV = np.array([1.0, -1.0, -1.0])


def copy_images(capture: Capture, folder: Path, names: Sequence[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = names or [file.name for file in capture.files]
    for file, name in zip(capture.files, names, strict=True):
        shutil.copy(file, folder / name)


def pinhole(capture: Capture, index: int) -> list[float]:
    """fx, fy, cx, cy from the corner of the first pixel."""
    focal, centre = np.asarray(capture.lens.focal)[index], np.asarray(capture.lens.centre)[index]
    return [*focal.tolist(), *(centre + HALF_PIXEL).tolist()]


def distortion(capture: Capture, index: int) -> list[float]:
    """k1, k2, k3, k4, p1, p2."""
    found: list[float] = np.asarray(capture.lens.distortion)[index].tolist()
    return found


def rotation_and_position(capture: Capture, index: int) -> tuple[Array, Array]:
    return capture.camtoworlds[index, :, :3], capture.camtoworlds[index, :, 3]


def write_record3d(capture: Capture, out: Path, per_frame: bool = False) -> Path:
    suffix = capture.files[0].suffix
    copy_images(capture, out / "rgb", [f"{i}{suffix}" for i in range(capture.num_views)])
    poses = []
    for index in range(capture.num_views):
        rotation, position = rotation_and_position(capture, index)
        poses.append([*Rotation.from_matrix(rotation).as_quat(), *position])
    fx, fy, cx, cy = pinhole(capture, 0)
    (width, height) = capture.sizes[0].tolist()
    content: dict[str, Any] = {
        "w": width,
        "h": height,
        "fps": 30,
        "K": [fx, 0, 0, 0, fy, 0, cx, cy, 1],
    }
    if per_frame:
        content["K"] = [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1]
        content["perFrameIntrinsicCoeffs"] = [pinhole(capture, i) for i in range(len(poses))]
    content["poses"] = np.array(poses).tolist()
    (out / "metadata.json").write_text(json.dumps(content))
    return out


def write_polycam(capture: Capture, out: Path, corrected: bool = True) -> Path:
    prefix = "corrected_" if corrected else ""
    copy_images(capture, out / "keyframes" / f"{prefix}images")
    cameras = out / "keyframes" / f"{prefix}cameras"
    cameras.mkdir()
    for index, file in enumerate(capture.files):
        content: dict[str, Any] = dict(
            zip(("fx", "fy", "cx", "cy"), pinhole(capture, index), strict=True)
        )
        content |= dict(zip(("width", "height"), capture.sizes[index].tolist(), strict=True))
        matrix = capture.camtoworlds[index]
        content |= {f"t_{i}{j}": matrix[i, j] for i in range(3) for j in range(4)}
        (cameras / f"{file.stem}.json").write_text(json.dumps({**content, "blur_score": 90.0}))
    return out


def write_scanner_app(capture: Capture, out: Path) -> Path:
    suffix = capture.files[0].suffix
    names = [f"frame_{index:05d}" for index in range(capture.num_views)]
    copy_images(capture, out, [f"{name}{suffix}" for name in names])
    for index, name in enumerate(names):
        fx, fy, cx, cy = pinhole(capture, index)
        matrix = np.eye(4)
        matrix[:3] = capture.camtoworlds[index]
        content = {"cameraPoseARFrame": matrix.ravel().tolist(), "frame_index": index}
        content |= {"intrinsics": [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]}
        (out / f"{name}.json").write_text(json.dumps(content))
    return out


def write_metashape(capture: Capture, out: Path, more: str = "") -> Path:
    """`more` is put after the cameras."""
    copy_images(capture, out / "images")
    width, height = capture.sizes[0].tolist()
    fx, fy, cx, cy = pinhole(capture, 0)
    k1, k2, k3, k4, p1, p2 = distortion(capture, 0)
    values = {"f": fy, "b1": fx - fy, "cx": cx - 0.5 * width, "cy": cy - 0.5 * height}
    values |= {"k1": k1, "k2": k2, "k3": k3, "k4": k4, "p1": p2, "p2": p1}
    lens = "".join(f"<{key}>{value!r}</{key}>" for key, value in values.items())
    cameras = ""
    for index, file in enumerate(capture.files):
        rotation, position = rotation_and_position(capture, index)
        matrix = np.eye(4)
        matrix[:3] = np.concatenate([rotation * TO_OPENCV, position[:, None]], axis=1)
        words = " ".join(repr(float(value)) for value in matrix.ravel())
        cameras += (
            f'<camera id="{index}" sensor_id="0" component_id="0" label="{file.stem}">'
            f"<transform>{words}</transform></camera>"
        )
    (out / "cameras.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<document version="2.0.0"><chunk label="Chunk 1">'
        '<sensors next_id="1"><sensor id="0" label="phone" type="frame">'
        f'<resolution width="{width}" height="{height}"/>'
        f'<calibration type="frame" class="adjusted">{lens}</calibration></sensor></sensors>'
        f'<cameras next_id="9">{cameras}{more}</cameras></chunk></document>'
    )
    return out


def film_lens(capture: Capture, index: int) -> list[float]:
    """f for a film of 36 mm, and the principal point as a share of the longer side."""
    size = capture.sizes[index]
    fx, _, *centre = pinhole(capture, index)
    shares = (np.array(centre) - 0.5 * size) / size.max()
    return [fx * 36.0 / float(size.max()), *shares.tolist()]


def write_realitycapture_csv(capture: Capture, out: Path, count_line: bool = False) -> Path:
    copy_images(capture, out / "images")
    lines = [f"#cameras {capture.num_views}"] if count_line else []
    lines.append("#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2")
    for index, file in enumerate(capture.files):
        rotation, position = rotation_and_position(capture, index)
        heading, pitch, roll = Rotation.from_matrix(rotation).as_euler("ZXY", degrees=True)
        *radial, p1, p2 = distortion(capture, index)
        row = [*position, -heading, pitch, roll, *film_lens(capture, index), *radial, p2, p1]
        lines.append(",".join([file.name, *(repr(float(value)) for value in row)]))
    (out / "cameras.csv").write_text("\n".join(lines) + "\n")
    return out


def write_realitycapture_xmp(capture: Capture, out: Path, elements: bool = True) -> Path:
    """Values may be attributes or elements."""
    copy_images(capture, out / "images")
    for index, file in enumerate(capture.files):
        rotation, position = rotation_and_position(capture, index)
        focal, u, v = film_lens(capture, index)
        *radial, p1, p2 = distortion(capture, index)
        vectors = {
            "Rotation": (rotation * TO_OPENCV).T.ravel(),
            "Position": position,
            "DistortionCoeficients": [*radial, p2, p1],
        }
        words = {key: " ".join(repr(float(x)) for x in value) for key, value in vectors.items()}
        inside = "".join(f"<xcr:{key}>{text}</xcr:{key}>" for key, text in words.items())
        attributes = "".join(f' xcr:{key}="{text}"' for key, text in words.items())
        (out / "images" / f"{file.stem}.xmp").write_text(
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description xmlns:xcr="http://www.capturingreality.com/ns/xcr/1.1#" '
            f'xcr:Version="3" xcr:DistortionModel="brown4t2" xcr:FocalLength35mm="{focal!r}" '
            f'xcr:Skew="0" xcr:AspectRatio="1" xcr:PrincipalPointU="{u!r}" '
            f'xcr:PrincipalPointV="{v!r}"{"" if elements else attributes}>'
            f"{inside if elements else ''}</rdf:Description></rdf:RDF></x:xmpmeta>"
        )
    return out


def opencv_pose(capture: Capture, index: int) -> tuple[Array, Array]:
    rotation, position = rotation_and_position(capture, index)
    return rotation * TO_OPENCV, position


def write_lens_text(capture: Capture, path: Path) -> None:
    """fx fy cx cy k1 k2 p1 p2, from the centre of the first pixel."""
    fx, fy, cx, cy = pinhole(capture, 0)
    k1, k2, _, _, p1, p2 = distortion(capture, 0)
    row = [fx, fy, cx - HALF_PIXEL, cy - HALF_PIXEL, k1, k2, p1, p2]
    path.write_text(" ".join(repr(float(value)) for value in row))


def write_lens_json(capture: Capture, path: Path) -> None:
    keys = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2")
    content: dict[str, Any] = dict(
        zip(keys, [*pinhole(capture, 0), *distortion(capture, 0)], strict=True)
    )
    content |= dict(zip(("w", "h"), capture.sizes[0].tolist(), strict=True))
    path.write_text(json.dumps(content))


def tum_rows(capture: Capture, stamps: Iterable[float]) -> list[list[float]]:
    rows = []
    for index, stamp in enumerate(stamps):
        rotation, position = opencv_pose(capture, index)
        rows.append([stamp, *position, *Rotation.from_matrix(rotation).as_quat()])
    return rows


def write_tum(capture: Capture, out: Path, listed: bool = False) -> Path:
    """Images under their timestamps; or, if `listed`, under other names that rgb.txt has."""
    stamps = [1_305_031_102.0 + 0.1 * index for index in range(capture.num_views)]
    suffix = capture.files[0].suffix
    names = [f"{stamp:.6f}{suffix}" for stamp in stamps]
    if listed:
        names = [f"{capture.num_views - i:04d}{suffix}" for i in range(capture.num_views)]
        lines = [f"{s + 0.004:.6f} rgb/{name}" for s, name in zip(stamps, names, strict=True)]
        out.mkdir(parents=True)
        (out / "rgb.txt").write_text("# color images\n" + "\n".join(lines) + "\n")
    copy_images(capture, out / "rgb", names)
    rows = tum_rows(capture, stamps)
    between = [[row[0] + 0.05, *row[1:]] for row in rows]  # poses without an image
    text = "\n".join(" ".join(repr(float(x)) for x in row) for row in [*rows, *between])
    (out / "groundtruth.txt").write_text(f"# ground truth trajectory\n{text}\n")
    write_lens_text(capture, out / "intrinsics.txt")
    return out


def write_kitti(capture: Capture, out: Path, rows: int = 3) -> Path:
    """Without distortion; `rows` of the matrices, 3 or 4."""
    copy_images(capture, out / "image_2")
    lines = []
    for index in range(capture.num_views):
        rotation, position = opencv_pose(capture, index)
        matrix = np.eye(4)
        matrix[:3] = np.concatenate([rotation, position[:, None]], axis=1)
        lines.append(" ".join(repr(float(value)) for value in matrix[:rows].ravel()))
    (out / "poses.txt").write_text("\n".join(lines) + "\n")
    fx, fy, cx, cy = pinhole(capture, 0)
    camera = [fx, 0.0, cx - HALF_PIXEL, 0.0, 0.0, fy, cy - HALF_PIXEL, 0.0, 0.0, 0.0, 1.0, 0.0]
    words = " ".join(repr(float(value)) for value in camera)
    (out / "calib.txt").write_text(f"P0: {' '.join(['1.0'] * 12)}\nP2: {words}\n")
    return out


def write_pose_folder(capture: Capture, out: Path) -> Path:
    """As ScanNet has it: `color/`, `pose/` and `intrinsic/`, without distortion."""
    copy_images(capture, out / "color")
    for name in ("pose", "intrinsic"):
        (out / name).mkdir()
    for index, file in enumerate(capture.files):
        rotation, position = opencv_pose(capture, index)
        matrix = np.eye(4)
        matrix[:3] = np.concatenate([rotation, position[:, None]], axis=1)
        np.savetxt(out / "pose" / f"{file.stem}.txt", matrix, fmt="%.17g")
    fx, fy, cx, cy = pinhole(capture, 0)
    camera = np.eye(4)
    camera[[0, 1, 0, 1], [0, 1, 2, 2]] = fx, fy, cx - HALF_PIXEL, cy - HALF_PIXEL
    np.savetxt(out / "intrinsic" / "intrinsic_color.txt", camera, fmt="%.17g")
    return out


def write_csv(capture: Capture, out: Path) -> Path:
    """Images by their names, in any order."""
    copy_images(capture, out / "images")
    lines = ["image,tx,ty,tz,qx,qy,qz,qw"]
    rows = tum_rows(capture, range(capture.num_views))
    for file, row in reversed(list(zip(capture.files, rows, strict=True))):
        lines.append(",".join([file.name, *(repr(float(value)) for value in row[1:])]))
    (out / "poses.csv").write_text("\n".join(lines) + "\n")
    write_lens_json(capture, out / "intrinsics.json")
    return out


def write_bundler(capture: Capture, out: Path) -> Path:
    copy_images(capture, out / "images")
    lines = ["# Bundle file v0.3", f"{capture.num_views} 1"]
    for index in range(capture.num_views):
        rotation, position = rotation_and_position(capture, index)
        k1, k2 = distortion(capture, index)[:2]
        lines += [f"{pinhole(capture, index)[0]} {k1} {k2}"]
        lines += [" ".join(map(repr, row)) for row in rotation.T.tolist()]
        lines += [" ".join(map(repr, (-rotation.T @ position).tolist()))]
    lines += ["0.5 0.25 1.0", "255 255 255", "1 0 0 1.5 2.5"]
    (out / "bundle.out").write_text("\n".join(lines) + "\n")
    names = [f"images/{file.name} 0 {pinhole(capture, 0)[0]}" for file in capture.files]
    (out / "list.txt").write_text("\n".join(names) + "\n")
    return out


def write_gaussian_splatting(capture: Capture, out: Path) -> Path:
    copy_images(capture, out / "images")
    entries = []
    for index, file in enumerate(capture.files):
        rotation, position = opencv_pose(capture, index)
        width, height = capture.sizes[index].tolist()
        fx, fy, *_ = pinhole(capture, index)
        entries.append(
            {
                "id": index,
                "img_name": file.stem,
                "width": width,
                "height": height,
                "position": position.tolist(),
                "rotation": rotation.tolist(),
                "fy": fy,
                "fx": fx,
            }
        )
    (out / "cameras.json").write_text(json.dumps(entries))
    return out


# The writers by the format, and whether they can express distortion and an off-centre axis.
WRITERS: dict[str, tuple[Writer, bool]] = {
    "record3d": (write_record3d, False),
    "polycam": (write_polycam, False),
    "scanner_app": (write_scanner_app, False),
    "metashape": (write_metashape, True),
    "realitycapture csv": (write_realitycapture_csv, True),
    "realitycapture xmp": (write_realitycapture_xmp, True),
    "bundler": (write_bundler, False),
    "trajectory tum": (write_tum, True),
    "trajectory kitti": (write_kitti, False),
    "trajectory csv": (write_csv, True),
    "trajectory pose folder": (write_pose_folder, False),
    "gaussian_splatting": (write_gaussian_splatting, False),
}


def write_all(capture: Capture, home: Path) -> dict[str, Path]:
    """Writes a capture without distortion in each of the formats; the folders by the writers."""
    return {
        name: write(capture, home / name.replace(" ", "_")) for name, (write, _) in WRITERS.items()
    }
