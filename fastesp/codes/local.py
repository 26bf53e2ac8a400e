"""What this machine cannot do, and what should never come about."""

from __future__ import annotations

from collections.abc import Mapping

from .code import REPORT, Code

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
    "too-many-selectors": Code(
        "more selectors than a message holds",
        "local_ts or remote_ts of a child has more than 255 entries (RFC 7296 section 3.13).",
        "make two children of it, or write networks that cover several",
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
