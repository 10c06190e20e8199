//! A backup of a store that is being served: the feed, written down as an export. It holds what was durable when it began, up
//! to the end of a change, and every entry is verified against the chain on its way.

use std::{io::Write, path::Path};

use proto::v1::{FollowRequest, feed_service_client::FeedServiceClient};
use shared::{
    codec::{self, Record},
    convert::feed as door,
    feed::Event,
    limits::MESSAGE_BYTES_MAX,
    model::log::{Link, Revision, StoreId},
    tls::ClientFiles,
};
use tonic::{
    Request, Streaming,
    metadata::MetadataMap,
    transport::{Endpoint, Uri},
};

use crate::transfer::{self, TransferError, Transferred};

/// Where the store is served, and what is shown there.
#[derive(Clone, Debug)]
pub struct Source {
    /// The ingest-service.
    pub ingest: Uri,
    /// Certificates and token; whoever backs up needs the role of a replica.
    pub files: ClientFiles,
}

/// Writes what a running ingest-service has now to a file of that name, which must not be there.
///
/// # Errors
/// [`TransferError`]; there is no file of that name then.
pub fn backup(source: &Source, to: &Path) -> Result<Transferred, TransferError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    transfer::into_file(to, |file| runtime.block_on(write_down(source, file)))
}

async fn write_down(source: &Source, file: &mut impl Write) -> Result<Transferred, TransferError> {
    let mut messages = follow(source).await?;
    let mut begun: Option<(StoreId, Revision)> = None;
    let (mut last, mut ends_change) = (None::<Link>, true);
    while let Some(message) = messages.message().await.map_err(|status| remote(&status))? {
        match door::event(message).map_err(|fault| TransferError::Remote(fault.to_string()))? {
            Event::Opened { store, epoch, newest } => {
                transfer::write_start(file, store, epoch)?;
                begun = Some((store, newest));
                last = Some(codec::genesis(store));
            }
            Event::Records(records) => {
                let (Some((_, newest)), Some(last)) = (begun, &mut last) else { break };
                for record in records.iter().take_while(|record| record.link.revision <= newest) {
                    ends_change = take(file, last, record)?;
                }
            }
            Event::Progress { .. } => {}
        }
        if let (Some((store, newest)), Some(last)) = (begun, last)
            && last.revision >= newest
            && ends_change
        {
            transfer::write_end(file, &last)?;
            return Ok(Transferred { store, last });
        }
    }
    Err(TransferError::Remote("the feed ended before the store did".to_owned()))
}

/// Writes a record that follows on the last one; says whether a change ends with it.
fn take(file: &mut impl Write, last: &mut Link, record: &Record) -> Result<bool, TransferError> {
    let entry = codec::decode_next(last, record)?;
    transfer::write_record(file, record)?;
    *last = record.link;
    Ok(entry.ends_change)
}

async fn follow(source: &Source) -> Result<Streaming<proto::v1::FollowResponse>, TransferError> {
    let mut endpoint = Endpoint::from(source.ingest.clone());
    if source.ingest.scheme_str() == Some("https") {
        let tls = source.files.tls().map_err(TransferError::Remote)?;
        endpoint = endpoint.tls_config(tls).map_err(|error| TransferError::Remote(error.to_string()))?;
    }
    let channel = endpoint.connect().await.map_err(|error| TransferError::Remote(error.to_string()))?;
    let mut request = Request::new(FollowRequest::default());
    if let Some(authorization) = source.files.authorization().map_err(TransferError::Remote)? {
        let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, authorization)]);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
    }
    let mut client = FeedServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.follow(request).await.map_err(|status| remote(&status))?.into_inner())
}

fn remote(status: &tonic::Status) -> TransferError {
    TransferError::Remote(format!("{:?}: {}", status.code(), status.message()))
}
