"""Laws of the event files: TensorBoard's own reader finds every value under its name and step."""

import struct
import sys

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from nerf.errors import UserError
from nerf.output.tensorboard import open_writer


def events(folder):
    """All events of the files in a folder: each is its length, a checksum, bytes, a checksum."""
    found = []
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def scalars(folder):
    return {
        (event.step, value.tag): value.simple_value
        for event in events(folder)
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def test_scalars_are_read_back_under_name_and_step(tmp_path):
    with open_writer(tmp_path, 0) as writer:
        writer.scalars(1, {"loss": 0.5, "psnr": 20.0})
        writer.scalars(2, {"loss": 0.25})
    assert scalars(tmp_path) == {(1, "loss"): 0.5, (1, "psnr"): 20.0, (2, "loss"): 0.25}


def test_an_image_is_read_back(tmp_path):
    image = np.zeros((4, 5, 3), np.float32)
    image[1, 2] = 1.0
    with open_writer(tmp_path, 0) as writer:
        writer.image("view_0", 3, image)
    (value,) = (value for event in events(tmp_path) for value in event.summary.value)
    assert (value.tag, value.image.height, value.image.width) == ("view_0", 4, 5)
    assert value.image.encoded_image_string.startswith(b"\x89PNG")


def test_a_run_that_resumes_drops_what_it_had_not_saved(tmp_path):
    with open_writer(tmp_path, 7):
        pass
    assert any(event.session_log.status == 1 and event.step == 7 for event in events(tmp_path))


def test_without_the_package_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"pip install tensorboardX, or leave it out"):
        open_writer(tmp_path, 0)
