//! Asks the shards that count attempts whether one more may be made (`auth::throttle` says which keys and why).

use super::super::{Problem, RestState};
use super::client::Client;
use crate::base::{Code, Refusal, Slot};
use crate::shard::{Ask, AskAnswer};

/// May it be tried? Counts as an attempt under each of the keys, up to the first that refuses.
pub(super) async fn attempt(state: &RestState, client: &Client, keys: &[String]) -> Result<(), Problem> {
    for key in keys {
        let ask = Ask::Attempt { key: key.clone() };
        let told = state.gateway.ask_slot(Slot::of(key.as_bytes()), ask).await.inspect_err(|refusal| {
            if refusal.code == Code::TooManyAttempts {
                client.audit("slowed_down", None);
            }
        });
        match told? {
            AskAnswer::Allowed => {}
            AskAnswer::Room(_) | AskAnswer::User(_) | AskAnswer::Metrics(_) => {
                return Err(Problem::unexpected("a shard"));
            }
        }
    }
    Ok(())
}

/// It succeeded: it no longer counts. A shard that is too busy to hear it only makes the next attempt wait.
pub(super) async fn succeeded(state: &RestState, keys: &[String]) {
    for key in keys {
        let told: Result<AskAnswer, Refusal> =
            state.gateway.ask_slot(Slot::of(key.as_bytes()), Ask::AttemptSucceeded { key: key.clone() }).await;
        if let Err(refusal) = told {
            tracing::debug!(%refusal, "an attempt that succeeded still counts");
        }
    }
}
