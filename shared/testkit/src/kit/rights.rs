//! The least-privilege user for operators.

use std::path::Path;

use keysweep_redis::{ConnectOptions, node};

use keysweep_servers::Server;

/// Creates the user of `deploy/redis.acl` on each of `servers`, and sets it in `access`.
pub async fn least(access: &mut ConnectOptions, servers: &[Server]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/redis.acl");
    let line = std::fs::read_to_string(path).expect("the file is there");
    for server in servers {
        let conn = server.conn().await.unwrap();
        let older = !node::status(&conn, 0).await.unwrap().reports_expiry;
        let known =
            if older { line.replace("+pexpiretime ", "").replace("+eval_ro ", "") } else { line.clone() };
        conn.info_text(&format!("ACL SETUSER {}", known.trim().trim_start_matches("user "))).await.unwrap();
    }
    access.username = Some("keysweep".to_owned());
    access.password = Some("replace-this-password".to_owned());
}
