//! Versions of a definition, and the registry after each change of it.

use std::sync::Arc;

use jiff::civil::Date;
use rpds::VectorSync;

use super::{Registered, Registry};
use crate::model::log::Revision;

/// Every version of a definition, oldest first. The first one has the number 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Versions<T>(VectorSync<Arc<Registered<T>>>);

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self(VectorSync::new_sync())
    }
}

impl<T> Versions<T> {
    /// The same with one more.
    pub(super) fn with(&self, revision: Revision, value: T) -> Self {
        Self(self.0.push_back(Arc::new(Registered { revision, value })))
    }

    /// The newest one.
    pub fn newest(&self) -> Option<&T> {
        self.0.last().map(|version| &version.value)
    }

    /// How many there are, which is the number of the newest.
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The one with that number.
    pub fn numbered(&self, number: u32) -> Option<&T> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.0.get(place).map(|version| &version.value)
    }

    /// The newest one that holds on that day, each from its first day on; the first one for days before all of them. No day:
    /// the last there is.
    pub fn on(&self, day: Option<Date>, valid_from: impl Fn(&T) -> Option<Date>) -> Option<&T> {
        let holds = |version: &&Arc<Registered<T>>| match (day, valid_from(&version.value)) {
            (Some(day), Some(first)) => first <= day,
            _ => true,
        };
        // Nearly always it is the newest.
        if let Some(newest) = self.0.last().filter(&holds) {
            return Some(&newest.value);
        }
        self.0.iter().rev().find(holds).or_else(|| self.0.first()).map(|version| &version.value)
    }
}

/// The registry as it was after each change of it.
#[derive(Clone, Debug, Default)]
pub struct Registries(VectorSync<(Revision, Registry)>);

impl Registries {
    /// Notes the registry at the end of a change, if it differs from the last one.
    pub fn note(&mut self, end: Revision, registry: &Registry) {
        if self.0.last().is_none_or(|(_, last)| last.revision() != registry.revision()) {
            self.0.push_back_mut((end, registry.clone()));
        }
    }

    /// The registry as it was at that revision; inside a change as before it.
    pub fn at(&self, revision: Revision) -> Registry {
        let (mut low, mut high) = (0, self.0.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.0.get(middle).is_some_and(|(end, _)| *end <= revision) { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1).and_then(|last| self.0.get(last)).map(|(_, registry)| registry.clone()).unwrap_or_default()
    }
}
