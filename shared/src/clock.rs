//! The only place that asks for the time.

use jiff::Timestamp;

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The time now, in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock. It can jump; the log never steps back behind its last entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
