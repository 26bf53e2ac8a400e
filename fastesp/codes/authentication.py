"""Who could not show who it is, and certificates that were refused."""

from __future__ import annotations

from collections.abc import Mapping

from .code import LOG, Code

AUTHENTICATION: Mapping[str, Code] = {
    "peer-auth-failed": Code(
        "the peer does not accept us",
        "It answered AUTHENTICATION_FAILED, and does not say what it missed: our secret, certificate or identity.",
        "local.id and the secret or certificate here must be what the peer's remote section expects; " + LOG,
    ),
    "auth-refused": Code("the peer refuses IKE_AUTH", "It answered with an error that is not about a CHILD_SA.", LOG),
    "auth-psk-mismatch": Code(
        "the shared keys differ",
        "The peer proved with another pre-shared key than the one that is configured here for its identity.",
        "make the secret the same on both sides; the record names the line of ours",
    ),
    "auth-rounds": Code(
        "another number of rounds",
        "The peer authenticates itself more or fewer times (RFC 4739) than the connection has remote sections.",
        "give the connection a remote section for each local one of the peer, in the same order",
    ),
    "ppk-unsupported": Code(
        "the peer uses no post-quantum preshared key",
        "ppk_required is set, and the peer did not announce one (RFC 8784), or named none.",
        "set ppk_id on both sides and give both the secret; or set ppk_required = no",
    ),
    "ppk-unused": Code(
        "the peer left the post-quantum preshared key out",
        "It announced one and answered without, although no other proof had been sent to it.",
        "update the peer; or set ppk_required = no",
    ),
    "ppk-id-mismatch": Code(
        "another post-quantum preshared key is meant",
        "The PPK_ID that the peer uses does not fit ppk_id of the connection.",
        "make ppk_id the same on both sides; on a responder it may be a pattern",
    ),
    "no-ppk": Code(
        "no post-quantum preshared key of that name",
        "No secrets.ppk section is for the PPK_ID, and the connection or the peer insists on it.",
        "add secrets { ppk-NAME { id = THE PPK_ID, secret = ... } }",
    ),
    "ppk-mismatch": Code(
        "the post-quantum preshared keys differ",
        "The peer's proof is good without the PPK and not with it: both sides have another secret under that PPK_ID.",
        "make the secret the same on both sides; the record names the line of ours",
    ),
    "psk-mismatch": Code(
        "the shared keys differ",
        "The peer proved with another pre-shared key than the one that is configured here.",
        "make the secret the same on both sides",
    ),
    "auth-method": Code(
        "another way of authentication",
        "The peer proves itself in a way (psk, pubkey, eap) that our remote section does not allow.",
        "make auth of the remote section here what the peer's local section has",
    ),
    "auth-method-unknown": Code(
        "a way of authentication that cannot be used",
        "auth of a local section names a method that this gateway cannot prove itself with.",
        "write psk or pubkey",
    ),
    "peer-identity-mismatch": Code(
        "the peer is somebody else",
        "Its identity is none that a connection for its address allows as remote.id.",
        "compare 'offered' and 'allowed' in the record: write the peer's identity into remote.id, wildcards allowed",
    ),
    "no-shared-key": Code(
        "no shared key for these identities",
        "auth is psk, and no secret names the two identities (or nobody in particular).",
        "add secrets { ike-NAME { id = THE PEER'S IDENTITY, secret = ... } }",
    ),
    "no-certificate": Code(
        "we have no certificate to show",
        "auth is pubkey, and neither certs nor the identity leads to a certificate of ours.",
        "name the file in local.certs, and put it into the x509 directory",
    ),
    "no-private-key": Code(
        "no private key for our certificate",
        "The certificate was found, and none of the loaded keys belongs to it.",
        "put its key into the private directory; if it is encrypted, give the passphrase in secrets",
    ),
    "no-common-signature": Code(
        "no common signature scheme",
        "The peer's hash algorithms, our key and the constraints of auth have no scheme in common.",
        "loosen auth = pubkey-..., or use another kind of key",
    ),
    "bad-auth-constraint": Code(
        "a signature constraint that cannot be read",
        "What follows pubkey- in auth is no key type, key size or hash.",
        "write it like pubkey-sha256-sha384 or ecdsa-256-sha256",
    ),
    "signature-invalid": Code(
        "the signature does not fit",
        "The peer's signature was not made with the key of its certificate over this exchange.",
        "the peer signs with another key than its certificate's, or somebody changes messages on the way",
    ),
    "signature-not-allowed": Code(
        "a signature scheme that is not allowed",
        "The peer's signature uses a hash or padding that auth of the remote section leaves out.",
        "loosen auth of the remote section, or strengthen the peer",
    ),
    "duplicate-peer": Code(
        "the identity is connected already",
        "unique = keep holds on to the first IKE SA of an identity, and another one asked.",
        "close the old one (fastesp down), or set unique = replace",
    ),
    "empty-secret": Code(
        "an empty shared key", "A secret without any byte protects nothing.", "write a long, random secret"
    ),
    "key-untrusted": Code(
        "an unknown raw public key",
        "The peer showed a raw public key (RFC 7670) that remote.pubkeys does not list.",
        "put its key into the pubkey directory and name it in remote.pubkeys",
    ),
}

CERTIFICATES: Mapping[str, Code] = {
    "cert-missing": Code(
        "the peer sent no certificate",
        "It proves with a signature, and sent no certificate that could check it.",
        "set send_cert = always on the peer, or keep its certificate here in remote.certs",
    ),
    "cert-untrusted": Code(
        "no path to a trusted authority",
        "The peer's certificate was issued by an authority that is not trusted here, or an intermediate is missing.",
        "put the authority's certificate into x509ca, and have the peer send its intermediates",
    ),
    "cert-expired": Code(
        "the certificate has expired",
        "A certificate of the peer's chain is past its end, by this machine's clock.",
        "issue a new one; see that the clock is right",
    ),
    "cert-not-yet-valid": Code(
        "the certificate is not valid yet",
        "A certificate of the peer's chain begins in the future, by this machine's clock.",
        "see that the clocks of both machines are right",
    ),
    "cert-identity": Code(
        "the certificate is for another identity",
        "The identity that the peer claims is neither its certificate's subject nor one of its alternative names.",
        "set local.id on the peer to a name in its certificate, or issue one that has the name",
    ),
    "cert-revoked": Code(
        "the certificate was revoked", "A revocation list or responder names it.", "issue a new one to who may have it"
    ),
    "cert-status-unknown": Code(
        "it is not known whether the certificate was revoked",
        "revocation = strict (or ifuri) asks for a fresh revocation list or OCSP answer, and there is none.",
        "see that the list can be fetched, put it into x509crl, or set revocation = relaxed",
    ),
    "cert-status-stale": Code(
        "what vouches for the certificate is out of date",
        "revocation = strict (or ifuri) asks for a current revocation list or OCSP answer; the one there is ran out.",
        "see that the authority issues its list in time and that it can be fetched; compare the clocks",
    ),
    "cert-url-malformed": Code(
        "a reference to a certificate that makes no sense",
        "The peer sent hash and URL in place of its certificate, and one of them is not what it must be.",
        "have the peer send its certificate whole, or correct cert_uri_base there: http:// only",
    ),
    "cert-url-unfetched": Code(
        "the certificate cannot be fetched",
        "The peer sent hash and URL in place of its certificate; nothing was there, or something of another hash.",
        "see that the URL in the record can be reached from here, or have the peer send its certificate whole",
    ),
    "cert-malformed": Code(
        "a certificate that cannot be read",
        "What the peer sent as certificate is none.",
        "have the peer send DER X.509",
    ),
    "cert-too-many": Code(
        "too many certificates", "The peer sent more than any chain needs.", "have it send its own chain alone"
    ),
    "cert-authority": Code(
        "issued by another authority than demanded",
        "The path is trusted, but does not lead through the authority that cacerts or ca_id name.",
        "correct cacerts or ca_id of the remote section, or issue the peer's certificate below that authority",
    ),
    "cert-policy": Code(
        "a certificate policy is missing",
        "cert_policy, or a CA by its policy constraints, asks for an OID that the peer's chain does not have.",
        "correct cert_policy, or issue the chain's certificates with that policy",
    ),
    "cert-critical-extension": Code(
        "an extension that may not be ignored",
        "A certificate of the chain has a critical extension that is not understood here.",
        "issue it without, or with the extension not critical",
    ),
    "cert-name-constraint": Code(
        "outside the authority's names",
        "A name in the peer's certificate lies outside the name constraints of an authority above it.",
        "issue it from an authority that may",
    ),
    "cert-not-authority": Code(
        "issued by what is no authority",
        "A certificate in the path signed another one without being a certification authority.",
        "issue the chain anew, from a real authority",
    ),
    "cert-path-length": Code(
        "the chain is longer than allowed",
        "An authority's path length limit is exceeded.",
        "issue from an authority nearer to the root",
    ),
    "cert-purpose": Code(
        "the certificate is not for this use",
        "Its key usage or extended key usage leaves authentication out.",
        "issue one with digitalSignature, and for servers with serverAuth",
    ),
    "cert-weak-key": Code(
        "the key is too weak",
        "A key in the chain is shorter than is safe today.",
        "issue with RSA of 2048 bits or EC of 256",
    ),
    "cert-weak-signature": Code(
        "the signature is too weak", "A certificate in the chain is signed with a broken hash.", "issue it with SHA-256"
    ),
    "cert-no-ca": Code(
        "not a certification authority",
        "A certificate was loaded as authority, and its basic constraints say that it is none.",
        "load it as an end certificate (x509), or load the authority's",
    ),
}
