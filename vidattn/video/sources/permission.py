"""Which servers may be read, and which addresses of the network never without being named."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

from vidattn.errors import ArgumentError, UnsafePathError

OPTION = "--allow-remote"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
# What fsspec has under these names reads this machine, or another address inside the address.
_NOT_REMOTE = frozenset(
    {"file", "local", "asynclocal", "memory", "data", "dir", "reference", "generic", "git", "zip",
     "tar", "libarchive", "simplecache", "filecache", "blockcache", "cached", "async_wrapper",
     "dask"}
)  # fmt: skip
_STANDARD_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class RemotePermission:
    """What may be read from servers.

    Attributes:
        schemes: such as "s3" and "https": any public server, any bucket.
        places: pairs of a scheme and a server or bucket, such as ("https", "example.org:443") and
            ("s3", "bucket"). A server that is named so may have an address of a private network.
    """

    schemes: frozenset[str] = frozenset()
    places: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, names: str | Iterable[str]) -> Self:
        """From what a person names.

        Args:
            names: schemes, or places such as "https://videos.example.org" and "s3://bucket"; in
                a text they are separated by commas.

        Raises:
            ArgumentError: one is neither.
        """
        schemes, places = set(), set()
        given = [names] if isinstance(names, str) else names
        for name in (part for each in given for part in each.split(",")):
            url = urlsplit(name.strip())
            if "://" not in name:
                scheme = name.strip().lower()
                schemes.add(scheme)
            else:
                scheme = url.scheme
                places.add(place_of(url))
            if not _SCHEME.fullmatch(scheme) or (url.path.strip("/") and "://" in name):
                raise ArgumentError(
                    "allow_remote: expected schemes such as s3 and https, or places such as "
                    f"https://videos.example.org, got {name!r}"
                )
            if scheme in _NOT_REMOTE:
                raise ArgumentError(f"allow_remote: {scheme} is no scheme of remote files")
        return cls(frozenset(schemes), frozenset(places))

    def check(self, url: str) -> None:
        """Raise `UnsafePathError` where the address is not allowed, or has a password in it."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise UnsafePathError(url, f"no address of a file: {error}") from error
        if parts.scheme not in self.schemes and place_of(parts) not in self.places:
            raise UnsafePathError(
                url,
                f"a file on a server; {how_to_allow(parts.scheme)}",
            )
        if (
            parts.scheme not in _STANDARD_PORTS and "::" in url
        ):  # fsspec would take what follows for another address
            raise UnsafePathError(url, "expected one address, got '::' in it")
        if "@" in parts.netloc:
            raise UnsafePathError(url, "expected an address without a user name and a password")

    def names(self, url: str) -> bool:
        """Whether the very server or bucket of an address was named."""
        return place_of(urlsplit(url)) in self.places


def how_to_allow(name: str) -> str:
    """What a person has to say so that a server may be read."""
    return (
        f'{OPTION} {name} allows to read it (in Python allow_remote=("{name}",), in the '
        f"configuration of a training data.allow_remote: [{name}])"
    )


NOTHING_REMOTE = RemotePermission()


def place_of(url: SplitResult) -> tuple[str, str]:
    """Scheme, and server or bucket."""
    if url.scheme not in _STANDARD_PORTS:
        return url.scheme, url.netloc
    try:
        port = url.port or _STANDARD_PORTS[url.scheme]
    except ValueError:  # no number
        return url.scheme, url.netloc
    return url.scheme, f"{(url.hostname or '').rstrip('.')}:{port}"


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where it wraps another one.

    >>> is_public("93.184.216.34"), is_public("10.0.0.1"), is_public("::ffff:169.254.169.254")
    (True, False, False)
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


# Prefix of IPv4 addresses behind a translator (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def permission_of(allow_remote: Sequence[str] | str | RemotePermission) -> RemotePermission:
    """What `allow_remote` says, read once."""
    if isinstance(allow_remote, RemotePermission):
        return allow_remote
    return RemotePermission.of(allow_remote)
