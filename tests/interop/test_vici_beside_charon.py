"""For one tunnel, what swanctl shows of our end and of charon's end is the same, key by key and in the same order.

Each side initiates once, so that our initiator is held against charon's and our responder against charon's. charon's
output is mirrored first: what it calls local is remote to us. What may differ is the list of docs/vici.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
from support.swanctl import Tree, messages, one_line, swanctl
from support.tunnels import certify, hosts_reach_each_other, pair

from fastesp.gateway.commands.differences import DIFFERENCES, Difference, Kind, page
from fastesp.lab import Lab
from fastesp.lab.configurations import configuration
from fastesp.lab.peer import Peer
from fastesp.lab.sites import Site

pytestmark = [pytest.mark.root, pytest.mark.peer]

COMMANDS = (
    "--list-sas",
    "--list-conns",
    "--list-certs",
    "--list-pols",
    "--list-pools",
    "--list-pools --leases",
    "--list-authorities",
    "--stats",
    "--counters",
    "--counters --all",
    "--counters --name site",
)

MORE = """
connections {{
  site {{
    children {{
      later {{
        local_ts = {net}
        remote_ts = 192.0.2.0/25
        start_action = trap
      }}
      open {{
        local_ts = dynamic[udp]
        remote_ts = 192.0.2.128/26
        mode = pass
        start_action = trap
      }}
    }}
  }}
  anyone {{
    local {{
      certs = my-cert.pem
    }}
    remote {{
      id = "CN=*"
      cacerts = ca.pem
      revocation = strict
    }}
    unique = replace
    dpd_delay = 30s
    children {{
      all {{
        remote_ts = dynamic[udp/l2f], 198.18.0.0/15[tcp/8000-8010]
        dpd_action = restart
        close_action = trap
        rekey_bytes = 1G
        priority = 7
        mode = transport
      }}
    }}
  }}
}}
pools {{
  inside {{
    addrs = 10.66.0.0/24
    dns = 10.66.0.1
  }}
  six {{
    addrs = 2001:db8:66::/64
  }}
  range {{
    addrs = 10.67.0.10-10.67.0.20
  }}
}}
authorities {{
  lab {{
    cacert = ca.pem
    crl_uris = http://127.0.0.1:9/ca.crl
    ocsp_uris = http://127.0.0.1:9/ocsp, http://127.0.0.1:9/other
  }}
}}
"""

Output = dict[tuple[str, str], str]
"""(command, ``""`` or ``--raw`` or ``--raw --pretty``) -> what swanctl printed."""


def outputs(peer: Peer) -> Output:
    """Everything that is compared, of one gateway."""
    found = {}
    for command in COMMANDS:
        for how in ("", "--raw", "--raw --pretty"):
            said = swanctl(peer, *command.split(), *how.split())
            assert said.code == 0, (command, how, said)
            found[command, how] = said.output
    return found


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, tuple[Output, Output]]]:
    """Role -> ours and charon's output in that role."""
    with Lab("test") as lab:
        both = pair(lab)
        a, b = both.sites.a, both.sites.b
        for peer, me, other in ((both.ours, a, b), (both.theirs, b, a)):
            # UDP encapsulation asked for on both sides: kernel-libipsec has nothing else. Without MOBIKE: charon tells
            # of its addresses whenever it finds another one, and each such message counts.
            text = configuration(me, other, auth="pubkey", connection="encap = yes\n    mobike = no")
            peer.swanctl.configure(text + MORE.format(net=me.net))
        certify(both)
        both.start()
        gathered: dict[str, dict[str, Output]] = {"initiator": {}, "responder": {}}
        for initiator, responder in (("ours", "theirs"), ("theirs", "ours")):
            for name in ("ours", "theirs"):
                swanctl(both.side(name), "--counters", "--reset", "--all")
                swanctl(both.side(name), "--counters", "--reset")
            both.side(initiator).initiate("net")
            hosts_reach_each_other(both)
            gathered["initiator"][initiator] = outputs(both.side(initiator))
            gathered["responder"][responder] = outputs(both.side(responder))
            both.side(initiator).terminate(ike="site")
            both.side(responder).wait_nothing()
        yield {role: (found["ours"], mirrored(found["theirs"], a, b)) for role, found in gathered.items()}


def mirrored(output: Output, a: Site, b: Site) -> Output:
    """Site b's words for site a's."""
    swaps = {a.outer: b.outer, "site-a": "site-b", "10.10.0.": "10.20.0."}
    swaps |= {new: old for old, new in swaps.items()}
    either = re.compile("|".join(map(re.escape, swaps)))
    return {key: either.sub(lambda found: swaps[found[0]], text) for key, text in output.items()}


def shape(text: str) -> str:
    """Numbers and hexadecimal ones replaced by ``#``, with the unit of time that follows; longer blanks by two."""
    long = r"(?<![0-9a-z])(?:(?:0x)?[0-9a-f]{8,}|(?:[0-9a-f]{2}:){3,}[0-9a-f]{2})(?![0-9a-z])"
    return re.sub(r" {2,}", "  ", re.sub(rf"{long}|\d+(?: (?:second|minute|hour)s?\b)?", "#", text))


OWN = re.compile(
    r".*\.(uniqueid|reqid|initiator-spi|responder-spi|spi-in|spi-out|established|(rekey|life|install)-time|use-(in|out))"
    r"|uptime\..*|workers\..*|queues\..*|scheduled|mallinfo\..*|X509 .*\.data"
)
"""Values that are each daemon's own: their form is compared."""


def unlike(ours: Tree, theirs: Tree, path: str = "") -> Iterator[tuple[str, Kind]]:
    """Where two messages differ."""
    assert [key for key in ours if key in theirs] == [key for key in theirs if key in ours], f"order at {path or 'top'}"
    extra = [key for key in ours if key not in theirs]
    at_the_end = list(ours)[len(ours) - len(extra) :] == extra
    yield from ((path + key, Kind.ADDED if at_the_end else Kind.AMONG) for key in extra)
    yield from ((path + key, Kind.LEFT_OUT) for key in theirs if key not in ours)
    for key in (key for key in ours if key in theirs):
        one, other = ours[key], theirs[key]
        if isinstance(one, dict) and isinstance(other, dict):
            yield from unlike(one, other, f"{path}{key}.")
        elif one != other and not (OWN.fullmatch(path + key) and shape(str(one)) == shape(str(other))):
            yield path + key, Kind.VALUE


def whole(command: str, pretty: str) -> tuple[list[str], Tree]:
    """The titles of all messages, and all of them as one; children by name without their numbers."""
    tree: Tree = {}
    titles = []
    for title, message in messages(pretty):
        if command == "--list-certs" and message:
            label = f"{message['type']} {message['flag']}{' with key' if 'has_privkey' in message else ''}"
            message = {label: message}
        elif title not in titles:
            titles.append(title)
        tree |= plain_names(message)
    return titles, tree


def plain_names(value: Any) -> Any:
    """``net-3`` is ``net``: the number is each daemon's own."""
    if isinstance(value, dict):
        return {re.sub(r"^net-\d+$", "net", key): plain_names(inner) for key, inner in value.items()}
    return value


def allowed(command: str) -> list[Difference]:
    return [difference for difference in DIFFERENCES if command.startswith(difference.command)]


@pytest.mark.parametrize("role", ["initiator", "responder"])
@pytest.mark.parametrize("command", COMMANDS)
def test_raw_output_has_charons_keys_in_charons_order(
    seen: dict[str, tuple[Output, Output]], command: str, role: str
) -> None:
    ours, theirs = (output[command, "--raw --pretty"] for output in seen[role])
    (our_titles, our_tree), (their_titles, their_tree) = whole(command, ours), whole(command, theirs)
    assert our_titles == their_titles
    unexplained = [
        (path, kind)
        for path, kind in unlike(our_tree, their_tree)
        if not any(difference.matches(difference.command, path, kind) for difference in allowed(command))
    ]
    assert unexplained == [], (ours, theirs)


@pytest.mark.parametrize("role", ["initiator", "responder"])
@pytest.mark.parametrize("command", COMMANDS)
def test_raw_output_on_one_line_is_the_same_message(
    seen: dict[str, tuple[Output, Output]], command: str, role: str
) -> None:
    for output in seen[role]:
        lines = [one_line(title, tree) for title, tree in messages(output[command, "--raw --pretty"])]
        assert shape("\n".join(lines)) == shape(output[command, "--raw"].rstrip("\n"))


@pytest.mark.parametrize("role", ["initiator", "responder"])
@pytest.mark.parametrize("command", COMMANDS)
def test_output_for_people_is_charons_line_by_line(
    seen: dict[str, tuple[Output, Output]], command: str, role: str
) -> None:
    ours, theirs = (shape(output[command, ""]).splitlines() for output in seen[role])
    assert ours
    may_differ = re.compile("|".join(f"(?:{d.line})" for d in allowed(command) if d.line) or "(?!)")
    changes = SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()
    unlike_lines = [
        line for kind, i, j, k, m in changes if kind != "equal" for line in (*theirs[i:j], "ours:", *ours[k:m])
    ]
    assert [line for line in unlike_lines if line != "ours:" and not may_differ.fullmatch(line)] == [], unlike_lines


def test_every_difference_on_the_list_is_one(seen: dict[str, tuple[Output, Output]]) -> None:
    found: set[Difference] = set()
    for ours, theirs in seen.values():
        for command in COMMANDS:
            one, other = (whole(command, output[command, "--raw --pretty"])[1] for output in (ours, theirs))
            for path, kind in unlike(one, other):
                found |= {d for d in allowed(command) if d.matches(d.command, path, kind)}
    assert found == set(DIFFERENCES)


def test_the_page_shows_the_list() -> None:
    file = Path(__file__).parents[2] / "docs" / "vici.md"
    assert page(file.read_text()) == file.read_text(), "run: python -m fastesp.gateway.commands.differences"
