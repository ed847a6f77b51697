"""The workflow trusts only what it names exactly, and the files of versions say what they should."""

from __future__ import annotations

import re
import tomllib

import pytest
from conftest import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install -r requirements.txt")
FOLDER = ROOT / ".github" / "workflows"
if not FOLDER.exists():
    pytest.skip("the workflow is not beside the package: run this in a checkout", allow_module_level=True)

FILES = sorted(FOLDER.glob("*.yml"))
JOBS = [
    (path.name, name, job) for path in FILES for name, job in yaml.safe_load(path.read_text("utf8"))["jobs"].items()
]
each_job = pytest.mark.parametrize(("file", "name", "job"), JOBS, ids=[f"{file}-{name}" for file, name, _ in JOBS])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_action_is_named_by_its_commit_and_its_version_stands_beside(path):
    text = path.read_text("utf8")
    uses = re.findall(r"^\s*(?:- )?uses: (.+)$", text, re.MULTILINE)
    assert uses
    assert [one for one in uses if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []
    assert len({one.partition("@")[0] for one in uses}) == len(set(uses)), "one action in two versions"


@each_job
def test_a_job_may_do_little_and_ends(file, name, job):
    whole = yaml.safe_load((FOLDER / file).read_text("utf8"))
    assert whole["permissions"] == {"contents": "read"}
    allowed = {"pages": "write", "id-token": "write"} if name == "publish" else {}
    assert job.get("permissions", {}) == allowed
    assert name == "publish" or job["timeout-minutes"] <= 60
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_a_cold_build_comes_every_week_and_others_when_something_changes():
    whole = yaml.safe_load((FOLDER / "book.yml").read_text("utf8"))
    events = whole[True]  # YAML 1.1 reads the key "on" so
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", events["schedule"][0]["cron"])
    newest = whole["jobs"]["newest"]
    assert "schedule" in newest["if"]
    assert not any("cache" in str(step) for step in newest["steps"][1:2])
    assert {"push", "pull_request"} <= events.keys()


def floors() -> dict[str, str]:
    """The oldest version that pyproject.toml allows, of each library that the package needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["lightning"]]
    return dict(re.match(r"([\w-]+)>=([\d.]+)", one).groups() for one in wanted)


def pinned(name: str) -> dict[str, str]:
    """What a file of exact versions names; each of its other lines is a comment."""
    lines = [line for line in (ROOT / name).read_text("utf8").splitlines() if line and not line.startswith("#")]
    return dict(re.fullmatch(r"([\w.-]+)==([\w.+]+)", line).groups() for line in lines)


def test_the_oldest_versions_are_the_floors():
    oldest = pinned("constraints/oldest.txt")
    assert oldest.keys() >= floors().keys()
    for name, floor in floors().items():
        assert oldest[name].split(".")[: floor.count(".") + 1] == floor.split("."), name


def test_the_lock_names_every_library_by_an_allowed_version_and_no_address():
    lock = {name.lower().replace("_", "-"): version for name, version in pinned("requirements.lock").items()}
    for name, floor in floors().items():
        numbers = [[int(n) for n in re.findall(r"\d+", version)] for version in (lock[name], floor)]
        assert numbers[0] >= numbers[1], name
    exact = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text("utf8"), re.MULTILINE))
    assert {name: lock[name] for name in exact} == exact
    assert "hypothesis" in lock
    assert "lenet-utils" not in lock
