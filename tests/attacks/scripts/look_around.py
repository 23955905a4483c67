# Another user of the machine, where the owner's directories let everyone pass: what can be read, listed or written.
import os
PLACE = os.environ["PLACE"]
open_to_all = 0
# What the test itself has put there, and what everyone may see of it.
for directory, directories, files in os.walk(PLACE):
    for name in files + directories:
        path = os.path.join(directory, name)
        if os.path.islink(path):
            continue
        rights = [what for what, right in (("READ", os.R_OK), ("WRITTEN", os.W_OK)) if os.access(path, right)]
        if rights:
            print(*rights, path[len(PLACE):])
print("tried")
