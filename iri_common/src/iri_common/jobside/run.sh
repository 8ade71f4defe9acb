# shellcheck shell=sh disable=SC2329
# Runs a program as a child, as if it ran in this shell's place: its standard input, its signals, its exit code.
# Sets iri_code. Names begin with iri_ and none is exported.

# The last digit of the mask of ignored signals (INT is 2 in it, QUIT 4); only Linux tells.
iri_ignores() {
  iri_mask=
  while read -r iri_word iri_mask; do
    [ "$iri_word" != SigIgn: ] || break
  done 2>/dev/null </proc/self/status
  iri_mask=${iri_mask#"${iri_mask%?}"}
}

# POSIX lets a child that nobody waits for at once ignore INT and QUIT, and a shell script that ignores a signal
# from its start can never trap it. bash takes this back when told; for dash a tool must.
iri_exec() {
  trap - INT QUIT
  iri_before=$iri_mask
  iri_ignores
  if [ "$iri_mask" != "$iri_before" ] && /usr/bin/env --default-signal=INT true 2>/dev/null; then
    exec /usr/bin/env --default-signal=INT --default-signal=QUIT /bin/sh -c 'exec "$@"' iri "$@"
  fi
  exec "$@"
}

# A scheduler may signal only the batch shell (Slurm's --signal=B:). One that signals every process makes the
# program see a signal twice: the price of never losing one. What comes too early waits for the program.
iri_forward() {
  iri_caught=1
  iri_waiting="$iri_waiting$1 "
  iri_pass_on
}

iri_pass_on() {
  while [ -n "$iri_waiting" ] && [ -n "$iri_child" ]; do
    iri_name=${iri_waiting%% *}
    iri_waiting=${iri_waiting#* }
    kill -s "$iri_name" "$iri_child" 2>/dev/null
  done
}

iri_listen() {
  iri_child='' iri_waiting=''
  for iri_word in HUP INT QUIT ALRM USR1 USR2 TERM XCPU; do
    # shellcheck disable=SC2064 # the name of now is meant
    trap "iri_forward $iri_word" "$iri_word"
  done
}

iri_start() {
  iri_ignores
  # A child in the background reads /dev/null unless told otherwise, and dash replaces descriptor 0 before it
  # looks at "<&0": go through a descriptor that nobody handed down (an MPI launcher may have).
  iri_fd=9
  while [ "$iri_fd" -gt 3 ] && eval "(: <&$iri_fd)" 2>/dev/null; do
    iri_fd=$((iri_fd - 1))
  done
  if eval "(: $iri_fd<&0)" 2>/dev/null; then
    eval "{ iri_exec \"\$@\" <&$iri_fd $iri_fd<&- & } $iri_fd<&0"
  else
    iri_exec "$@" <&- &
  fi
  iri_word=$!
  # A moment for the child to drop its copy of the traps, in which a signal would be lost.
  sleep 0.01 2>/dev/null || command -p sleep 0.01 2>/dev/null || sleep 1
  iri_child=$iri_word
  iri_pass_on
}

# After iri_listen. A signal interrupts a wait, which then answers 128 + n (bash does so once more after the trap
# has run), so wait again while the program is there. If a wait had the program's answer after all, the next one
# knows of no such child and says 127, as a program may also do; bash says -1 if a signal and the end of the
# program came together, and the program's own answer is lost then.
iri_run() {
  iri_start "$@"
  iri_code=''
  while :; do
    iri_caught='' iri_there=''
    kill -0 "$iri_child" 2>/dev/null && iri_there=1
    wait "$iri_child" 2>/dev/null
    iri_word=$?
    case $iri_there$iri_word in
    127 | -1 | 1-1) iri_code=${iri_code:-$iri_word} iri_caught='' ;;
    *) iri_code=$iri_word ;;
    esac
    [ -n "$iri_caught" ] || kill -0 "$iri_child" 2>/dev/null || break
  done
  iri_child=''
}
