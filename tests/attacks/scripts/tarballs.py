# Makes tarballs of base images whose members lead to a directory of the host.
import io, os, sys, tarfile

TARGET, VICTIM = sys.argv[1:]
UP = "../" * 20
# The owner of a member: root of the host may give the directory away, its owner may not.
OWNER = os.stat(VICTIM).st_uid or 12345
FILE, DIRECTORY, LINK, HARD, DEVICE = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE


def tarball(name, *members):
    with tarfile.open(f"{TARGET}/{name}.tar", "w") as made:
        for path, kind, *more in (("bin", DIRECTORY), ("etc", DIRECTORY), *members):
            member = tarfile.TarInfo(path)
            member.type = kind
            member.mode, member.uid, member.gid = (0o755, 0, 0) if kind == DIRECTORY and not more else (0o6777, OWNER, OWNER)
            content = b""
            for what in more:
                if isinstance(what, bytes):
                    content = what
                else:
                    member.linkname = what
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))


tarball("absolute-file", (f"{VICTIM}/file", FILE, b"x"))
tarball("absolute-directory", (VICTIM, DIRECTORY, ""))
tarball("absolute-twice", (f"/{VICTIM}/file", FILE, b"x"))
tarball("upwards", (f"{UP}{VICTIM}/file", FILE, b"x"), (f"a/{UP}{VICTIM}", DIRECTORY, ""))
tarball("link-then-directory", ("a", LINK, VICTIM), ("a", DIRECTORY, ""))
tarball("link-then-file", ("a", LINK, f"{VICTIM}/file"), ("a", FILE, b"x"))
tarball("through-link", ("a", LINK, VICTIM), ("a/evil", FILE, b"x"), ("a/file", FILE, b"x"))
tarball("through-link-dot", ("a", LINK, VICTIM), ("a/.", DIRECTORY, ""))
tarball("hard-link", ("h", HARD, f"{VICTIM}/file"), ("h", FILE, b"x"))
tarball("hard-link-upwards", ("h", HARD, f"{UP}{VICTIM}/file"), ("h", FILE, b"x"))
tarball("hard-link-through-link", ("a", LINK, VICTIM), ("h", HARD, "a/file"), ("h", FILE, b"x"))
tarball("hard-link-to-link", ("s", LINK, f"{VICTIM}/file"), ("h", HARD, "s"))
tarball("beside", (f"{os.path.dirname(VICTIM)}/evil", FILE, b"x"))
