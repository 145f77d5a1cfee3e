//! The task that talks to Redis.

use std::{
    fmt::Write,
    io, mem,
    sync::{atomic::Ordering::Relaxed, Arc},
    time::Duration,
};

use redis::{
    aio::MultiplexedConnection, AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult,
    Value,
};
use tokio::{
    sync::mpsc::Receiver,
    time::{sleep, timeout},
};
use tower_conditional::TagAnswer;

use crate::{Counters, Options};

/// A command that waits in the queue.
pub(crate) enum Job {
    Ask([u8; 32], TagAnswer),
    Publish([u8; 32], Vec<u8>),
}

/// The task that sends commands to Redis.
///
/// Deliberately it does not use the `ConnectionManager` of `redis`, which never tries
/// again after a server has refused a connection. A server refuses a connection for a
/// wrong password, or while it is loading its data.
pub(crate) struct Task {
    client: Client,
    options: Options,
    counters: Arc<Counters>,
    connection: Option<MultiplexedConnection>,
    is_failing: bool,
}

impl Task {
    pub(crate) fn new(client: Client, options: Options, counters: Arc<Counters>) -> Self {
        Self { client, options, counters, connection: None, is_failing: false }
    }

    /// Sends the commands of the queue, until the last sender is dropped.
    pub(crate) async fn run(mut self, mut jobs: Receiver<Job>) {
        let mut batch = Vec::new();
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            // A batch may first have to wait for a connection, and then for the answer.
            let limit = self.options.timeout.saturating_mul(2);
            let results = timeout(limit, self.send(&batch)).await;
            match results.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
                Ok(results) => {
                    self.is_failing = false;
                    batch.drain(..).zip(results).for_each(|(job, value)| self.finish(job, value));
                }
                Err(failure) => {
                    self.counters.failed.fetch_add(batch.len() as u64, Relaxed);
                    // Dropping a `TagAnswer` tells the layer that there is no tag.
                    batch.clear();
                    self.connection = None;
                    self.report(&failure);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Sends a batch, and returns a value for each job.
    async fn send(&mut self, batch: &[Job]) -> RedisResult<Vec<RedisResult<Value>>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.client, self.options.timeout).await?),
        };
        pipeline(batch, &self.options).query_async(connection).await
    }

    fn finish(&self, job: Job, value: RedisResult<Value>) {
        match (job, value) {
            // If the key does not exist, Redis returns an empty value.
            (Job::Ask(_, answer), Ok(Value::BulkString(value))) if !value.is_empty() => {
                answer.found(&value);
            }
            (_, Ok(_)) => {}
            (_, Err(_)) => drop(self.counters.failed.fetch_add(1, Relaxed)),
        }
    }

    /// Emits an event that Redis cannot be reached, unless the previous attempt failed,
    /// too.
    fn report(&mut self, failure: &RedisError) {
        if !mem::replace(&mut self.is_failing, true) {
            #[cfg(feature = "tracing")]
            tracing::warn!(target: "tower_conditional_redis", %failure, "no tags are shared");
            #[cfg(not(feature = "tracing"))]
            let _ = failure;
        }
    }
}

async fn connect(client: &Client, limit: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit))
        .set_response_timeout(Some(limit));
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn pipeline(batch: &[Job], options: &Options) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(batch.len());
    pipeline.ignore_errors();
    for job in batch {
        match job {
            // Read one byte more than a valid value may have, so that a longer value is
            // rejected without reading all of it.
            Job::Ask(key, _) => {
                pipeline.cmd("GETRANGE").arg(name(options, key)).arg(0).arg(MOST_BYTES);
            }
            Job::Publish(key, value) => {
                let seconds = options.expiry.as_secs().clamp(1, MOST_SECONDS);
                pipeline.cmd("SET").arg(name(options, key)).arg(&**value).arg("EX").arg(seconds);
            }
        }
    }
    pipeline
}

fn name(options: &Options, key: &[u8; 32]) -> String {
    key.iter().fold(options.prefix.clone(), |mut name, byte| {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The maximum number of commands in a batch.
const BATCH: usize = 256;
/// The maximum length of a value in bytes, as `TagStore::publish` says.
const MOST_BYTES: usize = 256;
/// The most seconds after which a tag expires. Redis refuses much longer times.
const MOST_SECONDS: u64 = u32::MAX as u64;
/// How long the task waits before it tries again to reach Redis.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use tower_conditional::TagStore as _;

    use super::*;

    /// A port on which no server listens: the connection is refused at once.
    const NOWHERE: &str = "redis://127.0.0.1:1/";

    #[tokio::test]
    async fn the_task_outlives_failures_whatever_the_timeout() {
        for timeout in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
            let store = Options::new().timeout(timeout).connect(NOWHERE).unwrap();
            for failed in 1..=2 {
                store.publish([0; 32], Vec::new());
                while store.failed() < failed && store.dropped() == 0 {
                    sleep(Duration::from_millis(5)).await;
                }
            }
            assert_eq!((store.failed(), store.dropped()), (2, 0), "{timeout:?}");
        }
    }

    #[test]
    fn the_expiry_is_one_that_redis_takes() {
        for (expiry, seconds) in [
            (Duration::ZERO, "1"),
            (Duration::from_millis(2_900), "2"),
            (Duration::MAX, "4294967295"),
        ] {
            let options = Options::new().expiry(expiry);
            let sent = pipeline(&[Job::Publish([0; 32], Vec::new())], &options);
            let sent = String::from_utf8(sent.get_packed_pipeline()).unwrap();
            let expected = format!("EX\r\n${}\r\n{seconds}\r\n", seconds.len());
            assert!(sent.ends_with(&expected), "{sent:?}");
        }
    }
}
