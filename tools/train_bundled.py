"""Trains the Haiku parameters that the package ships for its procedural scenes.

    python -m tools.train_bundled --scene=flower

At 126x94 the highest frequency that an image can show has 63 cycles over its width, about that of
octave 6 of the notebook's encoding. Octaves 6 to 9 alias, and a network that sees them learns noise
before it learns shape. So the network is trained with octaves 0 to 5, and its input layers then get
rows of zeros for the other four: the same function, in the layout of the published parameters.
"""

import argparse
import subprocess
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import numpy.typing as npt

from nerf import field
from nerf.backends import convert
from nerf.backends.mlp import MLPConfig
from nerf.config import presets
from nerf.runs import parameters

NUM_OCTAVES = 6

MLP = typing.cast(MLPConfig, presets.NOTEBOOK.field)


def widen(matrix: npt.NDArray[np.float32], num_octaves: int, wider: int) -> npt.NDArray[np.float32]:
    """Adds rows of zeros for further octaves of the encoding.

    Args:
      matrix: `[3 * 2 * num_octaves + others, width]`. Its first rows are for the encoded point,
        coordinate by coordinate, without the identity.
      num_octaves: octaves of the encoding that the matrix has rows for.
      wider: octaves that the result has rows for.

    Returns:
      `[3 * 2 * wider + others, width]`.
    """
    num_encoded, (_, width) = 6 * num_octaves, matrix.shape
    encoded = matrix[:num_encoded].reshape(3, 2 * num_octaves, width)
    encoded = np.pad(encoded, ((0, 0), (0, 2 * (wider - num_octaves)), (0, 0)))
    return np.concatenate([encoded.reshape(6 * wider, width), matrix[num_encoded:]])


def widen_params(params: field.Params, layout: str, num_octaves: int, wider: int) -> field.Params:
    """`widen` for every matrix of the MLP whose input contains the encoded point."""
    widened = jax.tree.map(np.asarray, convert.convert(params, "mlp", layout, "flax"))
    for tree in widened.values():
        for name in ("trunk_1", f"trunk_{MLP.skip_layer + 1}"):
            layer = tree["params"][name]
            layer["kernel"] = widen(layer["kernel"], num_octaves, wider)
    return convert.convert(widened, "mlp", "flax", layout)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scene", choices=["flower", "room"], default="flower")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--lr", type=float, default=1e-3, help="first learning rate")
    parser.add_argument("--run_dir", type=Path, help="the run folder (runs/bundled-SCENE)")
    args = parser.parse_args(argv)
    run_dir = args.run_dir or Path(f"runs/bundled-{args.scene}")
    train = [
        *(sys.executable, "-m", "nerf.main", f"--scene=procedural:{args.scene}"),
        *("--backend=haiku", "--mode=train", f"--steps={args.steps}", f"--lr={args.lr}"),
        *("--rays=256", "--set=render.num_coarse=24", "--set=render.num_fine=40"),
        f"--set=field.point_encoding.num_frequencies={NUM_OCTAVES}",
        *("--save_every=250", "--video_frames=0", f"--run_dir={run_dir}"),
    ]
    if status := subprocess.run(train).returncode:
        sys.exit(status)  # nerf.main has said why
    loaded = parameters.load(run_dir, "haiku")
    wider = MLP.point_encoding.num_frequencies
    params = widen_params(loaded.params, "haiku", NUM_OCTAVES, wider)
    nerf = field.make_field("haiku", "mlp", MLP)
    parameters.check(params, nerf, presets.NOTEBOOK, str(run_dir))
    folder = Path(field.__file__).parent / "assets" / args.scene / "params"
    parameters.save_published(folder, params, "mlp", "haiku")
    print(f"{run_dir} -> {folder}")


if __name__ == "__main__":
    main()
