"""What the benchmarks share: repeated timing, and a record of what was measured where."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> dict[str, object]:
    """Hardware, load and versions, in words that fit beside a number."""
    import numpy as np
    import torch

    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text("utf8").splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_at_end": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
    }


def report(name: str, measured: dict[str, list[float]], unit: str, **notes: object) -> None:
    """Print the median, the extremes and n of each row, and keep all of it in ``benchmarks/NAME.json``."""
    for row, values in measured.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{row:40s} median {middle:10,.2f} {unit}  ({low:,.2f} to {high:,.2f}, n = {len(values)})")
    here = machine()
    print(", ".join(f"{key} {value}" for key, value in {**notes, **here}.items()))
    record = {
        "benchmark": name,
        "unit": unit,
        "medians": {row: round(statistics.median(values), 4) for row, values in measured.items()},
        "measured": {row: [round(value, 4) for value in values] for row, values in measured.items()},
        **notes,
        "machine": here,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    path = ROOT / "benchmarks" / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf8")
