"""`elab catalog` as a person sees it."""

import sys

import pytest

from enterprise_lab import cli


def elab(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["elab", "catalog", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    return left.value.code or 0, shown.out, shown.err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["accelerators"], ["A100-SXM4-80GB", "2,039 GB/s", "† unverified"]),
        (["accelerators", "a10g"], ["70†", "† unverified"]),
        (["instances", "p4"], ["p4de.24xlarge", "21.9576 on 2026-07-20"]),
        (["models", "bert"], ["335,141,888"]),
        (["retired"], ["Amazon Elastic Inference", "2024-01-08"]),
        (["show", "p4d"], ["1152 GiB", "32.7726†", "2026-07-20", "karpenter"]),
        (["show", "a10g"], ["Sources disagree", "https://github.com/Lightning-AI"]),
    ],
)
def test_lists_and_cards(monkeypatch, capsys, arguments, shown):
    code, out, _ = elab(monkeypatch, capsys, *arguments)
    assert code == 0
    assert all(text in out for text in shown)


def test_no_footnote_where_everything_was_read(monkeypatch, capsys):
    _, out, _ = elab(monkeypatch, capsys, "accelerators", "h100-sxm5")
    assert "H100-SXM5-80GB" in out
    assert "†" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "A100"], "A100-PCIe-80GB"),
        (["show", "p4d.48xlarge"], "p4d.24xlarge"),
        (["instances", "z9"], "There is no EC2 instance"),
    ],
)
def test_a_wrong_name_is_two_sentences_and_exit_code_2(monkeypatch, capsys, arguments, said):
    code, out, err = elab(monkeypatch, capsys, *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
