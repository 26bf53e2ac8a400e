"""The inbound guard: what must be protected and comes in the clear is dropped and counted (RFC 4301 section 5.2).

The engine sees only what comes as ESP; a packet that a neighbour forges with a tunnel's addresses never meets it. So an
nftables table of our own looks at each packet that does not come from the TUN. It hooks before connection tracking and
routing, so that one place covers what is for this host and what would be forwarded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Iterable, Iterator

from fastesp.dataplane.base import TrapPolicy

from .guard_book import Changes, GuardBook

logger = logging.getLogger("fastesp.guard")

COUNTER = "unprotected"
"""Name of the counter, and the reason under which ``status`` and metrics show what the guard dropped."""

POLICIES = "policies"
"""Name of the chain that is made of them."""

RUN_TIMEOUT = 10.0


def foundation(table: str, tun: str, ports: Iterable[int] = (500, 4500)) -> Iterator[str]:
    """Lines for ``nft -f`` that make a table without policies, in the place of whatever stood there."""
    udp = ", ".join(str(port) for port in sorted(set(ports)))
    yield f"add table inet {table}"
    yield f"delete table inet {table}"
    yield f"add table inet {table}"
    yield f"add counter inet {table} {COUNTER}"
    yield f"add chain inet {table} {POLICIES}"
    yield f"add chain inet {table} arriving {{ type filter hook prerouting priority raw; policy accept; }}"
    for rule in (
        f'iifname {{ "lo", "{tun}" }} accept',
        # What carries tunnels: its own protection is looked at elsewhere. Later fragments show no port, and are worth
        # nothing without the first one.
        "meta l4proto { esp, ah } accept",
        f"udp dport {{ {udp} }} fib daddr type local accept",
        "ip frag-off & 0x1fff != 0 accept",
        "exthdr frag exists accept",
        # Neighbour discovery is the link's, not the site's (RFC 4301 section 5 leaves it to local policy).
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
        f"jump {POLICIES}",
    ):
        yield f"add rule inet {table} arriving {rule}"


def update(table: str, changes: Changes) -> Iterator[str]:
    """Lines for ``nft -f`` that make the table follow ``changes``."""
    for shape in changes.new_shapes:
        yield f"add set inet {table} {shape.name} {{ type {shape.type}; }}"
    for word, elements in (("delete", changes.gone), ("add", changes.come)):
        for shape, those in elements.items():
            yield f"{word} element inet {table} {shape.name} {{ {', '.join(those)} }}"
    if changes.rules is None:
        return
    yield f"flush chain inet {table} {POLICIES}"
    for match, tier in changes.rules:
        verdict = f"counter name {COUNTER} drop" if tier.drops else "accept"
        yield f"add rule inet {table} {POLICIES} {match} {verdict}"


class Guard:
    """Keeps one nftables table in step with the policies. Without ``nft`` it says so once and does nothing."""

    def __init__(self, table: str, tun: str, ports: Iterable[int] = (500, 4500)) -> None:
        self._table = table
        self._tun = tun
        self._ports = tuple(ports)
        self._book = GuardBook()
        self._nft = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
        self._turn = asyncio.Lock()
        self._begun = self._stands = False
        self._complaint = ""
        self._dropped = 0
        self._dropped_before = 0
        if self._nft is None:
            logger.warning(
                "nft is not installed (package nftables): packets that arrive in the clear although a policy wants them"
                " protected are not dropped"
            )

    @property
    def active(self) -> bool:
        """Whether the table stands."""
        return self._stands

    @property
    def is_missing(self) -> bool:
        """Whether it should stand and does not: it could not be set up, or somebody took it away."""
        return self._begun and not self._stands

    def add(self, policy: TrapPolicy) -> None:
        """A policy is in force; :meth:`apply` makes the kernel know."""
        self._book.add(policy)

    def remove(self, policy: TrapPolicy) -> None:
        """A policy is in force no longer."""
        self._book.remove(policy)

    async def apply(self) -> None:
        """Make the table say what the policies say, in one transaction.

        Whoever empties the host's ruleset takes our table too: then the whole of it is made anew.
        """
        if self._nft is None:
            return
        async with self._turn:
            if not self._stands or not await self._update():
                await self._set_up()

    async def _update(self) -> bool:
        """Tell what has changed; ``False`` where the table is not what we made of it."""
        changes = self._book.changes()
        if not changes:
            return True
        code, errors = await self._load(update(self._table, changes))
        if code:
            logger.info("the inbound guard is set up anew: nft said: %s", errors)
            await self._count()
        return not code

    async def _set_up(self) -> None:
        self._lost()
        self._begun = True
        code, errors = await self._load(
            (*foundation(self._table, self._tun, self._ports), *update(self._table, self._book.changes()))
        )
        self._stands = not code
        if code and errors != self._complaint:
            logger.warning(
                "cannot set up the inbound guard: what should come protected and does not is let pass; it is tried"
                " again. nft said: %s",
                errors,
            )
        self._complaint = errors if code else ""

    async def dropped(self) -> int:
        """Packets dropped so far; notices where the table is gone, for the next :meth:`apply` to make it anew."""
        async with self._turn:
            await self._count()
        return self._dropped

    async def _count(self) -> None:
        if not self._stands:
            return
        code, out, _ = await self._run("-j", "list", "counter", "inet", self._table, COUNTER)
        if code:
            self._lost()
            return
        objects = json.loads(out).get("nftables", [])
        found = sum(int(entry["counter"]["packets"]) for entry in objects if "counter" in entry)
        self._dropped = self._dropped_before + found

    async def stop(self) -> None:
        """Remove the table."""
        if self._begun:
            self._lost()
            self._begun = False
            await self._run("delete", "table", "inet", self._table)

    def _lost(self) -> None:
        self._stands = False
        self._dropped_before = self._dropped
        self._book.forget()

    async def _load(self, lines: Iterable[str]) -> tuple[int, str]:
        """The exit code of nft, and its complaint in one line."""
        code, _, errors = await self._run("-f", "-", text="\n".join(lines) + "\n")
        return code, errors.partition("\n")[0].strip() or f"exit {code}"

    async def _run(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        assert self._nft is not None
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(self._nft, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            return 1, "", f"{self._nft} cannot be run: {error.strerror}"
        try:
            out, errors = await asyncio.wait_for(process.communicate(text.encode()), RUN_TIMEOUT)
        except TimeoutError:
            return 1, "", f"no answer within {RUN_TIMEOUT:.0f} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace")
