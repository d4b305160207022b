"""Which addresses the limits count as one client."""

from __future__ import annotations

from ipaddress import IPv6Address

from django.utils.crypto import salted_hmac

# An IPv6 customer has at least a /64 network, so limits count a network as one address.
IPV6_PREFIX_BITS = 64


def network_of(address: str) -> str:
    """The key that limits count by: an IPv4 address, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> IPV6_PREFIX_BITS << IPV6_PREFIX_BITS))


def digest_of(network: str) -> str:
    """What stands for a network outside the process: without SECRET_KEY it leads to no address."""
    return salted_hmac("market.networks", network, algorithm="sha256").hexdigest()[:32]
