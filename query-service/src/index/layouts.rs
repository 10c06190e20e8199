//! Which units make up the rows of a question, kept from one question to the next: between two changes of the map they stay
//! the same.

use std::sync::Arc;

use super::effort;
use arc_swap::ArcSwap;
use jiff::civil::Date;
use rpds::HashTrieMapSync;
use shared::{
    model::{
        log::Revision,
        query::{GroupBy, RowUnit, UnitSelector},
        unit::Level,
    },
    registry::Registry,
};

/// Units in all layouts that are kept; with more, all are laid out anew.
const UNITS_MAX: usize = 8_000_000;
/// Layouts that are kept, small ones too.
const LAYOUTS_MAX: usize = 10_000;

/// What a layout depends on. Days stand for all days until the map changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayoutKey {
    /// The newest change of the registry.
    pub registry: Revision,
    /// Whose units.
    pub units: UnitSelector,
    /// What makes a row.
    pub group_by: Option<GroupBy>,
    /// The day on which the units live.
    pub day: Date,
    /// The day on whose map the rows are drawn.
    pub boundaries_on: Date,
    /// The first day of the period, if it has one.
    pub first_day: Option<Date>,
}

/// The units of every row, in the order of the rows.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The rows.
    pub rows: Vec<LaidRow>,
}

/// The units of one row.
#[derive(Clone, Debug)]
pub struct LaidRow {
    /// Whose row it is.
    pub row: RowUnit,
    /// Numbers of its units, in the order of their ids.
    pub units: Arc<Vec<u32>>,
    /// The same as bits: 64 units from `64 × word` on, in the order of the words.
    pub bits: Vec<(u32, u64)>,
    /// Every level that one of them has.
    pub levels: Vec<Level>,
    /// One of them did not live yet on the first day of the period.
    pub has_newcomers: bool,
}

/// Bits of numbers.
pub fn bits_of(units: &[u32]) -> Vec<(u32, u64)> {
    let mut sorted = units.to_vec();
    sorted.sort_unstable();
    let words = sorted.chunk_by(|a, b| a / u64::BITS == b / u64::BITS);
    let word = |units: &[u32]| units.iter().fold(0, |bits, unit| bits | 1 << (unit % u64::BITS));
    words.map(|units| (units[0] / u64::BITS, word(units))).collect()
}

/// Layouts by what they depend on. Who looks takes no lock.
#[derive(Debug, Default)]
pub struct Layouts {
    kept: ArcSwap<Kept>,
    /// The days on which the map changes, by the newest change of the registry.
    days: ArcSwap<HashTrieMapSync<Revision, Arc<Vec<Date>>>>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    by_key: HashTrieMapSync<LayoutKey, Arc<Layout>>,
    unit_count: usize,
}

impl Layouts {
    /// The layout for a key, which is made if it is not there.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn get<E>(&self, key: LayoutKey, make: impl FnOnce() -> Result<Layout, E>) -> Result<Arc<Layout>, E> {
        if let Some(layout) = self.kept.load().by_key.get(&key) {
            return Ok(layout.clone());
        }
        effort::spend_much();
        let layout = Arc::new(make()?);
        let units = layout.rows.iter().map(|row| row.units.len()).sum::<usize>();
        self.kept.rcu(|kept| {
            let is_full = kept.unit_count + units > UNITS_MAX || kept.by_key.size() >= LAYOUTS_MAX;
            let mut next = if is_full { Kept::default() } else { Kept::clone(kept) };
            next.by_key.insert_mut(key.clone(), layout.clone());
            next.unit_count += units;
            next
        });
        Ok(layout)
    }

    /// The day from which the map is as it is on that day.
    pub fn map_day(&self, registry: &Registry, day: Date) -> Date {
        let days = self.days.load().get(&registry.revision()).cloned().unwrap_or_else(|| {
            effort::spend_much();
            let days = Arc::new(change_days(registry));
            self.days.rcu(|kept| {
                let is_full = kept.size() >= LAYOUTS_MAX;
                let kept = if is_full { HashTrieMapSync::default() } else { HashTrieMapSync::clone(kept) };
                kept.insert(registry.revision(), days.clone())
            });
            days
        });
        days[..days.partition_point(|change| *change <= day)].last().copied().unwrap_or(Date::MIN)
    }
}

/// Every day on which some unit is not as on the day before.
fn change_days(registry: &Registry) -> Vec<Date> {
    let spans = registry.units_after("").flat_map(|record| record.states()).map(|state| state.span);
    let days = spans.flat_map(|span| [span.first_day, span.last_day.and_then(|last| last.tomorrow().ok())]);
    let mut days: Vec<Date> = days.flatten().collect();
    days.sort_unstable();
    days.dedup();
    days
}
