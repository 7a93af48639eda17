"""Neural radiance fields in JAX: one `RadianceField` interface, Haiku, Flax and NNX behind it.

    import nerf

    scene = nerf.load_scene("flower")
    config = nerf.fit_config("planes", scene)
    trained = nerf.train(scene, config, seconds=60)
    image = nerf.render_view(trained, scene.view(16))
    scores = nerf.evaluate(trained, scene)
    nerf.save_params("flower.safetensors", trained)

Everything here is imported when it is first used, so `import nerf` is fast, and a backend's library
is loaded only where the backend is asked for.
"""

import importlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerf.config.settings import Config as Config
    from nerf.errors import UserError as UserError
    from nerf.field import FieldOutput as FieldOutput
    from nerf.field import RadianceField as RadianceField
    from nerf.field import register as register
    from nerf.field import register_field as register_field
    from nerf.geometry.cameras import Cameras as Cameras
    from nerf.jobs.compare import Comparison as Comparison
    from nerf.jobs.compare import compare_runs as compare_runs
    from nerf.jobs.draw import render_view as render_view
    from nerf.jobs.evaluate import evaluate as evaluate
    from nerf.jobs.export import export_depth as export_depth
    from nerf.jobs.export import export_mesh as export_mesh
    from nerf.jobs.export import export_points as export_points
    from nerf.jobs.fit import fit_config as fit_config
    from nerf.jobs.load import load_params as load_params
    from nerf.jobs.load import load_run as load_run
    from nerf.jobs.load import save_params as save_params
    from nerf.jobs.load_scene import load_scene as load_scene
    from nerf.jobs.report import write_report as write_report
    from nerf.jobs.scoring.scores import Scores as Scores
    from nerf.jobs.train import train as train
    from nerf.jobs.trained_field import TrainedField as TrainedField
    from nerf.jobs.training_run.options import TrainOptions as TrainOptions
    from nerf.jobs.video import render_video as render_video
    from nerf.jobs.video import save_camera_path as save_camera_path
    from nerf.render.images import RenderedImage as RenderedImage
    from nerf.runtime.events import Event as Event
    from nerf.runtime.events import Message as Message
    from nerf.runtime.events import Preview as Preview
    from nerf.runtime.events import Progress as Progress
    from nerf.runtime.events import StepMetrics as StepMetrics
    from nerf.runtime.events import StopTraining as StopTraining
    from nerf.runtime.parallel import use_all_cores as use_all_cores
    from nerf.scenes.scene import Scene as Scene
    from nerf.scenes.scene import View as View

STARTED = time.monotonic()  # about when the process did
__version__ = "0.2.0"

_HOMES = {
    "Cameras": "nerf.geometry.cameras",
    "Comparison": "nerf.jobs.compare",
    "Config": "nerf.config.settings",
    "FieldOutput": "nerf.field",
    "RadianceField": "nerf.field",
    "RenderedImage": "nerf.render.images",
    "Scene": "nerf.scenes.scene",
    "Scores": "nerf.jobs.scoring.scores",
    "Event": "nerf.runtime.events",
    "Message": "nerf.runtime.events",
    "Preview": "nerf.runtime.events",
    "Progress": "nerf.runtime.events",
    "StepMetrics": "nerf.runtime.events",
    "StopTraining": "nerf.runtime.events",
    "TrainOptions": "nerf.jobs.training_run.options",
    "TrainedField": "nerf.jobs.trained_field",
    "UserError": "nerf.errors",
    "View": "nerf.scenes.scene",
    "compare_runs": "nerf.jobs.compare",
    "evaluate": "nerf.jobs.evaluate",
    "export_depth": "nerf.jobs.export",
    "export_mesh": "nerf.jobs.export",
    "export_points": "nerf.jobs.export",
    "fit_config": "nerf.jobs.fit",
    "load_params": "nerf.jobs.load",
    "load_run": "nerf.jobs.load",
    "load_scene": "nerf.jobs.load_scene",
    "register": "nerf.field",
    "register_field": "nerf.field",
    "render_video": "nerf.jobs.video",
    "render_view": "nerf.jobs.draw",
    "save_camera_path": "nerf.jobs.video",
    "save_params": "nerf.jobs.load",
    "train": "nerf.jobs.train",
    "use_all_cores": "nerf.runtime.parallel",
    "write_report": "nerf.jobs.report",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    """Imports a main function or class when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
