"""``iri lease`` before the faces of SENSE and slurmrestd: both or neither, by words of a shell."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Shell, await_text

from iri_local_facility import LocalFacility

NODES = 4


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=NODES, sense_step=0.02) as facility:
        yield facility


@pytest.fixture
def iri(place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Shell:
    words = {
        "IRI_FACILITY_NET_DIALECT": "sense",
        "IRI_FACILITY_NET_URL": place.sense_url,
        "IRI_FACILITY_NET_TOKEN": place.token,
        "IRI_FACILITY_CLUSTER_DIALECT": "slurm",
        "IRI_FACILITY_CLUSTER_URL": place.slurm_url,
        "IRI_FACILITY_CLUSTER_USER": place.slurm_user,
        "IRI_FACILITY_CLUSTER_TOKEN": place.slurm_token,
        "IRI_FACILITY_NET_POLL_SECONDS": "0.03",
        "IRI_FACILITY_CLUSTER_POLL_SECONDS": "0.03",
        "IRI_CONFIG": str(tmp_path / "facilities.toml"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    return Shell(words, capsys)


def kept(place: LocalFacility) -> list[str]:
    return [each["name"] for each in place.reservations() if not each["deleted"]]


def test_both_are_planned_set_up_shown_and_released(iri: Shell, place: LocalFacility, tmp_path: Path) -> None:
    doors, key = ("-f", "cluster", "--network", "net"), ("--key", f"lease/{tmp_path.name}")
    wanted = ("--nodes", "2", "--time", "1:00:00", "--mbps", "100", *place.sense_ports[:2])
    told = iri("lease", "plan", *doors, *wanted).out
    assert f"Of {NODES} nodes {NODES} are reserved by nobody" in told
    assert "up to " in told
    assert (iri("lease", "list", *doors).code, kept(place)) == (0, [])
    ready = iri("lease", "set-up", *doors, *key, *wanted)
    assert (ready.code, ready.out.split()) == (0, kept(place))
    assert "  up, path CREATE - READY, STABLE" in ready.err
    again = iri("lease", "set-up", *doors, *key, *wanted, "--json").document
    assert (again["ready"], again["reservation"], len(kept(place))) == (True, kept(place)[0], 1)
    shown = iri("lease", "show", *doors, *key).out
    assert "ready" in shown
    assert kept(place)[0] in shown
    assert iri("lease", "show", *doors, *key, "--json").document["path"]["up"]
    (listed,) = iri("lease", "list", *doors, "--json").document["leases"]
    assert (listed["key"], listed["state"]) == (key[1], "ready")
    assert key[1] in iri("lease", "list", *doors).out
    assert iri("lease", "release", *doors, *key).code == 0
    assert (kept(place), [each for each in place.paths() if not each["deleted"]]) == ([], [])
    assert iri("lease", "show", *doors, *key, "--json").document["state"] == "none"


def test_what_cannot_be_has_its_exit_code(iri: Shell, place: LocalFacility) -> None:
    words = ("lease", "set-up", "-f", "cluster", "--network", "net", *place.sense_ports[:2], "--mbps", "1")
    many = iri(*words, "--key", "lease/many", "--nodes", str(NODES + 1), "--json")
    assert (many.code, many.document["error"]["kind"]) == (11, "Refused")
    assert iri(*words, "--key", "lease/odd", "--time", "soon").code == 2
    assert iri(*words).code == 2  # by what should it be given back?
    place.order("path_fails", "senseProvision")
    assert iri(*words, "--key", "lease/fails").code == 3
    assert kept(place) == []
    place.clear_faults()


def stopped(process: subprocess.Popen[str], words: str) -> tuple[str, str]:
    """What a command says that is interrupted when it has said these words."""
    await_text(process, words)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


def test_an_interrupt_says_what_stands_and_how_it_is_given_back(iri: Shell, place: LocalFacility) -> None:
    words = (
        "-f",
        "cluster",
        "--network",
        "net",
        "--key",
        "lease/stop",
        "--mbps",
        "1",
        *place.sense_ports[:2],
    )
    place.order("path_unstable", "senseProvision")
    with iri.process("lease", "set-up", *words, "--json") as process:
        out, err = stopped(process, "path ")
    told = json.loads(out)
    assert (process.returncode, told["key"], told["stands"]) == (130, "lease/stop", True)
    assert "what stands of lease lease/stop stays" in err
    assert len(kept(place)) == 1
    lines = [each.split() for each in err.splitlines() if each.startswith("  iri lease ")]
    show, release = (line[1:] for line in lines)
    assert "ready" not in iri(*show).out.split()
    place.clear_faults()
    assert iri(*release).code == 0
    assert (kept(place), [each for each in place.paths() if not each["deleted"]]) == ([], [])


def test_a_lease_is_given_back_from_another_host(
    iri: Shell, place: LocalFacility, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors, key = ("-f", "cluster", "--network", "net"), ("--key", f"far/{tmp_path.name}")
    beside = ("--key", f"beside/{tmp_path.name}")
    for each in (key, beside):
        assert iri("lease", "set-up", *doors, *each, "--mbps", "1", *place.sense_ports[:2]).code == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another host"))
    assert iri("lease", "release", *doors, *key).code == 0
    assert (len(kept(place)), len([each for each in place.paths() if not each["deleted"]])) == (1, 1)
    assert iri("lease", "release", *doors, *beside).code == 0
    assert (kept(place), [each for each in place.paths() if not each["deleted"]]) == ([], [])
