"""The service manager's side of ``Type=notify``: one datagram a state (sd_notify(3)), no library."""

from __future__ import annotations

import contextlib
import os
import socket


def sd_notify(state: str) -> bool:
    """Tell the service manager ``state`` (``READY=1``, ``RELOADING=1``, ``STOPPING=1``, ``STATUS=...``).

    Returns whether there is a manager that listens; nothing a manager does can stop the gateway.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace, unix(7)
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), address)
        return True
    return False
