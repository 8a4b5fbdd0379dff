"""Tables fit 80 columns and cut no name."""

from __future__ import annotations

from rich.console import Console

from build_engines.costs.costs import Costs
from build_engines.costs.macs_profile import Profile
from build_engines.doctor.finding import Finding
from build_engines.export.audit import Audit
from build_engines.pool.schema import load_pool
from build_engines.tables import audit_table, findings_table, profile_table
from tests.support.helpers import backbone_entry, write_pool


def in_80_columns(table):
    console = Console(width=80, record=True)
    console.print(table)
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_names_and_numbers_are_whole_in_80_columns(tmp_path):
    names = ("mobilenetv2_050_at_160", "mobilenetv2_120d_at_224")
    pool = load_pool(write_pool(tmp_path, *(backbone_entry(name, weights=f"{name}.safetensors") for name in names)))
    audits = [Audit(name, None, ("HannWindow",), ("Gather of a shape",), 2e-7, 12, 2**30, 2**23) for name in names]
    measured = {size: Costs(dict.fromkeys(names, 12.345), "ms") for size in (1, 64)}
    profiles = [Profile(backbone, 0.05018, 2_000_000, "w" * 25, "cc-by-nc-4.0") for backbone in pool.backbones]
    for table in (profile_table(pool, profiles), profile_table(pool, profiles, measured)):
        text = in_80_columns(table)
        assert all(word in text for word in (*names, "0.05018"))
    findings = findings_table([Finding(f"entry {name}", "whole " * 20, "nothing " * 20) for name in names])
    for table in (audit_table(audits), findings):
        text = in_80_columns(table)
        assert all(name in text for name in names)
    assert in_80_columns(audit_table([Audit("q" * 90)])).count("q") == 90
