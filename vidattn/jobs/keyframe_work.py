from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from vidattn.errors import ArgumentError, VideoError
from vidattn.files import written_together
from vidattn.inference.keyframe_settings import KeyFrameSettings
from vidattn.inference.keyframes import extract_keyframes
from vidattn.inference.scorers.named import named_scorer
from vidattn.inference.scorers.scorer import Scorer
from vidattn.jobs.keyframe_page import DRAWN, drawn
from vidattn.jobs.keyframe_pictures import SCORE_FILE, PictureSettings, poster_place, write_images
from vidattn.runs.failures import failed, failure
from vidattn.runs.results import ResultFolder
from vidattn.runs.run_network import loaded_in
from vidattn.runs.shards import Shard
from vidattn.runs.work import Group, Record
from vidattn.video.sources.addresses import as_source
from vidattn.video.sources.permission import NOTHING_REMOTE, RemotePermission

if TYPE_CHECKING:
    from vidattn.models import LoadedRecogniser


@dataclass(frozen=True, eq=False)
class KeyFrameWork:
    """The work of such a run; see `vidattn.runs.work.Work`."""

    videos: Sequence[str]
    folders: Sequence[str]
    results: ResultFolder
    model: str | LoadedRecogniser | None
    device: str
    settings: Mapping[str, Any]
    pictures: PictureSettings
    scorer: Scorer | None
    shown: int  # so many videos are on the page
    remote: RemotePermission = NOTHING_REMOTE

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        """See `vidattn.runs.work.Work`."""
        loaded = None if self.model is None else loaded_in(shard, self.model, self.device)
        settings = dict(self.settings)
        if settings["query"] is not None:
            wishes = KeyFrameSettings(
                **{each.name: settings[each.name] for each in fields(KeyFrameSettings)}
            )
            scorer = self.scorer or named_scorer(wishes, loaded, shard.device(self.device))
            # It is made of these once, and not for each video.
            settings |= dict.fromkeys(("query", "query_model")) | {"fast": False, "scorer": scorer}
        for [number] in groups:
            yield {number: self._one(loaded, settings, number)}

    def _one(
        self, loaded: LoadedRecogniser | None, settings: Mapping[str, Any], number: int
    ) -> Record:
        folder = self.folders[number]
        target = self.results.pictures_folder / folder
        try:
            source = as_source(self.videos[number], self.remote)
            found = extract_keyframes(source, checkpoint=loaded, **settings)
            with written_together(target, beside=self.results.journal_folder) as temporary:
                images = write_images(
                    found,
                    temporary,
                    video=source,
                    settings=self.pictures,
                    decoder=self.settings["decoder"],
                    salvage=self.settings["salvage"],
                )
                files = {
                    f"{folder}/{file.name}": file.stat().st_size
                    for file in sorted(temporary.iterdir())
                }
                self.results.remove_replaced(folder)
        except VideoError as error:
            return failed(error)
        except ArgumentError as error:  # nothing of this video lies between --from and --to
            reason = str(error).removeprefix(f"{self.videos[number]}: ")
            return failure(type(error).__name__, reason)
        record = found.to_json(explain=self.pictures.explain)
        for frame, image in zip(record["frames"], images, strict=True):
            frame["image"] = f"{folder}/{image.name}"
        if self.pictures.poster:
            record["poster"] = {
                "frame_index": found.frames[poster_place(found)].frame_index,
                "image": f"{folder}/poster{self.pictures.ending}",
            }
        if self.pictures.score_table:
            record["scores"] = f"{folder}/{SCORE_FILE}"
        if number < self.shown:
            record[DRAWN] = drawn(found)
        return record | {"files": files}
