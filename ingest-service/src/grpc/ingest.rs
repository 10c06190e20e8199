use std::{ops::Bound, sync::Arc};

use prost::Message;
use proto::v1::{
    CompareReportVersionsRequest, CompareReportVersionsResponse, GetReportRequest, GetReportResponse,
    ListFindingsRequest, ListFindingsResponse, ListReportVersionsRequest, ListReportVersionsResponse,
    ListReportsRequest, ListReportsResponse, Report, SubmitReportRequest, SubmitReportResponse, WithdrawReportRequest,
    WithdrawReportResponse, ingest_service_server::IngestService, list_report_versions_response,
};
use shared::{
    admit::off_thread,
    change::Entry,
    codec,
    convert::ingest as door,
    limits::PAGE_BYTES_MAX,
    model::{
        fault::{Fault, Reason},
        finding::FindingRow,
        ids::ReportName,
        log::Revision,
    },
    page::take_page,
    serve::Stop,
    status::status,
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    receipt_revision,
    registry::unit_named,
    stream::{Acknowledgements, Streams},
};
use crate::{
    config::StreamRules,
    log::Log,
    metrics::METRICS,
    submit::{Receipt, ReportRecord, Snapshot, Submitter, Work},
};

/// IngestService.
pub struct IngestHandlers {
    /// The writer.
    pub submitter: Submitter,
    /// Where the bodies of reports are.
    pub log: Arc<dyn Log>,
    /// When streams are to end.
    pub stop: Stop,
    /// What a stream may take.
    pub stream_rules: StreamRules,
}

#[tonic::async_trait]
impl IngestService for IngestHandlers {
    async fn submit_report(
        &self,
        request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        let submitted = self.submit(request.get_ref()).await;
        match &submitted {
            Ok(_) => _ = METRICS.accepted.inc(),
            Err(fault) => METRICS.count_refused(fault),
        }
        Ok(Response::new(submitted.map_err(|fault| status(&fault))?))
    }

    type SubmitReportsStream = Acknowledgements;

    async fn submit_reports(
        &self,
        request: Request<Streaming<SubmitReportRequest>>,
    ) -> Result<Response<Acknowledgements>, Status> {
        let (submitter, log) = (self.submitter.clone(), self.log.clone());
        let streams = Streams { submitter, log, stop: self.stop.clone(), rules: self.stream_rules };
        Ok(Response::new(streams.open(request.into_inner())))
    }

    async fn get_report(&self, request: Request<GetReportRequest>) -> Result<Response<GetReportResponse>, Status> {
        let report = self.find(request.get_ref()).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(GetReportResponse { report: Some(report) }))
    }

    async fn list_report_versions(
        &self,
        request: Request<ListReportVersionsRequest>,
    ) -> Result<Response<ListReportVersionsResponse>, Status> {
        let answer = self.versions(request.get_ref()).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn compare_report_versions(
        &self,
        request: Request<CompareReportVersionsRequest>,
    ) -> Result<Response<CompareReportVersionsResponse>, Status> {
        let answer = self.compare(request.get_ref()).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn list_reports(
        &self,
        request: Request<ListReportsRequest>,
    ) -> Result<Response<ListReportsResponse>, Status> {
        let answer = self.reports(request.get_ref()).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let answer = self.findings(request.get_ref()).map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }

    async fn withdraw_report(
        &self,
        request: Request<WithdrawReportRequest>,
    ) -> Result<Response<WithdrawReportResponse>, Status> {
        let answer = self.withdraw(request.get_ref()).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(answer))
    }
}

impl IngestHandlers {
    async fn submit(&self, request: &SubmitReportRequest) -> Result<SubmitReportResponse, Fault> {
        let command = door::submit(request).map_err(|unreadable| self.submitter.refuse(*unreadable))?;
        let command = Box::new(command);
        let receipt = self.submitter.submit(Work::Report(command)).await?;
        let revision = receipt_revision(&receipt);
        let report = match receipt {
            Receipt::There(revision) => self.version(revision).await?,
            Receipt::Written { last, .. } => door::report_of(&last).unwrap_or_default(),
            Receipt::Valid { last, .. } => {
                let would_be = last.and_then(|last| door::report_of(&last)).unwrap_or_default();
                // What a new report would be called, and when it would be recorded, is not known before it is.
                let name = if would_be.version == 1 { String::new() } else { would_be.name };
                Report { name, revision: 0, record_time: None, ..would_be }
            }
        };
        Ok(SubmitReportResponse { revision, findings: report.findings.clone(), report: Some(report) })
    }

    async fn withdraw(&self, request: &WithdrawReportRequest) -> Result<WithdrawReportResponse, Fault> {
        let receipt = self.submitter.submit(Work::Withdrawal(door::withdraw(request)?)).await?;
        Ok(WithdrawReportResponse { revision: receipt_revision(&receipt) })
    }

    async fn versions(&self, request: &ListReportVersionsRequest) -> Result<ListReportVersionsResponse, Fault> {
        let (name, page) = door::list_report_versions(request)?;
        let snapshot = self.submitter.snapshot();
        record_named(&snapshot, name)?;
        let cursor = page.cursor(self.log.store(), snapshot.revision)?;
        let after = cursor.after.parse().map_or(Revision::ZERO, |number: u64| Revision::from(number));
        let history = snapshot.history_of(name, cursor.snapshot).into_iter().filter(|revision| *revision > after);
        let (log, wanted): (_, Vec<Revision>) = (self.log.clone(), history.take(page.rows + 1).collect());
        let read = move || {
            let row = |revision: Revision| {
                let corrupt = || Fault::new(Reason::DataCorrupt, format!("revision {revision} is no report"));
                door::version_row(&entry_at(&*log, revision)?).ok_or_else(corrupt)
            };
            wanted.into_iter().map(row).collect::<Result<Vec<_>, Fault>>()
        };
        let rows = off_thread(read).await?;
        let id = |row: &list_report_versions_response::Row| row.revision.to_string();
        let (versions, next_page_token) = take_page(&page, self.log.store(), &cursor, rows.iter(), id, Clone::clone);
        Ok(ListReportVersionsResponse { versions, next_page_token })
    }

    async fn compare(&self, request: &CompareReportVersionsRequest) -> Result<CompareReportVersionsResponse, Fault> {
        let query = door::compare_report_versions(request)?;
        let snapshot = self.submitter.snapshot();
        let record = record_named(&snapshot, query.name)?;
        let newer = query.version.map_or(record.versions.len(), |version| version as usize);
        let base = query.base.map_or(newer.saturating_sub(1), |version| version as usize);
        let (base, newer) = (version_numbered(record, query.name, base)?, version_numbered(record, query.name, newer)?);
        let log = self.log.clone();
        let read = move || {
            let corrupt = || Fault::new(Reason::DataCorrupt, format!("revision {newer} is no report"));
            door::comparison(&entry_at(&*log, base)?, &entry_at(&*log, newer)?).ok_or_else(corrupt)
        };
        off_thread(read).await
    }

    async fn find(&self, request: &GetReportRequest) -> Result<Report, Fault> {
        let (name, version) = door::get_report(request)?;
        let snapshot = self.submitter.snapshot();
        let not_found = |message| Fault::new(Reason::ReportNotFound, message);
        let record = record_named(&snapshot, name)?;
        let number = version.map_or(record.versions.len(), |version| version as usize);
        let version = version_numbered(record, name, number)?;
        let withdrawal = record.withdrawal_at(snapshot.revision);
        let mut reports = self.bodies(vec![(version, withdrawal)]).await?;
        reports.pop().ok_or_else(|| not_found(format!("there is no {name}")))
    }

    async fn reports(&self, request: &ListReportsRequest) -> Result<ListReportsResponse, Fault> {
        let (unit, page) = door::list_reports(request)?;
        let snapshot = self.submitter.snapshot();
        if let Some(unit) = &unit {
            unit_named(&snapshot.registry, unit)?;
        }
        let cursor = page.cursor(self.log.store(), snapshot.revision)?;
        let after = ReportName(cursor.after.parse().unwrap_or(0));
        let reports = snapshot.reports.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, record)| record);
        let versions = reports.filter_map(|record| {
            let (version, about) = record.version_at(cursor.snapshot)?;
            let is_wanted = unit.as_ref().is_none_or(|unit| unit == about);
            is_wanted.then(|| (version, record.withdrawal_at(cursor.snapshot)))
        });
        let reports = self.bodies(versions.take(page.rows + 1).collect()).await?;
        let number = |report: &Report| report.name.trim_start_matches("reports/").to_owned();
        let (reports, next_page_token) =
            take_page(&page, self.log.store(), &cursor, reports.iter(), number, Report::clone);
        Ok(ListReportsResponse { reports, next_page_token })
    }

    fn findings(&self, request: &ListFindingsRequest) -> Result<ListFindingsResponse, Fault> {
        let (filter, page) = door::list_findings(request)?;
        let snapshot = self.submitter.snapshot();
        if let Some(unit) = &filter.unit {
            unit_named(&snapshot.registry, unit)?;
        }
        let cursor = page.cursor(self.log.store(), snapshot.revision)?;
        // The last row: revision of its version, and its place among the findings of that version.
        let after =
            cursor.after.split_once('.').and_then(|(r, p)| Some((r.parse::<u64>().ok()?, p.parse::<usize>().ok()?)));
        let from = Revision::from(after.map_or(0, |(revision, _)| revision));
        let rows = snapshot.findings_after(from, cursor.snapshot).filter(|(place, row)| {
            after.is_none_or(|after| (row.revision.get(), *place) > after)
                && (filter.include_resolved || !row.is_resolved)
                && filter.unit.as_ref().is_none_or(|unit| row.unit == *unit)
                && filter.severity.is_none_or(|severity| row.finding.severity == severity)
        });
        let rows: Vec<(usize, FindingRow)> = rows.take(page.rows + 1).collect();
        let id = |(place, row): &(usize, FindingRow)| format!("{}.{place}", row.revision);
        let (findings, next_page_token) =
            take_page(&page, self.log.store(), &cursor, rows.iter(), id, |(_, row)| door::finding_row(row));
        Ok(ListFindingsResponse { findings, next_page_token })
    }

    /// The version of a report at that revision.
    async fn version(&self, revision: Revision) -> Result<Report, Fault> {
        let mut reports = self.bodies(vec![(revision, None)]).await?;
        reports.pop().ok_or_else(|| Fault::new(Reason::DataCorrupt, format!("revision {revision} is missing")))
    }

    /// Versions of reports at these revisions, each with the withdrawal at that revision if there is one; no more than a
    /// page holds, and one that it does not.
    async fn bodies(&self, revisions: Vec<(Revision, Option<Revision>)>) -> Result<Vec<Report>, Fault> {
        let log = self.log.clone();
        let read = move || {
            let (mut reports, mut bytes) = (Vec::new(), 0);
            for (version, withdrawal) in revisions {
                let corrupt = || Fault::new(Reason::DataCorrupt, format!("revision {version} is no report"));
                let mut report = door::report_of(&entry_at(&*log, version)?).ok_or_else(corrupt)?;
                if let Some(withdrawal) = withdrawal {
                    report.withdrawal = door::withdrawal_of(&entry_at(&*log, withdrawal)?);
                }
                bytes += report.encoded_len();
                reports.push(report);
                if bytes > PAGE_BYTES_MAX {
                    break;
                }
            }
            Ok(reports)
        };
        off_thread(read).await
    }
}

fn record_named(snapshot: &Snapshot, name: ReportName) -> Result<&ReportRecord, Fault> {
    snapshot.reports.get(&name).ok_or_else(|| Fault::new(Reason::ReportNotFound, format!("there is no {name}")))
}

/// The revision of the version with that number, from 1.
fn version_numbered(record: &ReportRecord, name: ReportName, number: usize) -> Result<Revision, Fault> {
    let version = number.checked_sub(1).and_then(|index| record.versions.get(index));
    version.map(|(version, _)| *version).ok_or_else(|| {
        let message = format!("{name} has {} versions, there is no version {number}", record.versions.len());
        Fault::new(Reason::ReportNotFound, message)
    })
}

pub(super) fn entry_at(log: &dyn Log, revision: Revision) -> Result<Entry, Fault> {
    let corrupt = |message: String| Fault::new(Reason::DataCorrupt, message);
    let before = Revision::from(revision.get().saturating_sub(1));
    let records = log.read(before, 1).map_err(|error| corrupt(error.to_string()))?;
    let record = records.first().ok_or_else(|| corrupt(format!("revision {revision} is missing")))?;
    codec::decode(record).map_err(|fault| corrupt(fault.to_string()))
}
