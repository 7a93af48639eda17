"""The flags of `python -m nerf.main`: names, ranges, help. What they become is in `options`.

Those that say how a capture is read have the names and defaults of `CaptureOptions`.
"""

import math
from typing import get_args

from absl import flags

from nerf import field as field_lib
from nerf.captures.formats import FORMATS
from nerf.captures.orientation import UP_OPTIONS
from nerf.cli.path_flags import define_path
from nerf.config.settings import PRECISIONS, RobustLoss
from nerf.export.coordinate_frames import FRAMES
from nerf.export.files import MESH_SUFFIXES
from nerf.geometry.spaces import SPACES
from nerf.runtime.processes import START_SECONDS
from nerf.scenes.alpha import ALPHA_OPTIONS
from nerf.scenes.options import DEFAULT, SHARD_OPTIONS
from nerf.scenes.used_pixels import MASKS_OPTIONS

MODES = ("evaluate", "train", "render", "convert", "export")
EXPORTS = ("mesh", "points", "depth")
MESH_FORMATS = tuple(suffix.removeprefix(".") for suffix in MESH_SUFFIXES)
RENDERERS = ("exact", "fast")
VIDEO_FORMATS = {"mp4": ".mp4", "gif": ".gif", "frames": ""}
_MAX_COUNT = 2**31 - 1

FLAGS = flags.FLAGS


def help_on_names() -> dict[str, str]:
    """The help of the flags whose values are registered: with the names that there are now."""
    specs = field_lib.specs()
    about = {name: f" ({spec.summary})" for name, spec in specs.items() if spec.summary}
    fields = [f"{name}{about.get(name, '')}" for name in field_lib.fields()]
    presets = [
        f"{', '.join(spec.presets)} ({name})" for name, spec in specs.items() if spec.presets
    ]
    return {
        "backend": f"the library that implements the field: {', '.join(field_lib.backends())}",
        "field": f"the field: {', '.join(fields)}",
        "preset": f"settings of a field, by default its first: {'; '.join(presets)}",
    }


_ON_NAMES = help_on_names()

# What runs.
flags.DEFINE_enum("mode", "evaluate", MODES, "train ends with evaluate")
flags.DEFINE_string("backend", field_lib.DEFAULT_BACKEND, _ON_NAMES["backend"])
flags.DEFINE_string("field", "mlp", _ON_NAMES["field"])
flags.DEFINE_string("preset", None, _ON_NAMES["preset"])
flags.DEFINE_multi_string(
    "set", [], "one setting by its dotted name, e.g. --set=render.num_fine=64; may be repeated"
)
flags.DEFINE_enum("precision", "float32", tuple(PRECISIONS), "precision of matrix products")
flags.DEFINE_bool("compile_cache", True, "store compiled programs in the user's cache folder")
flags.DEFINE_bool("debug", False, "check values (finite, sorted, in range) as well as shapes")

# The scene.
define_path(
    "scene", "flower", "a folder, a name, llff:NAME or procedural:NAME[@WIDTHxHEIGHT[xVIEWS]]"
)
define_path("data_dir", None, "where named scenes lie ($NERF_DATA_DIR, else data/llff)")
flags.DEFINE_enum(
    "format",
    DEFAULT.format,
    tuple(FORMATS),
    "format of the scene's folder (default: found from the files in it)",
)
flags.DEFINE_integer(
    "factor",
    DEFAULT.factor,
    "downsample images by this factor: those in images_FACTOR, else scaled (LLFF: the smallest "
    "that there are)",
    lower_bound=1,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_integer(
    "max_size",
    DEFAULT.max_size,
    "scale images down to this longer side in pixels; 0: never",
    lower_bound=0,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_float(
    "image_memory",
    DEFAULT.image_memory,
    "keep the images in memory up to this share of what the device has; larger ones stay on disk",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_bool(
    "follow_links",
    DEFAULT.follow_links,
    "read what symbolic links in the scene's folder point to, outside the folder too",
)
flags.DEFINE_enum(
    "space",
    DEFAULT.space,
    tuple(SPACES),
    "space that the field lives in (default: what suits the cameras)",
)
flags.DEFINE_float(
    "near", DEFAULT.near, "nearest depth of all views in the files' unit (from the files)"
)
flags.DEFINE_float(
    "far", DEFAULT.far, "farthest depth of all views in the files' unit (from the files)"
)
flags.DEFINE_enum(
    "background",
    DEFAULT.background,
    ("white", "black"),
    "colour behind transparent images (default: white)",
)
flags.DEFINE_enum(
    "alpha",
    DEFAULT.alpha,
    ALPHA_OPTIONS,
    "what the alpha of images means: object (nothing is there), mask (neither trained on nor "
    "scored), ignore (nothing); auto decides by the images",
)
flags.DEFINE_enum(
    "masks",
    DEFAULT.masks,
    MASKS_OPTIONS,
    "auto leaves out the pixels that masks say (mask_path, masks/, dynamic_mask_NAME.png)",
)
flags.DEFINE_enum(
    "up",
    DEFAULT.up,
    UP_OPTIONS,
    "which way is up in the files' coordinates; auto finds it from EXIF and the cameras",
)
flags.DEFINE_integer(
    "holdout",
    None,
    "hold out every HOLDOUT-th view, from view 0 on; 0 holds out none (default: the split of the "
    "files, else 16; 8 for --preset=paper)",
    lower_bound=0,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_string(
    "holdout_views",
    None,
    "hold out these views: names of images, separated by commas, or a .txt file with one name a "
    "line",
)
flags.DEFINE_bool("offline", False, "make no network attempt (so does NERF_OFFLINE=1)")
flags.DEFINE_string("download_url", None, "base address to download the published scenes from")

# The parameters and the run.
define_path(
    "init_from",
    None,
    "pretrained, none, a run folder, a published params folder or a .safetensors file "
    "(train: none; else the run folder's own parameters, else pretrained); training resumes from "
    "a run folder of any backend with its optimiser and step, and starts anew from a file",
)
define_path("run_dir", None, "where results go (runs/SCENE-SOURCE-BACKEND-FIELD)")
define_path(
    "out",
    None,
    "convert: a .safetensors file, or a folder (published layout); export: a folder "
    "(RUN_DIR/export)",
)

# Training.
flags.DEFINE_integer(
    "steps", None, "the number of training steps", lower_bound=0, upper_bound=_MAX_COUNT
)
flags.DEFINE_float(
    "train_seconds",
    None,
    "train for this time, counted from the start of the process; the learning rate follows it",
)
flags.DEFINE_integer(
    "rays", None, "the number of rays a training step", lower_bound=1, upper_bound=2**24
)
flags.DEFINE_integer(
    "rays_per_microbatch",
    None,
    "at most this many rays go through a device at once (chosen by device)",
    lower_bound=1,
    upper_bound=2**24,
)
flags.DEFINE_integer(
    "steps_per_call",
    None,
    "training steps that an accelerator is given at once (10; a CPU: 1)",
    lower_bound=1,
    upper_bound=10_000,
)
flags.DEFINE_float("lr", None, "the first learning rate; the last keeps its ratio to it")
flags.DEFINE_enum(
    "exposure",
    "auto",
    ("auto", "on", "off"),
    "learn exposure and white balance of each view (auto: where the images show that they change); "
    "with --mode=evaluate, score with those of each view (auto: as the run was trained)",
)
flags.DEFINE_enum(
    "depth",
    "auto",
    ("auto", "on", "off"),
    "train on depths that the capture knows: COLMAP's points, depth images (auto: where there are "
    "some)",
)
flags.DEFINE_enum(
    "poses",
    "auto",
    ("auto", "on", "off"),
    "correct the pose of each view in training (auto: off, which is better for poses of COLMAP); "
    "with --mode=evaluate, align each view before it is scored (auto: as the run was trained)",
)
flags.DEFINE_enum(
    "few_views",
    "auto",
    ("auto", "on", "off"),
    "regularise the field more, for a scene of few views (auto: with 8 training views or fewer)",
)
flags.DEFINE_enum(
    "robust_loss",
    None,
    get_args(RobustLoss),
    "loss that leaves out what moved or glares: geman_mcclure (the best), clipped, or none (the "
    "default)",
)
flags.DEFINE_bool(
    "resume", True, "resume the training in the run folder; --noresume sets it aside first"
)
flags.DEFINE_integer(
    "stop_at",
    None,
    "stop at this step of --steps; the same command without it resumes",
    lower_bound=1,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_integer(
    "save_every",
    500,
    "the most training steps that can ever be lost",
    lower_bound=1,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_integer(
    "eval_every",
    None,
    "steps between two held-out scores, 0 for none (a tenth of the run)",
    lower_bound=0,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_enum(
    "on_collapse", "stop", ("stop", "restart"), "what a collapsed training does: restart tries "
    "another random key",
)  # fmt: skip
flags.DEFINE_bool("tensorboard", False, "also write the metrics for TensorBoard")
flags.DEFINE_integer(
    "seed", 0, "seed of the random key of training", lower_bound=0, upper_bound=_MAX_COUNT
)

# Several processes.
flags.DEFINE_bool(
    "distributed",
    False,
    "share the work with the other processes of a job of Slurm, Open MPI or Kubernetes, which JAX "
    "detects",
)
flags.DEFINE_string(
    "coordinator",
    None,
    "share the work with other processes, of which the one with --process_id=0 answers at this "
    "HOST:PORT",
)
flags.DEFINE_integer(
    "num_processes",
    None,
    "the number of processes that share the work",
    lower_bound=1,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_integer(
    "process_id",
    None,
    "the number of this process, from 0; process 0 writes the run folder",
    lower_bound=0,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_enum(
    "shard_images",
    DEFAULT.shard_images,
    SHARD_OPTIONS,
    "whether each process reads only the images that it trains on (auto: where they are larger "
    "than --image_memory)",
)
flags.DEFINE_float(
    "start_seconds", START_SECONDS, "how long a process waits for the others at the start"
)

# Rendering.
flags.DEFINE_integer(
    "eval_views",
    None,
    "the most held-out views to score, an even choice (all)",
    lower_bound=1,
    upper_bound=_MAX_COUNT,
)
flags.DEFINE_enum(
    "renderer",
    None,
    RENDERERS,
    "exact, or fast, which places samples by a grid of densities (exact for scores; fast for the "
    "video and previews)",
)
define_path(
    "camera_path",
    None,
    "camera path of the video: interpolate, orbit, spiral, training (the training views in order), "
    "test (the poses without images that the scene's files have), or a file of poses in the frame "
    "of the scene's files: nerfstudio's camera_path.json, a transforms.json, or a .npy array "
    "[n, 3, 4] (default: test where there are such poses, else what suits the cameras)",
)
define_path(
    "nerfstudio_transform",
    None,
    "dataparser_transforms.json of the nerfstudio run whose viewer wrote --camera_path (the one "
    "beside the path, if it is there)",
)
flags.DEFINE_integer(
    "video_frames",
    None,
    "frames of the video, 0 for none (120; 30 on a CPU; all of a file or of the training views)",
    lower_bound=0,
    upper_bound=100_000,
)
flags.DEFINE_string("video_size", None, "WIDTHxHEIGHT of the video's frames (the scene's own)")
flags.DEFINE_enum(
    "video_format", "mp4", list(VIDEO_FORMATS), "mp4, gif, or frames: a folder of PNG files"
)
flags.DEFINE_list(
    "video_content", ["rgb"], "what the video shows, one video each: rgb, depth, opacity"
)

# Meshes, point clouds and depth maps.
flags.DEFINE_list("export", list(EXPORTS), f"what is written: {', '.join(EXPORTS)}")
flags.DEFINE_list("mesh_format", ["ply", "glb"], f"formats of the mesh: {', '.join(MESH_FORMATS)}")
flags.DEFINE_integer(
    "num_points", 1_000_000, "points of the cloud at most", lower_bound=1, upper_bound=_MAX_COUNT
)
flags.DEFINE_enum(
    "export_frame",
    "capture",
    FRAMES,
    "coordinates and unit: those of the capture's own files, or scene units",
)
flags.DEFINE_float(
    "export_far",
    None,
    "leave out surfaces farther from a camera, in the files' unit (four times the median depth; no "
    "limit for an object)",
)
flags.DEFINE_integer(
    "mesh_resolution",
    None,
    "cells of the mesh's grid along its longest side (about two a pixel, at most 384)",
    lower_bound=8,
    upper_bound=1024,
)
flags.DEFINE_integer(
    "mesh_faces",
    None,
    "triangles of the mesh at most (no limit)",
    lower_bound=4,
    upper_bound=_MAX_COUNT,
)

# The viewer.
flags.DEFINE_bool("viewer", False, "show the field in the browser while it is trained")
flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "address of the viewer's page: this machine alone; 0.0.0.0 for its whole network",
)
flags.DEFINE_integer(
    "port",
    8080,
    "port of the viewer's page; the next free one where it is in use",
    lower_bound=1,
    upper_bound=2**16 - 1,
)

for _name in ("near", "far", "train_seconds", "lr", "export_far", "start_seconds"):
    flags.register_validator(
        _name,
        lambda value: value is None or 0.0 < value < math.inf,
        message="must be finite and more than 0",
    )
