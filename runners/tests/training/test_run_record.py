"""By what a run knows its data again."""

from __future__ import annotations

from pathlib import Path

from ml_runner.training.run_record import fingerprint


def test_linked_folders_count_and_links_that_lead_back_do_no_harm(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "22")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text(text)
        linked = tmp_path / f"of_{name}"
        linked.mkdir()
        (linked / "class").symlink_to(tmp_path / name)
        (linked / "back").symlink_to(linked)
    assert fingerprint(tmp_path / "of_a") != fingerprint(tmp_path / "of_b")
    (tmp_path / "b" / "one.txt").write_text("1")
    assert fingerprint(tmp_path / "of_a") == fingerprint(tmp_path / "of_b")
