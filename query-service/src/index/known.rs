//! What answers are made from: the index as it was at the end of some change.

use std::{cell::OnceCell, sync::Arc};

use jiff::{Timestamp, civil::Date};
use shared::{
    model::{
        finding::Finding,
        ids::{FormId, IndicatorId, ReportName, UnitId},
        log::Revision,
        period::Span,
        report::Scope,
    },
    registry::Registry,
};

use super::{
    Column, Columns, Filed, FindingKey, Index, Layout, LayoutKey, MemoRows, Split, effort,
    statement::{ReportVersion, Statement, observation_at},
    versions::VersionRecord,
};

/// What was known at the end of a change: what answers are made from.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    index: &'a Index,
    registry: Registry,
    revision: Revision,
    recorded_at: Option<Timestamp>,
    /// Numbers of units of which something was said since, as bits.
    units_since: OnceCell<Vec<u64>>,
}

/// Which statements are looked for.
#[derive(Clone, Copy)]
enum Said {
    /// Of the unit itself, by reports on it or on a group of which it is one.
    OfIt,
    /// By reports on it.
    ByIt,
    /// Both.
    Any,
}

impl Said {
    fn takes(self, statement: &Statement, unit: &UnitId) -> bool {
        let observation = statement.observation();
        let is_by_it = statement.report().unit == *unit;
        // What is said of each unit of a group stands with those units.
        let is_of_it = statement.is_of_each() && observation.units.contains(unit);
        match self {
            Self::OfIt => is_of_it || is_by_it && observation.scope == Scope::Own,
            Self::ByIt => is_by_it,
            Self::Any => is_of_it || is_by_it && !statement.is_of_each(),
        }
    }
}

impl<'a> Known<'a> {
    pub(super) fn new(
        index: &'a Index,
        registry: Registry,
        revision: Revision,
        recorded_at: Option<Timestamp>,
    ) -> Self {
        Self { index, registry, revision, recorded_at, units_since: OnceCell::new() }
    }

    /// The end of that change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// When it was recorded; none before the first.
    pub fn recorded_at(&self) -> Option<Timestamp> {
        self.recorded_at
    }

    /// Units, indicators, terms.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The columns of what units say of themselves about an indicator, split that way. They are of the newest revision: see
    /// [`Self::is_unchanged`].
    pub fn columns(&self, indicator: &IndicatorId, by: &Split) -> Option<&'a Columns> {
        self.index.about.get(indicator)?.own.get(by)
    }

    /// The number of a unit, its place in columns; none if nothing was ever said of it.
    pub fn number_of(&self, unit: &UnitId) -> Option<u32> {
        self.index.versions.number_of(unit)
    }

    /// Whether columns say of a unit what was known at this revision, too.
    pub fn is_unchanged(&self, unit: u32) -> bool {
        if self.revision == self.index.revision {
            return true;
        }
        self.changed_word(unit / u64::BITS) & 1 << (unit % u64::BITS) == 0
    }

    /// A bit for each of 64 units from `64 × word` on of which columns do not say what was known at this revision.
    pub fn changed_word(&self, word: u32) -> u64 {
        if self.revision == self.index.revision {
            return 0;
        }
        let changed = self.units_since.get_or_init(|| {
            effort::spend_much();
            let mut words = Vec::new();
            for unit in self.index.versions.units_after(self.revision) {
                let word = (unit / u64::BITS) as usize;
                if words.len() <= word {
                    words.resize(word + 1, 0);
                }
                words[word] |= 1 << (unit % u64::BITS);
            }
            words
        });
        changed.get(word as usize).copied().unwrap_or_default()
    }

    /// The table of what is worked out from columns for the rows of a layout; none unless columns say what was known.
    pub fn memo<T: Send + Sync + 'static>(
        &self,
        way: &[usize],
        layout: &Arc<Layout>,
        columns: &[&Arc<Column>],
    ) -> Option<Arc<MemoRows<T>>> {
        (self.revision == self.index.revision).then(|| self.index.memo.rows(way, layout, columns))
    }

    /// The unit with that number.
    pub fn unit(&self, number: u32) -> Option<&'a UnitId> {
        self.index.versions.unit(number)
    }

    /// The units of the rows of a question, which are laid out if they are not yet.
    ///
    /// # Errors
    /// Why they cannot be laid out.
    pub fn layout<E>(&self, key: LayoutKey, make: impl FnOnce() -> Result<Layout, E>) -> Result<Arc<Layout>, E> {
        self.index.layouts.get(key, make)
    }

    /// The day from which the map is as it is on that day.
    pub fn map_day(&self, day: Date) -> Date {
        self.index.layouts.map_day(&self.registry, day)
    }

    /// Whether anything was ever said about an indicator other than of the unit itself and not split.
    pub fn has_other_scopes(&self, indicator: &IndicatorId) -> bool {
        let about = self.index.about.get(indicator);
        about.is_some_and(|about| about.below.len() > 0 || about.own.keys().any(|by| !by.is_empty()))
    }

    /// Findings about a statement that were still so: its own, and those of later reports that disagree with it.
    pub fn findings(&self, statement: &Statement) -> Vec<(FindingKey, Finding)> {
        let own = statement.findings().map(|(place, finding)| ((statement.source.revision(), place), finding.clone()));
        let version = (statement.report().name, statement.source.revision());
        let named_by = self.index.named_by.get(&version).into_iter().flatten();
        let others = named_by.filter_map(|(revision, place)| {
            let source = self.index.version_at(self.index.versions.find(*revision)?)?;
            let finding = source.findings().get(*place)?;
            let theirs = source.report().observations.get(observation_at(&finding.path)?)?;
            let is_meant = statement.is_meant_by(finding, source.report(), theirs);
            let is_about_it = is_meant && self.counts(source.report().name, source.revision());
            is_about_it.then(|| ((*revision, *place), finding.clone()))
        });
        own.chain(others).filter(|(_, finding)| finding.is_open(|name, version| self.counts(name, version))).collect()
    }

    fn counts(&self, name: ReportName, version: Revision) -> bool {
        let versions = &self.index.versions;
        let found = versions
            .find(version)
            .filter(|place| versions.get(*place).is_some_and(|record| versions.name(record) == Some(name)));
        found.is_some_and(|place| self.counts_at(place, version))
    }

    fn counts_at(&self, place: u32, revision: Revision) -> bool {
        let ended_at = self.index.versions.ended_at(place);
        revision <= self.revision && ended_at.is_none_or(|end| self.revision < end)
    }

    /// Statements of a unit about an indicator (none: about any) by versions of some days, in the order of report, version
    /// and place.
    fn statements(
        &self,
        indicator: Option<&IndicatorId>,
        unit: &UnitId,
        said: Said,
        counting: bool,
        days: impl Fn(&Span) -> bool,
    ) -> Vec<Statement> {
        let versions = &self.index.versions;
        let Some(number) = versions.number_of(unit) else { return Vec::new() };
        let is_meant = |place: u32, record: &VersionRecord| {
            record.revision <= self.revision
                && indicator.is_none_or(|indicator| versions.may_say(record, indicator))
                && days(&versions.span(record))
                && (!counting || self.counts_at(place, record.revision))
        };
        let mut found = Vec::new();
        for place in versions.of_unit(number) {
            effort::spend(effort::LOOK);
            if !versions.get(*place).is_some_and(|record| is_meant(*place, record)) {
                continue;
            }
            let Some(version) = self.index.version_at(*place) else { continue };
            let is_about_it = |statement: &Statement| {
                indicator.is_none_or(|indicator| statement.observation().indicator == *indicator)
            };
            let statements = version.statements(versions.ended_at(*place));
            found.extend(statements.filter(is_about_it).filter(|statement| said.takes(statement, unit)));
        }
        found.sort_by_key(Statement::key);
        found
    }

    /// Every version of what reports on a unit, or on a group of which it is one, ever said about that indicator.
    pub fn ever(&self, indicator: &IndicatorId, unit: &UnitId) -> Vec<Statement> {
        self.statements(Some(indicator), unit, Said::Any, false, |_| true)
    }

    /// Whether a statement that no longer counted had been followed by a later version of its report; else the report had
    /// been withdrawn. None: it still counted.
    pub fn was_superseded(&self, statement: &Statement) -> Option<bool> {
        let versions = &self.index.versions;
        let ended_at = statement.ended_at.filter(|end| *end <= self.revision)?;
        let next = versions.find(ended_at).and_then(|place| versions.get(place));
        Some(next.is_some_and(|next| versions.name(next) == Some(statement.report().name)))
    }

    /// What is said of that unit itself about that indicator, by reports on it or on a group of which it is one, as far as
    /// it counted and is of such days.
    pub fn own(&self, indicator: &IndicatorId, unit: &UnitId, days: impl Fn(&Span) -> bool) -> Vec<Statement> {
        self.statements(Some(indicator), unit, Said::OfIt, true, days)
    }

    /// What reports on that unit say about that indicator, of itself, of those below it and of groups, as far as it counted
    /// and is of such days.
    pub fn all(&self, indicator: &IndicatorId, unit: &UnitId, days: impl Fn(&Span) -> bool) -> Vec<Statement> {
        self.statements(Some(indicator), unit, Said::ByIt, true, days)
    }

    /// The same about every indicator.
    pub fn by_unit(&self, unit: &UnitId) -> Vec<Statement> {
        self.statements(None, unit, Said::ByIt, true, |_| true)
    }

    /// The versions of reports of a unit on a form for those days that counted, each with when the first version of the same
    /// report was recorded.
    pub fn filed(&self, form: &FormId, unit: &UnitId, days: Span) -> Vec<(Filed, Timestamp)> {
        let key = (form.as_str().to_owned(), unit.clone());
        let places = self.index.filed.get(&key).into_iter().flatten();
        let known = places.filter(|place| {
            let record = self.index.versions.get(**place);
            record.is_some_and(|it| it.revision <= self.revision && self.index.versions.span(it) == days)
        });
        let filed: Vec<(u32, Filed)> =
            known.filter_map(|place| Some((*place, Filed::of(&self.index.version_at(*place)?)))).collect();
        let first = |counting: &Filed| {
            let same = filed
                .iter()
                .map(|(_, filed)| filed)
                .filter(|filed| (filed.report, filed.organ) == (counting.report, counting.organ));
            same.map(|filed| filed.recorded_at).min().unwrap_or(counting.recorded_at)
        };
        let counting = filed.iter().filter(|(place, filed)| self.counts_at(*place, filed.revision));
        counting.map(|(_, filed)| (filed.clone(), first(filed))).collect()
    }

    /// A finding, and the report that has it.
    pub fn finding(&self, (revision, place): FindingKey) -> Option<(ReportName, Finding)> {
        let version = self.index.version_at(self.index.versions.find(revision)?)?;
        Some((version.report().name, version.findings().get(place)?.clone()))
    }

    /// Every version that counted and may say something about one of these indicators, oldest first.
    pub fn counting(&self, about: &[IndicatorId]) -> impl Iterator<Item = ReportVersion> {
        effort::spend_much();
        let versions = &self.index.versions;
        let is_about = |record: &VersionRecord| about.iter().any(|indicator| versions.may_say(record, indicator));
        let counts = move |place: &u32| {
            let record = versions.get(*place).filter(|record| is_about(record));
            record.is_some_and(|record| self.counts_at(*place, record.revision))
        };
        versions.places().filter(counts).filter_map(|place| self.index.version_at(place))
    }

    /// What all units say of those below them and of groups about that indicator, as far as it counted; oldest first.
    pub fn below(&self, indicator: &IndicatorId) -> Vec<Statement> {
        let versions = &self.index.versions;
        let about = self.index.about.get(indicator);
        let places = about.into_iter().flat_map(|about| about.below.iter_from(0));
        let counting = places
            .filter(|(place, _)| versions.get(*place).is_some_and(|record| self.counts_at(*place, record.revision)));
        let statement = |(place, index): &(u32, u32)| {
            let source = self.index.version_at(*place)?;
            Some(Statement { source, index: *index as usize, ended_at: versions.ended_at(*place) })
        };
        counting.filter_map(statement).collect()
    }
}
