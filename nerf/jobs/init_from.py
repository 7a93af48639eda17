"""What a run starts from: pretrained parameters, a run folder, a file, or nothing."""

from pathlib import Path
from typing import NamedTuple

from nerf.errors import UserError
from nerf.field import Params
from nerf.runs import parameters, run_folder
from nerf.scenes import names


class InitialParams(NamedTuple):
    """The parameters to begin with.

    Attributes:
      params: one tree for each network, None for fresh ones.
      origin: how a person calls them, where they were found.
      provenance: the same for the record, without a path, which would not outlive a move.
      header: their settings, None where they come with none.
      run: the run folder whose training state is to go on elsewhere; None if there is none.
    """

    params: Params | None
    origin: str
    provenance: str
    header: parameters.Header | None
    run: Path | None = None


def effective_source(init_from: str | None, run_dir: Path, *, training: bool) -> str:
    """What `load_initial_params` reads; a trained run is not overwritten by other parameters.

    Args:
      init_from: what was asked for, None for the default.
      run_dir: where the run's results go.
      training: whether the run trains.

    Raises:
      UserError: if a trained run folder would be scored with other parameters than its own.
    """
    if training:
        return init_from or "none"
    if not run_folder.holds_training(run_dir):
        return init_from or "pretrained"
    if not init_from or _is_within(init_from, run_dir):
        return str(run_dir)
    raise UserError(
        f"{run_dir} holds a training run, which other parameters would overwrite: leave out "
        "`init_from` to use the trained ones, or name another `run_dir`"
    )


def load_initial_params(
    init_from: str,
    backend: str,
    resolved: names.Resolved | None,
    *,
    run_dir: Path | None = None,
    training: bool = False,
) -> InitialParams:
    """Reads the parameters a run starts from, in the layout of `backend`.

    Args:
      init_from: `pretrained`, `none`, a run folder, a published folder or a .safetensors file.
      backend: whose layout is wanted.
      resolved: the scene, which `pretrained` belongs to.
      run_dir: where the run's results go, if anywhere.
      training: whether the run trains.

    Raises:
      UserError: if there are none, or they cannot be read.
    """
    if init_from == "none":
        if not training:
            raise UserError(
                '`init_from="none"` gives no parameters, and only `nerf.train` can do without'
            )
        return InitialParams(None, "fresh", "none", None)
    path = Path(init_from)
    if init_from == "pretrained":
        assert resolved is not None
        path = _find_pretrained(resolved)
    loaded = parameters.load(path, backend)
    own = run_dir is not None and _is_within(init_from, run_dir)
    if training and not own and path.is_dir() and run_folder.holds_training(path):
        name = path.resolve().name
        return InitialParams(
            loaded.params, f"the training state in {path}", f"the run {name}", loaded.header, path
        )
    if init_from == "pretrained":
        assert resolved is not None
        provenance = f"pretrained ({resolved.scene.source})"
    elif loaded.header and not (training and not own):
        provenance = loaded.header.provenance
    else:  # the sum tells one start from another
        provenance = f"parameters with the checksum {parameters.checksum(loaded.params):08x}"
    return InitialParams(loaded.params, f"the parameters in {path}", provenance, loaded.header)


def _find_pretrained(resolved: names.Resolved) -> Path:
    scene = resolved.scene
    path = names.find_pretrained(scene.name, scene.source, resolved.folder)
    if path is None:
        where = f"in {resolved.folder}" if resolved.folder else "in the package"
        raise UserError(
            f"no pretrained parameters for scene {scene.name!r}: looked for a folder params "
            f"{where}; train with `nerf.train`, or name parameters with `init_from`"
        )
    return path


def _is_within(init_from: str, run_dir: Path) -> bool:
    """Whether `init_from` leads to the parameters that `run_dir` itself holds."""
    folder = run_dir.resolve()
    return Path(init_from).resolve() in (folder, folder / parameters.FILE_NAME)
