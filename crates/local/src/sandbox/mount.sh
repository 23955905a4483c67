#!/bin/sh
# mount of a bakelite machine that has volumes. The kernel of this machine does not read what lies on them: a file system on a volume is
# mounted as a directory that belongs to it, below /dev/.volumes. Everything else is done by the root's own mount, $0.real.
set -f
real=$0.real
places=/dev/.volumes

# N bytes of a device from an offset on, in hexadecimal.
bytes() { od -An -v -tx1 -j "$2" -N "$3" "$1" 2>/dev/null | tr -d ' \n'; }
number() { od -An -v -t "u$3" -j "$2" -N "$3" "$1" 2>/dev/null | tr -d ' \n'; }
uuid_of() { echo "$1" | sed 's/\(........\)\(....\)\(....\)\(....\)/\1-\2-\3-\4-/'; }
# Prints UUID and kind of the file system on a device.
identify() {
  if [ "$(bytes "$1" 1080 2)" = 53ef ]; then echo "$(uuid_of "$(bytes "$1" 1128 16)") ext"
  elif [ "$(bytes "$1" 0 4)" = 58465342 ]; then echo "$(uuid_of "$(bytes "$1" 32 16)") xfs"
  elif [ "$(bytes "$1" 65600 8)" = 5f42485266535f4d ]; then echo "$(uuid_of "$(bytes "$1" 65568 16)") btrfs"
  else return 1; fi
}
# The label of the file system on a device.
label_of() {
  case $2 in ext) from=1144 length=16 ;; xfs) from=108 length=12 ;; *) from=65835 length=256 ;; esac
  dd if="$1" bs=1 skip=$from count=$length 2>/dev/null | tr -d '\0'
}
# Whether a program has put files on a device other than through mount: they would be missing.
is_filled() {
  [ "$2" = ext ] && [ $(( $(number "$1" 1024 4) - $(number "$1" 1040 4) )) -gt 11 ]
}
volumes() { for place in $(set +f; echo $places/*); do [ -d "$place" ] && echo "/dev/${place##*/}"; done; }
# The volume that a source names.
volume_of() {
  case $1 in
    LABEL=*|UUID=*)
      wanted=${1#*=}; wanted=${wanted#\"}; wanted=${wanted%\"}
      for volume in $(volumes); do
        found=$(identify "$volume") || continue
        case $1 in
          UUID=*) [ "${found% *}" = "$wanted" ] && echo "$volume" && return ;;
          *) [ "$(label_of "$volume" "${found#* }")" = "$wanted" ] && echo "$volume" && return ;;
        esac
      done
      return 1 ;;
    /dev/*)
      device=$(readlink -f "$1") || return 1
      [ -d "$places/${device#/dev/}" ] && [ "${device#/dev/}" ] && echo "$device" ;;
    *) return 1 ;;
  esac
}
# Mounts a volume somewhere, with options.
attach() {
  found=$(identify "$1") || {
    echo "mount: $2: wrong fs type, bad option, bad superblock on $1, missing codepage or helper program, or other error." >&2
    return 32
  }
  if is_filled "$1" "${found#* }"; then
    echo "mount: $2: the file system on $1 holds files that were not written by way of a mount; the local cloud cannot mount it" >&2
    return 32
  fi
  place=$places/${1#/dev/} directory=$places/${1#/dev/}/${found% *}
  if [ ! -d "$directory" ]; then
    # The file system is new, and what lay on the volume before is gone.
    for old in $(set +f; echo "$place"/*-*-*-*-*); do rm -rf "$old"; done
    mkdir "$directory" && chmod 755 "$directory" || return 32
    [ "${found#* }" = ext ] && mkdir -m 700 "$directory/lost+found"
  fi
  "$real" --bind "$directory" "$2" || return
  case ,$3, in *,ro,*|*,r,*) "$real" -o remount,bind,ro "$2" ;; esac
}
# Prints source, mount point and options of the line of /etc/fstab for a source or a mount point.
in_table() {
  while read -r from to _ options _; do
    case $from in \#*|'') continue ;; esac
    if [ "$from" = "$1" ] || [ "${to%/}" = "${1%/}" ]; then echo "$from $to $options"; return; fi
  done < /etc/fstab
  return 1
} 2>/dev/null
is_mounted() { grep -q "^[^ ]* [^ ]* [^ ]* [^ ]* $1 " /proc/self/mountinfo; }
# Mounts the volumes of /etc/fstab, and writes the other lines to a file.
mount_table() {
  status=0
  [ -f /etc/fstab ] || return 0
  while read -r from to type options rest; do
    case $from in \#*|'') continue ;; esac
    if volume=$(volume_of "$from") && [ "$type" != swap ]; then
      case ,$options, in *,noauto,*) continue ;; esac
      is_mounted "$to" && continue
      mkdir -p "$to" && attach "$volume" "$to" "$options" || status=32
    elif [ "$1" ]; then
      echo "$from $to $type $options $rest" >> "$1"
    fi
  done < /etc/fstab
  return $status
}

all= options= skip= source= target= words=0 other=
for word in "$@"; do
  if [ "$skip" ]; then
    case $skip in o) options=$options,$word ;; L) source=LABEL=$word ;; U) source=UUID=$word ;; s) source=$word ;; d) target=$word ;; x) other=1 ;; esac
    skip=; continue
  fi
  case $word in
    --bakelite-volumes) mount_table ''; exit ;;
    --all) all=1 ;;
    -t|--types) skip=t ;;
    -o|--options) skip=o ;;
    -L|--label) skip=L ;;
    -U|--uuid) skip=U ;;
    --source) skip=s ;;
    --target) skip=d ;;
    --label=*) source=LABEL=${word#*=} ;;
    --uuid=*) source=UUID=${word#*=} ;;
    --source=*) source=${word#*=} ;;
    --target=*) target=${word#*=} ;;
    --options=*) options=$options,${word#*=} ;;
    --read-only) options=$options,ro ;;
    -T|-O|-N|-p|--fstab|--test-opts|--namespace) other=1 skip=x ;;
    --types=*|--rw|--read-write|--verbose|--mkdir*) ;;
    --*) other=1 ;;
    -o*) options=$options,${word#-o} ;;
    -t*) ;;
    -*[BMRhVl]*) other=1 ;;
    -*a*) all=1 ;;
    -*r*) options=$options,ro ;;
    -*) ;;
    *) words=$((words + 1)); if [ -z "$source" ]; then source=$word; else target=$word; fi ;;
  esac
done
case ,$options, in *,bind,*|*,rbind,*|*,remount,*|*,move,*) other=1 ;; esac
if [ -z "$other" ] && [ "$all" ] && [ -z "$source" ]; then
  others=$(mktemp) || exit 1
  mount_table "$others"
  status=$?
  "$real" -T "$others" "$@" || status=$?
  rm -f "$others"
  exit $status
fi
if [ -z "$other" ] && [ "$source" ]; then
  if [ -z "$target" ] && line=$(in_table "$source"); then
    from=${line%% *} line=${line#* }
    if volume=$(volume_of "$from"); then
      attach "$volume" "${line%% *}" "${line#* },$options"; exit
    fi
  elif [ "$target" ] && volume=$(volume_of "$source"); then
    attach "$volume" "$target" "$options"; exit
  fi
fi
exec "$real" "$@"
