//! How deliveries that are not handled end.

use std::collections::BTreeMap;

use super::*;
use crate::context::Timing;

/// Messages of this handler are never handled.
struct Unused;

impl Handler for Unused {
    type Message = String;
    const TOPIC: Topic = Topic::Batches;

    fn identity(&self, _message: &String) -> (RunId, String) {
        panic!("the message was handled")
    }

    fn redis<'a>(&self, _message: &'a String) -> &'a Alias {
        panic!("the message was handled")
    }

    fn traced(&self, _message: &String) -> (Traced, Vec<Attribute>) {
        panic!("the message was handled")
    }

    async fn handle(&self, _message: &String, _delivery: &Delivery) -> Result<Disposition, Failure> {
        panic!("the message was handled")
    }

    async fn give_up(&self, _message: &String, _failure: &Failure) -> Result<(), Failure> {
        panic!("the message was handled")
    }
}

#[tokio::test]
async fn dead_letters_are_counted_by_their_reason() {
    let context = Context::in_process(BTreeMap::new(), Timing::default());
    let forged = wire::encode(&"a message".to_owned()).expect("encodes");
    let last = context.timing.max_failures;
    let dead = [
        ("forged", forged, Err(SignatureError::Forged), last),
        ("undecodable", vec![0xff], Ok(()), last),
        // A message of another version is left to workers of that version first.
        ("newer", vec![0xff], Ok(()), last - 1),
    ];
    for (id, payload, trust, deliveries) in dead {
        context.queue.publish(Topic::Batches, id, payload, None).await.expect("publishes");
        let mut pulled = context.queue.pull(Topic::Batches, 1, PULL_WAIT).await.expect("pulls");
        let delivery = Delivery { trust, deliveries, ..pulled.pop().expect("one") };
        settle(&context, &Unused, delivery, &AtomicU32::new(0)).await;
    }
    let text = context.telemetry.textfile();
    for outcome in ["bad_signature", "undecodable", "requeued"] {
        let line = format!("keysweep_deliveries_total{{queue=\"batches\",outcome=\"{outcome}\"}} 1\n");
        assert!(text.contains(&line), "{outcome}: {text}");
    }
    let (first, letter) = dead_letter::next(&*context.store, 0).await.expect("reads").expect("one");
    assert!(letter.reason.contains("signature"), "{letter:?}");
    assert!(dead_letter::next(&*context.store, first).await.expect("reads").is_some());
}
