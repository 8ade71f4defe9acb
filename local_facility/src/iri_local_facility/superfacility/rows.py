"""Jobs as rows of squeue and sacct: every value is text, times are local ones and do not say so."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime

from iri_local_facility.arrays import called
from iri_local_facility.batch import node_list, slurm_status
from iri_local_facility.dependencies import awaited
from iri_local_facility.jobs import Job
from iri_local_facility.launch import output_paths

Row = dict[str, str]

_LETTERS = {"PENDING": "PD", "RUNNING": "R", "COMPLETING": "CG", "SUSPENDED": "S"}
_DAY = 24 * 3600
# Columns that a job of this machine has nothing to say in.
_EMPTY_IN_SQUEUE = {
    "array_task_id": "N/A",
    "comment": "(null)",
    "contiguous": "0",
    "core_spec": "N/A",
    "cores_per_socket": "*",
    "exc_nodes": "",
    "features": "(null)",
    "licenses": "(null)",
    "min_cpus": "1",
    "min_memory": "0",
    "min_tmp_disk": "0",
    "nice": "0",
    "over_subscribe": "NO",
    "priority": "1",
    "req_nodes": "",
    "reservation": "(null)",
    "s:c:t": "*:*:*",
    "schednodes": "(null)",
    "sockets_per_node": "*",
    "threads_per_core": "*",
    "tres_per_node": "N/A",
    "wckey": "(null)",
}
_EMPTY_IN_SACCT = """
    associd avecpu avecpufreq avediskread avediskwrite avepages averss avevmsize blockid comment constraints
    consumedenergy consumedenergyraw cputime cputimeraw dbindex eligible flags layout maxdiskread
    maxdiskreadnode maxdiskreadtask maxdiskwrite maxdiskwritenode maxdiskwritetask maxpages maxpagesnode
    maxpagestask maxrss maxrssnode maxrsstask maxvmsize maxvmsizenode maxvmsizetask mcslabel mincpu mincpunode
    mincputask ntasks priority qosraw reqcpufreq reqcpufreqgov reqcpufreqmax reqcpufreqmin reqmem reqtres
    reservation reservationid reserved resvcpu resvcpuraw suspended systemcomment systemcpu totalcpu
    tresusageinave tresusageinmax tresusageinmaxnode tresusageinmaxtask tresusageinmin tresusageinminnode
    tresusageinmintask tresusageintot tresusageoutave tresusageoutmax tresusageoutmaxnode tresusageoutmaxtask
    tresusageoutmin tresusageoutminnode tresusageoutmintask tresusageouttot usercpu wckey wckeyid
"""


def squeue_row(job: Job) -> Row:
    """A job in the queue."""
    status = slurm_status(job)
    number, nodes, whose = called(job), node_list(job.nodes), str(os.getuid())
    elapsed = _elapsed(job)
    pending = job.started is None
    return {
        **_EMPTY_IN_SQUEUE,
        "account": job.account,
        "array_job_id": str(job.array_job or job.id),
        "array_task_id": "N/A" if job.array_job is None else number.partition("_")[2].strip("[]"),
        "command": job.document.get("path") or "(null)",
        "cpus": str(job.request.process_count),
        "dependency": awaited(job) or "(null)",
        "end_time": "N/A" if job.started is None else _local(job.started + job.duration),
        "exec_host": job.nodes[0] if job.nodes else "n/a",
        "group": str(os.getgid()),
        "jobid": number,
        "name": job.name,
        "nodelist": nodes,
        "nodelist(reason)": f"({status.reason})" if pending else nodes,
        "nodes": str(job.node_count),
        "partition": job.queue,
        "qos": job.queue,
        "reason": status.reason,
        "st": _LETTERS.get(status.state, status.state[:2]),
        "start_time": "N/A" if job.started is None else _local(job.started),
        "state": status.state,
        "submit_time": _local(job.submitted),
        "time": _short(elapsed),
        "time_left": _short(max(0, job.duration - elapsed)),
        "time_limit": _short(job.duration),
        "uid": whose,
        "user": job.user,
        "work_dir": job.request.directory or "",
    }


def sacct_rows(job: Job) -> list[Row]:
    """A job in the records, and the steps that it had."""
    whole = _sacct_row(job)
    if job.started is None:
        return [whole]
    # A step has no one who cancelled it, no queue and no limit.
    step = {
        **whole,
        "state": whole["state"].partition(" ")[0],
        **dict.fromkeys(("user", "uid", "group", "gid", "partition", "qos", "timelimit", "timelimitraw"), ""),
        **dict.fromkeys(("admincomment", "workdir", "reason"), ""),
    }
    extern = {"state": "COMPLETED" if job.finished else step["state"], "exitcode": "0:0"}
    return [whole, _step(step, "batch"), {**_step(step, "extern"), **extern}]


def _step(row: Row, name: str) -> Row:
    return {**row, "jobid": f"{row['jobid']}.{name}", "jobidraw": f"{row['jobid']}.{name}", "jobname": name}


def _sacct_row(job: Job) -> Row:
    status = slurm_status(job)
    count, elapsed = str(job.node_count), _elapsed(job)
    exit_code = f"{status.exit_code}:{status.signal}"
    cpus = str(job.request.process_count)
    stdout, stderr = output_paths(job)
    return {
        **dict.fromkeys(_EMPTY_IN_SACCT.split(), ""),
        "account": job.account,
        "admincomment": json.dumps({"jobId": job.id, "stdoutPath": stdout, "stderrPath": stderr}),
        "alloccpus": cpus,
        "allocnodes": count,
        "alloctres": f"cpu={cpus},node={count}" if job.started else "",
        "cluster": "perlmutter",
        "derivedexitcode": "0:0",
        "elapsed": _long(elapsed),
        "elapsedraw": str(elapsed),
        "end": "Unknown" if job.ended is None else _local(job.ended),
        "exitcode": exit_code,
        "gid": str(os.getgid()),
        "group": str(os.getgid()),
        "jobid": called(job),
        "jobidraw": str(job.id),
        "jobname": job.name,
        "ncpus": cpus,
        "nnodes": count,
        "nodelist": node_list(job.nodes) or "None assigned",
        "partition": job.queue,
        "qos": job.queue,
        "reason": status.reason,
        "reqcpus": cpus,
        "reqnodes": count,
        "start": "Unknown" if job.started is None else _local(job.started),
        "state": status.state,
        "submit": _local(job.submitted),
        "timelimit": _long(job.duration),
        "timelimitraw": str(job.duration // 60),
        "uid": str(os.getuid()),
        "user": job.user,
        "workdir": job.request.directory or "",
    }


def _elapsed(job: Job) -> int:
    return 0 if job.started is None else max(0, int((job.ended or time.time()) - job.started))


def _local(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%dT%H:%M:%S")


def _long(seconds: int) -> str:
    """``[D-]HH:MM:SS``."""
    days, rest = divmod(seconds, _DAY)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock


def _short(seconds: int) -> str:
    """As squeue shortens it: ``M:SS``, ``H:MM:SS``, ``D-HH:MM:SS``."""
    if seconds >= _DAY:
        return _long(seconds)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
