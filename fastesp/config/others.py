"""``pools`` and ``authorities``."""

from __future__ import annotations

import re
from ipaddress import ip_address
from itertools import pairwise

from ike.wire.selectors import Address

from .problems import Problems
from .reading import Values
from .rounds import CertificateSource
from .settings import Authority, Pool


def pools(section: Values, problems: Problems) -> tuple[Pool, ...]:
    """Every pool; two that overlap would hand out one address twice."""
    found = tuple(pool(values, problems) for values in section.sections.values())
    placed = [(int(p.first), int(p.last), p) for p in found if p.first is not None and p.last is not None]
    placed.sort(key=lambda entry: (entry[2].first.version if entry[2].first else 0, entry[0]))
    for (_, end, one), (start, _, other) in pairwise(placed):
        same_family = one.first is not None and other.first is not None and one.first.version == other.first.version
        if same_family and start <= end:
            at = section.sections[other.name].place("addrs")
            problems.add(at, f"pool '{other.name}' overlaps pool '{one.name}'", "give each its own addresses")
    return found


def pool(values: Values, problems: Problems) -> Pool:
    """One ``pools.<name>`` section."""
    bounds: tuple[Address | None, Address | None] = (None, None)
    base: Address | None = None
    if values.items("addrs"):
        bounds = values.get("addrs")
        base = _written(values.items("addrs")[0].text) if bounds[0] is not None else None
    elif "addrs" not in values:
        hint = "add: addrs = 10.3.0.0/24"
        problems.warn(values.at, f"pool '{values.name}' has no 'addrs': it hands out attributes only", hint)
    names = [key for key in values.keys if key != "addrs"]
    attributes = {int(key) if key.isdigit() else key: values.all(key) for key in names}
    for key in names:
        if key.isdigit() and not 0 < int(key) < 1 << 15:
            problems.add(values.place(key), f"'{key}' is no attribute type", "1 to 32767 (RFC 7296 section 3.15.1)")
    return Pool(values.name, bounds[0], bounds[1], attributes, values.at.short, base)


def _written(text: str) -> Address | None:
    """The address before ``/`` or ``-``; a text that is no pool has been complained about already."""
    try:
        return ip_address(re.split("[/-]", text, maxsplit=1)[0].strip())
    except ValueError:
        return None


def authorities(section: Values, source: CertificateSource, problems: Problems) -> tuple[Authority, ...]:
    """Every authority."""
    return tuple(authority(values, source, problems) for values in section.sections.values())


def authority(values: Values, source: CertificateSource, problems: Problems) -> Authority:
    """One ``authorities.<name>`` section. Exactly one of ``cacert`` and ``file`` names its certificate."""
    items = values.items("cacert") + values.items("file")
    if len(items) != 1:
        what = "names its certificate twice" if items else "does not name its certificate"
        hint = "keep cacert or file" if items else "add: cacert = ca.pem"
        problems.add(values.at, f"authority '{values.name}' {what}", hint, code="config-missing")
    for item in values.items("crl_uris"):
        if item.text.lower().startswith("ldap:"):
            hint = "name an http, https or file URI beside it"
            problems.warn(item.at, "LDAP is not spoken: this place is passed over", hint, code="config-uri-unused")
    return Authority(
        values.name,
        source.certificate(items[0], "x509ca") if items else None,
        values.all("crl_uris"),
        values.all("ocsp_uris"),
        values.get("cert_uri_base", ""),
        values.at.short,
    )
