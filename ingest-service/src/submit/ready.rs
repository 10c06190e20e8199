//! A report with all that can be found out about it before it is its turn, by many threads at once: what is wrong with it,
//! what it would be stored as, what is odd about it, what it claims. What is left for the writer is what depends on other
//! reports.

use jiff::Timestamp;
use shared::{
    change::{Change, Entry},
    codec::EncodedReport,
    model::{
        access::Caller,
        command::{Command, SubmitRequest},
        fault::Fault,
        finding::Finding,
        ids::ReportName,
        log::Revision,
        report::Report,
    },
    registry::Registry,
};

use super::{
    check::check_report,
    findings::{self, Claims, Defined, Looks},
    not_encodable,
    state::{Identity, identity},
};

/// What is known of a report that was looked at against a registry.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    /// Newest change of that registry.
    registry: Revision,
    /// The report as it would be stored, but for its name and version.
    pub(super) report: Box<Report>,
    /// What is odd about it, other reports apart.
    pub(super) findings: Vec<Finding>,
    /// Where other reports may have something to say about it.
    pub(super) looks: Looks,
    /// What the state keeps of it.
    pub(super) facts: Facts,
    /// Its bytes, with the findings above as far as an entry has room for them.
    pub(super) encoded: EncodedReport,
}

/// What the state keeps of a report.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) identity: Identity,
    pub(super) claims: Claims,
}

impl Facts {
    pub(super) fn of(registry: &Registry, report: &Report) -> Self {
        Self::with(&findings::defined(registry, report.period.span().last_day, &report.observations), report)
    }

    fn with(defined: &[Defined<'_>], report: &Report) -> Self {
        let identity = identity(&report.unit, report.organ, &report.form, report.period.written(), &report.source);
        Self { identity, claims: Claims::of(report, defined) }
    }
}

impl Ready {
    /// Looks at a report against this registry. The command's observations become those of the report.
    ///
    /// # Errors
    /// Every violation, each with its path.
    pub(super) fn of(registry: &Registry, command: &mut Command<SubmitRequest>, by: &Caller) -> Result<Self, Fault> {
        let draft = &mut command.content.draft;
        let (period, defined) = check_report(registry, draft)?;
        let findings = findings::of_draft(registry, draft, &period, &defined);
        // What is measured is fixed with the report: a later definition leaves it as it is.
        let mut observations = std::mem::take(&mut draft.observations);
        for (observation, defined) in observations.iter_mut().zip(&defined) {
            observation.indicator_version = defined.then.map_or(1, |known| known.version);
        }
        let report = Box::new(Report {
            name: ReportName(1),
            version: 1,
            unit: draft.unit.clone(),
            organ: draft.organ,
            period,
            issuer: draft.issuer.clone(),
            sender: draft.sender.clone(),
            form: draft.form.clone(),
            source: draft.source.clone(),
            observations,
            note: draft.note.clone(),
        });
        let (facts, looks) = (Facts::with(&defined, &report), Looks::of(registry, &report, &defined));
        // As an entry will be, so that its bytes are known to be readable.
        let entry = Entry {
            revision: Revision::ZERO.next(),
            record_time: Timestamp::UNIX_EPOCH,
            ends_change: true,
            request: command.request,
            principal: by.name.clone(),
            findings: findings::bounded(findings.clone()),
            change: Change::ReportSubmitted(report),
        };
        let encoded = EncodedReport::of(&entry).map_err(|fault| not_encodable(&fault))?;
        let Change::ReportSubmitted(report) = entry.change else { unreachable!("it was put there above") };
        Ok(Self { registry: registry.revision(), report, findings, looks, facts, encoded })
    }

    /// The same against this registry, if it does not hold for it already.
    ///
    /// # Errors
    /// Every violation, each with its path.
    pub(super) fn renewed(
        self,
        registry: &Registry,
        command: &mut Command<SubmitRequest>,
        by: &Caller,
    ) -> Result<Self, Fault> {
        if self.holds_for(registry) {
            return Ok(self);
        }
        command.content.draft.observations = self.report.observations;
        Self::of(registry, command, by)
    }

    /// Whether it still says what a look against this registry would say.
    fn holds_for(&self, registry: &Registry) -> bool {
        self.registry == registry.revision()
    }
}
