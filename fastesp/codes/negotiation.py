"""What two sides do not agree on, and who did not answer."""

from __future__ import annotations

from collections.abc import Mapping

from .code import LOG, Code

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
