"""Finding a scene by a folder or a name.

    a folder            flowers/mine, ./mine      see `nerf.captures.formats`
    a name              flower                    data folder, cache, download, bundled scene
    llff:NAME           llff:flower               the same, but never the bundled scene
    procedural:NAME     procedural:flower         always the bundled scene, 126x94
    procedural:NAME@WxH procedural:flower@252x188 the same, WIDTHxHEIGHT[xVIEWS]

A name leads to the bundled ray-traced scene only if the photographs are neither on disk nor
available from the network, and a note then says so. Damaged data, a file that is missing on the
server and a wrong hash are errors, so that results on bundled scenes are never taken for results on
photographs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nerf.captures import formats
from nerf.errors import UserError
from nerf.runtime.cache_dir import default_cache_dir, with_home
from nerf.runtime.events import Callback, log_event
from nerf.scenes import bundled, download, loading
from nerf.scenes.options import DEFAULT, CaptureOptions
from nerf.scenes.scene import Scene, Source

DEFAULT_DATA_DIR = Path("data/llff")
_ASSETS = Path(__file__).parents[1] / "assets"


class ResolvedScene(NamedTuple):
    """A scene and how it was found.

    Attributes:
      scene: the scene.
      folder: the folder it came from; None for a bundled scene.
      notes: notes for the user, one sentence each.
    """

    scene: Scene
    folder: Path | None
    notes: tuple[str, ...] = ()


class _Sources(NamedTuple):
    """Where scenes are searched by name; see `resolve_scene`."""

    data_dir: Path
    cache_dir: Path
    offline: bool
    base_url: str
    rows: Sequence[download.ManifestRow]
    timeouts: download.Timeouts
    options: CaptureOptions
    callback: Callback


def resolve_scene(
    name: str,
    *,
    data_dir: Path | None = None,
    offline: bool = False,
    options: CaptureOptions = DEFAULT,
    base_url: str | None = None,
    cache_dir: Path | None = None,
    rows: Sequence[download.ManifestRow] | None = None,
    timeouts: download.Timeouts = download.DEFAULT_TIMEOUTS,
    callback: Callback = log_event,
) -> ResolvedScene:
    """Finds and reads a scene; see above for where it is searched.

    Args:
      name: a folder, a name, `llff:NAME`, `procedural:NAME` or
        `procedural:NAME@WIDTHxHEIGHT[xVIEWS]`.
      data_dir: the folder of scenes with a name; None means `$NERF_DATA_DIR`, else data/llff.
      offline: whether the network is never used, as with NERF_OFFLINE=1.
      options: how a folder is read.
      base_url: a mirror of the published files; None means their own repository.
      cache_dir: the folder of downloads and ray-traced views; None means `$NERF_CACHE_DIR`, else
        the system's cache folder.
      rows: the manifest of files that can be downloaded; None means the package's own.
      timeouts: time limits of the network.
      callback: receives the progress of downloads and of scaling.

    Raises:
      UserError: if there is no such scene, or its data is damaged.
    """
    prefix, colon, rest = name.partition(":")
    known_prefix = bool(colon) and prefix in ("llff", "procedural")
    bare = rest if known_prefix else name
    if not bare:
        raise UserError(f"{name!r} names no scene: give a folder or {_examples()}")
    cache_dir = cache_dir or default_cache_dir()
    if known_prefix and prefix == "procedural":
        return ResolvedScene(bundled.load(bare, cache_dir), None)
    if _is_folder(bare):
        folder = with_home(bare)
        return _load(folder, None, options, cache_dir, callback)
    sources = _Sources(
        data_dir=data_dir or with_home(str(os.environ.get("NERF_DATA_DIR") or DEFAULT_DATA_DIR)),
        cache_dir=cache_dir,
        offline=offline or _is_set("NERF_OFFLINE"),
        base_url=base_url or download.BASE_URL,
        rows=download.read_manifest() if rows is None else rows,
        timeouts=timeouts,
        options=options,
        callback=callback,
    )
    return _load_named(bare, sources, strict=known_prefix)


def check_name(name: str, data_dir: str | Path | None = None) -> None:
    """Refuses a name of no scene, without reading or downloading one.

    Args:
      name, data_dir: see `resolve_scene`.

    Raises:
      UserError: with the known names, or that there is no such folder.
    """
    prefix, colon, rest = name.partition(":")
    if colon and prefix == "procedural":
        bundled.parse_name(rest)
        return
    bare = rest if colon and prefix == "llff" else name
    if bare and _is_folder(bare):
        if not with_home(bare).exists():
            raise UserError(f"`scene={name}` does not exist: give the folder of a scene, or a name")
        return
    folder = with_home(str(data_dir or os.environ.get("NERF_DATA_DIR") or DEFAULT_DATA_DIR))
    known = known_names(folder, download.read_manifest())
    if bare not in known and not (bare and (folder / bare).is_dir()):
        raise UserError(
            f"no scene {name!r}: there is no folder {folder / bare}, and the known names are "
            f"{', '.join(known)}; give one of them or a folder"
        )


def pretrained_folder(name: str, source: Source, folder: Path | None) -> Path | None:
    """The folder of Haiku parameters that were trained on a scene, if there is one.

    Args:
      name: the scene's name; the parameters of a bundled scene serve all sizes, but only its own
        number of views, which decides where the origin is.
      source: the scene's source.
      folder: `ResolvedScene.folder`.

    Returns:
      `params` in the scene's folder, or in the package for a bundled scene; None without one.
    """
    if source == "photographs":
        parent = folder
    else:
        parsed = bundled.parse_name(name)
        parent = _ASSETS / parsed.scene if parsed.num_views is None else None
    params = None if parent is None else parent / "params"
    return params if params is not None and params.is_dir() else None


def known_names(data_dir: Path, rows: Sequence[download.ManifestRow]) -> tuple[str, ...]:
    """The names of all scenes: in the data folder, on the network, and bundled."""
    folders = sorted(data_dir.iterdir()) if data_dir.is_dir() else []
    found = {path.name for path in folders if path.is_dir() and formats.formats_in(path)}
    return tuple(sorted(found.union(download.scene_names(rows), bundled.scene_names())))


def _load_named(name: str, sources: _Sources, *, strict: bool) -> ResolvedScene:
    """Loads a scene by name; `strict` excludes bundled ones. Raises as `resolve_scene` does."""
    local = sources.data_dir / name
    if local.is_dir():
        return _load(local, name, sources.options, sources.cache_dir, sources.callback)
    can_download = name in download.scene_names(sources.rows)
    is_bundled = name in bundled.scene_names()
    if not (can_download or is_bundled):
        without_size, at, _ = name.partition("@")
        if at and without_size in bundled.scene_names():
            raise UserError(
                f"photographs have a fixed size: give procedural:{name} for the bundled "
                f"scene, or {without_size} with `factor` or `max_size`"
            )
        names = ", ".join(known_names(sources.data_dir, sources.rows))
        raise UserError(
            f"no scene {name!r}: there is no folder {local}, and the known names are {names}; "
            "give one of them or a folder"
        )
    reason = "they are not among the files that can be downloaded"
    if can_download:
        found = _cached_or_downloaded(name, sources, has_bundled=is_bundled and not strict)
        if isinstance(found, Path):
            return _load(found, name, sources.options, sources.cache_dir, sources.callback)
        reason = found
    absence = f"the photographs of {name} are not in {local}, and {reason}"
    if is_bundled and not strict:
        note = f"{absence}: using the bundled procedural scene {name} instead"
        return ResolvedScene(bundled.load(name, sources.cache_dir), None, (note,))
    instead = f", or use procedural:{name}" if is_bundled else ""
    raise UserError(f"{absence}: put them there{instead}")


def _load(
    folder: Path, name: str | None, options: CaptureOptions, cache_dir: Path, callback: Callback
) -> ResolvedScene:
    loaded = loading.load_folder(folder, options, name=name, cache_dir=cache_dir, callback=callback)
    return ResolvedScene(loaded.scene, folder, loaded.notes)


def _cached_or_downloaded(name: str, sources: _Sources, *, has_bundled: bool) -> Path | str:
    """The complete folder of a scene in the cache, or the reason why there is none."""
    folder = download.cached_folder(name, sources.cache_dir)
    num_missing = len(download.missing_files(name, sources.cache_dir, sources.rows))
    if num_missing == 0:
        return folder
    lacks = f"the cache {folder} lacks {num_missing} of their files"
    if sources.offline:
        return f"{lacks}, and the network is not used (`offline` or NERF_OFFLINE)"
    try:
        return download.download_scene(
            name,
            cache_dir=sources.cache_dir,
            rows=sources.rows,
            base_url=sources.base_url,
            timeouts=sources.timeouts,
            callback=sources.callback,
        )
    except download.NetworkUnreachable as error:
        return f"{lacks}, and {error}"
    except UserError as error:
        if not has_bundled:
            raise
        raise UserError(
            f"{error}; to continue without the photographs give `offline=True` or procedural:{name}"
        ) from error


def _is_folder(name: str) -> bool:
    """Whether the user means a folder: it looks like a path, or such a folder or file is there."""
    separators = [separator for separator in ("/", os.sep, os.altsep) if separator]
    looks_like_path = name.startswith((".", "~")) or any(s in name for s in separators)
    path = Path(name)
    return looks_like_path or path.is_dir() or (bool(path.suffix) and path.is_file())


def _is_set(variable: str) -> bool:
    """Whether an environment variable is set to something other than 0, false or no."""
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no")


def _examples() -> str:
    return "a name such as flower, llff:flower or procedural:flower"
