use std::sync::Arc;

use proto::v1::{
    GetReportRequest, GetReportResponse, Report, SubmitReportRequest, SubmitReportResponse,
    ingest_service_server::IngestService,
};
use shared::{
    codec,
    convert::ingest as door,
    model::{
        fault::{Fault, Reason},
        log::Revision,
    },
    status::status,
};
use tonic::{Request, Response, Status};

use super::receipt_entry;
use crate::{
    feed::read_log,
    log::Log,
    submit::{Receipt, Submitter, Work},
};

/// IngestService.
pub struct IngestHandlers {
    /// The writer.
    pub submitter: Submitter,
    /// Where the bodies of reports are.
    pub log: Arc<dyn Log>,
}

#[tonic::async_trait]
impl IngestService for IngestHandlers {
    async fn submit_report(
        &self,
        request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        let submitted = self.submit(request.get_ref()).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(submitted))
    }

    async fn get_report(&self, request: Request<GetReportRequest>) -> Result<Response<GetReportResponse>, Status> {
        let report = self.find(request.get_ref()).await.map_err(|fault| status(&fault))?;
        Ok(Response::new(GetReportResponse { report: Some(report) }))
    }
}

impl IngestHandlers {
    async fn submit(&self, request: &SubmitReportRequest) -> Result<SubmitReportResponse, Fault> {
        let command = Box::new(door::submit(request)?);
        let receipt = self.submitter.submit(Work::Report(command)).await?;
        if let Receipt::There(revision) = receipt {
            let report = self.report_at(revision).await?;
            return Ok(SubmitReportResponse { revision: Some(revision.as_i64()), report: Some(report) });
        }
        let is_written = matches!(receipt, Receipt::Written(_));
        let mut report = receipt_entry(receipt).and_then(|entry| door::report_of(&entry)).unwrap_or_default();
        if !is_written {
            // What a new report would be called, and when it would be recorded, is not known before it is.
            report.revision = 0;
            report.record_time = None;
            if report.version == 1 {
                report.name.clear();
            }
        }
        Ok(SubmitReportResponse { revision: is_written.then_some(report.revision), report: Some(report) })
    }

    async fn find(&self, request: &GetReportRequest) -> Result<Report, Fault> {
        let (name, version) = door::get_report(request)?;
        let snapshot = self.submitter.snapshot();
        let not_found = |message| Err(Fault::new(Reason::ReportNotFound, message));
        let Some(versions) = snapshot.reports.get(&name) else {
            return not_found(format!("there is no {name}"));
        };
        let version = version.map_or(versions.len(), |version| version as usize);
        match versions.get(version - 1) {
            Some(revision) => self.report_at(*revision).await,
            None => not_found(format!("{name} has {} versions", versions.len())),
        }
    }

    async fn report_at(&self, revision: Revision) -> Result<Report, Fault> {
        let before = Revision::from(revision.get().saturating_sub(1));
        let records = read_log(self.log.clone(), before, 1).await?;
        let corrupt = |message: String| Fault::new(Reason::DataCorrupt, message);
        let record = records.first().ok_or_else(|| corrupt(format!("revision {revision} is missing")))?;
        let entry = codec::decode(record).map_err(|fault| corrupt(fault.to_string()))?;
        door::report_of(&entry).ok_or_else(|| corrupt(format!("revision {revision} is no report")))
    }
}
