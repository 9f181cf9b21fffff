"""The report: JSON for programs, Markdown for people."""

import json
from pathlib import Path


def cell(value: object) -> str:
    """A value in a table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "/").replace("\n", " ")


def table(rows: list[dict]) -> list[str]:
    """Rows under all their keys; neighbours with other keys begin a new table."""
    lines: list[str] = []
    last: list[str] = []
    for row in rows:
        keys = list(row)
        if keys != last:
            lines += ["", "| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
            last = keys
        lines.append("| " + " | ".join(cell(row[key]) for key in keys) + " |")
    return lines


def write(out: Path, report: dict[str, dict]) -> None:
    """Writes both, each whole or not at all."""
    lines = []
    for name, part in report.items():
        lines += [f"## {name}: {part['state']}, {part['seconds']} s", *table(part["findings"]), ""]
        if "log" in part:
            lines += ["```", part["log"], "```", ""]
    for file, text in (("check.json", json.dumps(report, indent=1)), ("check.md", "\n".join(lines))):
        partial = out / f".{file}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.rename(out / file)
