"""What a job description may say in each version, and what of it this facility has a use for."""

from __future__ import annotations

from collections.abc import Mapping

from .versions import Version

_ALWAYS = """
    account account_gather_frequency argv array batch_features begin_time burst_buffer
    cluster_constraint comment constraints container core_specification cpu_binding cpu_frequency
    cpus_per_task current_working_directory deadline delay_boot dependency distribution environment hold
    licenses mail_type mail_user mcs_label memory_binding memory_per_cpu memory_per_node
    minimum_cpus_per_node minimum_nodes name nice nodes open_mode partition prefer priority qos requeue
    reservation sockets_per_node standard_error standard_input standard_output tasks tasks_per_core
    tasks_per_node tasks_per_socket thread_specification threads_per_core time_limit time_minimum
    wait_all_nodes wckey
"""
_FIRST = """
    cores_per_socket cpu_binding_hint cpus_per_gpu exclusive get_user_environment gpu_binding
    gpu_frequency gpus gpus_per_node gpus_per_socket gpus_per_task gres gres_flags
    kill_on_invalid_dependency memory_per_gpu no_kill oversubscribe signal spread_job
"""
_LATER = """
    admin_comment allocation_node_list allocation_node_port clusters container_id contiguous
    cpu_binding_flags cpus_per_tres crontab distribution_plane_size end_time excluded_nodes extra flags
    group_id hetjob_group immediate job_id kill_on_node_fail kill_warning_delay kill_warning_flags
    kill_warning_signal maximum_cpus maximum_nodes memory_binding_type memory_per_tres
    minimum_boards_per_node minimum_cpus minimum_sockets_per_board network ntasks_per_tres overcommit
    power_flags profile reboot required_nodes required_switches reserve_ports rlimits script
    selinux_context shared site_factor spank_environment tasks_per_board temporary_disk_per_node
    tres_bind tres_freq tres_per_job tres_per_node tres_per_socket tres_per_task user_id wait_for_switch
    x11 x11_magic_cookie x11_target_host x11_target_port
"""
_GPUS = """
    cpus_per_gpu cpus_per_tres gpus gpus_per_node gpus_per_socket gpus_per_task gres memory_per_gpu
    memory_per_tres tres_per_job tres_per_node tres_per_socket tres_per_task
"""
_SINCE: Mapping[str, tuple[int, int]] = {
    "cores_per_socket": (38, 40),
    "exclusive": (38, 41),
    "oversubscribe": (38, 41),
    "resv_mpi_ports": (41, 41),
    "segment_size": (41, 99),
    "oom_kill_step": (42, 99),
    "step_id": (44, 99),
}

# By the word of the API, the word of `batch_request`.
TEXTS: Mapping[str, str] = {
    "name": "name",
    "account": "account",
    "partition": "queue",
    "qos": "qos",
    "reservation": "reservation",
    "constraints": "constraint",
    "array": "array",
    "dependency": "dependency",
    "current_working_directory": "directory",
    "standard_input": "stdin",
    "standard_output": "stdout",
    "standard_error": "stderr",
}
COUNTS: Mapping[str, str] = {"tasks": "process_count", "tasks_per_node": "processes_per_node"}
# What a laptop has not, and the number with which Slurm says so.
ABSENT: Mapping[str, int] = {
    "licenses": 2048,
    "container": 2036,
    "container_id": 2036,
    "crontab": 2036,
    **dict.fromkeys(_GPUS.split(), 2072),
}


def known(version: Version) -> frozenset[str]:
    """The words that a version understands."""
    names = {*_ALWAYS.split(), *(_FIRST if version.plain else _LATER).split()}
    came = {name for name, (first, last) in _SINCE.items() if first <= version.number <= last}
    return frozenset(names - _SINCE.keys() | came)
