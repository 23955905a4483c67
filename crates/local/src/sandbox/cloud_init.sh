#!/bin/sh
# cloud-init of a bakelite machine, in which user data is run by the machine itself. `status` tells how that went; everything else is the
# root's own cloud-init's, where there is one: $0.real.
finished=/var/lib/cloud/instance/boot-finished result=/run/cloud-init/result.json
verb=
for word in "$@"; do
  case $word in -*) ;; *) verb=$word; break ;; esac
done
case $verb in
  status)
    for word in "$@"; do
      case $word in
        -w|--wait) while [ ! -f "$finished" ]; do sleep 1; done ;;
        -l|--long) long=1 ;;
      esac
    done
    state=running
    if [ -f "$finished" ]; then
      state=done
      if [ -f "$result" ] && ! grep -q '"errors": \[\]' "$result"; then state=error; fi
    fi
    echo "status: $state"
    if [ -n "${long-}" ]; then
      echo "detail:"
      echo "DataSourceEc2Local"
      [ ! -f "$result" ] || cat "$result"
    fi
    [ "$state" != error ]
    exit ;;
esac
[ ! -x "$0.real" ] || exec "$0.real" "$@"
case $verb in
  clean)
    rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem
    for word in "$@"; do
      case $word in -l|--logs) rm -f /var/log/cloud-init.log /var/log/cloud-init-output.log ;; esac
    done ;;
  *)
    echo "cloud-init: the image has no cloud-init; user data was run by the local cloud, and only \`status\` and \`clean\` work" >&2
    exit 2 ;;
esac
