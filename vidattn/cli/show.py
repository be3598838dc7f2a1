from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.cli.arguments import add_json, command
from vidattn.cli.streams import print_json

if TYPE_CHECKING:
    from vidattn.jobs import CheckpointFacts

HELP = "describe a checkpoint: classes, network, clip, and which protocols suit it"

EPILOG = """\
No code from the file is run. For a checkpoint of another project, it prints the command that
converts it. The exit code is 1 if the file is not a checkpoint, or is damaged.

example:
  vidattn show runs/demo/model.ckpt
"""
CLASSES_SHOWN = 8
NAMES_SHOWN = 3


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "show", help_line=HELP, epilog=EPILOG)
    parser.add_argument("checkpoint", type=Path, help="checkpoint of ours or of another project")
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Show and print."""
    from vidattn.jobs import show

    found = show(parsed.checkpoint)
    if parsed.json:
        print_json(found.to_json(), indent=1)
        return 0
    print(f"{found.path}: {found.summary}")
    rows = _other(found) if found.clip is None else _own(found)
    for name, words in rows:
        print(f"  {name:<11} {words}")
    return 0


def _own(found: CheckpointFacts) -> list[tuple[str, str]]:
    assert found.clip is not None
    several = ", several at once" if found.multi_label else ""
    rows = [
        ("classes", f"{len(found.classes)}: {_some(found.classes, CLASSES_SHOWN)}{several}"),
        ("backbone", f"{found.backbone}{_settings(found.backbone_settings)}"),
        *[
            ("attention", f"{each['mechanism']}, {each['placement']} {each['stage']}")
            for each in found.attention
        ],
        ("pooling", f"{found.pooling}{_settings(found.pooling_settings)}"),
        ("parameters", f"{found.parameters:,}; {_finite(found)}"),
        ("clip", _clip(found.clip)),
        ("pixels", _pixels(found.clip)),
        ("figure", found.figure),
        ("sha256", found.digest),
        *_protocols(found.protocols or {}),
        ("try", found.hint),
    ]
    return [(name, words) for name, words in rows if words]


def _other(found: CheckpointFacts) -> list[tuple[str, str]]:
    rows = [("sha256", found.digest)]
    if found.parameters:
        rows.insert(0, ("numbers", f"{found.parameters:,}; {_finite(found)}"))
    return [*rows, ("try", found.hint)] if found.hint else rows


def _protocols(protocols: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The suitable ones on a line; the others by the reasons that they share."""
    fitting = [name for name, reasons in protocols.items() if not reasons]
    alike: dict[str, list[str]] = {}
    for name, reasons in protocols.items():
        if reasons:
            alike.setdefault("; ".join(reasons), []).append(name)
    rows = [("suitable", ", ".join(fitting) or "none of the published protocols")]
    return rows + [("not", f"{', '.join(names)}: {words}") for words, names in alike.items()]


def _finite(found: CheckpointFacts) -> str:
    if not found.not_finite:
        return "all finite"
    return f"NaN or infinity in {len(found.not_finite)} tensors ({_some(found.not_finite)})"


def _clip(clip: dict[str, Any]) -> str:
    frames = f"{clip['frames']} frames"
    if clip["sampling"] != "dense":
        return f"{frames} spread over the whole video"
    step = "each" if clip["frame_stride"] == 1 else f"one of {clip['frame_stride']}"
    rate = clip["frames_per_second"]
    return f"{frames}, {step} " + (
        f"at {rate:g} frames per second" if rate else "of the video's own"
    )


def _pixels(clip: dict[str, Any]) -> str:
    how = "stretched to a square of" if clip["aspect"] == "stretch" else "shorter side"
    mean, std = (" ".join(f"{value:g}" for value in clip[name]) for name in ("mean", "std"))
    return f"{how} {clip['short_side']}, crop of {clip['crop_size']}; mean {mean}, deviation {std}"


def _settings(settings: dict[str, Any] | None) -> str:
    return f" ({', '.join(f'{k}={v}' for k, v in settings.items())})" if settings else ""


def _some(names: tuple[str, ...], count: int = NAMES_SHOWN) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
