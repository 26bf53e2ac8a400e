"""Readers of what names hosts and traffic: addresses of peers, traffic selectors, pools."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ike.config import AddressTemplate, TsTemplate
from ike.wire.selectors import Address, Network, TrafficSelector

from .problems import did_you_mean
from .values import BadValueError, Kind, unsigned

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_PROTOCOLS = {
    "icmp": ICMP,
    "tcp": TCP,
    "udp": UDP,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": ICMPV6,
    "icmpv6": ICMPV6,
    "ospf": 89,
    "sctp": 132,
}
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_TS = re.compile(r"(?P<net>[^\[\]]*)(?:\[(?P<protocol>[^\[\]/]*)(?:/(?P<port>[^\[\]]*))?\])?")
_ANY = {"%any": None, "%any4": 4, "%any6": 6, "0.0.0.0": 4, "::": 6, "0.0.0.0/0": 4, "::/0": 6}


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise BadValueError(f"'{text}' has a zone", "write the address without '%' and what follows it")
    return address


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise BadValueError(f"'{text}' is no network", "e.g. 10.1.0.0/16 or 2001:db8::/32") from None


def _range(text: str) -> tuple[Address, Address] | None:
    """``a-b`` where both are addresses: a DNS name may hold a dash too."""
    first, dash, last = text.partition("-")
    start, end = _address(first.strip()), _address(last.strip()) if dash else None
    if start is None or end is None:
        return None
    if start.version != end.version or int(start) > int(end):
        raise BadValueError(f"'{text}' is no range", "the lower address first, both of one family")
    return start, end


def peer_address(text: str) -> AddressTemplate:
    """An entry of ``local_addrs`` or ``remote_addrs``."""
    if text in _ANY:
        return AddressTemplate(version=_ANY[text])
    if text.startswith("%"):
        raise BadValueError(
            f"'{text}' is not known here", did_you_mean(text, ("%any", "%any4", "%any6")) or "%any, %any4 or %any6"
        )
    if "/" in text:
        return AddressTemplate(network=_network(text))
    if (bounds := _range(text)) is not None:
        return AddressTemplate(address=bounds[0], last=bounds[1])
    if (address := _address(text)) is not None:
        return AddressTemplate(address=address)
    labels = text.rstrip(".").split(".")
    if len(text) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit():
        return AddressTemplate(name=text)
    raise BadValueError(
        f"'{text}' is neither an address nor a network, a range or a DNS name", "e.g. 203.0.113.10 or %any"
    )


def virtual_ip(text: str) -> Address:
    """An address to ask the peer for; ``0.0.0.0``, ``::`` and their ``%`` spellings leave the choice to it."""
    v4 = dict.fromkeys(("%any", "%any4", "%config", "%config4"), IPv4Address(0))
    v6 = dict.fromkeys(("%any6", "%config6"), IPv6Address(0))
    found = (v4 | v6).get(text)
    address = found if found is not None else _address(text)
    if address is None:
        raise BadValueError(f"'{text}' is no address", "0.0.0.0 or :: asks for any")
    return address


def protocol(text: str) -> int:
    """A number, or a name that getprotobyname(3) knows; empty and ``any`` are 0."""
    if text in ("", "any"):
        return 0
    if text.lower() in _PROTOCOLS:
        return _PROTOCOLS[text.lower()]
    if text.isdigit():
        return unsigned(8)(text)
    try:
        return socket.getprotobyname(text)
    except (OSError, ValueError):
        raise BadValueError(
            f"'{text}' is no protocol", did_you_mean(text, _PROTOCOLS) or "e.g. tcp, udp or 47"
        ) from None


def ports(text: str, number: int) -> tuple[int, int]:
    """One port, a range, a service's name, ``any`` or ``opaque``; for ICMP the type, or type * 256 + code."""
    if text in ("", "any"):
        return 0, 65535
    if text == "opaque":
        return 65535, 0
    first, dash, last = text.partition("-")
    if first.isdigit() or first.lower().startswith("0x"):
        start = unsigned(16)(first)
        end = unsigned(16)(last) if dash else start
    else:
        start = end = _service(text, number)
    if start > end:
        raise BadValueError(f"'{text}' is no range of ports", "the lower port first")
    if number in (ICMP, ICMPV6):
        # RFC 4301 section 4.4.1.1: the type in the upper eight bits, the code in the lower.
        start = start << 8 if start < 256 else start
        end = end << 8 | 0xFF if end < 256 else end
    return start, end


def _service(text: str, number: int) -> int:
    try:
        names = {TCP: ("tcp",), UDP: ("udp",)}.get(number, ())
        return socket.getservbyname(text, *names)
    except (OSError, ValueError):
        raise BadValueError(
            f"'{text}' is no port", "a number, a range such as 1000-2000, or a service's name"
        ) from None


def traffic_selector(text: str) -> TsTemplate:
    """``dynamic`` or a network, a range or an address, with ``[protocol/port]`` behind it."""
    match = _TS.fullmatch(text)
    if match is None:
        raise BadValueError(f"'{text}' is no traffic selector", "e.g. 10.1.0.0/16, dynamic or 10.1.0.0/16[tcp/443]")
    number = protocol(match["protocol"] or "")
    start_port, end_port = ports(match["port"] or "", number)
    net = match["net"].strip()
    if net.lower() in ("dynamic", "%dynamic", ""):
        if not net and match["protocol"] is None:
            raise BadValueError("an empty traffic selector", "e.g. 10.1.0.0/16 or dynamic")
        return TsTemplate(None, True, number, start_port, end_port)
    bounds = _range(net)
    if bounds is None:
        if not net[:1].isalnum() and not net.startswith(":"):
            raise BadValueError(
                f"'{net}' is no network", did_you_mean(net, ("dynamic",)) or "e.g. 10.1.0.0/16 or dynamic"
            )
        try:
            found = ip_network(net, strict=False)
        except ValueError:
            hint = did_you_mean(net, ("dynamic",)) or "e.g. 10.1.0.0/16, 10.1.0.1-10.1.0.9 or dynamic"
            raise BadValueError(f"'{net}' is no network", hint) from None
        bounds = found.network_address, found.broadcast_address
    selector = TrafficSelector(bounds[0], bounds[1], number, start_port, end_port)
    return TsTemplate(selector, False, number, start_port, end_port)


def pool_range(text: str) -> tuple[Address, Address]:
    """The first and the last address that a pool hands out: of a network, or of ``a-b``."""
    bounds = _range(text)
    if bounds is not None:
        return bounds
    base = _address(text.partition("/")[0])
    if base is None:
        raise BadValueError(f"'{text}' is no pool of addresses", "e.g. 10.3.0.0/24 or 10.3.0.10-10.3.0.99")
    network = _network(text)
    # What is written is the first address handed out, but never that of the network itself; the last one stays out.
    # Networks of one or two addresses are used whole, and one of more than 2^31 is cut.
    size = min(network.num_addresses, 1 << 31)
    block = int(base) - int(base) % size
    first = base + 1 if size > 2 and int(base) == block else base
    last = type(base)(block + size - 1 - (size > 2))
    if int(first) > int(last):
        raise BadValueError(f"'{text}' leaves no address to hand out", "begin at a lower one")
    return first, last


def attribute_address(text: str) -> Address | Network:
    """A value of a pool's attribute: an address or a network."""
    if "/" in text:
        return _network(text)
    address = _address(text)
    if address is None:
        raise BadValueError(f"'{text}' is neither an address nor a network", "e.g. 10.1.0.53 or 10.1.0.0/16")
    return address


PEER_ADDRESS = Kind("address, network, range, DNS name or `%any`", peer_address)
VIRTUAL_IP = Kind("address", virtual_ip)
TRAFFIC_SELECTOR = Kind("selector", traffic_selector)
POOL_RANGE = Kind("network or range", pool_range)
ATTRIBUTE_ADDRESS = Kind("address or network", attribute_address)
