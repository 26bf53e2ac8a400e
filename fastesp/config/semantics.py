"""What no key says wrong by itself: what cannot match, cannot authenticate, cannot start, or is not wise."""

from __future__ import annotations

from collections.abc import Sequence

from ike.config import Connection

from . import check_auth, check_children, check_connections
from .credentials import FileCredentials
from .problems import Problems
from .reading import Values
from .settings import Shared


def check(
    connections: Sequence[Connection],
    values: Values,
    shared: Sequence[Shared],
    files: FileCredentials,
    anchored: bool,
    problems: Problems,
) -> None:
    """All checks over a whole configuration of a file; ``anchored`` is whether there is any trust anchor."""
    section = values.section("connections")
    check_shape(connections, section, problems)
    for connection in connections:
        written = section.sections[connection.name]
        check_auth.check_ppk(connection, written, shared, problems)
        check_auth.check_preshared(connection, written, shared, problems)
        check_auth.check_own_certificates(connection, written, files, problems)
        check_auth.check_peer_certificates(connection, written, files, anchored, problems)


def check_shape(connections: Sequence[Connection], section: Values, problems: Problems) -> None:
    """What a connection says by itself, without credentials and pools: also what is checked of one sent over VICI."""
    for connection in connections:
        written = section.sections[connection.name]
        check_connections.check(connection, written, problems)
        for child in connection.children:
            check_children.check(connection, child, written.section("children").sections[child.name], written, problems)
    check_connections.check_collisions(connections, section, problems)
    check_children.check_collisions(connections, section, problems)
