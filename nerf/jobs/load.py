"""Opening what was trained before: a run folder, a parameter file, or pretrained parameters."""

import dataclasses
from pathlib import Path

from nerf import field as field_lib
from nerf.backends import convert
from nerf.config import presets
from nerf.config.settings import Config
from nerf.corrections.record import CorrectionRecord
from nerf.errors import UserError
from nerf.jobs.fit import fit_config
from nerf.jobs.trained_field import TrainedField
from nerf.runs import parameters, run_folder
from nerf.runs.parameters import Header, LoadedParams
from nerf.scenes import names
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene
from nerf.scenes.splits import Holdout

PRETRAINED = "pretrained"


def load_run(
    folder: str | Path, scene: Scene | None = None, *, backend: str | None = None
) -> TrainedField:
    """Opens a run folder: its parameters, settings, and the cameras of its scene.

    Args:
      folder: the run folder; it is not changed.
      scene: only needed for run folders of version 0.1.0, which do not store the cameras.
      backend: whose layout the parameters get; None means the run's own.

    Raises:
      UserError: if it is not a run folder, or its parameters cannot be read.
    """
    folder = Path(folder)
    record = run_folder.read_config(folder)
    backend = backend or str(record.get("backend", field_lib.DEFAULT_BACKEND))
    field_lib.check_backend(backend)
    stored = stored_scene(folder)
    loaded = parameters.load(folder, backend)
    if loaded.header is None:
        raise UserError(f"{folder} is no run folder: it has no {parameters.FILE_NAME}")
    if stored is None and scene is not None:
        stored = SceneRecord.of(scene, Holdout.of(loaded.header.config.train))
    trained = _trained(loaded, loaded.header, backend, stored, f"the parameters in {folder}")
    return dataclasses.replace(
        trained,
        run_dir=folder,
        precision=str(record.get("precision", "float32")),
        corrections=stored_corrections(folder),
    )


def load_params(
    source: str | Path,
    scene: Scene | None = None,
    *,
    backend: str = field_lib.DEFAULT_BACKEND,
    config: Config | None = None,
) -> TrainedField:
    """Loads parameters.

    Args:
      source: `pretrained`, which needs `scene`; a .safetensors file; a folder in the published
        layout; or a run folder.
      scene: which the field is drawn or scored on.
      backend: whose layout the parameters get, whatever they were stored in.
      config: the settings of parameters that come with none, as the published ones do; None means
        the preset `notebook`, fitted to the scene.

    Raises:
      UserError: if they are missing or cannot be read.
    """
    field_lib.check_backend(backend)
    is_pretrained = source == PRETRAINED
    path = Path(source)
    if is_pretrained:
        if scene is None:
            raise UserError("pretrained parameters belong to a scene: give `scene`")
        path = find_pretrained(scene)
    loaded = parameters.load(path, backend)
    header = loaded.header
    if header is None:
        config = config or _published_config(scene)
        header = Header(
            field=field_lib.name_of(config.field) or "mlp",
            layout=backend,
            config=config,
            scene=scene.name if scene else "unknown",
            source=scene.source if scene else "unknown",
            step=None,
            provenance=f"parameters with the checksum {parameters.checksum(loaded.params):08x}",
        )
    if is_pretrained and scene is not None:
        header = dataclasses.replace(header, provenance=f"pretrained ({scene.source})")
    record = SceneRecord.of(scene, Holdout.of(header.config.train)) if scene else None
    if record is None and path.is_dir():
        record = stored_scene(path)
    trained = _trained(loaded, header, backend, record, f"the parameters in {path}")
    return dataclasses.replace(trained, is_pretrained=is_pretrained)


def save_params(path: str | Path, trained: TrainedField) -> None:
    """Writes parameters: a `.safetensors` file, or else a folder in the published layout.

    Args:
      path: where to; a file that is there is replaced when the new one is complete.
      trained: what to write.

    Raises:
      UserError: if the published layout is asked for, and cannot hold the parameters.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        parameters.save(path, trained.params, trained.header())
    elif (path / run_folder.CONFIG_FILE).exists():
        raise UserError(f"{path} is a run folder: name another folder for the published layout")
    else:
        parameters.save_published(path, trained.params, trained.field_name, trained.backend)


def in_backend(trained: TrainedField, backend: str) -> TrainedField:
    """The same field and parameters in another backend, exact to the bit."""
    params = convert.convert(trained.params, trained.field_name, trained.backend, backend)
    made = field_lib.make_field(backend, trained.field_name, trained.config.field)
    return dataclasses.replace(trained, backend=backend, field=made, params=params)


def stored_scene(folder: Path) -> SceneRecord | None:
    """The scene's record in a run folder; None in those of version 0.1.0."""
    file = folder / run_folder.SCENE_FILE
    if not file.is_file():
        return None
    values = run_folder.read_json(file)
    try:
        return SceneRecord.from_json(values)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def stored_corrections(folder: Path) -> CorrectionRecord | None:
    """The record of corrections in a run folder; None without corrections."""
    file = folder / run_folder.CORRECTIONS_FILE
    if not file.is_file():
        return None
    values = run_folder.read_json(file)
    try:
        return CorrectionRecord.from_json(values)
    except UserError as error:
        raise UserError(f"{file}: {error}; delete it, the field does not need it") from error


def find_pretrained(scene: Scene) -> Path:
    """The folder of the parameters that come with a scene.

    Raises:
      UserError: if there are none.
    """
    path = names.pretrained_folder(scene.name, scene.source, scene.folder)
    if path is None:
        where = f"in {scene.folder}" if scene.folder else "in the package"
        raise UserError(
            f"no pretrained parameters for scene {scene.name!r}: looked for a folder params "
            f"{where}; train with `nerf.train`, or name parameters with `init_from`"
        )
    return path


def _published_config(scene: Scene | None) -> Config:
    return presets.NOTEBOOK if scene is None else fit_config("notebook", scene)


def _trained(
    loaded: LoadedParams,
    header: Header,
    backend: str,
    scene: SceneRecord | None,
    origin: str,
) -> TrainedField:
    made = field_lib.make_field(backend, header.field, header.config.field)
    parameters.check(loaded.params, made, header.config, origin)
    return TrainedField(
        backend=backend,
        field_name=header.field,
        field=made,
        params=loaded.params,
        config=header.config,
        step=header.step,
        space=scene.space if scene else header.space,
        scene=scene,
        scene_name=header.scene,
        source=header.source,
        provenance=header.provenance,
        origin=origin,
    )
