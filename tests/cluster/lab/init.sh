#!/bin/bash
# PID 1 of a lab host, in namespaces of its own: makes ROOT its root folder, then runs sshd and reaps orphans.
# usage: init.sh NAME FOLDER [READ-ONLY FOLDER...]     FOLDER/root is its disk, FOLDER/ssh and FOLDER/hosts its configuration
set -eu
name=$1 folder=$2
shift 2
root=$folder/root
hostname "$name"
ip link set lo up
mount --bind "$root" "$root"
for system in /bin /sbin /lib /lib64 /usr /opt /etc; do
    if [ -L $system ]; then cp -Pn $system "$root"; else mkdir -p "$root$system"; mount --rbind -o ro $system "$root$system"; fi
done
mount --bind "$folder/ssh" "$root/etc/ssh"
mount --bind "$folder/hosts" "$root/etc/hosts"
mkdir -p "$root"/{dev,proc,sys,run,tmp,var/tmp,root,.old}
chmod 1777 "$root/tmp" "$root/var/tmp"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o size=1g,mode=1777 tmpfs "$root/dev/shm"  # the object store: no host sees another's
mount -t tmpfs tmpfs "$root/run"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ -n "${MEMORY_CGROUP:-}" ]; then  # this host's own limit is what it believes to be the machine's
    echo $$ > "$MEMORY_CGROUP/cgroup.procs"
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/memory"
    mount --bind "$MEMORY_CGROUP" "$root/sys/fs/cgroup/memory"
fi
for shared in "$@"; do
    mkdir -p "$root$shared"
    mount --bind -o ro "$shared" "$root$shared"
done
cd "$root"
pivot_root . .old
umount -l /.old
cd /root
mkdir -p /run/sshd
/usr/sbin/sshd -E /var/sshd.log
touch /run/ready
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done  # while it waits, bash reaps every process that lost its parent
