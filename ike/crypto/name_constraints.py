"""Name constraints of CA certificates (RFC 5280 section 4.2.1.10): which names a CA may certify."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from cryptography import x509

from ..wire.names import name_attributes

_SUPPORTED = (x509.DirectoryName, x509.DNSName, x509.RFC822Name, x509.IPAddress, x509.UniformResourceIdentifier)


def refused_name(constraints: x509.NameConstraints, certificate: x509.Certificate) -> str:
    """The name of ``certificate`` that the constraints do not allow, as one prints it; empty if all are allowed.

    A name of a kind that the constraints speak of and that we cannot compare counts as not allowed.
    """
    permitted = tuple(constraints.permitted_subtrees or ())
    excluded = tuple(constraints.excluded_subtrees or ())
    for name in names_of(certificate):
        same_kind = [tree for tree in permitted if type(tree) is type(name)]
        forbidden = any(type(tree) is type(name) and _within(name, tree, unknown=True) for tree in excluded)
        if forbidden or (same_kind and not any(_within(name, tree, unknown=False) for tree in same_kind)):
            return print_general_name(name)
    return ""


def names_of(certificate: x509.Certificate) -> Iterable[x509.GeneralName]:
    """Every name that a certificate speaks for: subject, alternative names, and the subject's e-mail addresses."""
    if certificate.subject.rdns:
        yield x509.DirectoryName(certificate.subject)
    alternative = subject_alternative_names(certificate)
    yield from alternative
    if not any(isinstance(name, x509.RFC822Name) for name in alternative):
        for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS):
            if isinstance(attribute.value, str) and attribute.value.isascii():
                yield x509.RFC822Name(attribute.value)


def subject_alternative_names(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """The SubjectAltName extension's names; none where there is no such extension."""
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def print_general_name(name: x509.GeneralName) -> str:
    """One name for a message."""
    if isinstance(name, x509.DirectoryName):
        return name.value.rfc4514_string()
    return str(name.value)


def _within(name: x509.GeneralName, tree: x509.GeneralName, *, unknown: bool) -> bool:
    """Whether ``name`` lies in the subtree; ``unknown`` is the answer for what cannot be compared."""
    if not isinstance(name, _SUPPORTED):
        return unknown
    if isinstance(name, x509.DirectoryName) and isinstance(tree, x509.DirectoryName):
        return _name_within(name.value, tree.value, unknown=unknown)
    if isinstance(name, x509.IPAddress) and isinstance(tree, x509.IPAddress):
        return _address_within(name.value, tree.value, unknown=unknown)
    if isinstance(name, x509.DNSName) and isinstance(tree, x509.DNSName):
        return _host_within(name.value, tree.value, bare_is_exact=False)
    if isinstance(name, x509.RFC822Name) and isinstance(tree, x509.RFC822Name):
        return _mailbox_within(name.value, tree.value)
    if isinstance(name, x509.UniformResourceIdentifier) and isinstance(tree, x509.UniformResourceIdentifier):
        try:
            host = urlsplit(name.value).hostname
        except ValueError:
            host = None
        return unknown if not host else _host_within(host, tree.value, bare_is_exact=True)
    return unknown


def _name_within(name: x509.Name, tree: x509.Name, *, unknown: bool) -> bool:
    ours, theirs = name_attributes(name.public_bytes()), name_attributes(tree.public_bytes())
    if ours is None or theirs is None:
        return unknown
    return len(ours) >= len(theirs) and all(a.same_value(b) for a, b in zip(ours, theirs, strict=False))


def _address_within(
    address: IPv4Address | IPv6Address | IPv4Network | IPv6Network,
    network: IPv4Address | IPv6Address | IPv4Network | IPv6Network,
    *,
    unknown: bool,
) -> bool:
    if not isinstance(network, IPv4Network | IPv6Network) or not isinstance(address, IPv4Address | IPv6Address):
        return unknown
    return address in network


def _host_within(host: str, tree: str, *, bare_is_exact: bool) -> bool:
    """A DNS subtree is a name and all below it, behind a dot only what is below; a URI's is exact."""
    host, tree = host.lower().rstrip("."), tree.lower().rstrip(".")
    if not tree:
        return True
    if tree.startswith("."):
        return host.endswith(tree)
    return host == tree or (not bare_is_exact and host.endswith("." + tree))


def _mailbox_within(mailbox: str, tree: str) -> bool:
    """A subtree is a mailbox, a host, or with a dot in front every host of a domain."""
    local, _, host = mailbox.rpartition("@")
    tree_local, at, tree_host = tree.rpartition("@")
    if at:
        # RFC 5321 section 2.4: the local part alone is sensitive to case.
        return local == tree_local and host.lower() == tree_host.lower()
    return _host_within(host, tree, bare_is_exact=True)
