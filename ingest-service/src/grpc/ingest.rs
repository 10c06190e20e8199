use std::{ops::Bound, sync::Arc};

use prost::Message;
use proto::v1::{
    CompareReportVersionsRequest, CompareReportVersionsResponse, GetReportRequest, GetReportResponse,
    ListFindingsRequest, ListFindingsResponse, ListReportVersionsRequest, ListReportVersionsResponse,
    ListReportsRequest, ListReportsResponse, Report, SubmitReportRequest, SubmitReportResponse, WithdrawReportRequest,
    WithdrawReportResponse, ingest_service_server::IngestService, list_report_versions_response,
};
use shared::{
    access::{caller, denied, told},
    admit::off_thread,
    change::{Change, Entry},
    codec,
    convert::ingest as door,
    limits::PAGE_BYTES_MAX,
    model::{
        command::{Command, SubmitRequest},
        fault::{Fault, Reason},
        finding::FindingRow,
        ids::ReportName,
        log::Revision,
    },
    page::take_page,
    registry::is_shown,
    serve::Stop,
    status::status,
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    receipt_revision,
    registry::unit_named,
    seen::Seen,
    stream::{Acknowledgements, Streams},
};
use crate::{
    config::StreamRules,
    log::Log,
    metrics::METRICS,
    submit::{Receipt, ReportRecord, Submitter, Work},
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
        let submitted = self.submit(&request).await;
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
        let (submitter, log, by) = (self.submitter.clone(), self.log.clone(), caller(&request));
        let streams = Streams { submitter, log, by, stop: self.stop.clone(), rules: self.stream_rules };
        Ok(Response::new(streams.open(request.into_inner())))
    }

    async fn get_report(&self, request: Request<GetReportRequest>) -> Result<Response<GetReportResponse>, Status> {
        let report = self.find(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(GetReportResponse { report: Some(report) }))
    }

    async fn list_report_versions(
        &self,
        request: Request<ListReportVersionsRequest>,
    ) -> Result<Response<ListReportVersionsResponse>, Status> {
        let answer = self.versions(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn compare_report_versions(
        &self,
        request: Request<CompareReportVersionsRequest>,
    ) -> Result<Response<CompareReportVersionsResponse>, Status> {
        let answer = self.compare(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_reports(
        &self,
        request: Request<ListReportsRequest>,
    ) -> Result<Response<ListReportsResponse>, Status> {
        let answer = self.reports(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let answer = self.findings(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }

    async fn withdraw_report(
        &self,
        request: Request<WithdrawReportRequest>,
    ) -> Result<Response<WithdrawReportResponse>, Status> {
        let answer = self.withdraw(&request).await.map_err(|fault| status(&told(&caller(&request), fault)))?;
        Ok(Response::new(answer))
    }
}

impl IngestHandlers {
    fn seen<T>(&self, request: &Request<T>) -> Seen {
        Seen { caller: caller(request), snapshot: self.submitter.snapshot(), log: self.log.clone() }
    }

    async fn submit(&self, request: &Request<SubmitReportRequest>) -> Result<SubmitReportResponse, Fault> {
        let seen = self.seen(request);
        let command = command_of(&self.submitter, &seen, request.get_ref()).await?;
        let receipt = self.submitter.submit(Work::Report(Box::new(command)), &seen.caller).await?;
        // What was found may name reports that came meanwhile.
        let seen = self.seen(request);
        let revision = receipt_revision(&receipt);
        let report = match receipt {
            Receipt::There(revision) => self.version(&seen, revision).await?,
            Receipt::Written { last, .. } => door::report_of(&seen.shown(*last)).unwrap_or_default(),
            Receipt::Valid { last, .. } => {
                let would_be = last.and_then(|last| door::report_of(&seen.shown(*last))).unwrap_or_default();
                // What a new report would be called, and when it would be recorded, is not known before it is.
                let name = if would_be.version == 1 { String::new() } else { would_be.name };
                Report { name, revision: 0, record_time: None, ..would_be }
            }
        };
        Ok(SubmitReportResponse { revision, findings: report.findings.clone(), report: Some(report) })
    }

    async fn withdraw(&self, request: &Request<WithdrawReportRequest>) -> Result<WithdrawReportResponse, Fault> {
        let mut command = door::withdraw(request.get_ref())?;
        let seen = self.seen(request);
        let (name, expected, looking) = (command.content.name, command.content.expected_revision, seen.clone());
        command.content.expected_revision = off_thread(move || looking.guarded(name, expected)).await?;
        let receipt = self.submitter.submit(Work::Withdrawal(command), &seen.caller).await?;
        Ok(WithdrawReportResponse { revision: receipt_revision(&receipt) })
    }

    async fn versions(
        &self,
        request: &Request<ListReportVersionsRequest>,
    ) -> Result<ListReportVersionsResponse, Fault> {
        let (name, page) = door::list_report_versions(request.get_ref())?;
        let (seen, store) = (self.seen(request), self.log.store());
        off_thread(move || {
            seen.record(name)?;
            let snapshot = &seen.snapshot;
            let cursor = page.cursor(store, snapshot.revision)?;
            let after = cursor.after.parse().map_or(Revision::ZERO, |number: u64| Revision::from(number));
            let history = snapshot.history_of(name, cursor.snapshot).into_iter().filter(|revision| *revision > after);
            let mut rows = Vec::new();
            for revision in history {
                let corrupt = || Fault::new(Reason::DataCorrupt, format!("revision {revision} is no report"));
                let entry = entry_at(&*seen.log, revision)?;
                // Earlier versions may have been about other units.
                let is_hidden = matches!(entry.change, Change::ReportSubmitted(_)) && seen.version(revision)?.is_none();
                if !is_hidden {
                    rows.push(door::version_row(&entry).ok_or_else(corrupt)?);
                }
                if rows.len() > page.rows {
                    break;
                }
            }
            let id = |row: &list_report_versions_response::Row| row.revision.to_string();
            let (versions, next_page_token) = take_page(&page, store, &cursor, rows.iter(), id, Clone::clone);
            Ok(ListReportVersionsResponse { versions, next_page_token })
        })
        .await
    }

    async fn compare(
        &self,
        request: &Request<CompareReportVersionsRequest>,
    ) -> Result<CompareReportVersionsResponse, Fault> {
        let query = door::compare_report_versions(request.get_ref())?;
        let seen = self.seen(request);
        off_thread(move || {
            let record = seen.record(query.name)?;
            let newer = query.version.map_or(record.versions.len(), |version| version as usize);
            let base = query.base.map_or(newer.saturating_sub(1), |version| version as usize);
            let base = version_numbered(record, query.name, base)?;
            let newer = version_numbered(record, query.name, newer)?;
            let read = |revision| seen.version(revision)?.ok_or_else(|| denied(&query.name.to_string()));
            let corrupt = || Fault::new(Reason::DataCorrupt, format!("revision {newer} is no report"));
            door::comparison(&read(base)?, &read(newer)?).ok_or_else(corrupt)
        })
        .await
    }

    async fn find(&self, request: &Request<GetReportRequest>) -> Result<Report, Fault> {
        let (name, version) = door::get_report(request.get_ref())?;
        let seen = self.seen(request);
        off_thread(move || {
            let record = seen.record(name)?;
            let number = version.map_or(record.versions.len(), |version| version as usize);
            let version = version_numbered(record, name, number)?;
            let withdrawal = record.withdrawal_at(seen.snapshot.revision);
            body(&seen, version, withdrawal)?.ok_or_else(|| denied(&name.to_string()))
        })
        .await
    }

    async fn reports(&self, request: &Request<ListReportsRequest>) -> Result<ListReportsResponse, Fault> {
        let (unit, page) = door::list_reports(request.get_ref())?;
        let (seen, store) = (self.seen(request), self.log.store());
        off_thread(move || {
            let registry = seen.registry_at(seen.snapshot.revision);
            if let Some(unit) = &unit {
                unit_named(&registry, unit)?;
            }
            let cursor = page.cursor(store, seen.snapshot.revision)?;
            let after = ReportName(cursor.after.parse().unwrap_or(0));
            let (mut reports, mut bytes) = (Vec::new(), 0);
            for (_, record) in seen.snapshot.reports.range((Bound::Excluded(after), Bound::Unbounded)) {
                let Some((version, about)) = record.version_at(cursor.snapshot) else { continue };
                let is_wanted = unit.as_ref().map_or(registry.record_of(about).is_some(), |unit| unit == about);
                if !is_wanted {
                    continue;
                }
                // One that its unit does not hide may be of a day on which it is not seen.
                let Some(report) = body(&seen, version, record.withdrawal_at(cursor.snapshot))? else { continue };
                bytes += report.encoded_len();
                reports.push(report);
                if bytes > PAGE_BYTES_MAX || reports.len() > page.rows {
                    break;
                }
            }
            let number = |report: &Report| report.name.trim_start_matches("reports/").to_owned();
            let (reports, next_page_token) = take_page(&page, store, &cursor, reports.iter(), number, Report::clone);
            Ok(ListReportsResponse { reports, next_page_token })
        })
        .await
    }

    async fn findings(&self, request: &Request<ListFindingsRequest>) -> Result<ListFindingsResponse, Fault> {
        let (filter, page) = door::list_findings(request.get_ref())?;
        let (seen, store) = (self.seen(request), self.log.store());
        off_thread(move || {
            let registry = seen.registry_at(seen.snapshot.revision);
            if let Some(unit) = &filter.unit {
                unit_named(&registry, unit)?;
            }
            let cursor = page.cursor(store, seen.snapshot.revision)?;
            // The last row: revision of its version, and its place among the findings of that version.
            let after = cursor
                .after
                .split_once('.')
                .and_then(|(r, p)| Some((r.parse::<u64>().ok()?, p.parse::<usize>().ok()?)));
            let from = Revision::from(after.map_or(0, |(revision, _)| revision));
            let is_all = seen.caller.scope.is_everything();
            let rows = seen.snapshot.findings_after(from, cursor.snapshot).filter(|(place, row)| {
                after.is_none_or(|after| (row.revision.get(), *place) > after)
                    && (filter.include_resolved || !row.is_resolved)
                    && filter.unit.as_ref().is_none_or(|unit| row.unit == *unit)
                    && filter.severity.is_none_or(|severity| row.finding.severity == severity)
                    && (is_all
                        || registry.record_of(&row.unit).is_some()
                            && seen.sees_version(row.revision)
                            && is_shown(&row.finding, |_, version| seen.sees_version(version)))
            });
            let rows: Vec<(usize, FindingRow)> = rows.take(page.rows + 1).collect();
            let id = |(place, row): &(usize, FindingRow)| format!("{}.{place}", row.revision);
            let (findings, next_page_token) =
                take_page(&page, store, &cursor, rows.iter(), id, |(_, row)| door::finding_row(row));
            Ok(ListFindingsResponse { findings, next_page_token })
        })
        .await
    }

    /// The version of a report at that revision.
    async fn version(&self, seen: &Seen, revision: Revision) -> Result<Report, Fault> {
        let seen = seen.clone();
        off_thread(move || {
            let missing = || Fault::new(Reason::DataCorrupt, format!("revision {revision} is missing"));
            body(&seen, revision, None)?.ok_or_else(missing)
        })
        .await
    }
}

/// A submission as a command. If it names a report, that is one that the caller sees.
pub(super) async fn command_of(
    submitter: &Submitter,
    seen: &Seen,
    request: &SubmitReportRequest,
) -> Result<Command<SubmitRequest>, Fault> {
    let command = door::submit(request).map_err(|unreadable| submitter.refuse(*unreadable, &seen.caller));
    let mut command = command?;
    let Some(name) = command.content.draft.name.filter(|_| !seen.caller.scope.is_everything()) else {
        return Ok(command);
    };
    let (expected, looking) = (command.content.expected_revision, seen.clone());
    command.content.expected_revision = off_thread(move || looking.guarded(name, expected)).await?;
    Ok(command)
}

/// A version of a report as the caller sees it, with the withdrawal at that revision if there is one; none if he does not.
fn body(seen: &Seen, version: Revision, withdrawal: Option<Revision>) -> Result<Option<Report>, Fault> {
    let Some(entry) = seen.version(version)? else { return Ok(None) };
    let corrupt = || Fault::new(Reason::DataCorrupt, format!("revision {version} is no report"));
    let mut report = door::report_of(&entry).ok_or_else(corrupt)?;
    if let Some(withdrawal) = withdrawal {
        report.withdrawal = door::withdrawal_of(&entry_at(&*seen.log, withdrawal)?);
    }
    Ok(Some(report))
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
