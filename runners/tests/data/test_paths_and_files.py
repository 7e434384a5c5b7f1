"""What is wrong with the file itself: not there, no file, not readable, something else."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_runner import errors, paths

Refused = Callable[..., errors.ExecutorError]
Write = Callable[..., Path]


def test_missing_lists_near_names(refused: Refused, write: Write, tmp_path: Path) -> None:
    write("a\nx\n", "train.csv")
    error = refused(tmp_path / "trian.csv")
    assert error.type == "data-loading-error"
    assert "does not exist" in error.message
    assert str(tmp_path / "train.csv") in error.solution


def test_missing_with_another_suffix(refused: Refused, write: Write, tmp_path: Path) -> None:
    write("a\nx\n", "customers_of_2024.parquet.csv")
    assert "customers_of_2024.parquet.csv" in refused(tmp_path / "customers_of_2024.csv").solution


def test_missing_lists_what_is_there(refused: Refused, write: Write, tmp_path: Path) -> None:
    write("a\nx\n", "train.csv")
    assert "'train.csv'" in refused(tmp_path / "zzzzzzzzzzzz").solution


def test_missing_directory(refused: Refused, tmp_path: Path) -> None:
    error = refused(tmp_path / "no" / "such" / "train.csv")
    assert f"there is '{tmp_path}'" in error.message


def test_dangling_link(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone.csv")
    assert "gone.csv" in refused(tmp_path / "link.csv").message


def test_link_in_a_circle(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "link.csv")
    assert refused(tmp_path / "link.csv").type == "data-loading-error"


def test_name_too_long(refused: Refused, tmp_path: Path) -> None:
    assert refused(tmp_path / ("x" * 300)).type == "data-loading-error"


def test_a_file_as_directory(refused: Refused, write: Write) -> None:
    assert refused(write("a\n1\n") / "train.csv").type == "data-loading-error"


def test_directory_lists_its_files(refused: Refused, write: Write, tmp_path: Path) -> None:
    write("a\n1\n", "part-0.csv")
    error = refused(tmp_path)
    assert "is a directory" in error.message
    assert "'part-0.csv'" in error.message


def test_fifo_is_not_opened(refused: Refused, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "FIFO" in refused(tmp_path / "pipe.csv").message


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device(device: str, refused: Refused, tmp_path: Path) -> None:
    assert "device" in refused(Path(device)).message
    (tmp_path / "train.csv").symlink_to(device)
    assert "device" in refused(tmp_path / "train.csv").message


def test_a_descriptor_of_a_pipe(refused: Refused, tmp_path: Path) -> None:
    """As /dev/stdin leads to, where a program's input is a pipe."""
    reader, writer = os.pipe()
    try:
        (tmp_path / "train.csv").symlink_to(f"/dev/fd/{reader}")
        for path in (Path(f"/dev/fd/{reader}"), tmp_path / "train.csv"):
            assert "FIFO" in refused(path).message
    finally:
        os.close(reader)
        os.close(writer)


def test_socket(refused: Refused) -> None:
    directory = Path(tempfile.mkdtemp())  # short enough for a socket's address
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "s"))
        assert "a socket" in refused(directory / "s").message
    shutil.rmtree(directory)


@pytest.mark.parametrize("closed", ["file", "directory"])
def test_no_permission(closed: str, refused: Refused) -> None:
    directory = Path(tempfile.mkdtemp())
    path = directory / "train.csv"
    path.write_text("a\n1\n")
    directory.chmod(0o755)
    (path if closed == "file" else directory).chmod(0)
    root = os.geteuid() == 0
    try:
        if root:  # whom no mode keeps out
            os.seteuid(65534)
        error = refused(path)
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o755)
        shutil.rmtree(directory)
    assert "Permission denied" in error.message
    assert "uid" in error.solution


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl", "t.npz"])
def test_empty(name: str, refused: Refused, write: Write) -> None:
    assert "is empty" in refused(write("", name)).message


def test_empty_inside_gzip(refused: Refused, write: Write) -> None:
    assert "is empty" in refused(write(gzip.compress(b""), "t.csv.gz")).message


def test_cut_off_gzip(refused: Refused, write: Write) -> None:
    data = gzip.compress(os.urandom(50_000).hex().encode())
    error = refused(write(data[:-2000], "t.csv.gz"))
    assert "broken gzip" in error.message


def test_gzip_cut_off_far_behind(refused: Refused, write: Write) -> None:
    text = "a,b\n" + "".join(f"{i},{i * 7919 % 1013}\n" for i in range(100_000))
    data = gzip.compress(text.encode())
    assert "broken gzip" in refused(write(data[:-20], "t.csv.gz")).message


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(100)
MISTAKEN = {
    "a PNG image": PNG,
    "a JPEG image": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(50),
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "a web page (HTML)": b"<!DOCTYPE html>\n<html><body>Log in, please</body></html>",
    "a SQLite database": b"SQLite format 3\x00" + bytes(100),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a Python pickle": __import__("pickle").dumps({"a": [1, 2, 3]}),
    "a program (ELF)": b"\x7fELF\x02\x01\x01" + bytes(50),
    "binary data of an unknown kind": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("what", MISTAKEN)
def test_no_table_at_all(what: str, refused: Refused, write: Write) -> None:
    error = refused(write(MISTAKEN[what], "train.csv"))
    assert error.type == "data-loading-error"
    assert f"is {what}" in error.message


def test_png_inside_gzip(refused: Refused, write: Write) -> None:
    assert "a PNG image" in refused(write(gzip.compress(PNG), "train.csv.gz")).message


def test_excel(refused: Refused, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "t.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr("xl/workbook.xml", "<x/>")
    error = refused(tmp_path / "t.csv")
    assert "Excel" in error.message
    assert "CSV" in error.solution


def test_zip_of_many(refused: Refused, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    assert "'a.csv', 'b.csv'" in refused(tmp_path / "t.zip").message


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated_parquet(kept: float, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": range(10_000)}).to_parquet(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    error = refused(path)
    assert "truncated Parquet" in error.message


def test_damaged_parquet(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": range(10_000)}).to_parquet(path)
    data = bytearray(path.read_bytes())
    data[-200:-8] = bytes(192)
    path.write_bytes(data)
    assert "cannot be read as Parquet" in refused(path).message


def test_named_parquet_but_binary(refused: Refused, write: Write) -> None:
    assert "does not hold Parquet" in refused(write(bytes(range(200)), "t.parquet")).message


def test_truncated_feather(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "t.feather"
    pd.DataFrame({"a": range(10_000)}).to_feather(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read as Feather" in refused(path).message


def test_npz_with_objects(refused: Refused, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.array([[1, "a"], [None, 2]], dtype=object))
    error = refused(tmp_path / "t.npz")
    assert "'X'" in error.message
    assert "pickle" in error.message


def test_npz_of_different_lengths(refused: Refused, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.ones((3, 2)), y=np.ones(4))
    error = refused(tmp_path / "t.npz")
    assert "'X' (3, 2), 'y' (4,)" in error.message


def test_npz_of_images(refused: Refused, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.ones((3, 8, 8)))
    assert "(3, 8, 8)" in refused(tmp_path / "t.npz").message


def test_truncated_npz(refused: Refused, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.ones((1000, 8)))
    data = (tmp_path / "t.npz").read_bytes()
    (tmp_path / "t.npz").write_bytes(data[: len(data) // 2])
    assert "broken zip or NPZ" in refused(tmp_path / "t.npz").message


def test_truncated_npy(refused: Refused, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.ones((1000, 8)))
    data = (tmp_path / "t.npy").read_bytes()
    (tmp_path / "t.npy").write_bytes(data[: len(data) // 2])
    assert "cut off" in refused(tmp_path / "t.npy").message


def test_npy_with_objects(refused: Refused, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array([{}, []], dtype=object))
    assert "pickle" in refused(tmp_path / "t.npy").message


def test_npy_without_rows(refused: Refused, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.ones((0, 3)))
    assert "0 rows" in refused(tmp_path / "t.npy").message


def test_npy_without_dimensions(refused: Refused, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array(3.0))
    assert "two dimensions" in refused(tmp_path / "t.npy").message


def test_broken_json_line(refused: Refused, write: Write) -> None:
    error = refused(write('{"a": 1}\n\n{"a": 2\n{"a": 3}\n', "t.jsonl"))
    assert error.metadata["line"] == 3
    assert "line 3" in error.message


def test_json_line_that_is_no_object(refused: Refused, write: Write) -> None:
    error = refused(write('{"a": 1}\n[2]\n', "t.jsonl"))
    assert error.metadata["line"] == 2
    assert "not a JSON object" in error.message


def test_broken_json(refused: Refused, write: Write) -> None:
    error = refused(write('[{"a": 1},\n {"a": }]', "t.json"))
    assert error.metadata["line"] == 2


@pytest.mark.parametrize(("name", "form"), [("half.jsonl", "{}"), ("half.json", "[{}]")])
def test_json_with_half_a_character(name: str, form: str, refused: Refused, write: Write) -> None:
    error = refused(write(form.format('{"a": "\\ud800", "b": 1}'), name))
    assert "half a surrogate pair" in error.message


def test_json_that_is_no_table(refused: Refused, write: Write) -> None:
    assert "no table" in refused(write('{"a": [1, 2], "b": [1]}', "t.json")).message
    assert "no table" in refused(write('{"a": {"b": 1}, "c": 2, "d": []}', "t.json")).message


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_json_nested_without_end(name: str, refused: Refused, write: Write) -> None:
    assert refused(write("[" * 100_000 + "\n", name)).type == "data-loading-error"


def test_json_without_rows(refused: Refused, write: Write) -> None:
    assert "0 rows" in refused(write("[]", "t.json")).message


# -- what a path means ----------------------------------------------------------------------------


def test_relative_paths(tmp_path: Path) -> None:
    found = paths.resolve("data/../x.csv", key="dataPath", base_dir=tmp_path, roots=None)
    assert found == tmp_path / "x.csv"
    assert paths.resolve("~/x", key="k", base_dir=tmp_path, roots=None) == Path.home() / "x"


@pytest.mark.parametrize("sent", ["", "a\0b", "~no-such-user-here/x"])
def test_no_path(sent: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidConfiguration) as caught:
        paths.resolve(sent, key="dataPath", base_dir=tmp_path, roots=None)
    assert caught.value.metadata == {"key": "dataPath", "sent": sent}


def test_relative_path_without_a_base() -> None:
    with pytest.raises(errors.InvalidConfiguration, match="started in '/'"):
        paths.resolve("x.csv", key="dataPath", base_dir="/", roots=None)


def test_roots_hold_behind_links(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    assert paths.resolve("a", key="k", base_dir=inside, roots=[inside]) == inside / "a"
    for sent in ("../out/x.csv", str(outside / "x.csv"), "link/x.csv", "../inner"):
        with pytest.raises(errors.InvalidConfiguration, match="outside the directories"):
            paths.resolve(sent, key="k", base_dir=inside, roots=[inside])
