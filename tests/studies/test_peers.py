"""The table of public results, against what pandas reads and one division."""

import json

import pandas as pd
import pytest

from studies.peers import read_peers

from ..conftest import ROOT

HEADER = "key,who,reported,block,batch,coverage,lossless,what,source,url"


def written(folder, *rows):
    path = folder / "peers.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_the_rows_as_pandas_reads_them_and_divided_by_their_coverage():
    table = pd.read_csv(ROOT / "peers.csv").set_index("key", drop=False)
    peers = read_peers()
    assert list(peers) == list(table.index)
    for key, row in table.iterrows():
        expected = {name: None if pd.isna(value) else value for name, value in row.items()}
        expected["lossless"] = row["lossless"] == "yes"
        fair = expected["lossless"] and expected["coverage"] is not None
        expected["corrected"] = row["reported"] / row["coverage"] if fair else None
        assert peers[key] == expected
    kinds = {(peer["lossless"], peer["corrected"] is None) for peer in peers.values()}
    assert kinds == {(True, False), (True, True), (False, True)}


def test_what_is_lossy_is_not_corrected_whatever_its_coverage(tmp_path):
    path = written(tmp_path, 'x,"a ""fork"", one",1.5,128,64,0.75,no,w,s,')
    expected = {
        "key": "x",
        "who": 'a "fork", one',
        "reported": 1.5,
        "block": 128,
        "batch": 64,
        "coverage": 0.75,
        "lossless": False,
        "what": "w",
        "source": "s",
        "url": None,
        "corrected": None,
    }
    assert read_peers(path) == {"x": expected}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("x,w,1.5,128,64,0.9,yes,w,,", "peers.csv: x has no source"),
        ("x,w,l.5,128,64,0.9,yes,w,s,", "peers.csv: reported of x is 'l.5', which is no such"),
        ("x,w,,128,64,0.9,yes,w,s,", "peers.csv: reported of x is '', which is no such number"),
        ("x,w,1.5,128.5,64,0.9,yes,w,s,", "peers.csv: block of x is '128.5'"),
        ("x,w,1.5,128,64,90%,yes,w,s,", "peers.csv: coverage of x is '90%'"),
        ("x,w,1.5,128,64,0.9,yes,w", "peers.csv: x has not as many fields as the header"),
        ("x,w,1.5,128,64,0.9,yes,w, a, s,", "peers.csv: x has not as many fields as the header"),
    ],
)
def test_a_row_that_is_wrong_is_refused_by_its_key(tmp_path, row, why):
    with pytest.raises(ValueError, match=why):
        read_peers(written(tmp_path, row))


def test_what_the_pages_read_is_what_the_table_holds():
    published = json.loads((ROOT / "results" / "peers.json").read_text(encoding="utf-8"))
    assert published == read_peers()
