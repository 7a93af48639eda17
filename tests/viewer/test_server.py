import importlib.util
import socket

import pytest

from nerf.errors import UserError
from nerf.viewer.server import check_viser, free_port


def test_a_port_in_use_leads_to_the_next():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert free_port("127.0.0.1", port) > port


@pytest.mark.parametrize("host", ["192.0.2.1", "not a host"])
def test_a_host_that_is_not_here_is_refused(host):
    with pytest.raises(UserError, match="not an address of this machine"):
        free_port(host, 9000)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'nerf-haiku-flax\[viewer\]'"):
        check_viser()
