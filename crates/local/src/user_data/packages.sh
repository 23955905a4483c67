#!/bin/sh
# Installs the packages of a cloud-config: packages UPDATE UPGRADE [NAME[=VERSION]...], the first two `true` or `false`.
update=$1 upgrade=$2
shift 2
manager=
for name in apt-get dnf microdnf yum zypper apk; do
  if command -v "$name" > /dev/null 2>&1; then manager=$name; break; fi
done
status=0
try() { "$@" || status=$?; }

case $manager in
  apt-get)
    export DEBIAN_FRONTEND=noninteractive
    apt() { try apt-get -o Dpkg::Options::=--force-confold -y "$@"; }
    # A fresh image has no lists of packages, so that an installation takes them in any case.
    apt update
    if [ "$upgrade" = true ]; then apt dist-upgrade; fi
    if [ $# -gt 0 ]; then apt install "$@"; fi ;;
  dnf|microdnf|yum)
    if [ "$update" = true ]; then try "$manager" -y makecache; fi
    if [ "$upgrade" = true ]; then try "$manager" -y upgrade; fi
    if [ $# -gt 0 ]; then
      count=$#
      for name in "$@"; do
        case $name in *=*) name=${name%%=*}-${name#*=} ;; esac
        set -- "$@" "$name"
      done
      shift "$count"
      try "$manager" -y install "$@"
    fi ;;
  zypper)
    if [ "$update" = true ]; then try zypper --non-interactive refresh; fi
    if [ "$upgrade" = true ]; then try zypper --non-interactive update; fi
    if [ $# -gt 0 ]; then try zypper --non-interactive install --auto-agree-with-licenses "$@"; fi ;;
  apk)
    try apk update
    if [ "$upgrade" = true ]; then try apk upgrade; fi
    if [ $# -gt 0 ]; then try apk add "$@"; fi ;;
  *)
    echo "no package manager: none of apt-get, dnf, microdnf, yum, zypper and apk is in this root" >&2
    status=1 ;;
esac
exit "$status"
