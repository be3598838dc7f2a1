"""Where decord and torchcodec give the frames that PyAV gives, file by file."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections import Counter
from pathlib import Path
from typing import Any

LIBRARIES = {"decord": "decord", "torchcodec": "torchcodec.decoders"}
CHUNK = 16  # frames held at a time, per decoder


def main() -> int:
    arguments = _arguments()
    files = sorted(file for file in arguments.folder.rglob("*") if file.is_file())
    files = [file for file in files if file.suffix.lower() not in {".csv", ".json", ".txt", ".md"}]
    context = multiprocessing.get_context("forkserver")
    # Imported once, in the process that all others are copies of.
    context.set_forkserver_preload(
        ["vidattn.video.readers.pyav_reader", *map(LIBRARIES.get, arguments.decoders)]
    )
    results = []
    for file in files:
        for decoder in arguments.decoders:
            row = _in_subprocess(context, file, decoder, arguments)
            results.append(row)
            print(_line(row), flush=True)
    _print_summary(results, arguments.decoders)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/compare_decoders.py videos/ --output compared.json",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="its files, and those of its folders")
    parser.add_argument("--decoders", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--seconds", type=float, default=60, help="limit for one file")
    parser.add_argument(
        "--tolerance", type=int, default=2, help="largest difference of a value called near"
    )
    parser.add_argument("--output", type=Path, help="a JSON file with one record a file")
    return parser.parse_args()


def _in_subprocess(context: Any, file: Path, decoder: str, arguments: Any) -> dict[str, Any]:
    """One file in a process of its own, so that nothing it does can stop the rest."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, file, decoder, arguments.tolerance))
    process.start()
    sender.close()
    row: dict[str, Any] = {"outcome": "hang", "reason": f"over {arguments.seconds:.0f} s"}
    try:
        if receiver.poll(arguments.seconds):
            row = receiver.recv()
    except EOFError:
        row = {"outcome": "crash", "reason": "the process died"}
    process.kill()
    process.join()
    name = str(file.relative_to(arguments.folder))
    return {"file": name, "decoder": decoder, **row}


def _child(sender: Any, file: Path, decoder: str, tolerance: int) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        sender.send(_compare(file, decoder, tolerance))
    except Exception as error:
        sender.send({"outcome": "error", "reason": f"{type(error).__name__}: {error}"})


def _compare(file: Path, decoder: str, tolerance: int) -> dict[str, Any]:
    from vidattn.errors import DecodeError, VideoError
    from vidattn.video import open_video

    try:
        with open_video(file) as reference:
            reference.frames_at(range(len(reference)), short_side=1)
    except VideoError as error:
        return {"outcome": "no reference", "reason": error.reason}
    with open_video(file) as reference:
        try:
            with open_video(file, decoder) as other:
                largest, total, values = _difference(reference, other)
        except DecodeError as error:
            return {"outcome": "refused", "reason": error.reason, **_kind(file)}
    outcome = "exact" if not largest else "near" if largest <= tolerance else "different"
    return {
        "outcome": outcome,
        "reason": "" if not largest else f"largest {largest}, mean {total / values:.3f}",
        "largest": largest,
        "mean": total / values,
        **_kind(file),
    }


def _difference(reference: Any, other: Any) -> tuple[int, int, int]:
    largest = total = values = 0
    wanted = range(len(reference))
    chunks = (each.chunks(wanted, frames_at_once=CHUNK) for each in (reference, other))
    for first, second in zip(*chunks, strict=True):
        difference = (first.pixels.short() - second.pixels.short()).abs()
        largest = max(largest, int(difference.max()))
        total += int(difference.sum())
        values += difference.numel()
    return largest, total, values


def _kind(file: Path) -> dict[str, Any]:
    import av

    with av.open(str(file), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return {
            "container": container.format.name.split(",")[0],
            "codec": context.name,
            "pixel_format": context.pix_fmt,
            "colorspace": int(context.colorspace),
            "color_range": int(context.color_range),
        }


def _line(row: dict[str, Any]) -> str:
    kind = f"{row.get('container', '')} {row.get('codec', '')} {row.get('pixel_format', '')}"
    return f"{row['decoder']:10} {row['outcome']:12} {row['file']}  {kind}  {row['reason'][:120]}"


def _print_summary(results: list[dict[str, Any]], decoders: list[str]) -> None:
    for decoder in decoders:
        counts = Counter(row["outcome"] for row in results if row["decoder"] == decoder)
        print(f"{decoder}: " + ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common()))


if __name__ == "__main__":
    sys.exit(main())
