"""Which pages of a browser may connect: our own, and no other page that the browser has open.

A browser lets any page open a connection to this machine, and says in the header `Origin` which
page it is. A page of another site would see the field and could write files.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_LOCAL = ("localhost", "127.0.0.1", "::1")


def may_connect(headers: Mapping[str, str] | None, *, is_local: bool) -> bool:
    """Whether a connection is one of our own page, or of a program that is not a browser.

    Args:
      headers: of the request that opened it; None where they are not known.
      is_local: whether the page listens on this machine alone. The host must then be a name of it:
        a name of another site may lead to this machine, too.

    >>> may_connect(
    ...     {"Origin": "http://localhost:8080", "Host": "localhost:8080"}, is_local=True
    ... )
    True
    >>> may_connect(
    ...     {"Origin": "http://other.example", "Host": "localhost:8080"}, is_local=True
    ... )
    False
    """
    if headers is None:
        return True
    try:
        origin = headers.get("Origin")
        if origin is None:
            return True
        page, host = urlsplit(origin), urlsplit(f"//{headers.get('Host', '')}")
        is_own = page.netloc == host.netloc and bool(page.hostname)
        return is_own and (not is_local or page.hostname in _LOCAL)
    except (ValueError, LookupError):  # of an invalid address, and of a header that is twice
        return False


def request_headers(server: Any, client_id: int) -> Mapping[str, str] | None:
    """The headers with which a client of viser connected; None where viser does not provide them.

    viser has no public way to them.
    """
    try:
        connection = server._websock_server._live_connections[client_id]
        headers: Mapping[str, str] = connection.request.headers
    except (AttributeError, KeyError):
        return None
    return headers
