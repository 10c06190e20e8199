//! Numbers that both services show on their side ports. They are counted where things happen and read when somebody asks;
//! what is counted often has a handle of its own, so that counting takes one atomic addition.

mod calls;

use std::{fmt, path::PathBuf, sync::LazyLock, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};

use self::calls::CALLS;
pub(crate) use self::calls::measured;
use crate::clock::{Clock, SystemClock};

/// What the names of all metrics begin with.
const PREFIX: &str = "tonghop";

/// A counter for each value of one label. The values are words of ours, so there are few.
pub type ByWord = Family<[(&'static str, &'static str); 1], Counter>;

/// What the parts of both services count.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Refusals by their reason, one for each answer or part of an answer.
    pub(crate) refusals: ByWord,
    /// Calls that were turned away by what there was no room in.
    pub(crate) shed: ByWord,
    /// Open connections.
    pub(crate) connections_open: Gauge,
    /// Connections that were accepted.
    pub(crate) connections: Counter,
    /// Connections that were closed at once, for there were too many from their address.
    pub(crate) connections_refused: Counter,
}

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

/// Counts a call that was turned away because there was no room in that.
pub fn count_shed(full: &'static str) {
    METRICS.shed.get_or_create(&[("full", full)]).inc();
}

/// A registry with what both services count.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let start = Gauge::<i64>::default();
    start.set(SystemClock.now().as_second());
    registry.register("process_start_time_seconds", "When the process started, in seconds since 1970", start);
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version that runs", build);
    let Metrics { refusals, shed, connections_open, connections, connections_refused } = &*METRICS;
    registry.register("refusals", "Refusals by reason; the README has a page of them", refusals.clone());
    registry.register("calls_shed", "Calls turned away for lack of room, by what was full", shed.clone());
    registry.register("connections_open", "Open connections", connections_open.clone());
    registry.register("connections", "Connections that were accepted", connections.clone());
    let help = "Connections closed at once, for there were too many from their address";
    registry.register("connections_refused", help, connections_refused.clone());
    CALLS.register(&mut registry);
    registry
}

/// A histogram of times from a tenth of a millisecond to half a minute.
pub fn times() -> Histogram {
    Histogram::new([
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

/// A number as a gauge shows it.
pub fn shown(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Shows numbers that are there already and looked up when somebody asks.
pub struct LookedUp<F>(pub F);

impl<F> fmt::Debug for LookedUp<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookedUp")
    }
}

/// Says one number after the other.
pub struct Say<'a>(DescriptorEncoder<'a>);

impl Say<'_> {
    /// A number.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn number(&mut self, name: &str, help: &str, number: u64) -> fmt::Result {
        self.gauge(name, help, &ConstGauge::new(shown(number)))
    }

    /// A time in seconds.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn seconds(&mut self, name: &str, help: &str, time: Duration) -> fmt::Result {
        self.gauge(name, help, &ConstGauge::new(time.as_secs_f64()))
    }

    fn gauge(&mut self, name: &str, help: &str, gauge: &impl EncodeMetric) -> fmt::Result {
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }
}

impl<F: Fn(&mut Say<'_>) -> fmt::Result + Send + Sync + 'static> Collector for LookedUp<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Say(encoder))
    }
}

/// Shows how much room the disk of a directory has.
pub fn register_disk(registry: &mut Registry, directory: PathBuf) {
    let look = move |say: &mut Say<'_>| {
        // A disk that cannot be asked has no number; the log says what is wrong with it.
        let Ok(disk) = rustix::fs::statvfs(&directory) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let all = disk.f_blocks.saturating_mul(disk.f_frsize);
        say.number("disk_free_bytes", "Free bytes on the disk of the data", free)?;
        say.number("disk_bytes", "Bytes of the disk of the data", all)
    };
    registry.register_collector(Box::new(LookedUp(look)));
}
