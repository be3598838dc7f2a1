from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from vidattn import report
from vidattn.errors import VideoError
from vidattn.files import write_bytes, write_json
from vidattn.jobs.extraction import KeyFrames, extract_keyframes, full_frames

SHEET_TILE_WIDTH = 320


def write_keyframes(
    videos: Sequence[str | Path],
    output: str | Path,
    *,
    checkpoint: str | Path | None = None,
    decoder: str = "pyav",
    salvage: bool = False,
    device: str = "cpu",
    **settings: Any,
) -> list[VideoError]:
    """Extract the key frames of videos and write them down.

    In `output`: a folder for each video with its frames at full resolution and
    `contact_sheet.png`, and `keyframes.json` over all. Videos that cannot be read are recorded
    there and the others go on; if none can be read, nothing is written.

    Args:
        salvage: read damaged videos too.
        settings: of `extract_keyframes`.

    Returns:
        what went wrong, a typed error for each such video.
    """
    output = Path(output)
    loaded = None
    if checkpoint is not None:
        from vidattn import models

        loaded = models.load(checkpoint, device=device)
    records: list[dict[str, Any]] = []
    failures: list[VideoError] = []
    folders = folder_names(videos)
    for video in track(
        videos,
        description="extracting",
        console=Console(stderr=True),
        disable=len(videos) == 1,
        transient=True,
    ):
        try:
            reading: dict[str, Any] = {"decoder": decoder, "salvage": salvage}
            found = extract_keyframes(video, checkpoint=loaded, **reading, **settings)
            images = write_images(found, output / folders[str(video)], **reading)
        except VideoError as error:
            failures.append(error)
            continue
        record = found.to_json()
        for frame, image in zip(record["frames"], images, strict=True):
            frame["image"] = image.relative_to(output).as_posix()
        records.append(record)
    if records:
        reasons = [{"video": error.path, "reason": error.reason} for error in failures]
        write_json(output / "keyframes.json", {"videos": records, "failures": reasons})
    return failures


def write_images(
    found: KeyFrames, folder: Path, *, decoder: str, salvage: bool = False
) -> list[Path]:
    """The key frames at full resolution as PNG files, and a contact sheet beside them."""
    indices = [frame.frame_index for frame in found.frames]
    paths = [folder / f"frame_{index:06d}.png" for index in indices]
    small: list[NDArray[np.uint8]] = []
    pictures = full_frames(found.path, indices, decoder=decoder, salvage=salvage)
    for path, picture in zip(paths, pictures, strict=True):
        write_bytes(path, report.encode_image(picture))
        small.append(report.shrink(picture, SHEET_TILE_WIDTH))
    write_bytes(folder / "contact_sheet.png", contact_sheet(found, small))
    return paths


def contact_sheet(
    found: KeyFrames,
    pixels: Iterable[NDArray[np.uint8]],
    *,
    title: str | None = None,
    tile_width: int = SHEET_TILE_WIDTH,
) -> bytes:
    """PNG of all key frames with their times, scores and regions.

    Args:
        pixels: uint8 (H, W, 3) each, the frames at full resolution or smaller.
        title: the video's name where None.
    """
    width = found.details["size"][1]
    tiles = [
        report.KeyFrame(
            picture,
            frame.frame_index,
            frame.seconds,
            frame.score,
            np.array(frame.regions).reshape(-1, 4) * (picture.shape[1] / width),
        )
        for frame, picture in zip(found.frames, pixels, strict=True)
    ]
    title = Path(found.path).name if title is None else title
    return report.encode_image(report.draw_contact_sheet(tiles, title=title, tile_width=tile_width))


def folder_names(videos: Iterable[str | Path]) -> dict[str, str]:
    """A folder name for each video: its stem, numbered where several have the same."""
    names: dict[str, str] = {}
    for video in videos:
        # Absolute first: the stem of `..` is `..`, which leads out of the output folder.
        stem = Path(os.path.abspath(video)).stem or "video"
        name, number = stem, 1
        while name in names.values():
            number += 1
            name = f"{stem}_{number}"
        names[str(video)] = name
    return names
