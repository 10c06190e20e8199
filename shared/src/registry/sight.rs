//! What a caller may see of the register and of reports. Always judged by the newest register that is known: a right that was
//! taken away does not come back with the past.
//!
//! A caller sees the units at the top of his scope and what stands below them, on the days on which it does. For everything
//! else there is [`Registry::restricted`]: the register as it is for him, in which other units, their events and their terms
//! are as if they had not been registered. Units above his own are climbed through, so that terms and exceptions hold that
//! come from there, and are not found by their ids.

use std::{collections::HashMap, sync::Arc};

use jiff::civil::Date;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::{RecordedEvent, Registry, UnitRecord, insert, names};
use crate::model::{
    access::Scope,
    event::Role,
    finding::Finding,
    ids::{EventId, ReportName, UnitId},
    log::Revision,
    period::Span,
    report::Report,
    text,
};

/// The units that a scope reaches, each with the days on which it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    tops: Vec<UnitId>,
    days: HashMap<UnitId, Vec<Span>>,
}

impl Sight {
    /// The units at the top of it.
    pub fn tops(&self) -> &[UnitId] {
        &self.tops
    }
}

impl Registry {
    /// Whether a unit, as it stood on that day, is one of the scope or stands below one. Outside of its life the nearest day
    /// of it counts; no day: the newest. A unit that is not registered is seen only by those who see everything.
    pub fn sees(&self, scope: &Scope, unit: &UnitId, day: Option<Date>) -> bool {
        let Scope::Under(tops) = scope else { return true };
        let Some(record) = self.record_of(unit) else { return false };
        let Some(life) = record.life() else {
            // It has never lived: only its registration says where it belongs.
            let parent = record.registration.parent.as_ref();
            return tops.contains(unit) || parent.is_some_and(|parent| self.sees(scope, parent, day));
        };
        let day = day.unwrap_or(Date::MAX).max(life.first_day.unwrap_or(Date::MIN));
        let day = day.min(life.last_day.unwrap_or(Date::MAX));
        self.ancestry_on(unit, day).any(|above| tops.contains(&above.id))
    }

    /// Whether all that a report speaks of is seen on the last day of its period.
    pub fn sees_report(&self, scope: &Scope, report: &Report) -> bool {
        let day = report.period.span().last_day;
        let mut units = report.observations.iter().flat_map(|observation| &observation.units);
        self.sees(scope, &report.unit, day) && units.all(|unit| self.sees(scope, unit, day))
    }

    /// What a scope reaches; none if that is everything.
    pub fn sight(&self, scope: &Scope) -> Option<Sight> {
        let Scope::Under(tops) = scope else { return None };
        let mut days: HashMap<UnitId, Vec<Span>> = HashMap::new();
        for top in tops.iter() {
            let Some(record) = self.record_of(top) else { continue };
            days.entry(top.clone()).or_default().extend(record.life());
            for below in self.descendants(top, &Span::EVER) {
                days.entry(below.unit.id.clone()).or_default().push(below.span);
            }
        }
        // Units that have never lived stand nowhere on any day; their registration says below whom.
        let mut open: Vec<UnitId> = tops.iter().chain(days.keys()).cloned().collect();
        while let Some(above) = open.pop() {
            for below in self.children_ever(&above).filter(|below| below.life().is_none()) {
                let id = &below.registration.id;
                if !days.contains_key(id) && self.sees(scope, id, None) {
                    days.insert(id.clone(), Vec::new());
                    open.push(id.clone());
                }
            }
        }
        days.values_mut().for_each(|spans| *spans = joined(std::mem::take(spans)));
        Some(Sight { tops: tops.iter().cloned().collect(), days })
    }

    /// This register, which may be an older one, as it is for whom that is all that he sees.
    pub fn restricted(&self, sight: &Sight) -> Self {
        let mut units: RedBlackTreeMapSync<UnitId, Arc<UnitRecord>> = RedBlackTreeMapSync::default();
        for (id, days) in &sight.days {
            if let Some(record) = self.units.get(id).and_then(|record| record.within(days)) {
                units.insert_mut(id.clone(), record);
            }
        }
        let (mut children, mut by_name) = (HashTrieMapSync::default(), HashTrieMapSync::default());
        for (id, record) in units.iter() {
            for unit in record.ever() {
                if let Some(parent) = unit.parent.as_ref().filter(|parent| units.contains_key(*parent)) {
                    insert(&mut children, parent, id.clone());
                }
                for name in names(unit) {
                    insert(&mut by_name, &text::fold(&name), id.clone());
                }
            }
        }
        let mut above = HashTrieMapSync::default();
        for top in sight.tops.iter().filter_map(|top| self.units.get(top)) {
            self.add_above(top, &mut above);
        }
        let is_seen = |event: &RecordedEvent| event.value.roles().into_keys().all(|unit| units.contains_key(unit));
        let mut events: RedBlackTreeMapSync<EventId, Arc<RecordedEvent>> = RedBlackTreeMapSync::default();
        let mut events_of: HashTrieMapSync<UnitId, RedBlackTreeMapSync<EventId, Role>> = HashTrieMapSync::default();
        for (id, event) in self.events.iter().filter(|(_, event)| is_seen(event)) {
            events.insert_mut(id.clone(), event.clone());
            for (unit, role) in event.value.roles() {
                let mut of_unit = events_of.get(unit).cloned().unwrap_or_default();
                of_unit.insert_mut(id.clone(), role);
                events_of.insert_mut(unit.clone(), of_unit);
            }
        }
        Self {
            root: self.root.clone().filter(|root| units.contains_key(root)),
            units,
            above,
            children,
            events,
            events_of,
            untold: RedBlackTreeSetSync::default(),
            by_name,
            ..self.clone()
        }
    }

    /// Units that ever stood above that one, as they are: also those that are seen on other days.
    fn add_above(&self, below: &UnitRecord, above: &mut HashTrieMapSync<UnitId, Arc<UnitRecord>>) {
        for parent in below.ever().filter_map(|unit| unit.parent.as_ref()) {
            if let Some(record) = self.units.get(parent).filter(|_| !above.contains_key(parent)) {
                above.insert_mut(parent.clone(), record.clone());
                self.add_above(record, above);
            }
        }
    }
}

/// The same days as spans that neither overlap nor touch, in their order.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| span.first_day.unwrap_or(Date::MIN));
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        let reaches = |last: &Span| {
            let next = last.last_day.map(|day| day.tomorrow().unwrap_or(Date::MAX));
            next.is_none_or(|next| span.first_day.is_none_or(|first| first <= next))
        };
        match joined.last_mut().filter(|last| reaches(last)) {
            Some(last) => last.last_day = last.last_day.zip(span.last_day).map(|(a, b)| a.max(b)),
            None => joined.push(span),
        }
    }
    joined
}

/// Whether a finding tells of nothing but what is seen: `sees` answers for each version of a report that it is about.
pub fn is_shown(finding: &Finding, mut sees: impl FnMut(ReportName, Revision) -> bool) -> bool {
    finding.unnamed_others == 0 && finding.others.iter().all(|(report, version)| sees(*report, *version))
}
