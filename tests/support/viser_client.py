"""A window of a viser page without a browser: sends what a page sends, and keeps what comes."""

import io
import itertools
import math
import threading

import msgspec
import numpy as np
import viser
import zstandard
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SECONDS = 30.0  # at most, for a machine that does much else
_MOST_OF_SHARP = 3  # the first step of quantization of JPEG in quality 95 is 2, in 80 it is 6


class ViserClient:
    """A connected window, from its start to the end of the block.

    Args:
      address: of the page, http://HOST:PORT.
      width, height: of the window in pixels.
      origin: the page that connects, as a browser says it; None for no browser.
    """

    def __init__(self, address, width=64, height=48, *, origin=None):
        self.resize(width, height)
        self._socket = connect(
            address.replace("http", "ws", 1),
            subprotocols=[f"viser-v{viser.__version__}"],
            max_size=None,
            origin=origin,
            open_timeout=SECONDS,
        )
        self.messages = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def __enter__(self):
        """Its window is there, stands where the page starts, and then looks along -z."""
        self.look()
        self.sharp()
        start = len(self.messages)
        self.look()
        self.sharp(start)
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self._socket.close()
        self._thread.join(SECONDS)

    def _receive(self):
        try:
            for data in self._socket:
                length = int.from_bytes(data[8:16], "little")
                packed = zstandard.ZstdDecompressor().decompress(data[16 : 16 + length])
                with self._changed:
                    self.messages += msgspec.msgpack.decode(packed)["messages"]
                    self._changed.notify_all()
        except ConnectionClosed:
            pass

    def send(self, kind, **entries):
        self._socket.send(msgspec.msgpack.encode({"type": kind, **entries}))

    def resize(self, width, height):
        """The size of the window from the next `look` on."""
        self._size = {"image_width": width, "image_height": height}

    def look(self, position=(0.0, 0.0, 0.0), wxyz=(0.0, 1.0, 0.0, 0.0), fov=1.0):
        """Tells where the camera is; by default it looks along -z, with +y up."""
        self.send(
            "ViewerCameraMessage",
            wxyz=[float(x) for x in wxyz],
            position=[float(x) for x in position],
            fov=fov,
            near=0.01,
            far=1000.0,
            look_at=(0.0, 0.0, -1.0),
            up_direction=(0.0, 1.0, 0.0),
            **self._size,
        )

    def wait(self, is_so):
        """Waits until a function of the client is true; returns what it returned."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_so(self), SECONDS), self.texts()
            return is_so(self)

    def of(self, kind, start=0):
        """The messages of a kind, of those since number `start`."""
        return [m for m in itertools.islice(self.messages, start, None) if m["type"] == kind]

    def control(self, label):
        """The last control of this label."""
        found = [
            m for m in self.messages if m.get("props", {}).get("label") == label and "uuid" in m
        ]
        return found[-1]["uuid"]

    def set(self, label, value):
        """Changes a control, as a user does; a button is pressed by True."""
        uuid = self.wait(lambda client: client.control(label))
        self.send("GuiUpdateMessage", uuid=uuid, updates={"value": value})

    def click(self, name):
        """Clicks an object of the 3D scene."""
        node = self.wait(lambda client: [m for m in client.messages if m.get("name") == name])[0]
        self.send(
            "SceneNodeClickMessage",
            name=name,
            instance_index=None,
            ray_origin=(0.0, 0.0, 0.0),
            ray_direction=(0.0, 0.0, -1.0),
            screen_pos=(0.5, 0.5),
            modifier=None,
            owner=node["owner"],
        )

    def texts(self):
        """What markdown controls say now and said before."""
        first = [m["props"]["_markdown"] for m in self.of("GuiMarkdownMessage")]
        later = [m["updates"] for m in self.of("GuiUpdateMessage")]
        return first + [u["_markdown"] for u in later if "_markdown" in u]

    def images(self, start=0):
        """The images `[height, width, 3]` in [0, 1] since message `start`."""
        data = [m["rgb_data"] for m in self.of("BackgroundImageMessage", start)]
        return [
            np.asarray(Image.open(io.BytesIO(x)), np.float32) / 255 for x in data if x is not None
        ]

    def sharp(self, start=0):
        """Waits for the first image as large as the window since message `start` of which no part
        is missing: such images have a higher quality.
        """
        size = (self._size["image_width"], self._size["image_height"])

        def found(client):
            for message in client.of("BackgroundImageMessage", start):
                if message["rgb_data"] is not None:
                    image = Image.open(io.BytesIO(message["rgb_data"]))
                    if image.size == size and image.quantization[0][0] <= _MOST_OF_SHARP:
                        return np.asarray(image, np.float32) / 255
            return None

        self.wait(lambda client: found(client) is not None)
        return found(self)

    def looks_along(self, since=0):
        """The direction to the point that the page was last told to look at; None if never."""
        where = self.of("SetCameraPositionMessage", since)
        to = self.of("SetCameraLookAtMessage", since)
        if not where or not to:
            return None
        apart = np.subtract(to[-1]["look_at"], where[-1]["position"])
        return apart / math.sqrt(apart @ apart)
