"""What is wrong in files."""

from __future__ import annotations

from collections.abc import Mapping

from .code import Code

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
