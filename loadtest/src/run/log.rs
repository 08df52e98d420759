//! A room's log as the server's own history has it.

use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::check::{Entry, Log};
use crate::http::Http;
use crate::stamp;
use crate::{Context as _, Failure};

/// One room's log from its first event on, page after page.
///
/// # Errors
/// When a page is refused.
pub fn read_log(http: &mut Http, token: &str, room: Uuid) -> Result<Log, Failure> {
    let mut log = Log::default();
    let mut after = 0;
    let mut waits = 0;
    loop {
        let path = format!("/api/v1/chat/rooms/{room}/messages?after={after}&limit=100");
        let answer = http.call("GET", &path, Some(token), &[], None)?;
        if matches!(answer.status, 429 | 503) && waits < 100 {
            waits += 1;
            thread::sleep(Duration::from_millis(answer.json()["retry_after_ms"].as_u64().unwrap_or(200).min(5000)));
            continue;
        }
        if answer.status != 200 {
            return Err(Failure::new(format!("GET {path}"), format!("{}: {}", answer.status, answer.text())));
        }
        let page = answer.json();
        let rows = page["messages"].as_array().context_none("a page without messages")?;
        for row in rows {
            let seq = row["seq"].as_u64().context_none("a row without seq")?;
            let text = row["content"].as_str().filter(|_| row["type"].as_str().is_none_or(|kind| kind == "chat"));
            let key = text.and_then(stamp::key);
            log.entries.push(Entry { seq, key });
            after = after.max(seq);
        }
        if page["more"] != true || rows.is_empty() {
            return Ok(log);
        }
    }
}

/// Names what an `Option` lacks.
trait ContextNone<T> {
    /// The value, or a failure that says so.
    fn context_none(self, what: &str) -> Result<T, Failure>;
}

impl<T> ContextNone<T> for Option<T> {
    fn context_none(self, what: &str) -> Result<T, Failure> {
        self.ok_or("it is not there").context(what)
    }
}
