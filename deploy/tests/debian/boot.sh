#!/bin/sh
# Boots systemd on a copy of the Debian in $1, kept in the folder $2, with the package $3; what it prints goes to the file
# $4. The commands are those of the script $5. It is the first process of namespaces of its own.
set -e
pristine=$1 folder=$2 deb=$3 said=$4 commands=$5
copy=$folder/copy
mkdir "$copy"
mount -t tmpfs none "$copy"
mkdir "$copy/upper" "$copy/work" "$copy/root"
mount -t overlay overlay -o "lowerdir=$pristine,upperdir=$copy/upper,workdir=$copy/work" "$copy/root"
root=$copy/root
cp "$deb" "$root/keysweep.deb"
cp "$commands" "$root/commands.sh"
cp "$(command -v nats-server)" "$root/usr/local/bin/"
touch "$root/said"
mount --bind "$said" "$root/said"
mount -t proc proc "$root/proc"
mount -t sysfs sys "$root/sys"
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 none "$root/run"
mount -t tmpfs -o mode=755 none "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 none "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 none "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
# What Debian would start at boot is not needed; what is installed is started by its user.
rm -rf "$root"/etc/systemd/system/*.wants
cat >"$root/etc/systemd/system/commands.target" <<UNIT
[Unit]
Wants=dbus.socket systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service commands.service
UNIT
cat >"$root/etc/systemd/system/commands.service" <<UNIT
[Unit]
After=dbus.socket systemd-journald.service
[Service]
Type=oneshot
ExecStart=/bin/sh -e /commands.sh
ExecStopPost=/bin/sh -c 'test "\$SERVICE_RESULT" = success || journalctl --no-pager -n 60 -u "keysweep*"'
ExecStopPost=/bin/systemctl --no-block --force --force poweroff
StandardOutput=append:/said
StandardError=append:/said
UNIT
# In a chroot, units could have no user namespaces.
cd "$root"
mkdir old
pivot_root . old
umount -l /old
# systemd leaves this to what starts it as a container; credentials need it.
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=commands.target --show-status=false
