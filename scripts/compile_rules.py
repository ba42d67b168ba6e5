#!/usr/bin/env python3
"""rules/**/*.yaml in, src/cfaudit/data/rules.json out: the same rows, quicker to read; ``--check`` only compares."""

from __future__ import annotations

import argparse
import json
import sys

from cfaudit.rule import COMPILED, RULES, digest, plain, read_rows, read_yaml, rule_files, table_files


def main() -> int:
    """Write the file, or compare it; 1 when a comparison finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is out of date")
    arguments = parser.parse_args()
    wanted = compiled()
    if arguments.check:
        if not COMPILED.exists() or COMPILED.read_text(encoding="utf-8") != wanted:
            print("src/cfaudit/data/rules.json is out of date: run scripts/compile_rules.py")
            return 1
        return 0
    COMPILED.write_text(wanted, encoding="utf-8", newline="\n")
    print(f"{len(rule_files(RULES))} rules, {len(wanted) // 1024} KiB")
    return 0


def compiled() -> str:
    """Rows and tables as ``rule`` reads them, under the digests of the files they come from."""
    files = rule_files(RULES)
    rows = [[fields, lines] for _, fields, lines in read_rows(files)]
    tables = {path.relative_to(RULES).as_posix(): plain(read_yaml(path)) for path in table_files()}
    held = {"digest": digest(files), "rows": rows, "tables_digest": digest(table_files()), "tables": tables}
    return json.dumps(held, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    sys.exit(main())
