"""What appears whole: files and folders by one rename, and what failed, killed or quicker processes leave."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from finflow.pipelines.core.whole_files import left_behind, part_of, remove_whole, sweep, whole_file, whole_folder, write_whole
from tests.support import left_by_a_killed_process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_only_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "made" / "one.txt"
    with whole_file(path) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert names(path.parent) == ["one.txt"]


def test_a_failure_leaves_what_was_there_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("before")

    def interrupted(place: AbstractContextManager[Path], name: str) -> None:
        with place as part:
            (part / name).write_text("after")
            raise KeyboardInterrupt

    for place, name in ((whole_file(path), ""), (whole_folder(tmp_path / "folder"), "some")):
        with pytest.raises(KeyboardInterrupt):
            interrupted(place, name)
    assert (path.read_text(), names(tmp_path)) == ("before", ["one.txt"])


def test_the_same_text_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_bytes(b"\xff")
    write_whole(path, "停牌\n")
    assert path.read_bytes() == "停牌\n".encode()
    os.utime(path, (1, 1))
    write_whole(path, "停牌\n")
    assert path.stat().st_mtime == 1
    write_whole(path, "复牌\n")
    assert path.read_text(encoding="utf-8") == "复牌\n"


def test_a_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "one.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "one.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with whole_folder(folder) as part:
        (part / "mine").touch()
        folder.mkdir()
        (folder / "theirs").touch()
    assert (names(folder), names(tmp_path)) == (["theirs"], ["folder"])


def test_something_else_in_the_place_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "foreign").touch()
    with pytest.raises(OSError), whole_folder(folder, is_whole=lambda there: (there / "facts").exists()) as part:
        (part / "facts").touch()
    assert (names(folder), names(tmp_path)) == (["foreign"], ["folder"])


def test_a_folder_may_replace_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("first", "second"):
        with whole_folder(folder, replaces=True) as part:
            (part / name).touch()
    assert (names(folder), names(tmp_path)) == (["second"], ["folder"])


def test_what_killed_processes_left_goes_and_what_others_are_writing_stays(tmp_path: Path) -> None:
    mine = part_of(tmp_path / "mine")
    killed, database = left_by_a_killed_process(tmp_path / "killed"), left_by_a_killed_process(tmp_path / "mlflow.db")
    journal = database.with_name(f"{database.name}-journal")
    elsewhere, long_ago = (tmp_path / f".{name}.elsewhere-12-0123456789ab.part" for name in ("new", "old"))
    foreign = tmp_path / ".somebody.part"
    for path in (mine, killed, elsewhere, long_ago):
        path.mkdir()
        (path / "values").touch()
    for path in (database, journal, foreign):
        path.touch()
    os.utime(long_ago, (1, 1))
    assert set(left_behind(tmp_path)) == {killed, database, journal, long_ago}
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, elsewhere, foreign}


def test_a_folder_goes_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    remove_whole(folder)
    remove_whole(folder)
    assert names(tmp_path) == []


def _write(path: str, number: int) -> None:
    for _ in range(50):
        write_whole(Path(path) / "one.txt", str(number) * 10_000)
        with whole_folder(Path(path) / "folder", replaces=True) as part:
            (part / "facts").write_text(str(number))


def test_many_writers_of_one_place(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(str(tmp_path), number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert len(set((tmp_path / "one.txt").read_text())) == 1
    assert names(tmp_path) == ["folder", "one.txt"]
