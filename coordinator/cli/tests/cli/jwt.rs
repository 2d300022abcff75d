//! Creates what `nsc` creates: an operator with an account with a user, as signed JSON Web Tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator, an account with JetStream, and a user.
pub struct Operator {
    operator: KeyPair,
    account: KeyPair,
    /// The system account, without which the server has no JetStream.
    system: KeyPair,
    user: KeyPair,
}

impl Operator {
    pub fn new() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        Self { operator, account, system: KeyPair::new_account(), user: KeyPair::new_user() }
    }

    /// The configuration for a nats-server that trusts this operator and knows the account.
    pub fn config(&self) -> String {
        let system = self.system.public_key();
        let operator = token(&self.operator, &self.operator, "operator", json!({ "system_account": system }));
        let all = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1,
            "leaf": -1 });
        let mut with_jetstream = all.clone();
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            with_jetstream[limit] = (-1).into();
        }
        let account = |key, limits| token(&self.operator, key, "account", json!({ "limits": limits }));
        let (ours, theirs) = (account(&self.account, with_jetstream), account(&self.system, all));
        let name = self.account.public_key();
        format!(
            "operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {name}: {ours}, {system}: {theirs} }}\n"
        )
    }

    /// The user's credentials file, in the format of `nsc generate creds`.
    pub fn creds(&self) -> String {
        let all = json!({ "subs": -1, "data": -1, "payload": -1 });
        let user = token(&self.account, &self.user, "user", all);
        let seed = self.user.seed().expect("a pair of our own");
        format!(
            "-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// A token about `subject`, signed by `issuer`.
fn token(issuer: &KeyPair, subject: &KeyPair, kind: &str, mut nats: Value) -> String {
    nats["type"] = kind.into();
    nats["version"] = 2.into();
    let claims = json!({ "jti": format!("{kind}-of-a-test"), "iat": 1_700_000_000, "iss": issuer.public_key(),
        "sub": subject.public_key(), "name": kind, "nats": nats });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    let signature = issuer.sign(signed.as_bytes()).expect("a pair of our own");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
