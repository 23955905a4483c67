#!/bin/sh
# Runs a command where Moto is at http://127.0.0.1:5000 and every address that Moto gives an instance reaches one OpenSSH server on
# port 22, whose machine is this one's system under a layer of its own, with the users ec2-user, ubuntu and appuser and stub `dnf`
# and `systemctl`. Everything (network, mounts, processes) is private to this script and goes with it.
#
#   moto_target.sh DIRECTORY TOOLS COMMAND…     DIRECTORY: scratch; TOOLS: what tests/prepare filled. Takes root.
set -eu
directory=$1 tools=$2
shift 2
if [ "${INSIDE:-}" != yes ]; then
  here=$(dirname "$(readlink -f "$0")")
  HERE=$here INSIDE=yes exec unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$directory" "$tools" "$@"
fi
unset INSIDE

ip link set lo up 2>/dev/null || ifconfig lo up
# Any address of Moto's instances is this machine.
ip route add local 54.0.0.0/8 dev lo

# In memory: the layer of an overlay may not lie on an overlay, as a container's disk is one.
mount -t tmpfs tmpfs "$directory"
mkdir -p "$directory/upper" "$directory/work" "$directory/root" "$directory/keys"
root=$directory/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$directory/upper,workdir=$directory/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/sshd" "$root/run/keys"
mount --bind "$directory/keys" "$root/run/keys"
: > "$directory/keys/authorized"

stub() { printf '#!/bin/sh\necho "stub %s: $*"\n' "$1" > "$root/usr/bin/$1"; chmod 755 "$root/usr/bin/$1"; }
stub dnf
rm -f "$root/usr/bin/systemctl"
stub systemctl
# sshd lets nobody in whose account is locked, as `!` for a password does; `*` is merely no password.
for user in ec2-user ubuntu appuser; do
  chroot "$root" useradd -m -s /bin/sh "$user" 2>/dev/null || true
  chroot "$root" usermod -p '*' "$user"
done
mkdir -p "$root/etc/sudoers.d"
printf 'ec2-user ALL=(ALL) NOPASSWD:ALL\nubuntu ALL=(ALL) NOPASSWD:ALL\n' > "$root/etc/sudoers.d/tests"
chmod 440 "$root/etc/sudoers.d/tests"
ssh-keygen -q -t ed25519 -N '' -f "$directory/keys/host"
cat > "$root/etc/sshd_tests" <<C
Port 22
HostKey /run/keys/host
AuthorizedKeysFile /run/keys/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp
MaxStartups 100
C
chroot "$root" /usr/sbin/sshd -f /etc/sshd_tests -E /run/keys/sshd.log

AUTHORIZED_KEYS=$directory/keys/authorized MOTO_AMIS_PATH=$HERE/moto_images.json \
  "$tools/bin/python" "$HERE/moto_server.py" -p 5000 > "$directory/moto.log" 2>&1 &
until "$tools/bin/python" -c 'import socket; socket.create_connection(("127.0.0.1", 5000))' 2>/dev/null; do
  kill -0 $! || { cat "$directory/moto.log" >&2; exit 99; }
done
"$@"
