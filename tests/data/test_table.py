"""A table of labels beside a folder of images, in Kaggle's layout and others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hqc_ray import data
from hqc_ray.errors import DataError


@pytest.fixture
def table(tmp_path):
    """Writes the table, and an image of colour (i, 0, 0) for each of `files`; gives the source."""

    def make(text, files=("a.tif", "b.tif", "c.tif", "d.tif"), **options):
        (tmp_path / "train").mkdir()
        for i, name in enumerate(files):
            (tmp_path / "train" / name).parent.mkdir(exist_ok=True)
            Image.new("RGB", (6, 4), (i, 0, 0)).save(tmp_path / "train" / name)
        (tmp_path / "train_labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return data.get("csv", path=str(tmp_path), **options)

    return make


def failure(source, match):
    with pytest.raises(DataError, match=match) as caught:
        source.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(source):
    """(colour, class name) of each image in order."""
    return [
        (int(image[0, 0, 0]), source.classes[label]) for image, label in zip(source.read(range(4)), source.labels(), strict=True)
    ]


def test_images_are_in_the_order_of_the_rows(table):
    source = table("id,label\nc,1\na,0\nd,0\nb,1\n")
    source.check()
    assert source.image_size == (4, 6)
    assert source.classes == ("0", "1")
    assert read(source) == [(2, "1"), (0, "0"), (3, "0"), (1, "1")]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid,label\na,x\nb,y\nc,x\nd,y\n",  # Excel's mark
        "id,label\r\na,x\r\nb,y\r\nc,x\r\nd,y\r\n",
        'n,label,id\n1,x,a.tif\n2,y,"b.tif"\n3, x ,c\n4,y,d\n',
    ],
)
def test_tables_as_programs_write_them(table, text):
    assert read(table(text)) == [(0, "x"), (1, "y"), (2, "x"), (3, "y")]


def test_other_names_of_columns_table_and_folder(table, tmp_path):
    source = table("", files=("p1/a.png", "p2/a.png"))
    (tmp_path / "train").rename(tmp_path / "parts")
    (tmp_path / "meta.csv").write_text("image,dx\np2/a,nv\np1/a.png,bcc\n")
    source = data.get("csv", path=str(tmp_path), table="meta.csv", images="parts", id_column="image", label_column="dx")
    source.check()
    assert source.classes == ("bcc", "nv")
    assert source.read([0, 1])[:, 0, 0, 0].tolist() == [1, 0]


def test_numbers_are_classes_in_their_order(table):
    source = table("id,label\na,10\nb,9\nc,09\nd,2\n")
    assert source.classes == ("2", "9", "10")
    assert source.labels().tolist() == [2, 1, 1, 0]


def test_images_without_a_label_are_counted_and_said(table):
    source = table("id,label\na,0\nb,1\n")
    with pytest.warns(UserWarning, match=r"2 images in .*train have no label in train_labels\.csv"):
        source.check()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"id_column: .*no column 'id' \(valid: a first row with the columns' names\)"),
        ("image,label\na,0\n", r"id_column: .*no column 'id' \(valid: image, label\)"),
        ("id,target\na,0\n", r"label_column: .*no column 'label' \(valid: id, target\)"),
        ("id;label\na;0\n", r"no column 'id' \(valid: id;label\)"),
        ("id,label\na,0\nb,1\na,1\n", "id 'a' twice in line 4"),
        ("id,label\na,0\nb,\n", "no label in line 3"),
        ("id,label\na,0\nb\n", "no label in line 3"),
        ("id,label\na,0\n,1\n", "no id in line 3"),
        ("id,label\na,0\nb,0.5\n", r"line 3: label '0\.5' \(valid: whole numbers, or names\)"),
        ("id,label\na,0\nb,1.0\n", r"label '1\.0'"),
        ("id,label\na,0\nb,nan\n", "label 'nan'"),
        ("id,label\na,0\nb,1e400\n", "label '1e400'"),
        ("id,label\na,0\nb,0\n", r"1 distinct labels \(0\) \(valid: 2 to 100\)"),
        ("id,label\n", r"0 distinct labels \(none\)"),
        ("id,label\n" + "".join(f"{i},{i}\n" for i in range(101)), "101 distinct labels"),
        ("id,label\na,0\nx,1\ny,1\n", r"2 of 3 images are not in .*train, such as 'x' \(valid: ids that are names"),
        (b"id,label\na,\xff\n", "cannot read the table: .*valid: a CSV file in UTF-8"),
        ('id,label\na,"0\n', "cannot read the table: unexpected end of data"),
    ],
)
def test_tables_that_are_refused(table, text, said):
    assert "train_labels.csv" in failure(table(text), said)


def test_an_id_that_means_two_files(table):
    text = "id,label\na,0\nb,1\n"
    failure(table(text, files=("a.tif", "a.png", "b.tif")), r"one id means a\.png, a\.tif \(valid: ids with suffix\)")


def test_no_table_or_no_images(table, tmp_path):
    source = table("id,label\na,0\nb,1\n")
    failure(data.get("csv", path=str(tmp_path), table="labels.csv"), r"labels\.csv: cannot read the table: No such file")
    failure(data.get("csv", path=str(tmp_path), images="test"), "images: no folder 'test' in .*")
    (tmp_path / "train" / "b.tif").write_bytes(b"II*")
    failure(source, r"b\.tif: not a readable image")


def test_images_of_other_sizes_need_the_option(table, tmp_path):
    source = table("id,label\na,0\nb,1\nc,1\nd,0\n")
    Image.new("RGB", (5, 5)).save(tmp_path / "train" / "c.tif")
    failure(source, r"c\.tif: 5 x 5 pixels .* but a\.tif has 4 x 6 .*size_pixels=96")
    assert data.get("csv", path=str(tmp_path), size_pixels=8).read(np.arange(4)).shape == (4, 8, 8, 3)
