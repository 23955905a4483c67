#!/bin/sh
# poweroff, halt, reboot and shutdown of a bakelite machine whose root has none that works here. The signals to the
# machine's init are those that systemd understands.
off=38 again=39 # SIGRTMIN+4, SIGRTMIN+5
signal=$off delay=0
case ${0##*/} in
  reboot) signal=$again ;;
  shutdown)
    delay=60
    for word in "$@"; do
      case $word in
        -r|--reboot|-*r) signal=$again ;;
        -c) exit 0 ;;
        now|+0) delay=0 ;;
        +[0-9]*) delay=$((${word#+} * 60)) ;;
      esac
    done ;;
esac
if [ "$delay" -gt 0 ]; then
  (sleep "$delay"; kill -"$signal" 1) > /dev/null 2>&1 < /dev/null &
  exit 0
fi
kill -"$signal" 1 || { echo "${0##*/}: must be root" >&2; exit 1; }
