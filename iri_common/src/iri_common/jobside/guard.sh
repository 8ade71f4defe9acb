# shellcheck shell=sh disable=SC2329 # some functions are called by name, through iri_try
# The guard of one job, in front of its program:
#
#   sh -c GUARD iri ROOT KEY GENERATION SPEC COUNTED MODE PROGRAM [ARGUMENT...]
#
# Of all the jobs that carry one key and generation, the first to hard-link its id to the owner file works; any
# other ends at once. What happens to the program goes into the journal beside it. Everything here is POSIX sh
# and runs in dash, bash and busybox.
set +eu
iri_root=$1 iri_key=$2 iri_generation=$3 iri_spec=$4 iri_counted=$5 iri_mode=$6
iri_private='' iri_script='' iri_line=''
shift 6

# The job may have any PATH, or one without the system's own tools.
iri_tool() {
  if command -v "$1" >/dev/null 2>&1; then
    "$@"
  else
    command -p "$@"
  fi
}

# End without having worked: a code of the guard's own, one line for a person.
iri_end() {
  [ -z "$iri_private" ] || iri_tool rm -f -- "$iri_private"
  [ -z "$iri_script" ] || iri_tool rm -f -- "$iri_script"
  printf 'iri: %s\n' "$2" >&2
  exit "$1"
}

# Something failed: what, and in the system's words (LC_ALL=C), whose end is the reason; the rest may be a path.
# busybox has no words for a full disk.
iri_fail() {
  case $2 in
  '' | *'o space left on device' | *'uota exceeded' | *'I/O error' | *'rite error')
    iri_end 213 "no space: $1: $2" ;;
  *'ermission denied' | *'ead-only file system' | *'ot a directory' | *'o such file or directory' | \
    *'irectory nonexistent' | *'not permitted' | *'ile exists')
    iri_end 212 "no directory: $1: $2" ;;
  *) iri_end 215 "$1: $2" ;;
  esac
}

# --- where

if [ -z "$iri_root" ]; then
  iri_root=${HOME:-}
  case $iri_root in
  /*) ;;
  *)
    iri_word=$(iri_tool id -un 2>/dev/null)
    case $iri_word in
    '' | -* | *[!A-Za-z0-9._-]*) ;;
    *) eval "iri_root=~$iri_word" ;;
    esac
    ;;
  esac
  case $iri_root in
  /*) iri_root=$iri_root/.iri ;;
  *) iri_end 212 'no directory: HOME is not set; name a guard directory for this resource' ;;
  esac
fi
iri_directory=$iri_root/$iri_key

# --- who: the job (of an array: the array), which try of it, which of its processes

iri_index=
if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then
  iri_id=$SLURM_ARRAY_JOB_ID iri_index=${SLURM_ARRAY_TASK_ID:-}
elif [ -n "${SLURM_JOB_ID:-}" ]; then
  iri_id=$SLURM_JOB_ID
elif [ -n "${PBS_JOBID:-}" ]; then
  iri_id=$PBS_JOBID
  case $iri_id in
  *'['*']'*)
    iri_index=${iri_id#*[[]} iri_index=${iri_index%%]*}
    iri_id=${iri_id%%[[]*}'[]'${iri_id#*]}
    ;;
  esac
elif [ -n "${LSB_JOBID:-}" ]; then
  iri_id=$LSB_JOBID iri_index=${LSB_JOBINDEX:-}
  [ "$iri_index" != 0 ] || iri_index=
elif [ -n "${FLUX_JOB_ID:-}${COBALT_JOBID:-}" ]; then
  iri_id=${FLUX_JOB_ID:-$COBALT_JOBID}
elif [ -n "${IRI_JOB_ID:-}" ]; then
  iri_id=${IRI_ARRAY_JOB_ID:-$IRI_JOB_ID} iri_index=${IRI_ARRAY_INDEX:-}
else
  iri_id=node:$(iri_tool uname -n)-$$-$(iri_tool date +%s)
fi
case $iri_id$iri_index in
*[[:space:]/]*)
  iri_id=$(printf %s "$iri_id" | iri_tool tr '[:space:]/' _)
  iri_index=$(printf %s "$iri_index" | iri_tool tr '[:space:]/' _)
  ;;
esac

iri_attempt=${SLURM_RESTART_COUNT:-${IRI_RESTART_COUNT:-0}}
case $iri_attempt in *[!0-9]*) iri_attempt=0 ;; esac

# Launchers before Slurm: under mpiexec in a batch job every process has the batch shell's SLURM_PROCID.
iri_rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:-${PALS_RANKID:-${FLUX_TASK_RANK:-}}}}}
iri_rank=${iri_rank:-${IRI_PROCESS_ID:-${SLURM_PROCID:-0}}}
case $iri_rank in *[!0-9]*) iri_rank=0 ;; esac

iri_owner=$iri_directory/$iri_generation.owner
iri_journal=$iri_directory/$iri_generation.journal${iri_index:+.$iri_index}

# --- may I?

# Another one works. A client that sees ids and nothing else learns by the code how far before this one that is.
iri_double() {
  iri_code=211 iri_line=${iri_id%%[!0-9]*} iri_said=${iri_word%%[!0-9]*}
  case $iri_line:$iri_said in
  :* | *: | 0* | *:0*) iri_counted='' ;;
  esac
  if [ -n "$iri_counted" ] && [ ${#iri_line} -le 15 ] && [ ${#iri_said} -le 15 ] &&
    [ "${iri_id#"$iri_line"}" = "${iri_word#"$iri_said"}" ]; then
    iri_line=$((iri_line - iri_said))
    [ "$iri_line" -lt 1 ] || [ "$iri_line" -gt 32 ] || iri_code=$((215 + iri_line))
  fi
  iri_end "$iri_code" "job $iri_id is a double: job $iri_word has its key, this one ends without work"
}

# True if the owner is this job, false if there is none yet; another's is the end.
iri_mine() {
  # Reading the directory makes an NFS client forget that it did not find the name before.
  : "$iri_directory"/*
  [ -e "$iri_owner" ] || return 1
  [ ! -d "$iri_owner" ] || iri_end 214 'canceled before it began: the client took the key of this job'
  iri_word=
  IFS= read -r iri_word 2>/dev/null <"$iri_owner"
  [ -n "$iri_word" ] || iri_end 215 "the owner file $iri_owner is empty or cannot be read"
  [ "$iri_word" = "$iri_id" ] || iri_double
}

# Sets iri_word to what a command says when it fails, in words that iri_fail knows.
iri_try() {
  iri_word=$(
    umask 077
    LC_ALL=C
    export LC_ALL
    "$@" 2>&1
  )
}

iri_sign() {
  printf '%s\n' "$iri_id" ${iri_spec:+"spec $iri_spec"} >"$iri_private"
}

# The id is in the file before the file has its name: no moment in which the owner is there and empty.
iri_take() {
  iri_try iri_tool mkdir -p -- "$iri_directory"
  [ -d "$iri_directory" ] || iri_fail "cannot make $iri_directory" "$iri_word"
  iri_private=$iri_directory/$iri_generation.$iri_id.$iri_index.$$
  iri_try iri_sign
  [ -e "$iri_private" ] || iri_fail "cannot write in $iri_directory" "$iri_word"
  # A full disk may show only in what was kept.
  {
    IFS= read -r iri_line
    [ -z "$iri_spec" ] || IFS= read -r iri_line
  } 2>/dev/null <"$iri_private"
  [ "$iri_line" = "${iri_spec:+spec }${iri_spec:-$iri_id}" ] ||
    iri_end 213 "no space: cannot write in $iri_directory: ${iri_word:-what was written is not there}"
  iri_try iri_tool ln -- "$iri_private" "$iri_owner"
  iri_said=$iri_word
  # Into a directory of that name the link is made as well.
  [ ! -d "$iri_owner" ] || iri_tool rm -f -- "$iri_owner/${iri_private##*/}"
  iri_tool rm -f -- "$iri_private"
  iri_private=
  iri_mine || iri_fail "cannot make $iri_owner" "$iri_said"
}

if [ "$iri_rank" -eq 0 ]; then
  iri_mine || iri_take
else
  iri_ticks=0
  until iri_mine; do
    [ "$iri_ticks" -lt 600 ] ||
      iri_end 215 "process $iri_rank waited in vain for process 0 to make $iri_owner"
    iri_tool sleep 0.2 2>/dev/null || iri_tool sleep 1
    iri_ticks=$((iri_ticks + 1))
  done
fi

# --- the journal

iri_write() {
  printf '%s\n' "$*" >>"$iri_journal"
}

iri_note() {
  iri_try iri_write "$@"
}

# A try before this one had done the work, and its exit code spoke for all of it: not where it was one process of
# several, as the others may have died after the first had ended.
iri_done() {
  [ -s "$iri_journal" ] || return 1
  iri_over=1
  while read -r iri_word iri_line iri_said iri_code _; do
    case "$iri_word $iri_line $iri_code" in
    "ended $iri_id 0") iri_over=0 ;;
    "ranks $iri_id "*) return 1 ;;
    esac
  done 2>/dev/null <"$iri_journal"
  return "$iri_over"
}

iri_listen
if [ "$iri_rank" -eq 0 ]; then
  if iri_done; then
    iri_end 0 "job $iri_id had done its work before it was queued again: nothing to do"
  fi
  # The line before may have been torn by the end of a node.
  [ ! -s "$iri_journal" ] || iri_note
  iri_note started "$iri_id" "$iri_attempt" "$(iri_tool date +%s)" ||
    iri_fail "cannot write $iri_journal" "$iri_word"
elif [ "$iri_rank" -eq 1 ]; then
  iri_note ranks "$iri_id" "$iri_attempt"
fi

# --- work

iri_put() {
  iri_body >"$iri_script"
}

if [ "$iri_mode" = script ]; then
  for iri_place in "${TMPDIR:-/tmp}" /tmp; do
    iri_try iri_tool mktemp "$iri_place/iri.XXXXXXXX" && break
  done
  [ -f "$iri_word" ] || iri_fail "cannot make a file for the script" "$iri_word"
  iri_script=$iri_word
  iri_try iri_put || iri_fail "cannot write $iri_script" "$iri_word"
  set -- "$@" "$iri_script"
fi
iri_run "$@"
[ -z "$iri_script" ] || iri_tool rm -f -- "$iri_script"
case $iri_counted$iri_code in
counted211 | counted21[6-9] | counted2[23][0-9] | counted24[0-7])
  printf 'iri: the program ended with %s, which means a double here; the job ends with 248\n' "$iri_code" >&2
  iri_code=248 ;;
esac
if [ "$iri_rank" -eq 0 ]; then
  iri_note ended "$iri_id" "$iri_attempt" "$iri_code" "$(iri_tool date +%s)"
elif [ "$iri_code" -ne 0 ]; then
  iri_note rank "$iri_id" "$iri_attempt" "$iri_rank" "$iri_code"
fi || printf 'iri: cannot write %s: %s\n' "$iri_journal" "$iri_word" >&2
exit "$iri_code"
