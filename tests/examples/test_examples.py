"""Every example in the documents, in the help of every command and in scripts runs as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.examples import helping, material, reading, running
from tests.examples.reading import Example

DOCUMENTS = {
    str(path.relative_to(reading.PROJECT)): reading.examples_of(path)
    for path in reading.documents()
}
HELPS = helping.light_helps()
COMMANDS = [
    *(each for found in DOCUMENTS.values() for each in found if each.language == "sh"),
    *(
        each
        for words, text in HELPS.items()
        for each in reading.examples_in_text(" ".join(["vidattn", *words, "--help"]), text)
    ),
    *(each for path in reading.scripts() for each in reading.examples_of_script(path)),
]
# What makes a command take seconds: Lightning, further processes, networks of full size.
SLOW = re.compile(r"vidattn train|--(processes|workers) [2-9]|\.pyth\b|timm:|resnet50|-10x3")


def _marked(examples: Iterable[Example]) -> list[object]:
    """Each command once, where it stands first; those that take long are `slow`."""
    first = {each.text: each for each in reversed(list(examples))}
    ordered = sorted(first.values(), key=lambda each: each.place)
    return [
        pytest.param(each, id=str(each), marks=[pytest.mark.slow] * bool(SLOW.search(each.text)))
        for each in ordered
        if not is_pattern(each.text)
    ]


def is_pattern(text: str) -> bool:
    """Whether the only word in capitals is a command that the reader chooses."""
    return bool(re.fullmatch(r"vidattn (\w+ )*[A-Z]+ --help", text))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the files that examples have named until now."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def scratch(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepare(text: str, store: Path, scratch: Path) -> None:
    """Give an example files of its own; they are links, for nothing is written into a file."""
    names = material.needed(text)
    with running.random_published_weights():
        material.make(names, store)
    for name in names:
        target = scratch / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            continue
        if (store / name).is_dir():
            shutil.copytree(store / name, target, copy_function=os.link)
        else:
            os.link(store / name, target)


# Other libraries warn of what a person sees as a line on the screen, and no more.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("example", _marked(COMMANDS))
def test_a_command_runs(example: Example, store: Path, scratch: Path) -> None:
    prepare(example.text, store, scratch)
    with running.random_published_weights():
        running.run_commands(example.text, scratch)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * any(SLOW.search(e.text) for e in found))
        for name, found in DOCUMENTS.items()
        if any(example.language != "sh" for example in found)
    ],
)
def test_the_snippets_of_a_document_run(name: str, store: Path, scratch: Path) -> None:
    texts = [example.text for example in DOCUMENTS[name] if example.language != "sh"]
    prepare("\n".join(texts), store, scratch)
    with running.random_published_weights():
        running.run_snippets(texts, name)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("words", helping.heavy_commands(), ids=" ".join)
def test_the_examples_of_a_long_help_run(
    words: tuple[str, ...], store: Path, scratch: Path
) -> None:
    examples = reading.examples_in_text("help", helping.help_of(words))
    assert examples, "a help has an example"
    for number, example in enumerate(examples):
        folder = scratch / str(number)
        prepare(example.text, store, folder)
        os.chdir(folder)
        with running.random_published_weights():
            running.run_commands(example.text, folder)


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_every_help_has_an_example(words: tuple[str, ...]) -> None:
    assert reading.examples_in_text("help", HELPS[words])


def test_examples_are_found_everywhere() -> None:
    places = {each.place.split(":")[0] for each in COMMANDS}
    assert {"README.md", "docs/evaluation.md", "vidattn --help"} <= places
    assert len(COMMANDS) > 60
    assert len(HELPS) > 20


@pytest.mark.parametrize("path", reading.documents(), ids=lambda path: path.name)
def test_every_block_says_what_it_holds(path: Path) -> None:
    """Else a command could stand where no test looks for it."""
    for block in reading.blocks(path):
        place = f"{path.name}:{block.line}"
        if block.fenced:
            assert block.language in reading.LANGUAGES, f"{place}: ```{block.language}"
        if block.language == "json":
            json.loads(block.text)
        if block.language != "sh":
            begins = [line.split()[0] for line in block.text.splitlines() if line.split()]
            assert not set(begins) & set(reading.PROGRAMS), f"{place}: a command, but not in ```sh"
