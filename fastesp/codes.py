"""Every stable code: what it means, why it comes about, and what to do. ``fastesp explain CODE`` reads it from here.

A code is kebab-case and never changes its meaning. It stands in failure records, in the answers of the control
socket, in JSON and in counters; a test holds this table against what the source raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Code(NamedTuple):
    """One code, in a line each."""

    title: str
    cause: str
    action: str


LOG = "look at the peer's log: it says more than it tells us"
COUNTED = "nothing, while the counter is small; a steady rise is a scan, an attack, or a wire that damages packets"
REPORT = "this should not come about by configuration alone: report it, with the gateway's log at level 2"

NEGOTIATION: Mapping[str, Code] = {
    "redirect-loop": Code(
        "gateways that send clients round",
        "A connection was redirected more than five times in five minutes, or to where it was (RFC 5685 section 7).",
        "look at the gateways' redirects; follow_redirects = no in strongswan.conf stays with the first one",
    ),
    "ticket-refused": Code(
        "a session that cannot be resumed",
        "The ticket has expired, was used, is of another key than the gateway's, or what it stands for was changed.",
        "nothing: a full handshake follows by itself",
    ),
    "ticket-used": Code(
        "one ticket, two sessions",
        "A ticket of session resumption was presented twice at a time, and serves once (RFC 5723).",
        "nothing where it comes once: the next attempt is a full handshake",
    ),
    "resumption-refused": Code(
        "a session that does not come back",
        "The gateway took our ticket, and then refused the IKE SA: the ticket was used meanwhile, or no child fits.",
        "try again: the next attempt is a full handshake",
    ),
    "resumption-mismatch": Code(
        "a ticket in the wrong hands",
        "Who presented a ticket of session resumption does not know the keys of the IKE SA that it stands for.",
        "nothing where it comes once; where it goes on, somebody replays what was captured, in vain",
    ),
    "no-proposal-chosen": Code(
        "no common proposal",
        "The algorithms that one side offers have no suite in common with what the other side allows.",
        "compare 'offered' and 'allowed' in the record; name one suite on both sides, in proposals or esp_proposals",
    ),
    "invalid-ke-payload": Code(
        "no common key exchange",
        "The peer asks for a key exchange (Diffie-Hellman group) that our proposals do not have.",
        "add the group that the record names to proposals or esp_proposals, or remove it from the peer's",
    ),
    "try-other-method": Code(
        "another key exchange is asked for",
        "The peer guessed a key exchange that the chosen suite does not have; it is told which, and asks again.",
        "nothing: it costs a round trip. To spare it, put the same group first on both sides",
    ),
    "ts-max-queue": Code(
        "enough CHILD_SAs of the same selectors",
        "The peer asks for one more than per_cpu_sas allows here; it goes on with those that are up (RFC 9611).",
        "nothing; write the same per_cpu_sas on both sides to spare the question",
    ),
    "ts-unacceptable": Code(
        "no common traffic selectors",
        "The networks that one side proposes have nothing in common with what the other side's child allows.",
        "local_ts here must be the mirror image of remote_ts there, and the reverse, or at least overlap with it",
    ),
    "ts-widened": Code(
        "the peer answered with more than was offered",
        "The selectors in the answer reach beyond those that we proposed, which RFC 7296 section 2.9 forbids.",
        "the peer is broken or misconfigured: compare its selectors with remote_ts and local_ts here",
    ),
    "no-connection-for-address": Code(
        "no connection for this peer",
        "A peer asked from an address, or to one, that is in no connection's remote_addrs and local_addrs.",
        "add the address to a connection, or write %any where any peer may ask",
    ),
    "no-connection-for-identity": Code(
        "no connection for this identity",
        "The address fits a connection, the identity that the peer claims, or asks for, fits none of them.",
        "compare 'offered' and 'tried' in the record: write the identity into remote.id or local.id",
    ),
    "init-refused": Code("the peer refuses IKE_SA_INIT", "It answered the very first message with an error.", LOG),
    "init-restarts": Code(
        "the first message was asked for again and again",
        "The peer kept asking for another cookie or key exchange, more often than any reason explains.",
        "see that no middlebox changes UDP 500; " + LOG,
    ),
    "bad-cookie": Code(
        "a cookie that cannot be used",
        "The peer under load sent a cookie of a size that RFC 7296 section 2.6 does not allow.",
        "the peer is broken: " + LOG,
    ),
    "bad-proposal-answer": Code(
        "the peer chose what was not offered",
        "The suite in the answer is none of those that we proposed, or is incomplete.",
        "the peer is broken, or somebody changes messages on the way: capture UDP 500 on both sides and compare",
    ),
    "bad-key-exchange": Code(
        "a public value that must not be used",
        "The peer's public value has the wrong length, is zero, out of range, or not on its curve.",
        "the peer is broken or hostile: do not trust it; try another group in proposals",
    ),
    "childless": Code(
        "an IKE SA without CHILD_SA is not wanted",
        "The peer set up an IKE SA alone (RFC 6023), which childless = never forbids.",
        "set childless = allow, or name a child on the peer",
    ),
    "no-intermediate": Code(
        "the peer does not know IKE_INTERMEDIATE",
        "The chosen proposal has additional key exchanges; the peer does not announce what carries them (RFC 9242).",
        "take the ke1_ ... keywords out of proposals, or update the peer",
    ),
    "intermediate-refused": Code(
        "the peer refused an additional key exchange",
        "It answered a round of IKE_INTERMEDIATE (RFC 9370) with an error.",
        "the peer's log says why; leave the additional key exchange out of proposals to see whether the rest agrees",
    ),
    "temporary-failure": Code(
        "the peer cannot do that now",
        "Two exchanges on the same SA got into each other's way (RFC 7296 section 2.25); it is tried again by itself.",
        "nothing, unless it comes back: then rekey times of both sides should differ",
    ),
    "auth-null-mismatch": Code(
        "what the peer sent does not prove that it holds the keys of this IKE SA",
        "The peer authenticates itself as nobody (RFC 7619), and the AUTH it sent does not fit this exchange.",
        "somebody may sit between both: use psk or pubkey instead of null",
    ),
    "not-childless": Code(
        "the peer does not set up an IKE SA alone",
        "It was to come up without a CHILD_SA, and the peer does not announce RFC 6023.",
        "bring up a child of the connection instead",
    ),
    "child-refused": Code("the peer refused the CHILD_SA", "It answered with an error; the IKE SA may live on.", LOG),
    "unasked-transport": Code(
        "the peer chose transport mode unasked",
        "The answer is for transport mode, and our child is a tunnel.",
        "set mode to the same on both sides",
    ),
    "rekey-refused": Code(
        "the peer refuses to rekey",
        "It answered a rekeying with an error; the old SA is used until it expires.",
        "name the same suite, and the same key exchange for PFS, on both sides; " + LOG,
    ),
    "invalid-syntax": Code(
        "a malformed message",
        "A message of the peer does not follow RFC 7296: lengths that lie, payloads missing, repeated or out of place.",
        "the peer is broken or hostile; a capture of UDP 500 and 4500 shows the message",
    ),
    "unsupported-critical-payload": Code(
        "a payload we do not know and may not skip",
        "The peer set the critical bit on a payload of a type that is not known here (RFC 7296 section 2.5).",
        "turn the extension off on the peer",
    ),
    "ikev1-refused": Code(
        "the peer speaks IKEv1",
        "Only IKEv2 is spoken here; the peer was told so (INVALID_MAJOR_VERSION).",
        "set the peer to IKEv2; in strongSwan: version = 2",
    ),
    "invalid-major-version": Code(
        "another version of IKE",
        "The peer speaks a major version that is neither 1 nor 2.",
        "set the peer to IKEv2",
    ),
    "bad-spi": Code(
        "an SPI that cannot be",
        "An SPI has the wrong size for its protocol, or is one of those that are reserved.",
        "the peer is broken: " + LOG,
    ),
}

SILENCE: Mapping[str, Code] = {
    "esp-unheard": Code(
        "a tunnel is up, and nothing comes out of it",
        "Packets leave as IP protocol 50 (or 51, AH), none comes back, and IKE is answered all the while: a NAT or a "
        "firewall on the way passes UDP only. A tunnel whose traffic goes one way by its nature looks the same.",
        "encap = yes in the connection, on both sides, sends ESP in UDP 4500; else open the way for IP protocol 50. "
        "Capture on both sides to see where it ends: tcpdump -ni any 'ip proto 50 or udp port 4500'",
    ),
    "peer-unreachable": Code(
        "the peer does not answer",
        "All retransmissions of the first message went without an answer.",
        "see that the peer runs, that UDP 500 and 4500 pass in both directions, and that the address is right: "
        "tcpdump -ni any 'udp port 500 or udp port 4500'",
    ),
    "peer-dead": Code(
        "the peer is gone",
        "It answered before, and now no retransmission of a request or liveness check is answered.",
        "dpd_action says what happens then; see whether the peer or the path to it is down",
    ),
    "peer-restarted": Code(
        "the peer lost the IKE SA, and says so",
        "It crashed or was started anew, and proves by a token that it has no IKE SA of these SPIs (RFC 6290).",
        "dpd_action says what happens then; the peer's log says why it went down",
    ),
    "addresses-refused": Code(
        "the peer refuses every path",
        "Our address changed, and the peer answers UNACCEPTABLE_ADDRESSES for each path that we have to it (RFC 4555).",
        LOG,
    ),
    "unacceptable-addresses": Code(
        "the peer moved where a CHILD_SA cannot follow",
        "In transport mode the outer addresses are the inner ones, so MOBIKE cannot change them (RFC 4555, 1.2).",
        "use mode = tunnel for a peer that moves, or let it bring the CHILD_SA up again",
    ),
    "unexpected-nat": Code(
        "a NAT where the peer allows none",
        "The peer sent NO_NATS_ALLOWED, and its addresses were translated on the way (RFC 4555 section 3.9).",
        "take the NAT away, or let the peer allow it",
    ),
    "cookie2-mismatch": Code(
        "a moved peer did not return the cookie",
        "Whoever answered at the new address did not see what was sent there (RFC 4555 section 3.7).",
        "somebody may be redirecting traffic: capture UDP 4500 on both sides and compare",
    ),
    "half-open-timeout": Code(
        "a peer began and never went on",
        "It sent IKE_SA_INIT and no valid IKE_AUTH in time.",
        "see that UDP 4500 passes, and fragments of long messages; set fragmentation = yes on both sides",
    ),
    "command-timeout": Code(
        "not done in the time given",
        "The command waited as long as it was told; what it began goes on.",
        "wait longer with --timeout, and watch with fastesp log",
    ),
    "terminate-timeout": Code(
        "the peer did not confirm in time",
        "The delete was sent, and the answer did not come in the time given.",
        "it is retransmitted; fastesp down --force forgets the IKE SA without waiting",
    ),
    "ike-sa-closed": Code(
        "closed before it was up",
        "The IKE SA ended while its CHILD_SA was still being negotiated.",
        "the record before this one, or the peer's log, says why: fastesp show failures",
    ),
}

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

LOCAL: Mapping[str, Code] = {
    "child-collision": Code(
        "two tunnels with different peers want the same packets",
        "Both CHILD_SAs are up with the same selectors, priority and marks: a packet can go through one of them only.",
        "give each peer networks of its own (remote_ts here, local_ts there), or translate addresses at one site",
    ),
    "no-such-object": Code(
        "nothing of that name",
        "No connection, child, SA or entry has it.",
        "fastesp show connections, or fastesp status, lists what there is",
    ),
    "no-such-connection": Code("no connection of that name", "None is loaded under it.", "fastesp show connections"),
    "no-such-child": Code("no child of that name", "No loaded connection has one.", "fastesp show connections"),
    "no-such-ike-sa": Code("no such IKE SA", "It is gone, or never was.", "fastesp status"),
    "no-such-child-sa": Code("no such CHILD_SA", "It is gone, or never was.", "fastesp status"),
    "no-such-sa": Code("no SA fits", "No SA that is up has that name or number.", "fastesp status"),
    "no-such-policy": Code("no policy of that name", "None is installed.", "fastesp show policies"),
    "no-such-pool": Code("no pool of that name", "None is loaded.", "fastesp show pools"),
    "no-such-authority": Code("no authority of that name", "None is loaded.", "fastesp show authorities"),
    "no-such-key": Code("no key of that name", "None is loaded under that identifier.", "swanctl --list-certs"),
    "not-redirectable": Code(
        "a peer that cannot be redirected",
        "A gateway redirects clients: who initiated, and said REDIRECT_SUPPORTED in IKE_SA_INIT (RFC 5685).",
        "close the IKE SA instead, and have the peer connect elsewhere",
    ),
    "redirect-refused": Code(
        "a redirect to where no other gateway can be",
        "The name or address is that of this host, of the gateway itself, or of nobody (RFC 5685).",
        "see which address the name has here; follow_redirects = no in strongswan.conf stays with the first gateway",
    ),
    "redirect-gateway": Code(
        "no gateway to redirect to", "It is neither an address nor a host name.", "write gateway = 198.51.100.30"
    ),
    "not-established": Code(
        "the IKE SA is not up", "The command needs an IKE SA that is established.", "wait, or bring it up: fastesp up"
    ),
    "no-remote-address": Code(
        "no peer to ask",
        "remote_addrs names no address or host name that resolves: %any can only be waited for.",
        "write the peer's address or host name into remote_addrs, or let the peer initiate",
    ),
    "no-local-address": Code(
        "no address to speak from",
        "None of local_addrs is an address of this machine of the peer's family.",
        "correct local_addrs, or leave it out: then the route decides",
    ),
    "no-route": Code(
        "no route to the peer", "This machine knows no way to the peer's address.", "see: ip route get ADDRESS"
    ),
    "trap-refused": Code(
        "the data plane refused a policy", "A trap or shunt could not be put in place.", "the message says why"
    ),
    "trap-without-selectors": Code(
        "a trap needs to know what to catch",
        "start_action = trap with selectors that are known only after negotiation.",
        "write local_ts and remote_ts as networks, or start_action = start",
    ),
    "install-failed": Code(
        "the data plane refused an SA",
        "The CHILD_SA was negotiated, and its keys could not be put to use.",
        "the message says why; where an explicit placement was asked for, try auto",
    ),
    "bad-proposal": Code(
        "a proposal that cannot be read",
        "A word in proposals or esp_proposals is no algorithm, or the proposal lacks one.",
        "write it like aes256gcm16-prfsha384-x25519, or default",
    ),
    "token-refused": Code(
        "keys on tokens are not used here",
        "load-token asks for a key on a smart card or HSM.",
        "load the key from a file: private directory, or load-key",
    ),
    "gateway-unreachable": Code(
        "no gateway answers",
        "Nothing serves the control socket, or it may not be opened.",
        "start it with fastesp gateway -c FILE; name its socket with --socket; run as root or a member of its group",
    ),
    "machine-not-ready": Code(
        "this machine cannot run a gateway yet",
        "Rights, a device or a port are missing.",
        "fastesp doctor says which, and what to do",
    ),
}

CONFIGURATION: Mapping[str, Code] = {
    "config-invalid": Code(
        "the configuration is not valid",
        "There is at least one mistake; nothing of it was applied.",
        "fastesp check FILE lists all mistakes with line and column",
    ),
    "config-syntax": Code(
        "the file cannot be read as swanctl.conf",
        "A brace, quote or equals sign is missing or too many.",
        "see the line",
    ),
    "config-unknown-key": Code(
        "an unknown key", "It is misspelt, or belongs into another section.", "the message says which key may be meant"
    ),
    "config-value": Code("a value that does not fit", "The key wants another kind of value.", "the message says which"),
    "config-missing": Code("something is missing", "A key or file that is needed is not there.", "see the message"),
    "config-conflict": Code("two keys contradict each other", "They cannot both hold.", "remove one of them"),
    "config-refused": Code(
        "a key that is refused by name",
        "It is documented for strongSwan, and this gateway does not do what it asks; the message says why.",
        "remove it, or do what the message proposes",
    ),
    "config-proposal": Code("a proposal that cannot be read", "See bad-proposal.", "fastesp explain bad-proposal"),
    "config-weak": Code(
        "a weak algorithm is named",
        "It is offered because the proposal names it.",
        "name a stronger one where both can",
    ),
    "config-family": Code(
        "IPv4 and IPv6 are mixed", "Both ends of a range or tunnel are of one family.", "see the line"
    ),
    "config-lifetime": Code(
        "lifetimes that do not work together",
        "An SA would expire before it is rekeyed.",
        "raise life_time or over_time",
    ),
    "config-no-ca": Code(
        "no authority is trusted", "A peer proves with a certificate, and none could be checked.", "put it into x509ca"
    ),
    "config-no-cert": Code("no certificate of ours", "See no-certificate.", "fastesp explain no-certificate"),
    "config-no-key": Code("no private key of ours", "See no-private-key.", "fastesp explain no-private-key"),
    "config-no-secret": Code("no shared key", "See no-shared-key.", "fastesp explain no-shared-key"),
    "config-no-peer": Code(
        "the connection can never start", "It is to be initiated, and names no peer.", "write remote_addrs"
    ),
    "config-any-peer": Code(
        "any peer may come", "Neither address nor identity restricts who may use the connection.", "set remote.id"
    ),
    "config-cert-identity": Code(
        "id is not in the certificate",
        "local.id is neither subject nor alternative name of the certificate in certs: peers will refuse it.",
        "write an identity that the certificate has, or leave id out",
    ),
    "config-cert-expired": Code("a certificate has expired", "By this machine's clock.", "issue a new one"),
    "config-collision": Code(
        "two children want the same packets", "Their selectors overlap: one will never be used.", "narrow one of them"
    ),
    "config-duplicate": Code("the same thing twice", "Two entries say the same, or contradict.", "remove one"),
    "config-uri-unused": Code(
        "a place that is not asked",
        "Revocation lists are fetched by HTTP or read from a file; a directory service is not asked.",
        "name an http, https or file URI in crl_uris",
    ),
    "config-file-missing": Code("a file is missing", "It is named and not there.", "correct the name, or put it there"),
    "config-file-skipped": Code("a file was not read", "It holds nothing that its directory is for.", "move it away"),
    "config-passphrase": Code(
        "a key is encrypted and cannot be opened", "No passphrase of secrets fits.", "add it to secrets"
    ),
    "config-readable": Code(
        "others can read a secret", "The file's mode lets users read it who should not.", "chmod 600 FILE"
    ),
}

DROPS: Mapping[str, Code] = {
    "not-ike": Code("no IKE message", "A datagram on our ports is too short or too long to be one.", COUNTED),
    "length-mismatch": Code("a datagram of the wrong length", "The header claims another length.", COUNTED),
    "zero-spi": Code("no initiator SPI", "It is zero, which no IKE message has.", COUNTED),
    "bad-icv": Code("an integrity check failed", "The message was changed, or sealed with another key.", COUNTED),
    "sk-length": Code("an encrypted payload of impossible length", "It has no room for IV and check value.", COUNTED),
    "malformed": Code("a malformed message nobody signed for", "It cannot be read, and is not answered.", COUNTED),
    "unknown-ike-spi": Code(
        "for an IKE SA that is not there", "A peer still uses one that is gone here, or guesses.", COUNTED
    ),
    "wrong-spi": Code("an SPI that is not this IKE SA's", "The message belongs elsewhere.", COUNTED),
    "message-id-ahead": Code("a message id out of turn", "It lies outside the window.", COUNTED),
    "old-message-id": Code("an old message", "It was answered long ago.", COUNTED),
    "repeated-message-id": Code("another message under a known id", "The id is used up; the message is not.", COUNTED),
    "unexpected-exchange": Code("an exchange that has no place here", "The state does not allow it.", COUNTED),
    "lookup-under-way": Code(
        "a message while another waits",
        "The peer repeats what is held until a revocation list or the like is fetched.",
        COUNTED,
    ),
    "bad-redirect": Code("a redirect that nobody vouches for", "It lacks the nonce of what it answers.", COUNTED),
    "unexpected-response": Code("an answer nobody waits for", "The request was answered, or never sent.", COUNTED),
    "crash-token": Code(
        "somebody says that the peer crashed", "The token of quick crash detection is not the peer's.", COUNTED
    ),
    "unprotected": Code("a message in the clear", "It must be encrypted in this state.", COUNTED),
    "reflected": Code("our own message came back", "Somebody sends it back to us.", COUNTED),
    "cookie-demanded": Code(
        "a cookie was asked for", "Many IKE SAs are half open: peers must show that their address is real.", COUNTED
    ),
    "half-open-limit": Code("too many IKE SAs are half open", "The limit protects those that are up.", COUNTED),
    "fragment-number": Code("a fragment that does not fit", "Its number or total contradicts the others.", COUNTED),
    "fragment-repeated": Code("a fragment came twice", "It was there already.", COUNTED),
    "fragments-too-long": Code("fragments of a message too long", "Together they exceed the limit.", COUNTED),
}

INTERNAL: Mapping[str, Code] = {
    "bad-bucket": Code("an SPI bucket that cannot be", "A number outside its 12 bits.", REPORT),
    "bad-key-length": Code("a key of the wrong length", "A suite and its key do not belong together.", REPORT),
    "does-not-fit": Code("a value that fits no field", "A number is larger than its place in the message.", REPORT),
    "iv-exhausted": Code(
        "no initialisation vector is left", "The IKE SA sealed as many messages as is safe, and stopped.", "rekey it"
    ),
    "message-too-large": Code(
        "a message that fits no datagram", "It has more than 65,535 bytes.", "shorten the certificate chain"
    ),
    "message-too-long": Code(
        "a message that fits no datagram", "Sealed, it has more than 65,535 bytes.", "shorten the certificate chain"
    ),
    "no-encryption": Code("a suite without encryption", "IKE needs one.", "name a cipher in proposals"),
    "no-integrity": Code("a suite without integrity", "The cipher needs an integrity algorithm.", "add sha256 to it"),
    "no-key-exchange": Code("a suite without key exchange", "IKE needs one.", "add a group such as x25519"),
    "no-ml-kem": Code(
        "ML-KEM is not there",
        "The OpenSSL beneath the cryptography package lacks it.",
        "update the package, or leave it out",
    ),
    "unknown-key-exchange": Code("a key exchange we cannot do", "Its number has no code behind it.", REPORT),
    "unknown-attribute": Code("a transform that is not understood", "It may be read, and never sent.", REPORT),
    "sealed-not-last": Code("an encrypted payload in the middle", "It must end its message.", REPORT),
}

CODES: Mapping[str, Code] = {
    **NEGOTIATION,
    **SILENCE,
    **AUTHENTICATION,
    **CERTIFICATES,
    **LOCAL,
    **CONFIGURATION,
    **DROPS,
    **INTERNAL,
}
