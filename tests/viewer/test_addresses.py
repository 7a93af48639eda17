"""Who may open the page, and at which address: this machine alone, unless told otherwise."""

import socket

import pytest

from nerf.viewer.origins import may_connect
from tests.support.viser_client import ViserClient
from tests.viewer.conftest import any_port


def reaches(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def test_by_default_only_this_machine_opens_the_page(page):
    host, port = page.address.removeprefix("http://").split(":")
    assert host == "127.0.0.1"
    assert reaches("127.0.0.1", int(port))
    # Another address of this machine, as that of its network is.
    assert not reaches("127.0.0.2", int(port))
    assert page.notes == []


def test_on_every_address_if_told_and_with_a_warning(open_page):
    page = open_page(host="0.0.0.0")
    assert page.address.startswith("http://127.0.0.1:")
    assert reaches("127.0.0.2", int(page.address.rpartition(":")[2]))
    assert "everyone who reaches this machine" in page.notes[0]


def test_a_second_page_takes_the_next_port_and_says_so(open_page):
    port = any_port()
    first, second = open_page(port=port), open_page(port=port)
    assert first.address != second.address
    assert second.notes == [f"port {port} is in use: the page is at port {second.address[17:]}"]


def test_nobody_can_give_the_page_to_the_public(page, window, monkeypatch):
    opened = []
    monkeypatch.setattr("viser._viser.ViserTunnel", lambda *a, **k: opened.append(a))
    assert not window.of("ThemeConfigurationMessage")[-1]["show_share_button"]
    window.send("ShareUrlRequest")
    start = len(window.messages)
    window.look((0.5, 0.0, 0.0))
    window.sharp(start)
    assert opened == []
    assert window.of("ShareUrlUpdated") == []


@pytest.mark.parametrize(("origin", "is_let_in"), [("http://a.example", False), (None, True)])
def test_a_page_of_another_site_is_shown_nothing_but_why(page, origin, is_let_in):
    client = ViserClient(page.address, origin=origin or page.address)
    client.look()
    if is_let_in:
        client.sharp()
    with ViserClient(page.address):  # it came later, and has its image
        assert page.num_windows == 1 + is_let_in
        assert bool(client.images()) == is_let_in
        assert bool(client.of("GuiButtonMessage")) == is_let_in
    texts = [str(message) for message in client.of("GuiMarkdownMessage")]
    assert any("not the viewer's" in text for text in texts) == (not is_let_in)
    client.close()


@pytest.mark.parametrize(
    ("origin", "host", "is_local", "is_let_in"),
    [
        ("http://localhost:9000", "localhost:9000", True, True),  # a forwarded port
        ("http://localhost:9000", "localhost:8080", True, False),
        ("http://other.example:80", "other.example:80", True, False),  # a name of this machine
        ("http://lab.example:80", "lab.example:80", False, True),
        ("http://other.example", "lab.example:80", False, False),
        ("null", "localhost:8080", True, False),
        ("http://[", "localhost:8080", True, False),
        (None, "anything", True, True),  # no browser
    ],
)
def test_only_the_page_itself_may_connect(origin, host, is_local, is_let_in):
    headers = {"Host": host, **({} if origin is None else {"Origin": origin})}
    assert may_connect(headers, is_local=is_local) == is_let_in
