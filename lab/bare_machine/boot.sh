#!/bin/bash
# Boots the Debian system in folder $1 with $2 (empty, writable) on top of it. Called by machine.py in
# new namespaces: mounts, processes, network, host name, IPC.
set -euo pipefail
debian=$1 changes=$2 root=$2/root name=bare_machine
mount --make-rprivate /
mkdir -p "$changes/upper" "$changes/work" "$root"
mount -t overlay overlay -o "lowerdir=$debian,upperdir=$changes/upper,workdir=$changes/work" "$root"
hostname bare-machine
ip link set lo up

# A group of its own in each hierarchy; the machine sees nothing above it.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    hierarchies=(/sys/fs/cgroup)
else
    hierarchies=(/sys/fs/cgroup/*/)
fi
for hierarchy in "${hierarchies[@]}"; do
    mkdir -p "$hierarchy/$name"
    if [ -e "$hierarchy/$name/cpuset.cpus" ]; then
        cat "$hierarchy/cpuset.cpus" > "$hierarchy/$name/cpuset.cpus"
        cat "$hierarchy/cpuset.mems" > "$hierarchy/$name/cpuset.mems"
    fi
    echo $$ > "$hierarchy/$name/cgroup.procs"
done

export root
exec unshare --cgroup bash -euo pipefail -c '
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
        mkdir "$root/sys/fs/cgroup/$controller"
        mount -t cgroup -o $controller cgroup "$root/sys/fs/cgroup/$controller"
    done
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind /dev/$device "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
: > "$root/etc/machine-id"
cd "$root"
# Not chroot: in one, no user namespace can be made (PrivateUsers=).
pivot_root . .
umount --lazy .
cd /
exec env -i container=bare_machine PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --log-target=journal --show-status=no
'
