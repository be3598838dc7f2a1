from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from vidattn.video.limits import Limits
from vidattn.video.sources.paths import refuse_playlist
from vidattn.video.sources.permission import RemotePermission
from vidattn.video.sources.source import SourceContent, VideoSource

_HTTP = ("http", "https")


def address_parts(url: str) -> list[str]:
    """The server or bucket, and the folders and the name of the file there.

    >>> address_parts("https://example.org/a%20b/c.mp4?page=1"), address_parts("s3://films/c?d")
    (['example.org', 'a b', 'c.mp4'], ['films', 'c?d'])
    """
    scheme, _, rest = url.partition("://")
    if scheme in _HTTP:
        rest = unquote(rest.partition("#")[0].partition("?")[0])
    return [part for part in rest.split("/") if part] or [""]


@dataclass(frozen=True)
class RemoteFile(VideoSource):
    """A file on a server, with the right to read it.

    It is read by ranges, of which up to 64 MiB are kept in memory. Where a server gives whole files
    only, the file is copied, up to `Limits.maximum_copied_bytes`.

    Attributes:
        url: such as "s3://bucket/clip.mp4" or "https://example.org/clip.mp4".
        permission: what may be read; see `RemotePermission`.

    Raises:
        UnsafePathError: the address may not be read.
    """

    url: str
    permission: RemotePermission

    def __post_init__(self) -> None:
        self.permission.check(self.url)

    def __str__(self) -> str:
        return self.url

    @property
    def file_name(self) -> str:
        """See `VideoSource.file_name`; without the query of the address."""
        return address_parts(self.url)[-1]

    @property
    def is_http(self) -> bool:
        """Whether it is read by HTTP, without fsspec."""
        return urlsplit(self.url).scheme in _HTTP

    def find(self, limits: Limits) -> SourceContent:
        """See `VideoSource.find`.

        Raises:
            MissingLibraryError: a library that reads it is not installed.
        """
        content = self._found(limits)
        try:
            refuse_playlist(content.name, content.read_at(0, 4096))
        except BaseException:
            content.close()
            raise
        return content

    def _found(self, limits: Limits) -> SourceContent:
        if self.is_http:
            from vidattn.video.sources.http_server import HttpFile

            return HttpFile(self.url, self.permission).find(self.file_name, limits)
        from vidattn.video.sources.object_store import StoredFile

        return StoredFile(self.url).find(self.file_name)
