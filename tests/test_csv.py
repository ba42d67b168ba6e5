"""CSV: read back by Python's own reader, a row for each finding, and no cell that a spreadsheet would calculate."""

from __future__ import annotations

import csv
import io
import json

import pytest

from cfaudit.render.csv import HEADER, render
from cfaudit.report import Report, report
from reports import audited, every_verdict, hostile, of_verdict, several, template


def rows(found: Report) -> list[dict[str, str]]:
    text = render(found)
    assert text.count("\r\n") == text.count("\n") == len(text.splitlines())
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_the_header_is_stable() -> None:
    assert render(report([])) == (
        "path,scenario,rule,category,severity,verdict,subject,logical_id,property_path,file,line,column,end_line,"
        "end_column,message,when,requirement,remedy,waiver_reason,waiver_until,known,cost,fingerprint,construct_path\r\n"
    )


def test_every_finding_is_a_row() -> None:
    (one,) = audited()["templates"]
    for row, finding in zip(rows(audited()), one["findings"], strict=True):
        assert tuple(row) == HEADER
        assert (row["path"], row["scenario"]) == (one["path"], "default")
        for name in ("rule", "category", "severity", "verdict", "subject", "message", "fingerprint"):
            assert row[name] == finding[name]
        first = finding["evidence"][0]
        assert (row["line"], row["end_column"]) == (str(first["line"]), str(first["end_column"]))
        assert float(row["cost"]) == pytest.approx(finding["cost"])
        assert row["remedy"] == finding["remedies"][0]["title"]


def test_waivers_have_their_columns() -> None:
    waived = [row for row in rows(every_verdict()) if row["verdict"] == "waived"]
    assert [(row["waiver_reason"], row["waiver_until"]) for row in waived] == [
        ("risk accepted, see A-1", "2027-03-31"),
        ("| `x` <b> ::error::", ""),
    ]
    assert [row["fingerprint"] for row in waived] == [f["fingerprint"] for f in of_verdict(every_verdict(), "waived")]


def test_unusable_templates_are_rows() -> None:
    held = [row for row in rows(several()) if row["rule"] == ""]
    assert [(row["path"], row["verdict"]) for row in held] == [("broken.yaml", "error"), ("other.yaml", "error")]


STARTS = ("=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@pytest.mark.parametrize("start", STARTS)
def test_no_cell_is_a_formula(start: str) -> None:
    name = f'{start}HYPERLINK("http://evil.example","a")'
    document = {"Resources": {name: {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}}}}}
    held = rows(report([template(json.dumps(document), f"{start}cmd.json")]))
    assert f'\'{start.strip()}HYPERLINK("http://evil.example","a")' in [row["logical_id"] for row in held]
    assert all(row["path"].startswith("'") for row in held)
    calculated = tuple(each.strip() for each in STARTS)
    assert not [cell for row in held for cell in row.values() if cell.startswith(calculated)]


def test_hostile_content_stays_in_its_cell() -> None:
    (one,) = hostile()["templates"]
    assert len(rows(hostile())) == len(one["findings"])
    assert all(len(row) == len(HEADER) and None not in row.values() for row in rows(hostile()))
    assert not [c for c in render(hostile()) if ord(c) < 32 and c not in "\r\n"]
