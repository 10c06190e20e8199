//! Notices a disk that does not answer. A sync that hangs would otherwise leave a process that looks alive and writes nothing.

use std::time::Duration;

use crate::log::{Log, LogError};

/// It is looked at so many times within the longest time.
const LOOKS: u32 = 20;

/// Waits until a write has taken longer than `longest`, which none may.
pub(crate) async fn stalled(log: &dyn Log, longest: Duration) -> LogError {
    let mut looks = tokio::time::interval((longest / LOOKS).max(Duration::from_millis(1)));
    loop {
        looks.tick().await;
        if log.busy_since().is_some_and(|since| since.elapsed() > longest) {
            return LogError::Storage(format!("a write has not ended within {} ms", longest.as_millis()));
        }
    }
}
