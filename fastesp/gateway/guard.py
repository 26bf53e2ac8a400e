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
from collections.abc import Iterable

from fastesp.dataplane.base import Address, PolicyAction, Selector, TrapPolicy

logger = logging.getLogger("fastesp.guard")

COUNTER = "unprotected"
"""Name of the counter, and the reason under which ``status`` and metrics show what the guard dropped."""

RUN_TIMEOUT = 10.0


def ruleset(table: str, tun: str, policies: Iterable[TrapPolicy], ports: Iterable[int] = (500, 4500)) -> str:
    """The whole table as one ``nft -f`` transaction: it replaces what stood there, the counter's value excepted."""
    guarded: list[str] = []
    passing: list[str] = []
    for policy in policies:
        for selector in policy.selectors:
            if selector.local_start.version != selector.remote_start.version:
                continue
            match = _match(selector)
            if policy.action is PolicyAction.BYPASS:
                passing.append(f"{match} accept")
            else:
                guarded += _guard_lines(selector, match)
    udp = ", ".join(str(port) for port in sorted(set(ports)))
    lines = [
        f"add table inet {table}",
        f"add counter inet {table} {COUNTER}",
        f"add chain inet {table} policies",
        f"add chain inet {table} arriving {{ type filter hook prerouting priority raw; policy accept; }}",
        f"flush chain inet {table} arriving",
        f"flush chain inet {table} policies",
        *(
            f"add rule inet {table} arriving {rule}"
            for rule in (
                f'iifname {{ "lo", "{tun}" }} accept',
                # What carries tunnels: its own protection is looked at elsewhere. Later fragments show no port, and
                # are worth nothing without the first one.
                "meta l4proto { esp, ah } accept",
                f"udp dport {{ {udp} }} fib daddr type local accept",
                "ip frag-off & 0x1fff != 0 accept",
                "exthdr frag exists accept",
                # Neighbour discovery is the link's, not the site's (RFC 4301 section 5 leaves it to local policy).
                "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
                "jump policies",
            )
        ),
        *(f"add rule inet {table} policies {rule}" for rule in (*passing, *guarded)),
    ]
    return "\n".join(lines) + "\n"


def _guard_lines(selector: Selector, match: str) -> list[str]:
    lines = []
    family = "ip" if selector.local_start.version == 4 else "ip6"
    inside = int(selector.remote_start) <= int(selector.local_start) and int(selector.local_end) <= int(
        selector.remote_end
    )
    same = (selector.remote_start, selector.remote_end) == (selector.local_start, selector.local_end)
    if inside and not same:
        # A tunnel to everywhere: what the site says to itself is no tunnel's business.
        local = _range(selector.local_start, selector.local_end)
        lines.append(f"{family} saddr {local} {family} daddr {local} accept")
    lines.append(f"{match} counter name {COUNTER} drop")
    return lines


def _match(selector: Selector) -> str:
    """An nft match of what arrives: from the remote side to the local one."""
    family = "ip" if selector.local_start.version == 4 else "ip6"
    parts = [
        f"{family} saddr {_range(selector.remote_start, selector.remote_end)}",
        f"{family} daddr {_range(selector.local_start, selector.local_end)}",
    ]
    if selector.protocol:
        parts.append(f"meta l4proto {selector.protocol}")
    for word, first, last in (
        ("sport", selector.remote_port_start, selector.remote_port_end),
        ("dport", selector.local_port_start, selector.local_port_end),
    ):
        if selector.protocol in (6, 17, 132) and (first, last) != (0, 65535) and first <= last:
            parts.append(f"th {word} {first}-{last}" if first != last else f"th {word} {first}")
    return " ".join(parts)


def _range(start: Address, end: Address) -> str:
    if start == end:
        return str(start)
    whole = (type(start)(0), type(start)(2 ** (32 if start.version == 4 else 128) - 1))
    if (start, end) == whole:
        return "0.0.0.0/0" if start.version == 4 else "::/0"
    return f"{start}-{end}"


class Guard:
    """Keeps one nftables table in step with the policies. Without ``nft`` it says so once and does nothing."""

    def __init__(self, table: str, tun: str, ports: Iterable[int] = (500, 4500)) -> None:
        self._table = table
        self._tun = tun
        self._ports = tuple(ports)
        self._nft = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
        self._stands = False
        self._last = ""
        if self._nft is None:
            logger.warning(
                "nft is not installed (package nftables): packets that arrive in the clear although a policy wants them"
                " protected are not dropped"
            )

    @property
    def active(self) -> bool:
        """Whether the table stands."""
        return self._stands

    async def apply(self, policies: Iterable[TrapPolicy]) -> None:
        """Make the table say what ``policies`` say, in one transaction."""
        text = ruleset(self._table, self._tun, policies, self._ports)
        if self._nft is None or text == self._last:
            return
        code, _, errors = await self._run("-f", "-", text=text)
        if code:
            logger.warning("cannot set up the inbound guard: nft said: %s", errors.strip() or f"exit {code}")
            return
        self._stands, self._last = True, text

    async def dropped(self) -> int:
        """Packets dropped so far."""
        if not self._stands:
            return 0
        code, out, _ = await self._run("-j", "list", "counter", "inet", self._table, COUNTER)
        if code:
            return 0
        objects = json.loads(out).get("nftables", [])
        return sum(int(entry["counter"]["packets"]) for entry in objects if "counter" in entry)

    async def stop(self) -> None:
        """Remove the table."""
        if self._stands:
            self._stands, self._last = False, ""
            await self._run("delete", "table", "inet", self._table)

    async def _run(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        assert self._nft is not None
        process = await asyncio.create_subprocess_exec(
            self._nft,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, errors = await asyncio.wait_for(process.communicate(text.encode()), RUN_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()
            return 1, "", f"no answer within {RUN_TIMEOUT:.0f} s"
        return process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace")
