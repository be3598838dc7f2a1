"""What somebody would write without vidattn: a loop over films with torchcodec, or with FFmpeg.

Used by tools/bench/throughput.py. Pictures: evenly spread frames of each film as JPEG. Features:
means of a network's last stage over half-overlapping windows of every second frame, centre squares.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np


def evenly_spread(frame_count: int, count: int) -> list[int]:
    """The middle frame of each of equal parts."""
    count = min(count, frame_count)
    return [int((number + 0.5) * frame_count / count) for number in range(count)]


def save_jpeg(pixels: np.ndarray, path: Path, quality: int) -> None:
    """uint8 (H, W, 3)."""
    from PIL import Image

    Image.fromarray(pixels).save(path, quality=quality)


def pictures_with_torchcodec(film: Path, folder: Path, count: int, quality: int) -> list[int]:
    """Opens, seeks exactly and writes."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(film), num_ffmpeg_threads=1, dimension_order="NHWC")
    indices = evenly_spread(len(decoder), count)
    folder.mkdir(parents=True)
    for index, frame in zip(indices, decoder.get_frames_at(indices).data.numpy(), strict=True):
        save_jpeg(frame, folder / f"{index:06d}.jpg", quality)
    return indices


def pictures_with_ffmpeg(film: Path, folder: Path, count: int, quality: int) -> list[int]:
    """One process a film decodes all of it and writes the frames that were named."""
    indices = evenly_spread(frame_count(film), count)
    folder.mkdir(parents=True)
    wanted = "+".join(rf"eq(n\,{index})" for index in indices)
    scale = round(1 + (100 - quality) / 99 * 30)  # FFmpeg's scale for JPEG: 1 … 31
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(film), "-vf", f"select={wanted}"]
    command += ["-fps_mode", "vfr", "-q:v", str(scale), "-threads", "1"]
    subprocess.run([*command, str(folder / "%03d.jpg")], check=True, stdin=subprocess.DEVNULL)
    return indices


def frame_count(film: Path) -> int:
    """From the header of the file."""
    return int(probed(film, "nb_frames"))


def probed(film: Path, entry: str) -> str:
    """One entry of a film's video stream."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"]
    command += ["-show_entries", f"stream={entry}", str(film)]
    return subprocess.check_output(command, text=True).strip().strip(",")


def windows_of(frame_count: int, frames: int, stride: int) -> np.ndarray:
    """(windows, T) frames: half overlapping, the last ones end with the film."""
    from vidattn.sampling import FrameSpacing

    return FrameSpacing(frame_count, frames, stride).windows()[0]


def squares_with_torchcodec(film: Path, short_side: int, side: int) -> np.ndarray:
    """uint8 (T, side, side, 3): all frames, resized while decoding."""
    import torch
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import CenterCrop, Resize

    height, width = VideoDecoder(str(film)).metadata.height, VideoDecoder(str(film)).metadata.width
    scale = short_side / min(height, width)
    resize = Resize((round(height * scale), round(width * scale)))
    decoder = VideoDecoder(
        str(film),
        num_ffmpeg_threads=1,
        dimension_order="NHWC",
        transforms=[resize, CenterCrop((side, side))],
    )
    found: torch.Tensor = decoder.get_frames_in_range(0, len(decoder)).data
    return found.numpy()


def squares_with_ffmpeg(film: Path, short_side: int, side: int) -> np.ndarray:
    """The same through a pipe."""
    scale = f"scale='if(gt(iw,ih),-2,{short_side})':'if(gt(iw,ih),{short_side},-2)'"
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(film)]
    command += ["-vf", f"{scale},crop={side}:{side}", "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, side, side, 3)


def feature_loop(
    films: Sequence[Path],
    output: Path,
    checkpoint: Path,
    squares: Callable[[Path, int, int], np.ndarray],
) -> None:
    """Features of every film, eight windows at a time."""
    import torch

    from vidattn.models import load

    loaded = load(checkpoint)
    clip, recogniser = loaded.clip, loaded.recogniser.eval()
    name = recogniser.stage.name
    mean, deviation = (torch.tensor(each).view(3, 1, 1, 1) for each in (clip.mean, clip.std))
    for film in films:
        frames = squares(film, clip.short_side, clip.crop_size)
        parts = []
        for batch in np.split(windows := windows_of(len(frames), clip.frames, clip.frame_stride),
                              range(8, len(windows), 8)):  # fmt: skip
            clips = torch.from_numpy(frames[batch]).permute(0, 4, 1, 2, 3).float().div_(255)
            with torch.inference_mode():
                found = recogniser.backbone.features((clips - mean) / deviation, [name])[name]
            parts.append(found.mean((2, 3, 4)).numpy())
        np.savez(output / f"{film.stem}.npz", features=np.concatenate(parts))


def main() -> None:
    """Work on a folder of films."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["pictures", "features"])
    parser.add_argument("films", type=Path)
    parser.add_argument("--with", dest="library", choices=["torchcodec", "ffmpeg"], required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--checkpoint", type=Path)
    arguments = parser.parse_args()
    films = sorted(arguments.films.iterdir())
    arguments.output.mkdir(parents=True)
    if arguments.task == "features":
        squares = {"torchcodec": squares_with_torchcodec, "ffmpeg": squares_with_ffmpeg}
        feature_loop(films, arguments.output, arguments.checkpoint, squares[arguments.library])
        return
    write = {"torchcodec": pictures_with_torchcodec, "ffmpeg": pictures_with_ffmpeg}
    videos = []
    for film in films:
        folder = arguments.output / film.stem
        found = write[arguments.library](film, folder, arguments.count, arguments.quality)
        frames = [{"frame_index": index} for index in found]
        videos.append({"video": str(film), "frames": frames})
    (arguments.output / "keyframes.json").write_text(json.dumps({"videos": videos}))


if __name__ == "__main__":
    main()
