"""The connections that are loaded, in the order they came, whoever brought them: the file or VICI.

The endpoint sees them with host names replaced by addresses; everybody else sees what was written. Two connections
are the same when their frozen values are: loading again what did not change touches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ike.config import AddressTemplate, Child, Connection
from ike.wire.selectors import Address


@dataclass(frozen=True, slots=True)
class Changes:
    """What a load did: names of connections."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (
            f"{len(names)} {word} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
            for word, names in (("added", self.added), ("changed", self.changed), ("removed", self.removed))
            if names
        )
        return ", ".join((*parts, f"{len(self.unchanged)} unchanged"))


class Registry:
    """Connections by name. ``limit`` leaves of a connection what this machine can do; the endpoint sees no more."""

    def __init__(self, limit: Callable[[Connection], Connection] = lambda connection: connection) -> None:
        self._limit = limit
        self._loaded: dict[str, Connection] = {}
        self._from_file: set[str] = set()
        self._addresses: Mapping[str, tuple[Address, ...]] = {}
        self._resolved: tuple[Connection, ...] | None = None

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._loaded.values()))

    def __len__(self) -> int:
        return len(self._loaded)

    def get(self, name: str) -> Connection | None:
        """The connection of that name, as it was written."""
        return self._loaded.get(name)

    def find(self, child: str, connection: str = "") -> tuple[Connection, Child] | None:
        """The first child of that name, within ``connection`` where one is named (as ``swanctl --initiate`` looks)."""
        for candidate in self._loaded.values():
            found = candidate.child(child) if not connection or candidate.name == connection else None
            if found is not None:
                return candidate, found
        return None

    def resolved(self) -> tuple[Connection, ...]:
        """What the endpoint negotiates with: host names are addresses here, as far as they are known."""
        if self._resolved is None:
            self._resolved = tuple(
                self._limit(self._with_addresses(connection)) for connection in self._loaded.values()
            )
        return self._resolved

    def put(self, connection: Connection) -> Changes:
        """Add or replace one, as VICI does."""
        name = connection.name
        self._from_file.discard(name)
        old = self._loaded.get(name)
        if old == connection:
            self._loaded[name] = connection  # equal, but the places it was written at may have moved
            self._resolved = None
            return Changes(unchanged=(name,))
        self._loaded[name] = connection
        self._resolved = None
        return Changes(added=(name,)) if old is None else Changes(changed=(name,))

    def remove(self, name: str) -> bool:
        """Forget one; returns whether it was there."""
        self._from_file.discard(name)
        self._resolved = None
        return self._loaded.pop(name, None) is not None

    def load(self, connections: Iterable[Connection]) -> Changes:
        """Replace everything that came from the file; what VICI brought stays unless the file now names it too."""
        wanted = {connection.name: connection for connection in connections}
        removed = tuple(name for name in self._loaded if name in self._from_file and name not in wanted)
        added = tuple(name for name in wanted if name not in self._loaded)
        changed = tuple(name for name in wanted if name in self._loaded and self._loaded[name] != wanted[name])
        unchanged = tuple(name for name in wanted if self._loaded.get(name) == wanted[name])
        for name in removed:
            del self._loaded[name]
        self._loaded.update(wanted)
        self._from_file = set(wanted)
        self._resolved = None
        return Changes(added, changed, removed, unchanged)

    def names(self) -> tuple[str, ...]:
        """Names of all loaded connections."""
        return tuple(self._loaded)

    def host_names(self) -> frozenset[str]:
        """Host names in ``local_addrs`` and ``remote_addrs``."""
        return frozenset(
            template.name
            for connection in self._loaded.values()
            for template in (*connection.local_addrs, *connection.remote_addrs)
            if template.name is not None
        )

    def know(self, addresses: Mapping[str, tuple[Address, ...]]) -> None:
        """What host names stand for, from now on."""
        if addresses != self._addresses:
            self._addresses = dict(addresses)
            self._resolved = None

    def _with_addresses(self, connection: Connection) -> Connection:
        if not any(t.name is not None for t in (*connection.local_addrs, *connection.remote_addrs)):
            return connection
        return replace(
            connection,
            local_addrs=self._resolve(connection.local_addrs),
            remote_addrs=self._resolve(connection.remote_addrs),
        )

    def _resolve(self, templates: tuple[AddressTemplate, ...]) -> tuple[AddressTemplate, ...]:
        out: list[AddressTemplate] = []
        for template in templates:
            known = self._addresses.get(template.name, ()) if template.name is not None else ()
            # An unknown name stays: it matches nobody, while no template at all would match everybody.
            out += [AddressTemplate(address=address) for address in known] or [template]
        return tuple(out)
