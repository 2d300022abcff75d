//! Fuzzes the parsers of server descriptions with hostile replies; replies to listings are fuzzed in
//! `listing/tests.rs`. The client library decodes the protocol here, and is exercised, too.

use keysweep_testkit::hostile::fuzz;

use super::info::Info;
use super::replication_info::ReplicationInfo;
use super::{cluster_nodes, shards};

#[test]
fn fuzz_info() {
    let primary = "# Server\r\nredis_version:7.0.15\r\nvalkey_version:8.1\r\nrun_id:ab\r\nrole:master\r\n\
        slave0:ip=127.0.0.1,port=6380,state=online,offset=14,lag=0\r\nmaster_replid:8c5f\r\n\
        master_repl_offset:14\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lfu\r\n\
        db0:keys=30,expires=10,avg_ttl=5000\r\n";
    let replica = "run_id:cd\r\nloading:0\r\nrole:slave\r\nmaster_link_status:up\r\nmaster_sync_in_progress:0\r\n\
        slave_repl_offset:14\r\nmaster_replid:8c5f\r\n";
    let primary_state = ReplicationInfo::of(&Info::parse(primary));
    fuzz("info", vec![primary.into(), replica.into()], |bytes| {
        let info = Info::parse(bytes);
        let state = ReplicationInfo::of(&info);
        // A replica that is read has at least what the primary had.
        if state.is_caught_up_with(&primary_state).is_ok() {
            assert!(
                state.replica
                    && state.offset >= primary_state.offset
                    && state.replication_id == primary_state.replication_id
            );
        }
        let _ = (info.keyspace(0), info.number("maxmemory"));
    });
}

#[test]
fn fuzz_cluster_nodes() {
    let seed = "6c08 127.0.0.1:17561@27561,host myself,master - 0 1795341074000 0 connected 0-8191 [93->-2904] [9-<-67]\n\
        2904 [::1]:17562@27562 master - 0 1795341075360 7 connected 8192-16383\n\
        6763 :0@0 slave,fail?,noaddr 6c08 1795341072330 1795341071527 7 disconnected\n";
    fuzz("cluster nodes", vec![seed.into()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(e) = cluster_nodes::own_slots(&text) {
            assert!(e.to_string().len() < 600, "{e}");
        }
    });
}

#[test]
fn fuzz_cluster_shards() {
    let node = "$2 id $2 aa $4 port :17561 $2 ip $9 127.0.0.1 $8 endpoint $9 127.0.0.1 $4 role $6 master $6 health $6 online ";
    let shards = format!("*1 *4 $5 slots *4 :0 :100 :200 :16383 $5 nodes *1 *12 {node}");
    let resp3 = format!("*1 %2 $5 slots *2 :0 :100 $5 nodes *1 %6 {node}");
    let slots = "*1 *4 :0 :8190 *4 $9 127.0.0.1 :17561 $2 aa *0 *4 $1 ? :17562 $2 bb *2 $2 ip $8 10.1.1.1";
    let seeds = [&shards, &resp3, slots].map(|seed| seed.replace(' ', "\r\n").into_bytes()).to_vec();
    fuzz("cluster shards", seeds, |bytes| {
        let Ok(reply) = redis::parse_redis_value(bytes) else { return };
        let known = [shards::parse_shards(&reply), shards::parse_slots(&reply)];
        for error in known.into_iter().filter_map(Result::err) {
            assert!(error.to_string().len() < 600, "{error}");
        }
    });
}
