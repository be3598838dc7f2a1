from __future__ import annotations

import errno
import resource
import signal
from pathlib import Path

import pytest
import torch

from vidattn.training.checkpoint_files import WholeFiles


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.ckpt"
    WholeFiles().save_checkpoint({"weights": torch.arange(5)}, str(path))
    assert torch.equal(torch.load(path, weights_only=True)["weights"], torch.arange(5))
    assert WholeFiles().load_checkpoint(str(path))["weights"].tolist() == [0, 1, 2, 3, 4]


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"weights": torch.arange(5)}, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # No file may grow past this: as on a full disk, though the number of the error is another.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"last\.ckpt") as caught:
            WholeFiles().save_checkpoint({"weights": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]
