"""Published scores of other methods, by scene, under the protocols of the papers.

LLFF: 1008x756, every 8th view held out. Blender: 800x800, white background, the files' 200 test
views. All were trained on GPUs or TPUs until they were done, for minutes to days.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Scores(NamedTuple):
    """Means over the held-out views of one scene; SSIM is None where it was not published."""

    psnr: float
    ssim: float | None = None


class Method(NamedTuple):
    """One method's scores as one source has them.

    Attributes:
      name: of the method and of who ran it.
      source: where the figures were published.
      scores: by the name of the scene.
    """

    name: str
    source: str
    scores: Mapping[str, Scores]


def _by_scene(
    scenes: tuple[str, ...], psnr: tuple[float, ...], ssim: tuple[float, ...] | None = None
) -> dict[str, Scores]:
    pairs = zip(psnr, ssim or [None] * len(psnr), strict=True)
    return {scene: Scores(*pair) for scene, pair in zip(scenes, pairs, strict=True)}


_JAXNERF = "google-research/google-research, jaxnerf/README.md"
_NERF_FACTORY = "kakaobrain/nerf-factory, docs/performance"

_LLFF_SCENES = ("fern", "flower", "fortress", "horns", "leaves", "orchids", "room", "trex")
LLFF = (
    Method(
        "NeRF (the paper's code)",
        _JAXNERF,
        _by_scene(_LLFF_SCENES, (25.17, 27.40, 31.16, 27.45, 20.92, 20.36, 32.70, 26.80)),
    ),
    Method(
        "JaxNeRF",
        _JAXNERF,
        _by_scene(_LLFF_SCENES, (24.83, 28.07, 31.76, 28.10, 21.23, 20.27, 33.04, 27.42)),
    ),
    Method(
        "NeRF (nerf-factory)",
        _NERF_FACTORY,
        _by_scene(
            _LLFF_SCENES,
            (25.19, 27.94, 31.73, 28.03, 21.17, 20.29, 32.96, 27.52),
            (0.805, 0.847, 0.895, 0.859, 0.714, 0.641, 0.954, 0.901),
        ),
    ),
    Method(
        "Plenoxels (nerf-factory)",
        _NERF_FACTORY,
        _by_scene(
            _LLFF_SCENES,
            (24.91, 28.17, 31.36, 27.77, 21.19, 20.01, 31.33, 26.54),
            (0.808, 0.868, 0.890, 0.862, 0.743, 0.653, 0.941, 0.887),
        ),
    ),
    Method(
        "TensoRF",
        "its paper, as listed on nerfbaselines.github.io",
        _by_scene(
            _LLFF_SCENES,
            (25.27, 28.60, 31.36, 28.14, 21.30, 19.87, 32.35, 26.97),
            (0.814, 0.871, 0.897, 0.877, 0.752, 0.649, 0.952, 0.900),
        ),
    ),
)

_BLENDER_SCENES = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
BLENDER = (
    Method(
        "NeRF (the paper's code)",
        _JAXNERF,
        _by_scene(_BLENDER_SCENES, (33.00, 25.01, 30.13, 36.18, 32.54, 29.62, 32.91, 28.65)),
    ),
    Method(
        "JaxNeRF",
        _JAXNERF,
        _by_scene(_BLENDER_SCENES, (34.08, 25.03, 30.43, 36.92, 33.28, 29.91, 34.53, 29.36)),
    ),
    Method(
        "NeRF (nerf-factory)",
        _NERF_FACTORY,
        _by_scene(
            _BLENDER_SCENES,
            (34.93, 25.28, 31.28, 37.16, 34.38, 30.45, 35.18, 29.95),
            (0.979, 0.929, 0.972, 0.980, 0.973, 0.956, 0.989, 0.878),
        ),
    ),
    Method(
        "Plenoxels (nerf-factory)",
        _NERF_FACTORY,
        _by_scene(
            _BLENDER_SCENES,
            (34.11, 25.42, 31.94, 36.69, 34.34, 29.26, 33.36, 30.10),
            (0.977, 0.932, 0.976, 0.981, 0.975, 0.950, 0.985, 0.890),
        ),
    ),
)
