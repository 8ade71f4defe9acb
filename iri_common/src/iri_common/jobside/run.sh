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
# program see a signal twice: the price of never losing one.
iri_forward() {
  iri_caught=$1
  [ -z "$iri_child" ] || kill -s "$1" "$iri_child" 2>/dev/null
}

iri_run() {
  iri_child='' iri_caught='' iri_code=''
  iri_ignores
  for iri_word in HUP INT QUIT ALRM USR1 USR2 TERM XCPU; do
    # shellcheck disable=SC2064 # the name of now is meant
    trap "iri_forward $iri_word" "$iri_word"
  done
  # A child in the background reads /dev/null unless told otherwise, and dash replaces descriptor 0 before it
  # looks at "<&0": go through a descriptor that nobody handed down (an MPI launcher may have).
  iri_fd=9
  while [ "$iri_fd" -gt 3 ] && eval "(: <&$iri_fd)" 2>/dev/null; do
    iri_fd=$((iri_fd - 1))
  done
  if (: <&0) 2>/dev/null; then
    eval "{ iri_exec \"\$@\" <&$iri_fd $iri_fd<&- & } $iri_fd<&0"
  else
    iri_exec "$@" <&- &
  fi
  iri_child=$!
  [ -z "$iri_caught" ] || kill -s "$iri_caught" "$iri_child" 2>/dev/null
  # A signal interrupts the wait; then wait again. 127: the wait before that one had the answer already.
  while :; do
    iri_caught=
    wait "$iri_child" 2>/dev/null
    iri_word=$?
    [ "$iri_word" -eq 127 ] && [ -n "$iri_code" ] || iri_code=$iri_word
    [ -n "$iri_caught" ] || break
  done
  trap - HUP INT QUIT ALRM USR1 USR2 TERM XCPU
}
