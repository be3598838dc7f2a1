"""Keys that configurations had before settings were grouped: each names the new one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vidattn.cli.entry import main
from vidattn.errors import ArgumentError
from vidattn.training.renamed_keys import RENAMED, nested_keys, option_keys, refuse_renamed

# Written by hand, by what the keys mean: old -> new and a value that the new one takes.
KEYS = {
    "model.optimizer": ("optimisation.optimiser", "sgd"),
    "model.learning_rate": ("optimisation.learning_rate", 0.1),
    "model.weight_decay": ("optimisation.weight_decay", 0.1),
    "model.layer_decay": ("optimisation.layer_decay", 0.5),
    "model.warmup_fraction": ("optimisation.warmup_fraction", 0.5),
    "model.label_smoothing": ("optimisation.label_smoothing", 0.5),
    "model.position_loss": ("optimisation.position_loss", 0.5),
    "model.position_share": ("optimisation.position_share", 0.5),
    "model.frozen_stages": ("optimisation.frozen_stages", ["stem"]),
    "data.flip": ("augmentation.flip", False),
    "data.crop_scale": ("augmentation.crop_scale", [0.6, 0.9]),
    "data.crop_ratio": ("augmentation.crop_ratio", [0.6, 0.9]),
    "data.colour_jitter": ("augmentation.colour_jitter", 0.5),
    "data.mixup_alpha": ("augmentation.mixup_alpha", 0.5),
    "data.cutmix_alpha": ("augmentation.cutmix_alpha", 0.5),
    "data.clip.frames": ("clip.frames", 4),
    "data.clip.sampling": ("clip.sampling", "dense"),
    "data.clip.frame_stride": ("clip.frame_stride", 3),
    "data.clip.short_side": ("clip.short_side", 120),
    "data.clip.crop_size": ("clip.crop_size", 24),
    "data.clip.mean": ("clip.mean", [0.1, 0.2, 0.3]),
    "data.clip.std": ("clip.std", [0.1, 0.2, 0.3]),
    "data.clip.frames_per_second": ("clip.frames_per_second", 4.0),
    "data.clip.aspect": ("clip.aspect", "stretch"),
    "ckpt_path": ("resume", "last.ckpt"),
}


def nested(key: str, value: object) -> dict:
    for part in reversed(key.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def test_every_old_key_is_known() -> None:
    assert set(KEYS) | {"data.clip"} == set(RENAMED)


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for old, (new, value) in KEYS.items():
        text = yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
        for option in ([f"--{old}", text], [f"--{old}={text}"]):
            assert main(["train", "--data.annotations", "videos", *option]) == 1
            expected = f"vidattn: command line: renamed settings: --{old} is now --{new}\n"
            assert capsys.readouterr().err == expected


def test_in_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for old, (new, value) in KEYS.items():
        Path("old.yaml").write_text(yaml.safe_dump(nested(old, value)))
        assert main(["train", "--config", "old.yaml"]) == 1
        line = capsys.readouterr().err
        assert line.startswith("vidattn: old.yaml: renamed settings: ")
        assert line.count("\n") == 1
        found = "data.clip is now clip" if old.startswith("data.clip.") else f"{old} is now {new}"
        assert line.endswith(f": {found}\n")


def test_all_of_a_configuration_are_named_at_once() -> None:
    values = {"model": {"optimizer": "sgd", "backbone": "slim"}, "data": {"flip": True}}
    with pytest.raises(ArgumentError) as caught:
        refuse_renamed(nested_keys(values), "my.yaml")
    assert str(caught.value) == (
        "my.yaml: renamed settings: model.optimizer is now optimisation.optimiser, "
        "data.flip is now augmentation.flip"
    )


def test_what_has_its_name_still_is_no_old_key() -> None:
    new = [*option_keys(["--config", "a.yaml", "--model.attention+={}", "--clip.frames=8", "x"])]
    assert new == ["config", "model.attention", "clip.frames"]
    refuse_renamed(new, "command line")


@pytest.mark.parametrize("by", ["option", "file"])
def test_the_new_keys_arrive(by: str, write_flash, tmp_path: Path) -> None:
    """Each new key changes what a training is built of; a key that is passed over does not."""
    from vidattn.training.command_line import build
    from vidattn.training.quiet import quiet_trainer

    for label in ("a", "b"):
        write_flash(f"videos/{label}/0.mp4", frame_count=4, size=(32, 32))
    values: dict = {"data": {"annotations": str(tmp_path / "videos")}}
    options = []
    for new, value in KEYS.values():
        if new != "resume":
            group, name = new.split(".")
            values.setdefault(group, {})[name] = value
            text = yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
            options += [f"--{new}", text]
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(values))
    given = ["--config", str(tmp_path / "new.yaml")]
    if by == "option":
        given = ["--data.annotations", str(tmp_path / "videos"), *options]
    with quiet_trainer():
        built = build([*given, "--output", str(tmp_path / "out")])
    data, task = built.datamodule, built.model
    found = {
        "clip": task.clip,
        "optimisation": task.optimisation,
        "augmentation": data.train_transform,
    }
    assert data.clip == task.clip
    for new, value in KEYS.values():
        if new == "resume" or new.endswith("_alpha"):
            continue
        group, name = new.split(".")
        got = getattr(found[group], name)
        assert (list(got) if isinstance(value, list) else got) == value
    alphas = {type(choice).__name__: choice.alpha for choice in data.mixing.choices}
    assert alphas == {"MixUp": 0.5, "CutMix": 0.5}
