#!/bin/sh
# sudo of a bakelite machine whose root has none. Login users may do everything without a password, as on EC2.
# Options as in sudo(8); those that choose a password or a policy are accepted and mean nothing here.
target=root shell= login= keep= background=
usage() { echo "usage: sudo [-EHnSisb] [-u user] [--] [VAR=value]... [command [argument]...]" >&2; exit 1; }
while getopts ':EHnSisbkKvVlPABu:g:p:C:T:h:D:R:r:t:-:' option; do
  case $option in
    E) keep=1 ;;
    i) login=1 ;;
    s) shell=1 ;;
    b) background=1 ;;
    u) target=$OPTARG ;;
    K|v) done=1 ;;
    k) forget=1 ;;
    V) echo "Sudo version 1.9 (bakelite)"; exit 0 ;;
    l) echo "User $(id -un) may run the following commands on $(uname -n):"; echo "    (ALL : ALL) NOPASSWD: ALL"; exit 0 ;;
    -) case $OPTARG in
         preserve-env|preserve-env=*) keep=1 ;;
         login) login=1 ;;
         shell) shell=1 ;;
         background) background=1 ;;
         user=*) target=${OPTARG#user=} ;;
         set-home|non-interactive|stdin|reset-timestamp|askpass|bell|group=*|prompt=*|host=*|chdir=*) ;;
         remove-timestamp|validate) done=1 ;;
         version) echo "Sudo version 1.9 (bakelite)"; exit 0 ;;
         *) echo "sudo: unrecognized option '--$OPTARG'" >&2; usage ;;
       esac ;;
    [HnSPABgpCThDRrt]) ;;
    *) echo "sudo: invalid option -- '$OPTARG'" >&2; usage ;;
  esac
done
shift $((OPTIND - 1))

entry=
while IFS= read -r line; do
  case $line in "$target":*) entry=$line; break ;; esac
  case $target in "#"*) case $line in *:*:"${target#"#"}":*) entry=$line; break ;; esac ;; esac
done < /etc/passwd
[ -n "$entry" ] || { echo "sudo: unknown user $target" >&2; exit 1; }
target=${entry%%:*}
user_shell=${entry##*:} rest=${entry%:*}
home=${rest##*:}
[ -n "$user_shell" ] || user_shell=/bin/sh

count=0
for word in "$@"; do
  case $word in
    [A-Za-z_]*=*) name=${word%%=*}; case $name in *[!A-Za-z0-9_]*) break ;; esac; count=$((count + 1)) ;;
    *) break ;;
  esac
done
if [ $# -le $count ] && [ -z "$shell$login" ]; then
  [ -n "${done-}${forget-}" ] && exit 0
  usage
fi

# The command line, with the shell of -s and -i in front of it and the variables before that.
variables=$count total=$#
set -- "$@" --
while [ $variables -gt 0 ]; do set -- "$@" "$1"; shift; variables=$((variables - 1)); done
if [ -n "$shell$login" ]; then
  [ -n "$shell" ] && [ -z "$login" ] && user_shell=${SHELL:-$user_shell}
  line=
  remaining=$((total - count))
  while [ $remaining -gt 0 ]; do
    quoted=$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/")
    line="$line${line:+ }$quoted"; shift; remaining=$((remaining - 1))
  done
  shift
  if [ -n "$login" ]; then set -- "$@" "$user_shell" -l; else set -- "$@" "$user_shell"; fi
  [ -n "$line" ] && set -- "$@" -c "$line"
else
  remaining=$((total - count))
  while [ $remaining -gt 0 ]; do set -- "$@" "$1"; shift; remaining=$((remaining - 1)); done
  # Now: -- VAR=value… command…
  shift
fi

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
set -- "HOME=$home" "USER=$target" "LOGNAME=$target" "SHELL=$user_shell" "SUDO_USER=$(id -un)" "SUDO_UID=$(id -u)" \
  "SUDO_GID=$(id -g)" "SUDO_COMMAND=$*" "$@"
if [ -n "$keep" ]; then
  set -- env "PATH=${PATH:-$path}" "$@"
else
  for name in TERM LANG LANGUAGE LC_ALL LC_CTYPE LC_MESSAGES DISPLAY COLORS; do
    eval "[ -n \"\${$name+set}\" ] && set -- \"$name=\$$name\" \"\$@\""
  done
  set -- env -i "PATH=$path" "$@"
fi
if [ "$target" != root ]; then
  set -- su -s /bin/sh -c 'exec "$0" "$@"' -- "$target" "$@"
fi
if [ -n "$login" ]; then before="cd '$home'; "; else before=; fi
if [ -n "$background" ]; then
  /run/bakelite/elevate /bin/sh -c "$before"'exec "$@"' sudo "$@" &
  exit 0
fi
exec /run/bakelite/elevate /bin/sh -c "$before"'exec "$@"' sudo "$@"
