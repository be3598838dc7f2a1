from __future__ import annotations

from pathlib import Path

from vidattn.runs.results import ResultFolder


def evaluation_folder(output: str | Path | None, *, overwrite: bool) -> ResultFolder | None:
    """That of `vidattn evaluate`, whatever its task; None if nothing is to be written.

    Raises:
        OSError: it cannot be made, which is better found out now than after hours.
    """
    if output is None:
        return None
    Path(output).mkdir(parents=True, exist_ok=True)
    files = ["evaluation.html"]
    return ResultFolder(output, "evaluate", "evaluation.json", files, overwrite=overwrite)
