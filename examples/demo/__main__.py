"""The example workflow through Prefect, Airflow and Parsl, against a facility on this machine.

``make demo`` runs it, ``make demo API=firecrest`` through another API of the facility. Everything it starts
listens on loopback, and is stopped before it ends.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from iri_local_facility import LocalFacility

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent
sys.path[:0] = [str(HERE), str(EXAMPLES)]

from airflow_engine import AirflowEngine  # noqa: E402
from door import APIS, profile  # noqa: E402
from keeper import Keeper  # noqa: E402
from run import Run  # noqa: E402
from screen import Screen  # noqa: E402

OUTPUT = Path("demo-output")
PARTS = 4


def main(api: str) -> int:
    """Run the demo through one API; the exit code says whether every engine came through."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stack below unwinds
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    begun = time.monotonic()
    try:
        with ExitStack() as stack:
            code = play(stack, api)
    except KeyboardInterrupt:
        print("\ninterrupted; everything that was started is stopped")
        return 130
    print(f"Everything that was started is stopped again ({time.monotonic() - begun:.0f} s in all).")
    return code


def play(stack: ExitStack, api: str) -> int:
    """Start the facility, send each engine to it, and show what came of it."""
    home = Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="iri-demo-", ignore_cleanup_errors=True))
    )
    facility = stack.enter_context(LocalFacility(nodes=PARTS))
    environment = surroundings(facility, home, api)
    airflow = AirflowEngine(environment, OUTPUT / "airflow", PARTS, sys.executable)
    runs = [
        Run("Prefect", lambda: script("prefect_flow.py"), OUTPUT / "prefect"),
        Run("Parsl", lambda: script("parsl_script.py"), OUTPUT / "parsl"),
        Run("Airflow", airflow.start, OUTPUT / "airflow"),
    ]

    def script(name: str) -> Keeper:
        output = OUTPUT / name.partition("_")[0]
        command = [sys.executable, str(EXAMPLES / "tomography" / name), "--profile", "demo"]
        command += ["--output", str(output), "--python", sys.executable]
        started = Keeper(command, environment, output / "log.txt")
        stack.callback(started.stop)
        return started

    screen = Screen(runs)
    url = environment["IRI_FACILITY_DEMO_URL"]
    screen.say(f"A facility with {PARTS} nodes listens at {url}")
    stack.callback(airflow.stop)
    airflow.boot()  # takes a while; the other two engines use it
    with screen:
        for run in runs:
            screen.say(
                f"{run.engine} runs the workflow: 1 sample, {PARTS} reconstructions side by side, 1 assembly"
            )
            run.go(facility, screen.seen)
    screen.say("")
    screen.console.print(screen.table())
    screen.say("Parsl runs the five steps in one block of workers, a job that it cancels when all is done.\n")
    return verdict(runs, screen)


def surroundings(facility: LocalFacility, home: Path, api: str) -> dict[str, str]:
    """What the engines find in their environment: the facility as profile "demo", homes of their own."""
    return {
        **os.environ,
        **profile(facility, api),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a laptop may have other things to do
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
    }


def verdict(runs: list[Run], screen: Screen) -> int:
    """Say where the picture is, or whose log to read."""
    failed = [run for run in runs if run.exit_code != 0 or not run.picture.exists()]
    for run in failed:
        tail = "\n".join(run.log.read_text(errors="replace").splitlines()[-15:]) if run.log.exists() else ""
        screen.say(f"{run.engine} did not come through; the end of {run.log}:\n{tail}\n")
    if failed:
        return 1
    volumes = {hashlib.sha256(run.volume.read_bytes()).hexdigest() for run in runs}
    picture = OUTPUT / "picture.png"
    shutil.copyfile(runs[0].picture, picture)
    same = "the same volume, byte for byte," if len(volumes) == 1 else "volumes that differ"
    error = re.search(r"RMSE[^0-9]*([0-9.]+)", runs[0].log.read_text(errors="replace"))
    rmse = error.group(1) if error else "?"
    screen.say(f"All three engines brought back {same} with an error of {rmse} (RMSE, bone = 1).")
    screen.say(f"The picture: {picture.resolve()}")
    return 0 if len(volumes) == 1 else 1


if __name__ == "__main__":
    asked = argparse.ArgumentParser(prog="demo", description=__doc__.partition("\n")[0])
    asked.add_argument("--api", choices=APIS, default="iri", help="which API the engines speak")
    sys.exit(main(asked.parse_args().api))
