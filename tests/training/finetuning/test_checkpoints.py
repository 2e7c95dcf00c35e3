"""Checkpoints: found only where they are whole and of this run."""

import dataclasses
import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.training.finetuning import checkpoints
from enterprise_lab.training.finetuning.checkpoints import (
    SEAL,
    SET_ASIDE,
    UNFINISHED,
    CheckpointError,
    Checkpoints,
    ForeignError,
    Seal,
    identity_of,
    verify,
)
from enterprise_lab.training.finetuning.recipe import FineTuning

MINE = {"learning_rate": "0.01", "weights": "a" * 64}
FILES = ("config.json", "model.safetensors", "optimizer.pt", "inner/rng_state.pth", "empty")


FSYNC = os.fsync


@pytest.fixture(autouse=True)
def _no_disk_is_waited_for(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


def written(folder: Path, *steps: int, **identity: str) -> list[Path]:
    """Write checkpoints of the run, with what differs in its identity, as if trained."""
    run = Checkpoints(folder, MINE | identity, keep=100)
    for step in steps:
        with run.writing(step) as hidden:
            (hidden / "inner").mkdir()
            for name in FILES[:-1]:
                (hidden / name).write_bytes(f"{step} {name}".encode() * 50)
            (hidden / "empty").touch()
    return [folder / f"checkpoint-{step}" for step in steps]


def all_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != checkpoints.LOCK
    }


class TestFinding:
    def test_the_newest_sound_checkpoint_is_found(self, tmp_path):
        written(tmp_path, 9, 10, 100)
        found = Checkpoints(tmp_path, MINE).last_good()
        assert found.path == tmp_path / "checkpoint-100"
        assert not found.passed_over

    def test_nothing_is_found_in_a_new_folder_or_in_none(self, tmp_path):
        (tmp_path / "checkpoint-x").mkdir()
        (tmp_path / "checkpoint-10.old").mkdir()
        assert Checkpoints(tmp_path, MINE).last_good().path is None
        assert Checkpoints(tmp_path / "none", MINE).last_good().path is None

    @given(data=st.data())
    @settings(max_examples=100)
    def test_damage_anywhere_is_found_and_the_one_before_is_used(self, tmp_path_factory, data):
        folder = tmp_path_factory.mktemp("run")
        before, newest = written(folder, 10, 20)
        file = newest / data.draw(st.sampled_from([*FILES[:-1], SEAL]))
        content = file.read_bytes()
        position = data.draw(st.integers(0, len(content) - 1))
        flipped = content[position] ^ data.draw(st.integers(1, 255))
        changed = data.draw(
            st.sampled_from(
                [
                    content[:position],
                    content[:position] + bytes([flipped]) + content[position + 1 :],
                ]
            )
        )
        file.write_bytes(changed)
        if file.name == SEAL and same_seal(changed, content):
            return
        found = Checkpoints(folder, MINE).last_good()
        assert found.path == before
        assert (
            file.name in found.passed_over[newest]
            or "seal" in found.passed_over[newest]
            or (file.name == SEAL)
        )
        shutil.rmtree(folder)

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda path: (path / "optimizer.pt").unlink(), "checkpoint-20 lacks optimizer.pt"),
            (lambda path: (path / SEAL).unlink(), "checkpoint-20 has no seal"),
            (lambda path: (path / SEAL).write_text("{}"), "seal of checkpoint-20 is damaged"),
            (lambda path: (path / SEAL).write_bytes(b"\xff"), "seal of checkpoint-20 is damaged"),
            (lambda path: replaced(path / SEAL, os.mkfifo), "not a file of that kind"),
            (lambda path: replaced(path / "model.safetensors", Path.mkdir), "lacks model"),
            (lambda path: replaced(path / "model.safetensors", os.mkfifo), "is not a plain file"),
            (lambda path: (path / "model.bin").touch(), "has model.bin, which it had not"),
            (lambda path: (path / "more").symlink_to(path.parent), "has more, which it had not"),
            (lambda path: (path / "empty").write_text(" "), "empty has 1 bytes instead of 0"),
            (lambda path: linked(path / "optimizer.pt"), "optimizer.pt is not a plain file"),
            (lambda path: linked(path / "inner"), "lacks inner/rng_state.pth"),
            (lambda path: linked(path / SEAL), "not a file of that kind"),
            (lambda path: linked(path), "checkpoint-20 is not a folder"),
            (lambda path: replaced(path, Path.touch), "checkpoint-20 is not a folder"),
            (lambda path: replaced(path, copied), "checkpoint-20 was sealed as that of step 10"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, tmp_path, damage, said):
        before, newest = written(tmp_path, 10, 20)
        damage(newest)
        found = Checkpoints(tmp_path, MINE).last_good()
        assert found.path == before
        assert said in found.passed_over[newest]

    def test_without_a_sound_one_nothing_is_found(self, tmp_path):
        for path in written(tmp_path, 10, 20):
            (path / SEAL).unlink()
        found = Checkpoints(tmp_path, MINE).last_good()
        assert found.path is None
        assert len(found.passed_over) == 2


def same_seal(changed: bytes, content: bytes) -> bool:
    """Whether a change is one of white space alone."""
    with suppress(ValueError):
        return Seal.model_validate_json(changed) == Seal.model_validate_json(content)
    return False


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(path)


def copied(path: Path) -> None:
    shutil.copytree(path.with_name("checkpoint-10"), path)


def linked(path: Path) -> None:
    elsewhere = path.with_name("elsewhere") if path.is_dir() else path.parents[1] / "elsewhere"
    if path.name == "inner":
        elsewhere = path.parents[1] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


class TestRunsOfOthers:
    def test_a_folder_of_another_run_is_refused_and_left_as_it_is(self, tmp_path):
        written(tmp_path, 10, 20, learning_rate="0.02")
        before = all_of(tmp_path)
        with pytest.raises(CheckpointError, match=r"learning_rate 0\.02 instead of 0\.01\."):
            Checkpoints(tmp_path, MINE).last_good()
        assert all_of(tmp_path) == before

    def test_what_differs_is_named_and_nothing_else(self, tmp_path):
        (path,) = written(tmp_path, 10, weights="b" * 64, torch="2.0")
        with pytest.raises(ForeignError) as raised:
            verify(path, MINE)
        assert "learning_rate" not in str(raised.value)
        assert "weights" in str(raised.value)
        assert "torch 2.0 instead of not said" in str(raised.value)

    def test_a_damaged_one_beside_another_runs_is_no_leave_to_begin_there(self, tmp_path):
        (damaged,) = written(tmp_path, 30)
        (damaged / "optimizer.pt").unlink()
        written(tmp_path, 20, learning_rate="0.02")
        with pytest.raises(CheckpointError, match="another run"):
            Checkpoints(tmp_path, MINE).last_good()

    def test_own_ones_are_used_beside_another_runs(self, tmp_path):
        written(tmp_path, 10)
        (other,) = written(tmp_path, 20, learning_rate="0.02")
        found = Checkpoints(tmp_path, MINE).last_good()
        assert found.path == tmp_path / "checkpoint-10"
        assert "learning_rate 0.02" in found.passed_over[other]

    def test_recipe_weights_and_texts_make_the_identity(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"weights")
        texts = Texts(("one", "two"), np.array([0, 1]), ("a", "b"), ("", ""))
        other = dataclasses.replace(texts, labels=np.array([1, 0]))
        usual = FineTuning()

        def identity(recipe=usual, texts=texts):
            return identity_of(recipe, tmp_path, training=texts)

        mine = identity()
        assert mine == identity()
        assert (
            mine["torch"] == torch.__version__.split("+")[0] or mine["torch"] in torch.__version__
        )
        assert differing(mine, identity(FineTuning(learning_rate=0.02))) == {"learning_rate"}
        assert differing(mine, identity(texts=other)) == {"training texts"}
        (tmp_path / "model.safetensors").write_bytes(b"Weights")
        assert differing(mine, identity()) == {"weights"}

    def test_only_what_is_read_of_the_weights_folder_counts(self, tmp_path):
        names = "config.json", "vocab.txt", "tokenizer.json", "model-00001-of-00002.safetensors"
        seen = [identity_of(FineTuning(), tmp_path)["weights"]]
        for name in names:
            (tmp_path / name).write_text("one")
            seen.append(identity_of(FineTuning(), tmp_path)["weights"])
        assert len(set(seen)) == len(seen)
        with Checkpoints(tmp_path, MINE).in_use():
            written(tmp_path, 10)
        (tmp_path / "README.md").touch()
        assert identity_of(FineTuning(), tmp_path)["weights"] == seen[-1]

    def test_peft_counts_for_adapters_alone(self, tmp_path, monkeypatch):
        assert identity_of(FineTuning("lora"), tmp_path)["peft"] == version("peft")

        def without_peft(name: str) -> str:
            if name == "peft":
                raise PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(checkpoints, "version", without_peft)
        assert "peft" not in identity_of(FineTuning("head"), tmp_path)
        with pytest.raises(LabError, match="peft is not installed"):
            identity_of(FineTuning("lora"), tmp_path)


def differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {key for key in one | other if one.get(key) != other.get(key)}


class TestWriting:
    @pytest.mark.parametrize("cut", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
    def test_what_is_cut_off_leaves_nothing(self, tmp_path, cut):
        written(tmp_path, 10)
        before = all_of(tmp_path)

        def write() -> None:
            with Checkpoints(tmp_path, MINE).writing(20) as hidden:
                (hidden / "optimizer.pt").write_bytes(b"half")
                raise cut

        with pytest.raises(type(cut)):
            write()
        assert all_of(tmp_path) == before

    def test_what_a_kill_leaves_is_not_found_and_cleared_away(self, tmp_path, monkeypatch):
        # A kill runs no `finally`: what stands at the moment of the naming is copied away.
        standing = tmp_path / "standing"
        rename = Path.rename

        def spy(path: Path, target: Path) -> Path:
            shutil.copytree(tmp_path / "run", standing)
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", spy)
        written(tmp_path / "run", 10)
        monkeypatch.undo()
        assert (standing / UNFINISHED / "checkpoint-10" / SEAL).is_file()
        run = Checkpoints(standing, MINE)
        assert run.last_good().path is None
        with run.in_use():
            assert not run.unfinished.exists()

    def test_files_and_folders_are_flushed_before_the_name_is_given(self, tmp_path, monkeypatch):
        done: list[str] = []
        rename = Path.rename

        def flushed(descriptor: int) -> None:
            done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            FSYNC(descriptor)

        def named(path: Path, target: Path) -> Path:
            done.append(f"named {target.name}")
            return rename(path, target)

        monkeypatch.setattr(os, "fsync", flushed)
        monkeypatch.setattr(Path, "rename", named)
        written(tmp_path, 10)
        names = [Path(name).name for name in FILES]
        assert set(done[: len(FILES)]) == set(names)
        assert done[len(FILES) :] == [
            *(SEAL, "inner", "checkpoint-10", "named checkpoint-10", tmp_path.name)
        ]

    def test_the_newest_are_kept_and_others_ones_untouched(self, tmp_path):
        (other,) = written(tmp_path, 5, learning_rate="0.02")
        run = Checkpoints(tmp_path, MINE)
        for step in (10, 20, 30, 40):
            with run.writing(step) as hidden:
                (hidden / "file").touch()
                assert len(list(tmp_path.glob("checkpoint-*"))) >= min(step // 10 - 1, 2)
        kept = {"checkpoint-30", "checkpoint-40", other.name}
        assert {path.name for path in tmp_path.iterdir()} == kept
        verify(other, MINE | {"learning_rate": "0.02"})

    def test_a_step_is_written_again(self, tmp_path):
        written(tmp_path, 10)
        with Checkpoints(tmp_path, MINE).writing(10) as hidden:
            (hidden / "file").touch()
        assert {path.name for path in (tmp_path / "checkpoint-10").iterdir()} == {"file", SEAL}
        assert not (tmp_path / UNFINISHED).exists()

    def test_one_that_cannot_be_replaced_is_as_it_was(self, tmp_path, monkeypatch):
        written(tmp_path, 10)
        before, rename = all_of(tmp_path), Path.rename

        def failing(path: Path, target: Path) -> Path:
            if path == tmp_path / UNFINISHED / "checkpoint-10":
                raise OSError(errno.EIO, "Input/output error")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", failing)
        with pytest.raises(OSError, match="Input/output"):
            written(tmp_path, 10)
        assert all_of(tmp_path) == before

    def test_what_is_set_aside_is_all_kept(self, tmp_path):
        for _ in range(3):
            (path,) = written(tmp_path, 10)
            Checkpoints(tmp_path, MINE).set_aside([path])
        names = {path.name for path in (tmp_path / SET_ASIDE).iterdir()}
        assert names == {"checkpoint-10", "checkpoint-10-2", "checkpoint-10-3"}

    def test_fewer_than_two_are_not_enough(self, tmp_path):
        with pytest.raises(InvalidValueError, match="keep"):
            Checkpoints(tmp_path, MINE, keep=1)


class TestUsing:
    @pytest.mark.parametrize("where", ["a file", "below a file", "read-only"])
    def test_a_folder_that_cannot_be_written_to_is_refused(self, tmp_path, where):
        (tmp_path / "file").touch()
        folder = {
            "a file": tmp_path / "file",
            "below a file": tmp_path / "file" / "run",
            "read-only": Path("/proc/self"),
        }[where]
        with (
            pytest.raises(CheckpointError, match="can't be written"),
            Checkpoints(folder, MINE).in_use(),
        ):
            pass

    def test_two_trainings_do_not_share_a_folder(self, tmp_path):
        with (
            Checkpoints(tmp_path, MINE).in_use(),
            pytest.raises(CheckpointError, match="Another training is at work"),
            Checkpoints(tmp_path, MINE).in_use(),
        ):
            pass
        with Checkpoints(tmp_path, MINE).in_use():
            pass
