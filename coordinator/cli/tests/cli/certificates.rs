//! TLS certificates for one test, created with `openssl`: an authority, a server and a client.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const SCRIPT: &str = r#"
set -e
curve="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $curve -keyout ca.key -out ca.pem -days 2 -subj "/CN=a test of keysweep" \
  -addext basicConstraints=critical,CA:TRUE
issue() {
  openssl req $curve -keyout $1.key -out $1.csr -subj "/CN=$1"
  echo "subjectAltName=$2" > $1.ext
  openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem -days $3 -extfile $1.ext
}
issue server IP:127.0.0.1,DNS:localhost 2
issue client IP:127.0.0.1,DNS:localhost 2
issue elsewhere DNS:elsewhere.test 2
openssl req $curve -keyout first.key -out first.csr -subj "/CN=127.0.0.1"
openssl x509 -req -in first.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out first.pem -days 2
# Only this command can date a certificate back.
touch index.txt
echo 1000 > serial
cat > ca.cnf <<EOF
[ca]
default_ca = ours
[ours]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
EOF
openssl req $curve -keyout old.key -out old.csr -subj "/CN=old"
echo "subjectAltName=IP:127.0.0.1" > old.ext
openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in old.csr -out old.pem \
  -startdate 20200101000000Z -enddate 20200201000000Z -extfile old.ext
"#;

/// A directory with `ca.pem`, and `.pem` and `.key` files of `server` and `client`; of `elsewhere`, for another host;
/// of `old`, which has expired; and of `first`, of version 1.
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    pub fn make() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("tls-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&dir).expect("a directory can be made");
        let made = Command::new("sh").args(["-c", SCRIPT]).current_dir(&dir).output().expect("sh starts");
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        Self { dir }
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("the path is UTF-8").to_owned()
    }

    /// Arguments for a redis-server that requires TLS with client certificates of this authority.
    pub fn redis(&self) -> [String; 6] {
        let file = |name: &str, path: &str| [format!("--tls-{name}-file"), self.path(path)];
        let [[a, b], [c, d], [e, f]] =
            [file("ca-cert", "ca.pem"), file("cert", "server.pem"), file("key", "server.key")];
        [a, b, c, d, e, f]
    }

    /// Arguments for a client: `--cacert`, `--cert` and `--key`.
    pub fn client(&self) -> [String; 6] {
        let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| self.path(name));
        ["--cacert".to_owned(), ca, "--cert".to_owned(), cert, "--key".to_owned(), key]
    }

    /// The configuration for a nats-server that requires TLS with client certificates of this authority.
    pub fn config(&self) -> String {
        let path = |name| self.path(name);
        let (ca, cert, key) = (path("ca.pem"), path("server.pem"), path("server.key"));
        format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: true }}")
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // Files that remain are harmless.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
