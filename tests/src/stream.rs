//! Reports over one stream.

use prost::Message;
use proto::v1::{
    SubmitReportRequest, SubmitReportsResponse,
    ingest_service_client::IngestServiceClient,
    submit_reports_response::{Outcome, Receipt},
};
use tonic::{Code, Status, transport::Channel};

/// Submits reports over one stream; `each` hears of every receipt.
///
/// # Errors
/// The first refusal, or why the stream ended.
pub async fn submit_all(
    mut client: IngestServiceClient<Channel>,
    reports: Vec<SubmitReportRequest>,
    mut each: impl FnMut(Receipt),
) -> Result<(), Status> {
    let count = reports.len();
    let mut acknowledgements = client.submit_reports(tokio_stream::iter(reports)).await?.into_inner();
    let mut acknowledged = 0;
    while let Some(acknowledgement) = acknowledgements.message().await? {
        each(receipt(acknowledgement)?);
        acknowledged += 1;
    }
    assert_eq!(acknowledged, count, "a stream that ends well has acknowledged everything");
    Ok(())
}

/// The receipt of a report of a stream.
///
/// # Errors
/// Its refusal, as a unary call would have answered it.
pub fn receipt(acknowledgement: SubmitReportsResponse) -> Result<Receipt, Status> {
    match acknowledgement.outcome {
        Some(Outcome::Receipt(receipt)) => Ok(receipt),
        Some(Outcome::Refusal(refusal)) => {
            let details = refusal.encode_to_vec().into();
            Err(Status::with_details(Code::from(refusal.code), refusal.message, details))
        }
        None => Err(Status::unknown("an acknowledgement without outcome")),
    }
}
