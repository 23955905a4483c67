#!/bin/sh
# A stand-in for an application: says that it is well.
set -eu
case "${1:-}" in
--self-test) echo "self-test passed, version $(cat /opt/app/VERSION)" ;;
*) echo "usage: server.sh --self-test" >&2; exit 2 ;;
esac
