from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidattn.errors import ArgumentError
from vidattn.runs.results import ResultFolder


def evaluation_folder(
    output: str | Path | None,
    *,
    overwrite: bool,
    retry_failed: bool = False,
    files: Sequence[str] = (),
) -> ResultFolder | None:
    """That of `vidattn evaluate`, whatever its task; None if nothing is to be written.

    Args:
        files: that it writes besides the record and the page.

    Raises:
        OSError: it cannot be made, which is better found out now than after hours.
    """
    if output is None:
        return None
    Path(output).mkdir(parents=True, exist_ok=True)
    files = ["evaluation.html", *files]
    return ResultFolder(
        output, "evaluate", "evaluation.json", files, overwrite=overwrite, retry_failed=retry_failed
    )


def refuse_folder_among_classes(output: str | Path | None, data: object) -> None:
    """Refuse a result folder that would be read as a class, or a video, the next time.

    Args:
        output: the result folder.
        data: what is evaluated; only a folder of class folders matters.

    Raises:
        ArgumentError: the result folder lies inside that folder, and is not hidden there.
    """
    if output is None or not isinstance(data, str | Path) or not Path(data).is_dir():
        return
    inside, outside = Path(output).resolve(), Path(data).resolve()
    if not inside.is_relative_to(outside) or inside == outside:
        return
    if not any(part.startswith(".") for part in inside.relative_to(outside).parts):
        raise ArgumentError(
            f"output: {output} lies inside the class folders {data}, where it would be read as "
            "one of them the next time; give another --output"
        )
