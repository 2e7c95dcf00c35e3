from __future__ import annotations

import io
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.batch.attempts.head_and_tail import BoundedLog, note, shorten


class Kept(io.BytesIO):
    def close(self) -> None:
        self.content = self.getvalue()


def dropped(text: str) -> int:
    return sum(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) characters dropped", text))


@given(st.lists(st.binary(max_size=50)), st.integers(2, 100))
def test_a_log_keeps_the_first_and_the_last_bytes(chunks: list[bytes], most: int) -> None:
    file = Kept()
    log = BoundedLog(file, most)
    for chunk in chunks:
        log.write(chunk)
    log.close()

    whole = b"".join(chunks)
    if len(whole) <= most:
        assert file.content == whole
    else:
        head, tail = most - most // 2, most // 2
        said = note(len(whole) - most).encode()
        assert file.content == whole[:head] + said + whole[len(whole) - tail :]
    assert log.error is None


def test_a_log_of_a_flood_holds_no_more_memory_than_it_keeps(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = BoundedLog(file, 1000)
        for _ in range(100_000):
            log.write(b"x" * 7)
        assert sum(map(len, log._tail)) <= 500
        log.close()

    assert (tmp_path / "log").stat().st_size < 1100


def test_a_log_on_a_full_disk_says_so_and_goes_on() -> None:
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        log = BoundedLog(file, 10)
        log.write(b"x" * 100)
        log.close()

    assert log.error is not None
    assert log.error.strerror == "No space left on device"


@given(st.text("ab\n", max_size=300), st.integers(2, 100))
def test_a_shortened_text_has_its_head_its_tail_and_the_count_of_the_rest(
    text: str, most: int
) -> None:
    short = shorten(text, most)

    if len(text) <= most:
        assert short == text
    else:
        half = most // 2
        assert short == text[:half] + note(len(text) - 2 * half) + text[-half:]


def test_what_was_dropped_before_is_counted_in() -> None:
    once = shorten("a" * 10_000, 1000)
    twice = shorten("b" * 600 + once + "c" * 600, 1000)

    assert dropped(once) == 9_000
    assert dropped(twice) == 10_000 + 1200 - 1000
