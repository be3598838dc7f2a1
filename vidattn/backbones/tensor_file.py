"""Reading files of tensors, and saying in our own words why a file is none.

torch's own messages advise to read the file with code in it, which nobody should follow.
"""

from __future__ import annotations

import re
import zipfile
from codecs import getincrementaldecoder
from pathlib import Path
from typing import Any

import torch

from vidattn.errors import CheckpointError

EXPECTED = "expected a checkpoint that torch wrote"
DAMAGED = "it is cut off or damaged; copy or download it again"
_HEAD = 4096
# The openings of what people take for checkpoints, and what to say of it.
_OPENINGS = (
    (b"\x1aE\xdf\xa3", "a video"),
    (b"FLV\x01", "a video"),
    (b"\x00\x00\x01\xba", "a video"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"BM", "an image"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x1f\x8b", "a compressed file; unpack it first"),
    (b"BZh", "a compressed file; unpack it first"),
    (b"\xfd7zXZ", "a compressed file; unpack it first"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a pointer of Git LFS; `git lfs pull` fetches the file itself"),
)
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_tensor_file(path: str | Path) -> Any:
    """All that torch saved in a file, tensors on the CPU; nothing in it is ever run.

    Args:
        path: of a file on this machine.

    Raises:
        CheckpointError: not there, something else, damaged, or with more in it than tensors
            and plain values. The message is one line of ours.
    """
    if not Path(path).is_file():
        what = "a folder, not a file" if Path(path).is_dir() else "no such checkpoint file"
        raise CheckpointError(f"{path}: {what}")
    if (other := what_else(Path(path))) is not None:
        raise CheckpointError(f"{path}: {other}")
    try:
        # Never without weights_only: unpickling a stranger's file runs the stranger's code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch and the pickle machine raise whatever they like
        raise CheckpointError(f"{path}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Why torch could not read a file, in our words."""
    text = str(error)
    if text.startswith("invalid hash value"):
        return f"not the file that its name promises ({text})"
    found = re.search(r"GLOBAL ([\w.]+)", text)
    # A name cut off in the middle, of a function that torch itself writes there, is damage.
    if found and not found[1].startswith("torch._"):
        return (
            f"refused: it holds Python objects besides tensors and plain values ({found[1]}), "
            "which would run code to be read; save it anew with nothing but the state dict"
        )
    return DAMAGED


def what_else(path: Path) -> str | None:
    """What a file is that cannot be a checkpoint; None where it may be one.

    Raises:
        CheckpointError: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        return "the file is empty (zero bytes)"
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if _is_safetensors(head):
        return (
            "a safetensors file, which is not read here; in Python, "
            "torch.save(safetensors.torch.load_file(FILE), OTHER_FILE) makes one that is"
        )
    if head.startswith(_LEGACY):
        return None
    kind = _kind(head)
    return DAMAGED if kind is None else f"{EXPECTED}, got {kind}"


def _archive(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return DAMAGED  # its list of contents, at the end, is not there
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return f"{EXPECTED}, got a ZIP archive of something else"
    if any(name.rpartition("/")[2] == "constants.pkl" for name in names):
        return f"{EXPECTED}, got a TorchScript program; save its state dict instead"
    return None


def _kind(head: bytes) -> str | None:
    """What the first bytes tell; None where they are of no kind known here."""
    for opening, kind in _OPENINGS:
        if head.startswith(opening):
            return kind
    if head[4:8] in (b"ftyp", b"moov", b"mdat") or head[:4] + head[8:12] == b"RIFFAVI ":
        return "a video"
    if head[:4] + head[8:12] == b"RIFFWEBP":
        return "an image"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle that torch did not write"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page: the download gave a page instead of the file"
    return "text" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\r\n\f" for byte in head):
        return False
    try:
        getincrementaldecoder("utf-8")().decode(head)  # its last character may be cut
    except UnicodeDecodeError:
        return False
    return True


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 2**30
