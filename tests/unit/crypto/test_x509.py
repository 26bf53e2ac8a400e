"""Certificate paths: what is trusted, and for everything else the exact reason."""

import datetime
import hashlib
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from support.certificates import NOW, YEAR, issue, name, usage

from ike.crypto.signature_policy import SignaturePolicy
from ike.crypto.x509 import Trust, certificate_has, certificate_identities, certificate_matches, spki_hash
from ike.errors import PeerError
from ike.wire.constants import IdType, NotifyType
from ike.wire.identity import Identity

ROOT = issue("O=house, CN=root", ca=True)
LEAF = ROOT.issue("CN=site-b")


def trust(*anchors, **options):
    options = {"intermediates": (), "crls": (), "now": NOW} | options
    return Trust([a.certificate for a in anchors or (ROOT,)], **options)


def chain(*issued):
    return [i.certificate for i in issued]


def refused(code, issued, *helpers, using=None, identity=None):
    with pytest.raises(PeerError) as caught:
        (using or trust()).validate(chain(issued, *helpers), identity)
    assert caught.value.code == code, caught.value
    assert caught.value.notify == NotifyType.AUTHENTICATION_FAILED
    return caught.value


def test_a_certificate_of_a_trusted_ca_with_only_a_subject_is_good():
    verified = trust().validate(chain(LEAF), Identity.parse("CN=site-b"))
    assert verified.path == (LEAF.certificate, ROOT.certificate)
    assert verified.public_key == LEAF.key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.BrainpoolP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=lambda k: type(k).__name__,
)
def test_every_kind_of_key_can_be_a_ca_and_a_site(key):
    root = issue("CN=root", ca=True, key=key)
    assert trust(root).validate(chain(root.issue("CN=site", key=key)))


def test_a_path_goes_through_intermediates_sent_in_any_order_or_known_before():
    middle = ROOT.issue("CN=middle", ca=True)
    lower = middle.issue("CN=lower", ca=True)
    leaf = lower.issue("CN=site-b")
    expected = tuple(chain(leaf, lower, middle, ROOT))
    assert trust().validate(chain(leaf, middle, LEAF, lower)).path == expected
    assert trust(intermediates=chain(lower, middle)).validate(chain(leaf)).path == expected


def test_the_missing_issuer_is_named():
    middle = ROOT.issue("O=house, CN=middle", ca=True)
    error = refused("cert-untrusted", middle.issue("CN=site-b"))
    assert "'O=house, CN=middle', which issued 'CN=site-b'" in str(error)
    assert error.fields["issuer"] == "O=house, CN=middle"
    lower = middle.issue("CN=lower", ca=True)
    assert "'O=house, CN=middle', which issued 'CN=lower'" in str(
        refused("cert-untrusted", lower.issue("CN=site-b"), lower)
    )


def test_another_ca_of_the_same_name_is_not_trusted():
    error = refused("cert-untrusted", issue("O=house, CN=root", ca=True).issue("CN=site-b"))
    assert "not signed with the key" in str(error)


def test_a_self_signed_certificate_is_trusted_only_if_it_is_pinned_or_an_anchor():
    own = issue("CN=site-b")
    assert "self-signed" in str(refused("cert-untrusted", own))
    assert trust(pinned=chain(own)).validate(chain(own)).path == (own.certificate,)
    assert trust(own).validate(chain(own)).path == (own.certificate,)


def test_what_the_peer_sends_does_not_become_an_anchor():
    root = issue("CN=evil", ca=True)
    refused("cert-untrusted", root.issue("CN=site-b"), root)


def test_no_certificate_is_refused():
    with pytest.raises(PeerError) as caught:
        trust().validate([])
    assert caught.value.code == "cert-missing"


def test_a_changed_signature_is_not_trusted():
    der = bytearray(LEAF.certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_certificate(bytes(der))
    with pytest.raises(PeerError) as caught:
        trust().validate([forged])
    assert caught.value.code == "cert-untrusted"


def test_validity_is_checked_on_every_certificate_of_the_path():
    assert "expired at 2026-05-31" in str(
        refused("cert-expired", ROOT.issue("CN=old", last=NOW - datetime.timedelta(days=1)))
    )
    refused("cert-not-yet-valid", ROOT.issue("CN=new", first=NOW + datetime.timedelta(days=1)))
    middle = ROOT.issue("CN=middle", ca=True, last=NOW - datetime.timedelta(days=1))
    assert "'CN=middle'" in str(refused("cert-expired", middle.issue("CN=site-b"), middle))
    root = issue("CN=root2", ca=True, last=NOW - datetime.timedelta(days=1))
    refused("cert-expired", root.issue("CN=site-b"), using=trust(root))


def test_validity_includes_its_first_and_last_second():
    leaf = ROOT.issue("CN=site-b", first=NOW, last=NOW)
    assert trust().validate(chain(leaf))


def test_an_expired_path_does_not_hide_a_good_one():
    key = issue("CN=middle").key
    old = ROOT.issue("CN=middle", ca=True, key=key, last=NOW - datetime.timedelta(days=1))
    new = ROOT.issue("CN=middle", ca=True, key=key)
    leaf = new.issue("CN=site-b")
    assert trust().validate(chain(leaf, old, new)).path[1] == new.certificate
    assert trust().validate(chain(leaf, new, old)).path[1] == new.certificate


def test_what_is_no_ca_cannot_issue():
    assert "is no CA" in str(refused("cert-not-authority", LEAF.issue("CN=forged"), LEAF))
    middle = ROOT.issue("CN=m", ca=True, extensions=[(usage(digital_signature=True), True)])
    assert "keyUsage" in str(refused("cert-not-authority", middle.issue("CN=site-b"), middle))
    bare = issue("CN=bare")
    refused("cert-not-authority", bare.issue("CN=site-b"), using=trust(bare))


def test_the_path_length_counts_cas_below():
    root = issue("CN=short", ca=True, path_length=0)
    assert trust(root).validate(chain(root.issue("CN=site-b")))
    middle = root.issue("CN=middle", ca=True)
    refused("cert-path-length", middle.issue("CN=site-b"), middle, using=trust(root))
    again = root.issue("CN=short", ca=True)
    assert trust(root).validate(chain(again.issue("CN=site-b"), again))


def test_a_path_without_end_is_cut():
    above = ROOT
    certificates = []
    for number in range(12):
        above = above.issue(f"CN=ca{number}", ca=True)
        certificates.append(above)
    refused("cert-untrusted", above.issue("CN=site-b"), *certificates)


def test_many_certificates_of_one_name_cost_a_bounded_number_of_signatures(monkeypatch):
    checked = []
    monkeypatch.setattr("ike.crypto.x509.has_issued", lambda *pair: bool(checked.append(pair)))
    impostors = [issue("O=x, CN=middle", ca=True) for _ in range(100)]
    refused("cert-untrusted", impostors[0].issue("CN=site-b"), *impostors)
    assert len(checked) == 64


def test_cas_that_sign_each_other_do_not_loop():
    key_a, key_b = issue("CN=a").key, issue("CN=b").key
    a = issue("CN=b", ca=True, key=key_b).issue("CN=a", ca=True, key=key_a)
    b = issue("CN=a", ca=True, key=key_a).issue("CN=b", ca=True, key=key_b)
    refused("cert-untrusted", a.issue("CN=site-b"), a, b)


def test_an_unknown_critical_extension_is_refused_and_an_uncritical_one_is_not():
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert "1.3.6.1.4.1.99999.1" in str(
        refused("cert-critical-extension", ROOT.issue("CN=site-b", extensions=[(strange, True)]))
    )
    assert trust().validate(chain(ROOT.issue("CN=site-b", extensions=[(strange, False)])))
    middle = ROOT.issue("CN=m", ca=True, extensions=[(strange, True)])
    refused("cert-critical-extension", middle.issue("CN=site-b"), middle)


@pytest.mark.parametrize(
    ("extension", "good"),
    [
        (usage(digital_signature=True), True),
        (usage(content_commitment=True), True),
        (usage(key_encipherment=True), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.IPSEC_IKE]), True),
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.8.2.2")]), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.OCSP_SIGNING]), False),
    ],
)
def test_the_purpose_of_a_certificate_must_allow_ike(extension, good):
    leaf = ROOT.issue("CN=site-b", extensions=[(extension, True)])
    if good:
        assert trust().validate(chain(leaf))
    else:
        refused("cert-purpose", leaf)


def test_sha1_signatures_and_weak_keys_are_refused_unless_auth_names_them():
    root = issue("CN=root", ca=True, key=rsa.generate_private_key(65537, 2048))
    weak = root.issue("CN=site-b", key=rsa.generate_private_key(65537, 1024))
    assert "1024 bits" in str(refused("cert-weak-key", weak, using=trust(root)))
    assert trust(root, policy=SignaturePolicy.parse("rsa-1024")).validate(chain(weak))
    error = refused("cert-weak-signature", LEAF, using=trust(policy=SignaturePolicy.parse("pubkey-sha384")))
    assert "sha256" in str(error)
    sha384 = ROOT.issue("CN=site-b", hash_=hashes.SHA384())
    assert trust(policy=SignaturePolicy.parse("pubkey-sha384")).validate(chain(sha384))


def test_a_ca_of_a_kind_that_auth_does_not_allow_is_refused():
    refused("cert-weak-key", LEAF, using=trust(policy=SignaturePolicy.parse("rsa-2048")))


# Identities.

NAMED = ROOT.issue(
    "C=CH, O=house, CN=site-b",
    names=[
        x509.DNSName("gw.example.org"),
        x509.RFC822Name("gw@example.org"),
        x509.IPAddress(ip_address("198.51.100.20")),
        x509.IPAddress(ip_address("2001:db8::20")),
    ],
)


@pytest.mark.parametrize(
    "text",
    [
        "C=CH, O=house, CN=site-b",
        "C=ch, O=House, CN=SITE-B",
        "gw.example.org",
        "GW.Example.Org",
        "gw@example.org",
        "198.51.100.20",
        "2001:db8::20",
    ],
)
def test_the_peer_may_be_any_name_of_its_certificate(text):
    assert trust().validate(chain(NAMED), Identity.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "CN=site-b",
        "C=CH, O=house, CN=site-a",
        "C=CH, O=*, CN=site-b",
        "example.org",
        "*.example.org",
        "*@example.org",
        "198.51.100.21",
        "%any",
        "keyid:site-b",
        "fqdn:gw@example.org",
    ],
)
def test_the_peer_may_be_nobody_else(text):
    error = refused("cert-identity", NAMED, identity=Identity.parse(text))
    assert "gw.example.org" in str(error)
    assert error.fields["identity"] == str(Identity.parse(text))


def test_an_untrusted_certificate_is_not_searched_for_names():
    refused("cert-untrusted", issue("CN=x").issue("CN=site-b"), identity=Identity.parse("CN=site-a"))


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("C=CH, O=*, CN=site-b", True),
        ("C=CH, O=*, CN=*", True),
        ("*.example.org", True),
        ("%any", True),
        ("CN=*", False),
        ("*.example.com", False),
    ],
)
def test_patterns_choose_among_certificates(pattern, matches):
    assert certificate_matches(NAMED.certificate, Identity.parse(pattern)) is matches


def test_a_key_id_is_the_subject_key_identifier_or_the_hash_of_the_key():
    identifier = x509.SubjectKeyIdentifier(b"0123456789")
    leaf = ROOT.issue("CN=site-b", extensions=[(identifier, False)]).certificate
    assert certificate_has(leaf, Identity(IdType.KEY_ID, b"0123456789"))
    assert certificate_has(leaf, Identity(IdType.KEY_ID, spki_hash(leaf)))
    assert not certificate_has(leaf, Identity(IdType.KEY_ID, b"012345678"))
    assert not certificate_has(leaf, Identity(IdType.KEY_ID, b""))


def test_identities_are_the_subject_then_the_alternative_names():
    assert [str(i) for i in certificate_identities(NAMED.certificate)] == [
        "C=CH, O=house, CN=site-b",
        "gw.example.org",
        "gw@example.org",
        "198.51.100.20",
        "2001:db8::20",
    ]
    unnamed = ROOT.issue("", names=[x509.DNSName("only.example.org")])
    assert [str(i) for i in certificate_identities(unnamed.certificate)] == ["only.example.org"]
    assert trust().validate(chain(unnamed), Identity.parse("only.example.org"))


def test_the_hash_for_certreq_is_sha1_of_the_whole_public_key_info():
    info = ROOT.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki_hash(ROOT.certificate) == hashlib.sha1(info).digest()


# Policies.


def policies(*oids):
    return (
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]),
        False,
    )


def test_policies_hold_where_the_whole_path_has_them():
    middle = ROOT.issue("CN=m", ca=True, extensions=[policies("1.2.3", "1.2.4")])
    leaf = middle.issue("CN=site-b", extensions=[policies("1.2.3", "1.2.5")])
    assert trust().validate(chain(leaf, middle)).policies == {"1.2.3"}
    anyway = ROOT.issue("CN=m", ca=True, extensions=[policies("2.5.29.32.0")])
    leaf = anyway.issue("CN=site-b", extensions=[policies("1.2.3")])
    assert trust().validate(chain(leaf, anyway)).policies == {"1.2.3"}
    silent = ROOT.issue("CN=m", ca=True)
    leaf = silent.issue("CN=site-b", extensions=[policies("1.2.3")])
    assert trust().validate(chain(leaf, silent)).policies == frozenset()


@pytest.mark.parametrize(
    ("required", "links", "leaf", "good"),
    [
        (0, [["1.2.3"]], ["1.2.3"], True),
        (0, [["1.2.3"]], [], False),
        (0, [["1.2.3"]], ["1.2.4"], False),
        (0, [["2.5.29.32.0"]], ["1.2.4"], True),
        (1, [[]], [], False),
        (2, [[]], [], False),
        (3, [[]], [], True),
        (3, [[], []], [], False),
        (4, [[], []], [], True),
        (None, [[]], [], True),
    ],
)
def test_a_ca_may_demand_a_policy_of_all_below_it(required, links, leaf, good):
    """``requireExplicitPolicy`` counts certificates that may come before the demand holds, the last one with them."""
    demand = x509.PolicyConstraints(required, 0 if required is None else None)
    last = root = issue("CN=root", ca=True, extensions=[(demand, True)])
    path = []
    for number, oids in enumerate(links):
        last = last.issue(f"CN={number}", ca=True, extensions=[policies(*oids)] if oids else [])
        path.append(last)
    end = last.issue("CN=site-b", extensions=[policies(*leaf)] if leaf else [])
    if good:
        assert trust(root).validate(chain(end, *path))
    else:
        assert "'CN=root' demands" in str(refused("cert-policy", end, *path, using=trust(root)))


@pytest.mark.parametrize(("skip", "holds"), [(0, False), (1, True), (2, True)])
def test_a_ca_may_stop_any_policy_from_standing_for_all(skip, holds):
    inhibit = (x509.InhibitAnyPolicy(skip), True)
    middle = ROOT.issue("CN=m", ca=True, extensions=[policies("1.2.3"), inhibit])
    leaf = middle.issue("CN=site-b", extensions=[policies("2.5.29.32.0")])
    assert trust().validate(chain(leaf, middle)).policies == ({"1.2.3"} if holds else frozenset())


# Revocation.


def test_a_revoked_certificate_is_refused():
    crl = ROOT.crl([LEAF], reason=x509.ReasonFlags.key_compromise)
    assert "keyCompromise" in str(refused("cert-revoked", LEAF, using=trust(crls=[crl])))
    assert trust(crls=[crl]).validate(chain(ROOT.issue("CN=other")))


def test_a_revoked_ca_is_refused():
    middle = ROOT.issue("CN=middle", ca=True)
    error = refused("cert-revoked", middle.issue("CN=site-b"), middle, using=trust(crls=[ROOT.crl([middle])]))
    assert "'CN=middle'" in str(error)


def test_a_stale_list_still_revokes_but_does_not_vouch():
    stale = {"last": NOW - YEAR, "following": NOW - datetime.timedelta(days=1)}
    refused("cert-revoked", LEAF, using=trust(crls=[ROOT.crl([LEAF], **stale)]))
    strict = trust(crls=[ROOT.crl(**stale)], revocation="strict")
    refused("cert-status-stale", LEAF, using=strict)


def test_a_list_signed_by_somebody_else_says_nothing():
    forged = ROOT.crl([LEAF], signer=issue("CN=evil").key)
    assert trust(crls=[forged]).validate(chain(LEAF))
    refused("cert-status-unknown", LEAF, using=trust(crls=[forged], revocation="strict"))


def test_a_ca_that_may_not_sign_lists_has_none():
    root = issue("CN=root", ca=True, extensions=[(usage(key_cert_sign=True), True)])
    leaf = root.issue("CN=site-b")
    assert trust(root, crls=[root.crl([leaf])]).validate(chain(leaf))
    refused("cert-status-unknown", leaf, using=trust(root, crls=[root.crl()], revocation="strict"))


def test_a_removed_entry_is_no_revocation():
    crl = ROOT.crl([LEAF], reason=x509.ReasonFlags.remove_from_crl)
    assert trust(crls=[crl]).validate(chain(LEAF))


def point(url):
    return x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)


def test_ifuri_asks_only_where_a_status_is_published():
    assert trust(revocation="ifuri").validate(chain(LEAF))
    published = ROOT.issue("CN=site-b", extensions=[(x509.CRLDistributionPoints([point("http://crl.example")]), False)])
    refused("cert-status-unknown", published, using=trust(revocation="ifuri"))
    assert trust(revocation="ifuri", crls=[ROOT.crl()]).validate(chain(published))
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ocsp.example")
            )
        ]
    )
    refused(
        "cert-status-unknown",
        ROOT.issue("CN=site-b", extensions=[(access, False)]),
        using=trust(revocation="ifuri"),
    )


def scope(**options):
    defaults = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return (x509.IssuingDistributionPoint(**(defaults | options)), True)


@pytest.mark.parametrize(
    ("extension", "vouches"),
    [
        (scope(only_contains_user_certs=True), True),
        (scope(only_contains_ca_certs=True), False),
        (scope(indirect_crl=True), False),
        (scope(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])), False),
        (scope(full_name=[x509.UniformResourceIdentifier("http://crl.example")]), True),
        (scope(full_name=[x509.UniformResourceIdentifier("http://other.example")]), False),
        ((x509.DeltaCRLIndicator(3), True), False),
        ((x509.CRLNumber(4), False), True),
        ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True), False),
    ],
)
def test_a_partial_list_revokes_but_vouches_only_for_its_scope(extension, vouches):
    leaf = ROOT.issue("CN=site-b", extensions=[(x509.CRLDistributionPoints([point("http://crl.example")]), False)])
    strict = trust(revocation="strict", crls=[ROOT.crl(extensions=[extension])])
    if vouches:
        assert strict.validate(chain(leaf))
    else:
        refused("cert-status-unknown", leaf, using=strict)
    refused("cert-revoked", leaf, using=replace(strict, crls=[ROOT.crl([leaf], extensions=[extension])]))


# Name constraints.


def constrained(permitted=None, excluded=None):
    return issue("CN=limited", ca=True, extensions=[(x509.NameConstraints(permitted, excluded), True)])


def directory(text):
    return x509.DirectoryName(name(text))


@pytest.mark.parametrize(
    ("permitted", "excluded", "subject", "names", "good"),
    [
        ([directory("O=house")], None, "O=house, CN=x", [], True),
        ([directory("O=house")], None, "O=HOUSE, CN=x", [], True),
        ([directory("O=house")], None, "O=other, CN=x", [], False),
        ([directory("O=house")], None, "CN=x", [], False),
        (None, [directory("O=house")], "O=House, CN=x", [], False),
        (None, [directory("O=house")], "O=other, CN=x", [], True),
        ([x509.DNSName("example.org")], None, "CN=x", [x509.DNSName("gw.example.org")], True),
        ([x509.DNSName("example.org")], None, "CN=x", [x509.DNSName("example.org")], True),
        ([x509.DNSName("example.org")], None, "CN=x", [x509.DNSName("notexample.org")], False),
        ([x509.DNSName("example.org")], None, "CN=x", [], True),
        (None, [x509.DNSName("example.org")], "CN=x", [x509.DNSName("GW.EXAMPLE.ORG")], False),
        ([x509.RFC822Name("example.org")], None, "CN=x", [x509.RFC822Name("a@example.org")], True),
        ([x509.RFC822Name("example.org")], None, "CN=x", [x509.RFC822Name("a@sub.example.org")], False),
        ([x509.RFC822Name(".example.org")], None, "CN=x", [x509.RFC822Name("a@sub.example.org")], True),
        ([x509.RFC822Name("a@example.org")], None, "CN=x", [x509.RFC822Name("b@example.org")], False),
        ([x509.RFC822Name("example.org")], None, "CN=x, E=a@evil.org", [], False),
        (
            [x509.IPAddress(ip_network("198.51.100.0/24"))],
            None,
            "CN=x",
            [x509.IPAddress(ip_address("198.51.100.7"))],
            True,
        ),
        (
            [x509.IPAddress(ip_network("198.51.100.0/24"))],
            None,
            "CN=x",
            [x509.IPAddress(ip_address("203.0.113.7"))],
            False,
        ),
        (
            [x509.UniformResourceIdentifier(".example.org")],
            None,
            "CN=x",
            [x509.UniformResourceIdentifier("https://a.example.org/x")],
            True,
        ),
        (
            [x509.UniformResourceIdentifier("example.org")],
            None,
            "CN=x",
            [x509.UniformResourceIdentifier("https://a.example.org/x")],
            False,
        ),
        ([x509.UniformResourceIdentifier(".org")], None, "CN=x", [x509.UniformResourceIdentifier("urn:x:y")], False),
        (
            None,
            [x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))],
            "CN=x",
            [x509.RegisteredID(x509.ObjectIdentifier("1.2.4"))],
            False,
        ),
    ],
)
def test_name_constraints_are_obeyed(permitted, excluded, subject, names, good):
    root = constrained(permitted, excluded)
    leaf = root.issue(subject, names=names)
    if good:
        assert trust(root).validate(chain(leaf))
    else:
        refused("cert-name-constraint", leaf, using=trust(root))


def test_name_constraints_reach_through_intermediates():
    root = constrained([directory("O=house")])
    middle = root.issue("O=house, CN=middle", ca=True)
    assert trust(root).validate(chain(middle.issue("O=house, CN=x"), middle))
    error = refused("cert-name-constraint", middle.issue("O=other, CN=x"), middle, using=trust(root))
    assert "O=other" in str(error)


def test_an_intermediate_ca_that_is_an_anchor_can_still_be_revoked_by_who_is_above_it():
    middle = ROOT.issue("CN=middle", ca=True)
    leaf = middle.issue("CN=site-b")
    alone = trust(middle)
    assert alone.validate(chain(leaf)).path == tuple(chain(leaf, middle))
    beside = trust(middle, ROOT)
    assert beside.validate(chain(leaf)).path == tuple(chain(leaf, middle, ROOT))
    refused("cert-revoked", leaf, using=trust(middle, ROOT, crls=[ROOT.crl([middle])]))


def test_a_cross_certificate_of_a_root_that_we_lack_does_not_take_an_anchor_away():
    key = issue("CN=middle").key
    own, cross = ROOT.issue("CN=middle", ca=True, key=key), issue("CN=elsewhere", ca=True)
    leaf = own.issue("CN=site-b")
    assert trust(own).validate(chain(leaf, cross)).path == tuple(chain(leaf, own))
    crossed = cross.issue("CN=middle", ca=True, key=key)
    assert trust(own).validate(chain(leaf, crossed, cross)).path[1] == own.certificate
