from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from vidattn.files import written_whole


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are whole or not there; on a full disk the earlier one stays.

    They are written beside their place, and not in the system's folder for temporary files, which
    may be another, smaller disk.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,
    ) -> None:
        """Write one file; see the base class.

        Raises:
            OSError: it cannot be written; it is named.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        try:
            # Into an open file: of one that it opens itself, PyTorch does not tell of a full disk.
            with written_whole(path) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            # PyTorch stumbles over what it could not write while it closes the file.
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            raise OSError(cause.errno, cause.strerror, str(path)) from error
