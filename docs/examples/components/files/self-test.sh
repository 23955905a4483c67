#!/bin/sh -eu
# What the image must hold before it is made.
test "$(cat /opt/app/VERSION)" = 1.2.3
