"""Small captures in every format, which `tools.fuzz_captures` breaks."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, features

from nerf.captures.capture import Capture
from nerf.captures.export import EXPORT_FORMATS, ExportImages, export
from nerf.geometry.lenses import Lens
from nerf.geometry.poses import look_at
from tools.other_formats import write_all

Files = dict[str, bytes]  # by their names
_IMAGE_KINDS = (
    ".jpg",
    ".webp",
    ".tif",
    ".bmp",
    *((".avif",) if "avif" in features.get_supported() else ()),
)


def make_seeds(home: Path) -> list[Files]:
    """Small captures in every format, COLMAP's as binary and as text, as files in memory."""
    back = np.array([[1.0, 0.1, 1.0], [-1.0, 0.2, 1.0], [0.3, 0.1, -1.0], [0.0, 0.3, 1.0]])
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    poses = np.stack([look_at(b, np.array([0.0, 1.0, 0.0]), 3.0 * b) for b in back])
    num_views = len(poses)
    lens = Lens(
        np.full((num_views, 2), 6.0), np.tile([3.0, 2.0], (num_views, 1)),
        np.zeros((num_views, 6)), np.zeros(num_views, bool),
    )  # fmt: skip
    bounds = np.tile([1.0, 5.0], (num_views, 1))
    files = tuple(home / f"view_{i}.png" for i in range(num_views))
    sizes = np.tile([6, 4], (num_views, 1))
    points = np.random.default_rng(0).normal(size=(12, 3))
    capture = Capture("llff", home, files, poses, lens, sizes, bounds, points)
    pixels = np.random.default_rng(0).random((num_views, 4, 6, 3)).astype(np.float32)
    bent = lens._replace(distortion=np.tile([0.1, 0.01, 0, 0, 0.001, 0], (num_views, 1)))
    turned = np.array([[4, 6], *sizes[1:]])
    seeds = []
    for number, to in enumerate([*EXPORT_FORMATS, "nerfstudio", "colmap"]):
        out = home / str(number)
        shown, each = (bent, turned) if number >= len(EXPORT_FORMATS) else (lens, sizes)
        shaped = [x.reshape(*size[::-1], 3) for x, size in zip(pixels, each, strict=True)]
        images = ExportImages(each, [None] * num_views, shaped.__getitem__)
        export(capture, shown, bounds, images, to, out)
        seeds.append(_in_memory(out))
    seeds.append(_with_lens_keys(seeds[EXPORT_FORMATS.index("nerfstudio")]))
    seeds.append(_with_depth(seeds[EXPORT_FORMATS.index("nerfstudio")]))
    seeds.append({**seeds[EXPORT_FORMATS.index("colmap")], **_as_text(poses)})
    for name in ("cameras", "images", "points3D"):
        del seeds[-1][f"sparse/0/{name}.bin"]
    image = Image.fromarray((255 * pixels[0]).astype(np.uint8))
    seeds += [_with_images(seeds[0], image, suffix) for suffix in _IMAGE_KINDS]
    for file in files:
        image.save(file)
    others = {name: _in_memory(x) for name, x in write_all(capture, home / "others").items()}
    seeds += others.values()
    seeds += _as_other_programs_leave_them(others, seeds[EXPORT_FORMATS.index("nerfstudio")])
    return seeds


def _as_other_programs_leave_them(others: dict[str, Files], nerfstudio: Files) -> list[Files]:
    """Captures in other folders, encodings and under other names than usual."""
    bundler = dict(others["bundler"])
    bundler["bundle/bundle.out"] = bundler.pop("bundle.out")
    bundler["bundle/bundle_001.out"] = bundler["bundle/bundle.out"].partition(b"\n")[2]
    archive = {name.replace("rgb/", "rgbd/"): x for name, x in others["record3d"].items()}
    archive["metadata"] = archive.pop("metadata.json")
    table = dict(others["trajectory csv"])
    table["POSES.CSV"] = table.pop("poses.csv").replace(b",", b";").decode().encode("utf-16")
    table["images/intrinsics.txt"] = b"fx: 6\nfy: 6\ncx: 2.5\ncy: 1.5\nwidth: 6\nheight: 4\n"
    del table["intrinsics.json"]
    kitti = {**others["trajectory kitti"], "calib.txt": b"P2: 6 0 2.5 0.3 0 6 1.5 0 0 0 1 0.1\n"}
    copied = {f"Masks/{name[7:]}": x for name, x in nerfstudio.items() if name.endswith(".png")}
    copied |= nerfstudio
    copied["transforms (1).json"] = copied.pop("transforms.json")
    polycam = {name.removeprefix("keyframes/"): x for name, x in others["polycam"].items()}
    held_out = json.loads(nerfstudio["transforms.json"])
    held_out["test_frames"] = [held_out["frames"].pop()]
    apart = {**nerfstudio, "transforms.json": json.dumps(held_out).encode()}
    found = [bundler, archive, table, kitti, copied, polycam, apart, *_trajectories(others)]
    return [*found, *map(_with_separate_poses, (bundler, kitti, apart, others["metashape"]))]


def _with_separate_poses(seed: Files) -> Files:
    """A capture whose poses are in a folder of their own."""
    return {n if n.lower().endswith(".png") else f"export/{n}": x for n, x in seed.items()}


def _trajectories(others: dict[str, Files]) -> list[Files]:
    """Trajectories with depth images, and with the names of images, timestamps or tables."""
    kitti, tum = others["trajectory kitti"], others["trajectory tum"]
    images = [x for name, x in sorted(kitti.items()) if name.endswith(".png")]
    encoded = io.BytesIO()
    Image.fromarray(np.full((4, 6), 3000, np.uint16)).save(encoded, "PNG")
    depth, poses = encoded.getvalue(), kitti["poses.txt"].decode().splitlines()
    replica: Files = {"traj.txt": kitti["poses.txt"]}
    camera = {"w": 6, "h": 4, "fx": 6.0, "fy": 6.0, "cx": 2.5, "cy": 1.5, "scale": 6553.5}
    replica["cam_params.json"] = json.dumps({"camera": camera}).encode()
    scans: Files = {"intrinsics.txt": b"6 3 2 0.\n0. 0. 0.\n0.\n1.\n4 6\n"}
    named: Files = {"camera_matrix.csv": b"6, 0, 2.5\n0, 6, 1.5\n0, 0, 1\n"}
    for number, (image, pose) in enumerate(zip(images, poses, strict=True)):
        replica |= {f"results/frame{number}.png": image, f"results/depth{number}.png": depth}
        scans |= {f"frame-{number}.color.png": image, f"frame-{number}.depth.png": depth}
        scans[f"frame-{number}.pose.txt"] = f"{pose} 0 0 0 1".encode()
        named |= {f"rgb/{number + 1}.png": image, f"depth/{number + 1}.png": depth}
        named[f"confidence/{number + 1}.png"] = depth
    named["my_trajectory.txt"] = "\n".join(f"{n}.png {x}" for n, x in enumerate(poses)).encode()
    columns = ",".join(f"m{row}{column}" for row in range(3) for column in range(4))
    rows = [f"{number + 1}.png,{pose.replace(' ', ',')}" for number, pose in enumerate(poses)]
    table = {name: x for name, x in named.items() if name != "my_trajectory.txt"}
    lens = [
        "fx,fy,cx,cy,k1,width,height",
        *[f"{6 + n},6,2.5,1.5,0.1,6,4" for n, _ in enumerate(rows)],
    ]
    lines = [f"image,{columns}", *rows]
    table["poses.csv"] = "\n".join(map(",".join, zip(lines, lens, strict=True))).encode()
    del table["camera_matrix.csv"]
    stamps = sorted(name[4:-4] for name in tum if name.startswith("rgb/"))
    timed = {f"depth/{stamp}1.png": depth for stamp in stamps}
    return [replica, scans, named, table, {**tum, **timed}]


def _with_images(seed: Files, image: Image.Image, suffix: str) -> Files:
    """A capture with all its images replaced by one of another kind."""
    encoded = io.BytesIO()
    image.save(encoded, Image.registered_extensions()[suffix])
    return {
        name.replace(".png", suffix): encoded.getvalue() if name.endswith(".png") else content
        for name, content in seed.items()
    }


def _in_memory(folder: Path) -> Files:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _with_lens_keys(seed: Files) -> Files:
    """A capture of nerfstudio that says its lens in other ways, and more than its lens."""
    content = json.loads(seed["transforms.json"])
    content |= {"fl_x": None, "fl_y": None, "cx": None, "cy": None, "aabb_scale": 4, "k5": 0.0}
    content |= {"camera_angle_x": 0.9, "camera_angle_y": 0.6, "rolling_shutter": [0, 0, 0, 0]}
    ways = (
        {"K": [[6, 0, 3], [0, 6, 2], [0, 0, 1]], "time": 0.1},
        {"intrinsics": [6, 6, 3, 2], "ftheta_p0": 0, "distortion_params": [0, 0, 0, 0]},
        {"camera_model": "EQUIRECTANGULAR", "fl_x": 3.0, "fl_y": 4.0},
        {"latlong": True, "depth_file_path": "depth.png", "lens_mode": "OpenCV"},
    )
    for frame, keys in zip(content["frames"], ways, strict=True):
        frame |= keys
    return {**seed, "transforms.json": json.dumps(content).encode()}


def _with_depth(seed: Files) -> Files:
    """A capture of nerfstudio with depth images of several kinds."""
    content, files = json.loads(seed["transforms.json"]), dict(seed)
    depth = np.linspace(2000, 4000, 24).reshape(4, 6)
    for number, frame in enumerate(content["frames"]):
        name, encoded = f"depth/{number}{('.png', '.npy')[number % 2]}", io.BytesIO()
        if number % 2:
            np.save(encoded, depth)
        else:
            Image.fromarray(depth.astype(np.uint16)).save(encoded, "PNG")
        frame["depth_file_path"], files[name] = name, encoded.getvalue()
    return {**files, "transforms.json": json.dumps(content).encode()}


def _as_text(poses: np.ndarray) -> Files:
    """COLMAP's text files for as many cameras; their rotations are made up."""
    images = "".join(
        f"{i} 0.9 0.1 0.2 0.3 0 0 {i} 1 view_{i}.png\n1.0 2.0 1 3.0 1.0 2\n"
        for i in range(len(poses))
    )
    points = "".join(f"{i} {i} 0.5 1 0 0 0 0.1 1 0\n" for i in range(10))
    return {
        "sparse/0/cameras.txt": b"# cameras\n1 OPENCV 6 4 6 6 3 2 0.1 0 0 0\n",
        "sparse/0/images.txt": images.encode(),
        "sparse/0/points3D.txt": points.encode(),
    }
