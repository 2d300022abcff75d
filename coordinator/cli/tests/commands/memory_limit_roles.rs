//! The memory of each role, as a process over NATS, when the Redis server that only this role reaches sends unbounded
//! replies to one of its commands, with one fault after another: less than 64 MiB, in these debug builds.

use std::thread;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;
use tokio::runtime::Handle;

use crate::cli::broker::{Broker, KEYS, WORKERS};
use crate::cli::proxy::{On, Proxy, ReplyFault};
use crate::cli::raw::Client;
use crate::cli::{DEBUG_KIB_MAX, Running};

/// The limit in KiB.
const CEILING_KIB: u64 = DEBUG_KIB_MAX;

/// Maximum time for the faults of one command of a role, including a run.
const TRIED_FOR: Duration = Duration::from_secs(30);
const MAX_RUNTIME: &str = "15s";

const SERVE: &str = "serve";

/// The commands that each role sends.
fn asked() -> [(&'static str, Vec<On>); 4] {
    let scanner = [On::listing("SCAN"), On::listing("PTTL"), On::any("MEMORY USAGE"), On::any("INFO")];
    let scanner = [&scanner[..], &[On::any("PING"), On::any("TIME")]].concat();
    let reaper =
        [On::acting("EVALSHA"), On::acting("SCRIPT"), On::any("INFO"), On::any("TIME"), On::any("PING")];
    let reporter = [On::any("INFO"), On::any("PING")];
    let serve = [
        On::any("INFO"),
        On::listing("SCAN"),
        On::listing("PTTL"),
        On::any("EVAL"),
        On::any("MEMORY USAGE"),
        On::any("PING"),
    ];
    [("scanner", scanner), ("reaper", reaper.into()), ("reporter", reporter.into()), (SERVE, serve.into())]
}

/// Roles with keys to process; one of them reaches Redis through a proxy.
struct Fleet {
    nats: NatsServer,
    broker: Broker,
    proxy: Proxy,
    attacked: &'static str,
    roles: Vec<(&'static str, Running)>,
}

impl Fleet {
    async fn start(attacked: &'static str) -> Self {
        let nats = NatsServer::start("").await.expect("a nats-server can be started");
        let broker = Broker::start(&["--nats", &nats.url()]).await;
        let proxy = Proxy::new(On::any(""), &[], broker.redis.port());
        let url = format!("redis://{}", proxy.address);
        let start = |name| {
            let command = broker.command(&[name], &[]);
            let command = if name == attacked { command.env("REDIS_URL", &url) } else { command };
            (name, command.start())
        };
        let mut roles: Vec<_> = [SERVE, WORKERS[0], WORKERS[1], WORKERS[2]].into_iter().map(start).collect();
        for (_, role) in &mut roles {
            role.wait_for(" is ready, NATS at");
        }
        Self { nats, broker, proxy, attacked, roles }
    }

    /// Starts runs until each fault was tried, or the time is over.
    async fn meets(&self, on: On, odd: &[ReplyFault]) {
        self.proxy.turn_to(on, odd);
        let (begun, before, mut last) = (Instant::now(), self.proxy.given(), String::new());
        let given = || self.proxy.given() - before;
        while begun.elapsed() < TRIED_FOR && given() < odd.len() {
            if self.attacked == SERVE {
                let answer = Client::connect(&self.nats, None).request("keysweep.api.run", "", "{}");
                last = answer.headers + &String::from_utf8_lossy(&answer.payload);
                thread::sleep(Duration::from_millis(300));
                continue;
            }
            self.broker.place.seed(KEYS).await;
            let ended = self.broker.run(&["--max-runtime", MAX_RUNTIME]);
            assert!(matches!(ended.code, Some(0 | 1 | 3 | 5)), "{ended}");
            let said = ended.stderr.lines().last().unwrap_or_default();
            last = format!("exit {:?} after {:?}: {said}", ended.code, ended.took);
        }
        let peaks: Vec<_> = self.roles.iter().map(|(name, role)| (*name, role.peak_kib())).collect();
        let what = format!("{}, {on:?}, {odd:?}: {} answers, {peaks:?} KiB; {last}", self.attacked, given());
        println!("{what}");
        let role = self.roles.iter().find(|(name, _)| *name == self.attacked).map(|(_, role)| role.so_far());
        assert!(given() >= odd.len(), "it was not asked again: {what}\n{}", role.unwrap_or_default());
        assert!(peaks.iter().all(|(_, peak_kib)| (1..CEILING_KIB).contains(peak_kib)), "{what}");
    }
}

/// One fleet per role.
fn with_all(meet: impl Fn(&Fleet, Vec<On>, &Handle) + Sync) {
    let handle = &Handle::current();
    thread::scope(|scope| {
        for (role, ons) in asked() {
            let meet = &meet;
            scope.spawn(move || meet(&handle.block_on(Fleet::start(role)), ons, handle));
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_makes_a_role_take_64_mib() {
    with_all(|fleet, ons, handle| {
        ons.into_iter().for_each(|on| handle.block_on(fleet.meets(on, &ReplyFault::AT_ONCE)));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes: each answer is waited for"]
async fn soak_endless_replies_keep_a_role_below_64_mib() {
    with_all(|fleet, ons, handle| {
        for odd in [&[ReplyFault::Dripping][..], &[ReplyFault::ClaimedText], &[ReplyFault::ClaimedArray]] {
            handle.block_on(fleet.meets(ons[0], odd));
        }
    });
}
