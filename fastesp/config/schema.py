"""Every documented key of swanctl.conf: what it takes, its default, and whether it is honoured or why it is refused.

The reader (:mod:`fastesp.config.reading`) knows no key by itself, and the table in ``docs/swanctl-conf.md`` is
generated from here: a key that is not in this file does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import addresses as a
from . import values as v
from .values import Kind

IKEV1 = "IKEv1 is dead (RFC 9395): this gateway speaks IKEv2 only"
TOKEN = "keys and certificates come from files; PKCS#11 tokens and smart cards are not opened"
MEDIATION = "the IKEv2 mediation extension never became a standard and is not spoken"
LABELS = "security labels are not negotiated: traffic is told apart by selectors"

NO_VIPS = "virtual addresses are neither asked for nor handed out here: write networks into local_ts and remote_ts"
NO_MARKS = "packets reach the user-space data plane through a TUN, which shows no marks: tell them apart by selectors"
NO_INTERFACES = "policies hold for every interface: the user-space data plane has its own TUN, and no XFRM interfaces"
NO_OFFLOAD = "SAs are carried in user space in this version"
NO_DSCP = "IKE packets leave with the DSCP that the host gives them"
ALL_HAVE_POLICIES = "the user-space data plane finds an SA by its policy: without one nothing would be sent on it"
NO_SHORT_MAC = "RFC 4868 has 128 bits; the 96 of early kernels are not what the data plane does"
NO_EAP = "EAP is not spoken in this version; certificates and preshared keys are"
GROUPS = "only an AAA server tells the groups of a peer, and no EAP method asks one"

FILES = Kind("files", v.plain, blob=True)
FILE = Kind("file", v.plain)
HANDLE = Kind("hex", v.plain)


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``refused`` maps a value to the reason why it is refused; under ``*`` stands the reason for any value.

    ``fixed`` is the reason why no value but the default is taken.
    A ``prefix`` key stands for all names that begin with its own (``id``, ``id-bob``).
    """

    name: str
    kind: Kind
    default: str = ""
    about: str = ""
    many: bool = False
    prefix: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    fixed: str = ""


@dataclass(frozen=True, slots=True)
class SectionRule:
    """What a section holds. A name that ends in ``*`` stands for every name with that beginning."""

    about: str = ""
    keys: tuple[Key, ...] = ()
    sections: Mapping[str, SectionRule] = field(default_factory=dict)
    refused: str = ""
    other_key: Key | None = None


def _never(name: str, kind: Kind, why: str, default: str = "", about: str = "") -> Key:
    return Key(name, kind, default, about, refused={"*": why})


_TOKEN_KEYS = tuple(_never(name, HANDLE, TOKEN, about="PKCS#11") for name in ("handle", "slot", "module"))
_CERT_FILE = SectionRule(
    "One certificate more, by absolute path.",
    (Key("file", FILE, about="Absolute path of the certificate."), *_TOKEN_KEYS),
)
_ROUND = Key("round", v.NUMBER, "0", "Order of the authentication rounds (RFC 4739); without it, the order of writing.")
_AUTH = Kind("authentication", v.plain)

LOCAL = SectionRule(
    "A round in which we authenticate.",
    (
        _ROUND,
        Key("certs", FILES, "", "Certificates to choose from, in `x509` or by absolute path.", many=True),
        Key("pubkeys", FILES, "", "Raw public keys (RFC 7670), in `pubkey` or by absolute path.", many=True),
        Key(
            "auth",
            _AUTH,
            "pubkey",
            "`pubkey`, `psk` or `null`; `ike:` limits signatures (RFC 7427). `eap` and `xauth` are refused.",
        ),
        Key(
            "id",
            v.IDENTITY,
            "",
            "Our identity; the first certificate's subject, else our address, where it is not set.",
        ),
        _never("eap_id", v.IDENTITY, NO_EAP, "id", "Our identity inside EAP."),
        _never("aaa_id", v.IDENTITY, NO_EAP, "remote-id", "The server's identity inside EAP."),
        _never("xauth_id", v.IDENTITY, IKEV1, "id", "XAuth user name."),
    ),
    {"cert*": _CERT_FILE},
)

REMOTE = SectionRule(
    "A round in which the peer authenticates.",
    (
        _ROUND,
        Key("id", v.IDENTITY, "%any", "The identity the peer must prove; wildcards allowed."),
        _never("eap_id", v.IDENTITY, NO_EAP, "id", "The identity inside EAP."),
        _never("groups", v.TEXT, GROUPS, "", "Groups of which the peer must be in one."),
        Key("cert_policy", v.OID, "", "Policies (OIDs) that the certificate must carry.", many=True),
        Key("certs", FILES, "", "The only certificates accepted, in `x509` or by absolute path.", many=True),
        Key("cacerts", FILES, "", "The only CAs accepted, in `x509ca` or by absolute path.", many=True),
        Key("ca_id", v.IDENTITY, "", "An identity that a CA of the peer's chain must have."),
        Key("pubkeys", FILES, "", "The only raw public keys accepted, in `pubkey` or by absolute path.", many=True),
        Key(
            "revocation",
            v.one_of("strict", "ifuri", "relaxed"),
            "relaxed",
            "How sure we must be that a certificate is not revoked.",
        ),
        Key(
            "auth",
            _AUTH,
            "pubkey",
            "As for the local side; key sizes and hashes behind it limit the chain (`rsa-3072-sha256`).",
        ),
    ),
    {"cert*": _CERT_FILE, "cacert*": _CERT_FILE},
)

_LIFETIMES = (
    Key("rekey_time", v.TIME, "1h", "When to rekey."),
    Key("life_time", v.TIME, "rekey_time + 10%", "When to close what was not rekeyed."),
    Key("rand_time", v.TIME, "life_time - rekey_time", "Up to this much is taken off rekey_time."),
    Key("rekey_bytes", v.BYTES, "0", "Bytes after which to rekey."),
    Key("life_bytes", v.BYTES, "rekey_bytes + 10%", "Bytes after which to close."),
    Key("rand_bytes", v.BYTES, "life_bytes - rekey_bytes", "Up to this much is taken off rekey_bytes."),
    Key("rekey_packets", v.COUNT, "0", "Packets after which to rekey."),
    Key("life_packets", v.COUNT, "rekey_packets + 10%", "Packets after which to close."),
    Key("rand_packets", v.COUNT, "life_packets - rekey_packets", "Up to this much is taken off rekey_packets."),
)
_NO_BEET = "BEET mode never became a standard; tunnel mode does the same"
_NO_PROXY = "Mobile IPv6 transport proxy mode is not for gateways; write transport"
_NO_IPCOMP = (
    "compression before encryption tells the length of secrets apart (RFC 3173 gains nothing on modern traffic)"
)
_MODE = v.one_of("tunnel", "transport", "pass", "drop", "beet", "transport_proxy")

CHILD = SectionRule(
    "A CHILD_SA, or a policy without one.",
    (
        Key("ah_proposals", Kind("proposals", str), "", "AH proposals; ESP's are not offered then.", many=True),
        Key("esp_proposals", Kind("proposals", str), "default", "ESP proposals.", many=True),
        Key(
            "sha256_96",
            v.BOOLEAN,
            "no",
            "HMAC-SHA-256 cut to 96 bits, as some old peers do.",
            refused={"yes": NO_SHORT_MAC},
        ),
        Key("local_ts", a.TRAFFIC_SELECTOR, "dynamic", "What is behind us.", many=True),
        Key("remote_ts", a.TRAFFIC_SELECTOR, "dynamic", "What is behind the peer.", many=True),
        *_LIFETIMES,
        Key("updown", v.TEXT, "", "Script run when the CHILD_SA comes up and goes down."),
        Key("hostaccess", v.BOOLEAN, "no", "Handed to the updown script."),
        Key(
            "mode",
            _MODE,
            "tunnel",
            "IPsec mode, or a bypass.",
            refused={"beet": _NO_BEET, "transport_proxy": _NO_PROXY},
        ),
        Key("policies", v.BOOLEAN, "yes", "Whether to install policies.", refused={"no": ALL_HAVE_POLICIES}),
        Key(
            "policies_fwd_out",
            v.BOOLEAN,
            "no",
            "Read and without effect: forwarded packets need no policy beside the outbound one.",
        ),
        Key(
            "dpd_action",
            v.one_of("clear", "trap", "restart", none="clear", route="trap", start="restart", hold="trap"),
            "clear",
            "What follows when the peer is dead.",
        ),
        Key("ipcomp", v.BOOLEAN, "no", "Compression before encryption.", refused={"yes": _NO_IPCOMP}),
        Key("inactivity", v.TIME, "0s", "Close after this long without a packet."),
        Key("reqid", v.NUMBER, "0", "Fixed reqid."),
        Key("priority", v.NUMBER, "0", "Fixed priority of the policies."),
        _never("interface", v.TEXT, NO_INTERFACES, "", "Restrict the policies to this interface."),
        Key("mark_in", v.MARK, "0/0x00000000", "Mark of inbound policies.", fixed=NO_MARKS),
        Key("mark_in_sa", v.BOOLEAN, "no", "Set mark_in on the inbound SA too.", fixed=NO_MARKS),
        Key("mark_out", v.MARK, "0/0x00000000", "Mark of outbound policies and SAs.", fixed=NO_MARKS),
        Key("set_mark_in", v.SET_MARK, "0/0x00000000", "Mark put on packets after decryption.", fixed=NO_MARKS),
        Key("set_mark_out", v.SET_MARK, "0/0x00000000", "Mark put on ESP packets.", fixed=NO_MARKS),
        Key("if_id_in", v.INTERFACE_ID, "0", "XFRM interface id of inbound policies and SAs.", fixed=NO_INTERFACES),
        Key("if_id_out", v.INTERFACE_ID, "0", "XFRM interface id of outbound policies and SAs.", fixed=NO_INTERFACES),
        _never("label", v.TEXT, LABELS, "", "Security label."),
        _never("label_mode", v.TEXT, LABELS, "system", "How the label is used."),
        Key("tfc_padding", v.TFC, "0", "Pad packets to at least this size (RFC 4303 section 2.7)."),
        Key("replay_window", v.NUMBER, "32", "Packets the anti-replay window holds; 0 turns the check off."),
        Key(
            "hw_offload",
            v.OFFLOAD,
            "no",
            "Where the SA goes; `userspace` is an addition of this gateway.",
            refused=dict.fromkeys(("yes", "crypto", "packet", "kernel"), NO_OFFLOAD),
        ),
        Key("copy_df", v.BOOLEAN, "yes", "Copy DF to the outer header."),
        Key("copy_ecn", v.BOOLEAN, "yes", "Copy ECN to and from the outer header (RFC 6040)."),
        Key("copy_dscp", v.one_of("out", "in", "yes", "no"), "out", "Copy DSCP to and/or from the outer header."),
        Key("start_action", v.START_ACTION, "none", "What to do when the configuration is loaded."),
        Key(
            "close_action",
            v.one_of("none", "trap", "start", clear="none", route="trap", restart="start"),
            "none",
            "What to do when the peer closes the CHILD_SA.",
        ),
        Key("per_cpu_sas", v.PER_CPU, "no", "More CHILD_SAs of the same selectors; `yes`: one a worker (RFC 9611)."),
    ),
)

CONNECTION = SectionRule(
    "An IKE connection.",
    (
        Key("version", v.one_of("0", "1", "2"), "0", "IKE version; 0 means 2.", refused={"1": IKEV1}),
        Key("local_addrs", a.PEER_ADDRESS, "%any", "Our addresses.", many=True),
        Key("remote_addrs", a.PEER_ADDRESS, "%any", "The peer's addresses.", many=True),
        Key("local_port", v.PORT, "500", "Our UDP port."),
        Key("remote_port", v.PORT, "500", "The peer's UDP port."),
        Key("proposals", Kind("proposals", str), "default", "IKE proposals.", many=True),
        _never(
            "vips",
            a.VIRTUAL_IP,
            NO_VIPS,
            "",
            "Virtual addresses to ask for; 0.0.0.0 and :: leave the choice to the peer.",
        ),
        Key("aggressive", v.BOOLEAN, "no", "IKEv1 aggressive mode.", refused={"yes": IKEV1}),
        Key(
            "pull",
            v.BOOLEAN,
            "yes",
            "Ask for virtual addresses.",
            refused={"no": "push mode exists in IKEv1 only; " + IKEV1},
        ),
        Key("dscp", v.DSCP, "000000", "DSCP of IKE packets.", fixed=NO_DSCP),
        Key("encap", v.BOOLEAN, "no", "Put ESP in UDP even without a NAT."),
        Key("mobike", v.BOOLEAN, "yes", "MOBIKE (RFC 4555)."),
        Key("dpd_delay", v.TIME, "0s", "Ask a silent peer whether it lives after this long."),
        Key(
            "dpd_timeout", v.TIME, "0s", "Read and without effect, as for any IKEv2 connection: retransmission decides."
        ),
        Key(
            "fragmentation",
            v.one_of("yes", "accept", "force", "no"),
            "yes",
            "IKE fragmentation (RFC 7383); force means yes.",
        ),
        Key("childless", v.one_of("allow", "prefer", "force", "never"), "allow", "Childless IKE SAs (RFC 6023)."),
        Key("send_certreq", v.BOOLEAN, "yes", "Send certificate requests."),
        Key("send_cert", v.one_of("always", "never", "ifasked"), "ifasked", "Send certificates."),
        Key("ppk_id", v.IDENTITY, "", "The post-quantum preshared key (RFC 8784), or a pattern of a responder's."),
        Key("ppk_required", v.BOOLEAN, "no", "Whether to insist on one."),
        Key("keyingtries", v.NUMBER, "1", "Retransmission sequences of the first exchange; 0 never gives up."),
        Key("unique", v.one_of("never", "no", "keep", "replace"), "no", "What a second IKE SA of one peer means."),
        Key(
            "session_resumption",
            v.BOOLEAN,
            "no",
            "Bring an IKE SA whose peer died back with a ticket (RFC 5723); an addition of this gateway.",
        ),
        Key("reauth_time", v.TIME, "0s", "When to authenticate anew."),
        Key("rekey_time", v.TIME, "4h", "When to rekey; 0 where only reauth_time is set."),
        Key("over_time", v.TIME, "10% of rekey_time/reauth_time", "Close this long after a rekeying that failed."),
        Key("rand_time", v.TIME, "over_time", "Up to this much is taken off the times above."),
        _never("pools", v.TEXT, NO_VIPS, "", "Pools to hand out addresses from."),
        Key("if_id_in", v.INTERFACE_ID, "0", "Default for the children.", fixed=NO_INTERFACES),
        Key("if_id_out", v.INTERFACE_ID, "0", "Default for the children.", fixed=NO_INTERFACES),
        Key("mediation", v.BOOLEAN, "no", "Mediation connection.", refused={"yes": MEDIATION}),
        _never("mediated_by", v.TEXT, MEDIATION, "", "Mediation connection to use."),
        _never("mediation_peer", v.IDENTITY, MEDIATION, "", "The peer's identity there."),
    ),
    {"local*": LOCAL, "remote*": REMOTE, "children": SectionRule("CHILD_SAs by name.", sections={"*": CHILD})},
)

_IDS = Key(
    "id",
    v.IDENTITY,
    "",
    "An identity the secret belongs to; any number of them, each under a name that begins with id.",
    prefix=True,
)
_FILE_SECRET = (
    Key("file", v.TEXT, "", "File name in the directory."),
    Key("secret", v.PASSPHRASE, "", "Its passphrase.", prefix=True),
)
_SHARED = (Key("secret", v.SECRET, "", "Text, `0x` and hexadecimal, or `0s` and Base64."), _IDS)

SECRETS: dict[str, SectionRule] = {
    "eap*": SectionRule("An EAP password. Kept; no connection asks for it as long as EAP is not spoken.", _SHARED),
    "xauth*": SectionRule("The same as `eap`.", _SHARED),
    "ntlm*": SectionRule("An NT hash for EAP-MSCHAPv2. Kept likewise.", _SHARED),
    "ike*": SectionRule("A preshared key.", _SHARED),
    "ppk*": SectionRule("A post-quantum preshared key (RFC 8784).", _SHARED),
    "private*": SectionRule("Passphrase of a key in `private`.", _FILE_SECRET),
    "rsa*": SectionRule("Passphrase of a key in `rsa`.", _FILE_SECRET),
    "ecdsa*": SectionRule("Passphrase of a key in `ecdsa`.", _FILE_SECRET),
    "pkcs8*": SectionRule("Passphrase of a key in `pkcs8`.", _FILE_SECRET),
    "pkcs12*": SectionRule("Passphrase of a container in `pkcs12`.", _FILE_SECRET),
    "token*": SectionRule(
        "A key on a token.",
        tuple(_never(name, HANDLE, TOKEN) for name in ("handle", "slot", "module", "pin")),
        refused=TOKEN,
    ),
}

POOL_ATTRIBUTES = ("dns", "nbns", "dhcp", "netmask", "server", "subnet", "split_include", "split_exclude")
POOL = SectionRule(
    "A pool of virtual addresses.",
    (
        Key("addrs", a.POOL_RANGE, "", "A network or a range."),
        *(
            Key(name, a.ATTRIBUTE_ADDRESS, "", f"Attribute `{name}` for the peers.", many=True)
            for name in POOL_ATTRIBUTES
        ),
    ),
    other_key=Key("<number>", v.TEXT, "", "An attribute by its number (RFC 7296 section 3.15.1).", many=True),
)

AUTHORITY = SectionRule(
    "What to know about a certification authority.",
    (
        Key("cacert", FILES, "", "Its certificate, in `x509ca` or by absolute path."),
        Key("file", FILE, "", "Its certificate, by absolute path."),
        *_TOKEN_KEYS,
        Key("crl_uris", v.CRL_URI, "", "Where its CRL is: `http`, `https`, `file`; `ldap` is passed over.", many=True),
        Key("ocsp_uris", v.HTTP_URI, "", "Where its OCSP responder is.", many=True),
        Key("cert_uri_base", v.HTTP_URI, "", "Where its certificates are, by their SHA-1 in hex (hash and URL)."),
    ),
)

ROOT = SectionRule(
    "swanctl.conf",
    sections={
        "connections": SectionRule("IKE connections by name.", sections={"*": CONNECTION}),
        "secrets": SectionRule("Shared secrets, and passphrases of keys.", sections=SECRETS),
        "pools": SectionRule("Pools by name.", sections={"*": POOL}),
        "authorities": SectionRule("Certification authorities by name.", sections={"*": AUTHORITY}),
    },
)
