"""Certificate policies along a path: which hold, and what CAs demand of them (RFC 5280 sections 6.1.3 (d) to 6.1.5).

Mappings are passed over: they could only widen what holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cryptography import x509

E = TypeVar("E", bound=x509.ExtensionType)

ANY_POLICY = "2.5.29.32.0"
_NEVER = 1 << 16
"""More certificates than any path has."""


def policies_of(path: Sequence[x509.Certificate]) -> tuple[frozenset[str], x509.Certificate | None]:
    """The policies that hold along a path (leaf first), dotted; and the CA that demands one where none does.

    What the anchor says binds those below it.
    """
    holding: frozenset[str] | None = None
    explicit = inhibit = _NEVER
    demands: x509.Certificate | None = None
    for depth in range(len(path) - 1, -1, -1):
        certificate, is_leaf = path[depth], depth == 0
        self_issued = certificate.subject == certificate.issuer
        if depth < len(path) - 1 or is_leaf:
            holding = _narrowed(holding, certificate, any_counts=inhibit > 0 or (self_issued and not is_leaf))
            if not (self_issued and not is_leaf):
                explicit, inhibit = max(explicit - 1, 0), max(inhibit - 1, 0)
        constraints = _extension(certificate, x509.PolicyConstraints)
        wanted = constraints.require_explicit_policy if constraints is not None else None
        # Of its own certificate the last one can only say that it needs a policy at once.
        if wanted is not None and wanted < explicit and not (is_leaf and wanted):
            explicit, demands = wanted, certificate
        skip = _extension(certificate, x509.InhibitAnyPolicy)
        if skip is not None:
            inhibit = min(inhibit, skip.skip_certs)
        if explicit == 0 and holding is not None and not holding:
            return frozenset(), demands
    return frozenset((ANY_POLICY,)) if holding is None else holding, None


def _narrowed(
    holding: frozenset[str] | None, certificate: x509.Certificate, *, any_counts: bool
) -> frozenset[str] | None:
    """What is left of the policies (``None``: all of them) below a certificate."""
    extension = _extension(certificate, x509.CertificatePolicies)
    own = frozenset(policy.policy_identifier.dotted_string for policy in extension or ())
    if ANY_POLICY in own and any_counts:
        return holding
    own -= {ANY_POLICY}
    return own if holding is None else holding & own


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
