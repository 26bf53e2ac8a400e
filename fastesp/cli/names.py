"""From the name that a person types to what it stands for: ``net``, ``site-a-to-b``, ``site-a-to-b/net``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from .client import Answer, GatewayClient
from .exits import CommandError, Exit


@dataclass(frozen=True, slots=True)
class Target:
    """A child of a connection, by configuration; ``child`` is empty for a connection without any."""

    connection: str
    child: str

    def __str__(self) -> str:
        return f"{self.connection}/{self.child}" if self.child else self.connection


def configured(client: GatewayClient) -> dict[str, Answer]:
    """Every loaded connection, by name."""
    return {name: body for event in client.stream("list-conns", "list-conn") for name, body in event.items()}


def targets(connections: dict[str, Answer], name: str) -> list[Target]:
    """What ``name`` stands for: ``connection/child``, else a child's name, else all children of a connection.

    A name that several connections have for a child is refused with the ways to say it precisely.
    """
    known = [Target(connection, child) for connection, body in connections.items() for child in _children(body)]
    exact = [target for target in known if str(target) == name]
    children = [target for target in known if target.child == name]
    if exact:
        return exact
    if len(children) > 1:
        ways = ", ".join(str(target) for target in children)
        raise CommandError(
            Exit.USAGE, f"{name!r} is a child of {len(children)} connections", hint=f"say one of: {ways}"
        )
    if children:
        return children
    if name in connections:
        return [target for target in known if target.connection == name] or [Target(name, "")]
    raise missing("connection or child", name, [*connections, *(target.child for target in known)])


def missing(kind: str, name: str, known: Iterable[str]) -> CommandError:
    """Nothing of that name, and what may have been meant."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(names[:8])}" if names else "there is none"
    return CommandError(Exit.NO_SUCH_OBJECT, f"no {kind} is named {name!r}", code="no-such-object", hint=hint)


def _children(connection: Answer) -> list[str]:
    children = connection.get("children")
    return list(children) if isinstance(children, dict) else []
