"""One small scene, written in every format that can be written."""

from nerf.captures.export import EXPORT_FORMATS
from nerf.captures.reading import read_capture
from tests.captures.test_tables import with_bounds
from tests.support.captures import convert, write_nerfstudio
from tools.other_formats import WRITERS


def write_scenes(home):
    """The folder of the scene in each format, by the name of the format."""
    source = write_nerfstudio(home / "source", change=with_bounds, cx=6.0, cy=4.0)
    capture = read_capture(source)
    found = {name: write(capture, home / name) for name, (write, _) in WRITERS.items()}
    return found | {name: convert(source, name, home / name) for name in EXPORT_FORMATS}
