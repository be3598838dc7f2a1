from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import pytest

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.loader import ClipLoader, training_loader
from vidattn.data.workers import WorkerError, WorkerState

# PyTorch raises the death of a worker from a signal handler, wherever the main thread is: now and
# then between opening a socket to a worker and the `with` that would close it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

SPEC = ClipSpec(frames=4, short_side=32, crop_size=24)


def loader_of(small_set: Path, *, timeout_seconds: float = 400.0, repeat: int = 50) -> ClipLoader:
    dataset = ClipDataset(
        read_annotations(small_set), spec=SPEC, classes=["fall", "rise"], training=True
    )
    return training_loader(
        dataset, batch_size=2, workers=2, repeat=repeat, timeout_seconds=timeout_seconds
    )


def stop_at(loader: ClipLoader, monkeypatch: pytest.MonkeyPatch, name: str, action) -> None:
    """Workers, forked later, call `action` when they are to read the video of this name."""
    select = loader.dataset.source.select

    def stopping(path, choose):
        if path.match(name) and multiprocessing.parent_process() is not None:
            action()
        return select(path, choose)

    monkeypatch.setattr(loader.dataset.source, "select", stopping)


def running() -> set[int]:
    """Worker processes; loaders that failed in other tests may still be held by a traceback."""
    return {process.pid or 0 for process in multiprocessing.active_children()}


def assert_no_workers_are_left(error: WorkerError) -> None:
    assert not multiprocessing.active_children()
    for state in error.workers:
        assert not Path(f"/proc/{state.process}").exists()  # not even a zombie


def test_a_killed_worker_is_named_with_its_video(small_set: Path, monkeypatch):
    loader = loader_of(small_set)
    stop_at(loader, monkeypatch, "rise/1.mp4", lambda: os.kill(os.getpid(), signal.SIGKILL))
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"process \d+\) was killed by SIGKILL reading .*1\.mp4"):
        list(loader)
    assert time.monotonic() - start < 200
    with pytest.raises(WorkerError) as caught:
        list(loader)  # starts new workers
    dead = caught.value.workers
    assert {state.path for state in dead} == {str(small_set / "rise" / "1.mp4")}
    assert {state.exit_code for state in dead} == {-signal.SIGKILL}
    assert_no_workers_are_left(caught.value)


def test_a_worker_that_leaves_is_no_end_of_the_data(small_set: Path, monkeypatch):
    loader = loader_of(small_set)
    stop_at(loader, monkeypatch, "fall/2.mp4", lambda: os._exit(3))
    with pytest.raises(WorkerError, match=r"ended with code 3 reading .*fall/2\.mp4"):
        list(loader)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("sign", [None, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_hung_workers_are_named_with_their_videos(small_set: Path, monkeypatch, sign):
    def hang() -> None:
        if sign is not None:
            os.kill(os.getpid(), sign)
        time.sleep(600)

    loader = loader_of(small_set, timeout_seconds=5)
    stop_at(loader, monkeypatch, "*.mp4", hang)
    start = time.monotonic()
    with pytest.raises(WorkerError, match="no batch came within 5 s: worker 0") as caught:
        list(loader)
    assert time.monotonic() - start < 200
    # Each hangs in the first video of its first batch of two.
    first = [loader.dataset.samples[draw.index].path for draw in list(loader.sampler)[:4:2]]
    states = caught.value.workers
    assert [state.path for state in states] == [str(path) for path in first]
    assert all(state.exit_code is None and state.seconds > 0 for state in states)
    assert_no_workers_are_left(caught.value)


def test_a_death_while_the_batch_is_used_has_its_type_too(small_set: Path):
    done = loader_of(small_set, repeat=1)
    list(done)
    done._iterator._shutdown_workers()  # they end with code 0, and are not to be blamed
    others = running()
    loader = loader_of(small_set, repeat=8)
    batches = iter(loader)
    next(batches)
    victim = min(running() - others)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(WorkerError, match=f"process {victim}. was killed by SIGKILL"):
        time.sleep(200)  # a training step
    assert len(list(loader)) == 24
    assert victim not in running()


def test_errors_inside_a_worker_keep_their_own_type(small_set: Path, monkeypatch):
    loader = loader_of(small_set)

    def fail() -> None:
        raise RuntimeError("a mistake in the code")

    stop_at(loader, monkeypatch, "rise/1.mp4", fail)
    with pytest.raises(RuntimeError, match="a mistake in the code"):
        list(loader)


def test_workers_live_on_between_epochs_and_end_with_the_loader(small_set: Path):
    others = running()
    loader = loader_of(small_set, repeat=2)
    processes = []
    for _ in range(3):
        assert len(list(loader)) == 6
        processes.append(running() - others)
    assert len(processes[0]) == 2
    assert processes[0] == processes[1] == processes[2]
    del loader
    assert running() <= others


def test_the_error_can_be_sent_from_process_to_process():
    states = [WorkerState(0, 12, -9, "a.mp4", 3.0), WorkerState(1, 13)]
    error = WorkerError("a worker process died", states)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.workers == states
    assert str(error) == (
        "a worker process died: worker 0 (process 12) was killed by SIGKILL reading a.mp4; "
        "worker 1 (process 13) between videos"
    )
