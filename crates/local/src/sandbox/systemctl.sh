#!/bin/sh
# systemctl of a bakelite machine, in which systemd does not run. What needs files only is the root's own systemctl's, $0.real; where there
# is none, units are enabled and masked here.
set -f
real=$0.real
verb= units= now= quiet= own= skip=
for word in "$@"; do
  if [ -n "$skip" ]; then skip=; continue; fi
  case $word in
    --now) now=1 ;;
    -q|--quiet) quiet=1 ;;
    --user|--global|--root=*|--image=*|--host=*|--machine=*|-[HM]*|--version|--help|-h) own=1 ;;
    --root|--image|--host|--machine) own=1 skip=1 ;;
    -t|-p|-P|-n|-o|-s|--type|--property|--lines|--output|--signal|--state|--job-mode|--kill-whom|--kill-who|--preset-mode|--what) skip=1 ;;
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else units="$units $word"; fi ;;
  esac
done
directories="/etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system"

explain() {
  [ -n "$quiet" ] || echo "systemd is not running in instances of the local cloud; units can be enabled, not started; \
an enabled unit starts when the image boots on EC2. Here, start its program itself." >&2
}
name_of() { case $1 in *.*) echo "$1" ;; *) echo "$1.service" ;; esac; }
# The file of a unit, or of its template.
file_of() {
  for directory in $directories; do
    if [ -e "$directory/$1" ] || [ -L "$directory/$1" ]; then echo "$directory/$1"; return 0; fi
  done
  case $1 in
    *@?*.*) file_of "${1%%@*}@.${1##*.}" ;;
    *.service) [ -x "/etc/init.d/${1%.service}" ] && echo "/etc/init.d/${1%.service}" ;;
    *) return 1 ;;
  esac
}
# The values of a key in a unit's section [Install].
installed_by() { sed -n '/^\[Install\]/,$ s/^'"$2"' *= *//p' "$1"; }
links_of() {
  for kind in wants:WantedBy requires:RequiredBy; do
    for target in $(installed_by "$2" "${kind#*:}"); do echo "/etc/systemd/system/$target.${kind%%:*}/$1"; done
  done
  for alias in $(installed_by "$2" Alias); do echo "/etc/systemd/system/$alias"; done
}
absent() { echo "Failed to $verb unit: Unit file $1 does not exist." >&2; status=1; }
# enable, disable, mask, unmask and is-enabled where the root has no systemctl.
change() {
  unit=$(name_of "$1")
  mask=/etc/systemd/system/$unit
  case $verb in
    mask)
      if [ -e "$mask" ] && [ ! -L "$mask" ]; then
        echo "Failed to mask unit, file \"$mask\" already exists." >&2
        status=1
        return
      fi
      mkdir -p /etc/systemd/system && ln -sf /dev/null "$mask" && echo "Created symlink $mask -> /dev/null."
      return ;;
    unmask) [ "$(readlink "$mask")" != /dev/null ] || rm "$mask"; return ;;
  esac
  file=$(file_of "$unit") || { absent "$unit"; return; }
  case $verb in
    enable|reenable)
      for link in $(links_of "$unit" "$file"); do
        mkdir -p "${link%/*}" && ln -sf "$file" "$link" && echo "Created symlink $link -> $file."
      done
      for also in $(installed_by "$file" Also); do
        case " $seen " in *" $also "*) ;; *) seen="$seen $also"; (change "$also") ;; esac
      done ;;
    disable)
      for link in $(links_of "$unit" "$file"); do
        [ ! -L "$link" ] || { rm "$link" && echo "Removed $link."; }
      done ;;
    is-enabled)
      state=static
      for link in $(links_of "$unit" "$file"); do
        state=disabled
        if [ -L "$link" ]; then state=enabled; break; fi
      done
      [ "$(readlink "$file")" != /dev/null ] || state=masked
      [ -n "$quiet" ] || echo "$state"
      case $state in enabled|static) ;; *) status=1 ;; esac ;;
  esac
}
# Runs the root's own systemctl, without --now.
run_own() {
  if [ -x "$real" ]; then
    count=$#
    for word in "$@"; do
      [ "$word" = --now ] || set -- "$@" "$word"
    done
    shift "$count"
    "$real" "$@"
    return
  fi
  status=0 seen=
  for unit in $units; do change "$unit"; done
  return "$status"
}

if [ -n "$own" ]; then
  [ ! -x "$real" ] || exec "$real" "$@"
  echo "systemctl: the image has no systemd" >&2
  exit 1
fi
case $verb in
  enable|reenable|disable|mask|unmask|is-enabled)
    run_own "$@" || exit
    case $verb$now in enable1|reenable1) explain; exit 1 ;; esac ;;
  daemon-reload|daemon-reexec|reset-failed) ;;
  start|restart|reload|reload-or-restart|reload-or-try-restart|try-reload-or-restart|try-restart|condrestart|force-reload|isolate|kill)
    for unit in $units; do
      unit=$(name_of "$unit")
      file_of "$unit" > /dev/null || { echo "Failed to $verb $unit: Unit $unit not found." >&2; exit 5; }
    done
    explain
    # Of a unit that is not active these leave nothing undone.
    case $verb in *try*|condrestart) exit 0 ;; esac
    exit 1 ;;
  stop)
    for unit in $units; do
      unit=$(name_of "$unit")
      case $unit in *'*'*) continue ;; esac
      file_of "$unit" > /dev/null || { echo "Failed to stop $unit: Unit $unit not loaded." >&2; exit 5; }
    done ;; # it is not active
  is-active|is-failed|status)
    status=3
    for unit in $units; do
      unit=$(name_of "$unit")
      file=$(file_of "$unit") || { file=; status=4; }
      case $verb in
        status) if [ -n "$file" ]; then printf '%s\n     Loaded: loaded (%s)\n     Active: inactive (dead)\n' "$unit" "$file"
                else echo "Unit $unit could not be found." >&2; fi ;;
        *) [ -n "$quiet" ] || echo inactive ;;
      esac
    done
    case $verb in status) explain ;; is-failed) status=1 ;; esac
    exit "$status" ;;
  is-system-running) [ -n "$quiet" ] || echo offline; exit 1 ;;
  poweroff|halt) kill -38 1 || { echo "systemctl: must be root" >&2; exit 1; } ;;
  reboot) kill -39 1 || { echo "systemctl: must be root" >&2; exit 1; } ;;
  ''|list-units|list-sockets|list-timers|list-jobs|list-dependencies|show|cancel|set-property|set-environment|show-environment)
    explain; exit 1 ;;
  *)
    [ ! -x "$real" ] || exec "$real" "$@"
    explain; exit 1 ;;
esac
