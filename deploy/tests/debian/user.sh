# What a new user of the package types on a bare Debian, and checks of what happens. Redis is there already.
export HOME=/root
redis-server --daemonize yes --save '' >/dev/null
until redis-cli ping >/dev/null 2>&1; do sleep 0.1; done
for number in $(seq 200); do
  echo "SET permissions:$number x"
  echo "SET permissions:fresh:$number x EX 3600"
  echo "SET permissions:other:$number x EX 3600"
done | redis-cli >/dev/null
count() { redis-cli dbsize; }
page() { bash -c "exec 3<>/dev/tcp/127.0.0.1/9464; printf 'GET $1 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3; cat <&3"; }
test "$(count)" = 600

# The five commands.
begin=$(date +%s)
dpkg -i /keysweep.deb
sed -i '/^dry_run/d' /etc/keysweep/keysweep.toml
keysweep plan --config /etc/keysweep/keysweep.toml
systemctl enable --now keysweep
systemctl start keysweep-run@permission-cache-cleanup
echo "first result after $(($(date +%s) - begin)) s"

test "$(count)" = 400
systemctl is-active keysweep
page / | grep -q '<title>'
page /metrics | grep keysweep_build_info
keysweep runs list --config /etc/keysweep/keysweep.toml
systemctl show keysweep -p User -p DynamicUser -p StatusText -p NRestarts
pid=$(systemctl show keysweep -p MainPID --value)
grep -E '^(Uid|NoNewPrivs|Seccomp|CapEff):' "/proc/$pid/status"
test "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" != 0
systemd-analyze security keysweep --threshold=20 | tail -1

# A password as a credential.
redis-cli config set requirepass secret
echo secret >/etc/keysweep/redis-password
chmod 600 /etc/keysweep/redis-password
mkdir -p /etc/systemd/system/keysweep.service.d
grep -E '^\[Service|redis-password' /usr/share/doc/keysweep/examples/credentials.conf >/etc/systemd/system/keysweep.service.d/redis.conf
systemctl daemon-reload
systemctl restart keysweep
systemctl is-active keysweep

# A process that hangs is started again.
kill -STOP "$(systemctl show keysweep -p MainPID --value)"
for second in $(seq 60); do
  test "$(systemctl show keysweep -p NRestarts --value)" = 0 || break
  sleep 1
done
systemctl show keysweep -p NRestarts
test "$(systemctl show keysweep -p NRestarts --value)" = 1

systemctl start keysweep-run@permission-cache-cleanup.timer
systemctl list-timers --no-pager --all | grep keysweep

# Two workers and a coordinator.
nats-server -js -sd /var/tmp/nats -l /var/tmp/nats.log &
until bash -c ': </dev/tcp/127.0.0.1/4222' 2>/dev/null; do sleep 0.1; done
printf '\n[nats]\nurl = ["nats://127.0.0.1:4222"]\n' >>/etc/keysweep/keysweep.toml
mkdir -p /etc/systemd/system/keysweep-worker@.service.d
cp /etc/systemd/system/keysweep.service.d/redis.conf /etc/systemd/system/keysweep-worker@.service.d/
systemctl daemon-reload
systemctl restart keysweep
systemctl enable --now keysweep-worker@1 keysweep-worker@2
systemctl is-active keysweep keysweep-worker@1 keysweep-worker@2
redis-cli -a secret set permissions:again x 2>/dev/null
REDISCLI_AUTH=secret keysweep run --config /etc/keysweep/keysweep.toml --yes --quiet | grep -E 'deleted +1 '
systemctl disable --now keysweep-worker@1 keysweep-worker@2

dpkg --purge keysweep
test ! -e /etc/keysweep/keysweep.toml
test ! -e /var/lib/private/keysweep
echo "everything was done"
