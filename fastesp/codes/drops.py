"""Datagrams that were dropped without an answer."""

from __future__ import annotations

from collections.abc import Mapping

from .code import COUNTED, Code

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
