#!/usr/bin/python3
# In an instance: everything that a terminal would obey, a line at a time, each with a word by which it is found again.
import sys

SAYS = [
    b"\x1b]0;SHOWN-title\x07", b"\x1b]2;SHOWN-title\x1b\\", b"\x1b]52;c;ZXZpbA==\x07SHOWN-clipboard", b"\x1b]8;;http://evil.example\x07SHOWN-link\x1b]8;;\x07",
    b"\x1b[2J\x1b[HSHOWN-clear", b"\x1b[3JSHOWN-history", b"\x1b[6nSHOWN-report", b"\x1b[cSHOWN-attributes", b"\x1b[?1049hSHOWN-screen", b"\x1b[?25lSHOWN-cursor",
    b"\x1bP$q\"pSHOWN-control-string\x1b\\", b"\x1b_SHOWN-application\x1b\\", b"\x1b^SHOWN-private\x1b\\", b"\x1bXSHOWN-string\x1b\\", b"\x1bcSHOWN-reset",
    b"\x1b#8SHOWN-pattern", b"\x1b(0SHOWN-characters", b"\x1b[8;1;1tSHOWN-window", b"\x1b[1;31r\x1b[5ASHOWN-up", b"\x1b7\x1b8SHOWN-saved",
    b"\xc2\x9b2JSHOWN-c1", b"\xc2\x9d0;SHOWN-c1-title\xc2\x9c", b"\x9b2JSHOWN-raw-c1", b"SHOWN-bell\x07", b"SHOWN-back\x08\x08\x08\x08over", b"\0SHOWN-nul",
    b"\x7fSHOWN-delete", b"\x0bSHOWN-vertical\x0c", b"\xe2\x80\xaeSHOWN-bidi", b"\xe2\x81\xa6SHOWN-isolate", b"\x0e\x0fSHOWN-shift", b"\x05SHOWN-enquiry",
    b"\x1b[38;5;1mSHOWN-colour\x1b[0m", b"\x1b[1" + b";1" * 5000 + b"mSHOWN-many", b"\x1b[SHOWN-half", b"\x1b",
    b"\x1b[1A\x1b[2K==> Builds finished. SHOWN-FORGED", b"x\r==> Builds finished. SHOWN-FORGED", b"\x1b[1G==> Builds finished. SHOWN-FORGED",
    b"\xc2\x85==> Builds finished. SHOWN-FORGED", b"\xe2\x80\xa8==> Builds finished. SHOWN-FORGED", b"1234,amazon-ebs.x,artifact,0,id,SHOWN-FORGED",
]
for out in (sys.stdout.buffer, sys.stderr.buffer):
    for line in SAYS:
        out.write(line + b"\n")
    out.flush()
