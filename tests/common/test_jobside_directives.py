"""``#SBATCH`` and ``#PBS`` lines in the words of a JobSpec: by table, and nothing is ever dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import JobSpec, UsageError
from iri_common.jobside.amounts import bytes_of, count_of, seconds_of
from iri_common.jobside.directives import script_needs

GIB = 2**30


def needs(*lines: str) -> dict:
    return script_needs("\n".join(["#!/bin/bash", *lines, "hostname"]))


def resources(**words) -> dict:
    return {"resources": words}


def attributes(**words) -> dict:
    return {"attributes": words}


SLURM = [
    ("-J water", {"name": "water"}),
    ("--job-name=water", {"name": "water"}),
    ("--job-name water", {"name": "water"}),
    ('--job-name="two words"', {"name": "two words"}),
    ("-A m1234", attributes(account="m1234")),
    ("-Am1234", attributes(account="m1234")),
    ("-p gpu", attributes(queue_name="gpu")),
    ("-q debug", attributes(queue_name="debug")),
    ("-p gpu -q debug", attributes(queue_name="gpu", custom_attributes={"qos": "debug"})),
    ("-a 0-9%2", attributes(array="0-9%2")),
    ("--array=1,3,5-9:2", attributes(array="1,3,5-9:2")),
    ("-d afterok:7:8,afterany:9", attributes(after={"ok": ["7", "8"], "any": ["9"]})),
    ("--dependency=afternotok:7_2", attributes(after={"failure": ["7_2"]})),
    ("-t 30", attributes(duration=1800)),
    ("-t 1:30", attributes(duration=90)),
    ("--time=1:00:00", attributes(duration=3600)),
    ("-t 1-0", attributes(duration=86400)),
    ("-t 1-2:30", attributes(duration=86400 + 9000)),
    ("-t 1-2:30:05", attributes(duration=86400 + 9005)),
    ("-N 4", resources(node_count=4)),
    ("-N 4-4", resources(node_count=4)),
    ("-n 8", resources(process_count=8)),
    ("--ntasks-per-node=8", resources(processes_per_node=8)),
    ("-c 16", resources(cpu_cores_per_process=16)),
    ("--gpus-per-task=2", resources(gpu_cores_per_process=2)),
    ("-n 4 -G 8", resources(process_count=4, gpu_cores_per_process=2)),
    ("-N 2 -G 8", resources(node_count=2, gpu_cores_per_process=4)),
    ("-N 2 --gpus-per-node=4", resources(node_count=2, gpu_cores_per_process=4)),
    (
        "-N 2 --ntasks-per-node=4 --gpus-per-node=4",
        resources(node_count=2, processes_per_node=4, gpu_cores_per_process=1),
    ),
    ("--gres=gpu:2", resources(gpu_cores_per_process=2)),
    ("--gres=gpu", resources(gpu_cores_per_process=1)),
    ("--mem=4G", resources(memory=4 * GIB)),
    ("--mem=512", resources(memory=512 * 2**20)),
    ("-N 3 --mem=4G", resources(node_count=3, memory=12 * GIB)),
    ("-n 4 -c 2 --mem-per-cpu=1G", resources(process_count=4, cpu_cores_per_process=2, memory=8 * GIB)),
    ("-o out.%j", {"stdout_path": "out.%j"}),
    ("-e err.txt", {"stderr_path": "err.txt"}),
    ("-i in.txt", {"stdin_path": "in.txt"}),
    ("-D /scratch/a", {"directory": "/scratch/a"}),
    ("--reservation=day", attributes(reservation_id="day")),
    ("--exclusive", resources(exclusive_node_use=True)),
    ("--exclusive -N 2", resources(exclusive_node_use=True, node_count=2)),
    ("--export=NONE", {"inherit_environment": False}),
    (
        "--export=ALL,OMP_NUM_THREADS=4",
        {"inherit_environment": True, "environment": {"OMP_NUM_THREADS": "4"}},
    ),
    ("-C gpu", attributes(custom_attributes={"constraint": "gpu"})),
    ("-L scratch,cfs", attributes(custom_attributes={"licenses": "scratch,cfs"})),
    ("-N 2   # two are enough", resources(node_count=2)),
]

PBS = [
    ("-N water", {"name": "water"}),
    ("-A datascience", attributes(account="datascience")),
    ("-q debug", attributes(queue_name="debug")),
    ("-l walltime=01:00:00", attributes(duration=3600)),
    ("-l walltime=90", attributes(duration=90)),
    ("-l select=2", resources(node_count=2)),
    (
        "-l select=2:ncpus=64:mpiprocs=4:ngpus=4:mem=8gb,walltime=0:10:00",
        {
            "resources": {
                "node_count": 2,
                "processes_per_node": 4,
                "cpu_cores_per_process": 16,
                "gpu_cores_per_process": 1,
                "memory": 16 * GIB,
            },
            "attributes": {"duration": 600},
        },
    ),
    (
        "-l select=1:system=polaris",
        {**resources(node_count=1), **attributes(custom_attributes={"system": "polaris"})},
    ),
    ("-l place=scatter:excl", resources(exclusive_node_use=True)),
    ("-l place=shared", resources(exclusive_node_use=False)),
    ("-l filesystems=home:eagle", attributes(custom_attributes={"filesystems": "home:eagle"})),
    ("-l mem=4gb", resources(memory=4 * GIB)),
    ("-o /home/a/out", {"stdout_path": "/home/a/out"}),
    ("-e /home/a/err", {"stderr_path": "/home/a/err"}),
    ("-o /home/a/out -j oe", {"stdout_path": "/home/a/out", "stderr_path": "/home/a/out"}),
    ("-V", {"inherit_environment": True}),
    ("-v A=1,B=two", {"environment": {"A": "1", "B": "two"}}),
    ("-d /home/a", {"directory": "/home/a"}),
]


@pytest.mark.parametrize(("line", "meant"), SLURM)
def test_a_slurm_line_is_lifted(line: str, meant: dict) -> None:
    assert needs(f"#SBATCH {line}") == meant
    JobSpec.of({"executable": "x", **meant})


@pytest.mark.parametrize(("line", "meant"), PBS)
def test_a_pbs_line_is_lifted(line: str, meant: dict) -> None:
    assert needs(f"#PBS {line}") == meant
    JobSpec.of({"executable": "x", **meant})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("#SBATCH --mail-type=ALL", "no field for --mail-type"),
        ("#SBATCH --array=10-1", "'10-1' is not a range"),
        ("#SBATCH --exclusive=user", "no field for --exclusive"),
        ("#SBATCH -a all", "'all' is not an index"),
        ("#SBATCH -d singleton", "'singleton' has no word here"),
        ("#SBATCH -d afterok:1?afterok:2", "has no word here"),
        ("#PBS -W sandbox=PRIVATE", "no field for sandbox"),
        ("#SBATCH --nodes", "--nodes needs a value"),
        ("#SBATCH --nodes=", "--nodes needs a value"),
        ("#SBATCH -N 2-4", "not a range"),
        ("#SBATCH -N many", "'many' is not a whole number"),
        ("#SBATCH -N 0", "'0' is not a whole number from 1"),
        ("#SBATCH -t UNLIMITED", "is not a time"),
        ("#SBATCH -t 0", "no time at all"),
        ("#SBATCH --mem=0", "no memory at all"),
        ("#SBATCH --gpus=a100:4", "kind of GPU (a100)"),
        ("#SBATCH --gres=gpu:a100:4", "kind of GPU (a100)"),
        ("#SBATCH --gres=nvme:1", "GPUs only"),
        ("#SBATCH --export=HOME", "write HOME=value"),
        ("#SBATCH stray", "'stray' is not an option"),
        ("#SBATCH --nodes=2 stray", "'stray' is not an option"),
        ("#SBATCH --job-name='open", "No closing quotation"),
        ("#PBS -m abe", "no field for -m"),
        ("#PBS -J 10-1", "not a range"),
        ("#PBS -l nodes=2:ppn=4", "no field for nodes"),
        ("#PBS -l select=1+2", "nodes of one kind"),
        ("#PBS -l select=1:model=ice", "no field for model"),
        ("#PBS -l select=1:ncpus=3:mpiprocs=2", "cannot be shared evenly"),
        ("#PBS -l walltime", "walltime needs a value"),
        ("#PBS -l place=pack", "no field for place=pack"),
        ("#PBS -j eo", "only oe"),
        ("#PBS -o host:/out", "host of a path"),
        ("#PBS -v HOME", "write HOME=value"),
    ],
)
def test_what_has_no_field_is_refused_with_its_line(line: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        script_needs(f"#!/bin/sh\n\n# a remark\n{line}\nhostname\n", "job.sh")
    assert str(caught.value).startswith(f"job.sh, line 4: {line}: ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["#SBATCH -n 3", "#SBATCH -G 4"], "4 GPUs for 3 processes"),
        (["#SBATCH -G 4", "#SBATCH --gpus-per-task=1"], "more than one way"),
        (["#SBATCH --gpus-per-node=4", "#SBATCH -G 4"], "more than one way"),
        (["#SBATCH --mem=1G", "#SBATCH --mem-per-cpu=1G"], "keep one of them"),
        (["#PBS -j oe"], "add #PBS -o"),
    ],
)
def test_lines_that_contradict_one_another_are_refused(lines: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        needs(*lines)


def test_only_lines_before_the_first_command_count() -> None:
    assert needs("#SBATCH -N 2", "", "# remark", "##SBATCH -N 3", "#SBATCH") == resources(node_count=2)
    assert script_needs("#!/bin/sh\nhostname\n#SBATCH --mail-type=ALL\n") == {}
    assert script_needs("") == {}
    assert script_needs("#!/bin/sh\n#SBATCHX -N 2\nhostname") == {}


def test_later_lines_win_and_both_schedulers_add_up() -> None:
    assert needs("#SBATCH -N 2", "#SBATCH -N 3", "#PBS -q debug") == {
        **resources(node_count=3),
        **attributes(queue_name="debug"),
    }


@given(st.integers(1, 10**6))
def test_a_time_written_out_is_the_time_that_was_meant(seconds: int) -> None:
    hours, rest = divmod(seconds, 3600)
    days, hour = divmod(hours, 24)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    assert seconds_of(f"{hours}:{clock}") == seconds
    assert seconds_of(f"{days}-{hour}:{clock}") == seconds
    assert seconds_of(str(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", 1), ("1b", 1), ("1k", 1024), ("1KB", 1024), ("2MiB", 2**21), ("1t", 2**40), ("4 G", 4 * GIB)],
)
def test_a_size_in_powers_of_1024(text: str, amount: int) -> None:
    assert bytes_of(text) == amount


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (bytes_of, "1.5G"),
        (bytes_of, "G"),
        (bytes_of, "-1"),
        (seconds_of, ""),
        (seconds_of, "1:2:3:4"),
        (seconds_of, "-5"),
        (count_of, "1e3"),
        (count_of, "٣"),
    ],
)
def test_what_is_no_amount_is_refused(read, text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        read(text)
