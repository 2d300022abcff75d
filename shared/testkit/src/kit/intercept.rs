//! A queue whose calls a test observes, changes or rejects. All other calls pass through.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::trace::TraceParent;
use keysweep_storage::queue::{Delivery, Queue, QueueError, QueueFuture, QueueLoad, Topic};

type Published = Result<(), QueueError>;
type Pulled = Result<Vec<Delivery>, QueueError>;

/// A call of [`Queue::publish`].
pub struct Publish {
    /// The intercepted queue.
    pub queue: Arc<dyn Queue>,
    pub topic: Topic,
    pub id: String,
    pub payload: Vec<u8>,
    pub trace: Option<TraceParent>,
}

impl Publish {
    /// Passes the call on.
    pub async fn forward(self) -> Published {
        self.queue.publish(self.topic, &self.id, self.payload, self.trace).await
    }
}

/// A call of [`Queue::pull`].
pub struct Pull {
    /// The intercepted queue.
    pub queue: Arc<dyn Queue>,
    pub topic: Topic,
    pub max: usize,
    pub wait: Duration,
}

impl Pull {
    /// Passes the call on.
    pub async fn forward(self) -> Pulled {
        self.queue.pull(self.topic, self.max, self.wait).await
    }
}

/// A queue in front of another one.
pub struct Intercept {
    queue: Arc<dyn Queue>,
    publish: Box<dyn Fn(Publish) -> BoxFuture<'static, Published> + Send + Sync>,
    pull: Box<dyn Fn(Pull) -> BoxFuture<'static, Pulled> + Send + Sync>,
}

impl Intercept {
    /// Passes all calls on to `queue`.
    pub fn new(queue: &Arc<dyn Queue>) -> Self {
        let queue = Arc::clone(queue);
        Self {
            queue,
            publish: Box::new(|call| call.forward().boxed()),
            pull: Box::new(|call| call.forward().boxed()),
        }
    }

    /// `change` executes calls of [`Queue::publish`].
    pub fn on_publish<R>(self, change: impl Fn(Publish) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Published> + Send + 'static,
    {
        Self { publish: Box::new(move |call| change(call).boxed()), ..self }
    }

    /// `change` executes calls of [`Queue::pull`]. Dropping its future must not lose messages.
    pub fn on_pull<R>(self, change: impl Fn(Pull) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Pulled> + Send + 'static,
    {
        Self { pull: Box::new(move |call| change(call).boxed()), ..self }
    }
}

impl Queue for Intercept {
    fn publish(
        &self,
        topic: Topic,
        id: &str,
        payload: Vec<u8>,
        trace: Option<TraceParent>,
    ) -> BoxFuture<'_, Published> {
        (self.publish)(Publish { queue: Arc::clone(&self.queue), topic, id: id.to_owned(), payload, trace })
    }

    fn pull(&self, topic: Topic, max: usize, wait: Duration) -> BoxFuture<'_, Pulled> {
        (self.pull)(Pull { queue: Arc::clone(&self.queue), topic, max, wait })
    }

    fn load(&self, topic: Topic) -> QueueFuture<'_, QueueLoad> {
        self.queue.load(topic)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.queue.close()
    }
}
