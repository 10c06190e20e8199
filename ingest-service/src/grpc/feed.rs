use std::{pin::Pin, sync::Arc};

use proto::v1::{FollowRequest, FollowResponse, feed_service_server::FeedService};
use shared::{clock::Clock, codec::Record, convert::feed as door, feed::Event, model::log::Revision, status::status};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::{feed::Feed, metrics::METRICS, traces::RECENT};

/// FeedService.
pub struct FeedHandlers {
    /// The log to follow.
    pub feed: Feed,
    /// For progress marks.
    pub clock: Arc<dyn Clock>,
}

/// A follower that is counted until this is dropped.
struct Connected;

impl Connected {
    fn begin() -> Self {
        METRICS.followers.inc();
        Self
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        METRICS.followers.dec();
    }
}

#[tonic::async_trait]
impl FeedService for FeedHandlers {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let position = door::follow(request.get_ref()).map_err(|fault| status(&fault))?;
        let events = self.feed.follow(position).await.map_err(|fault| status(&fault))?;
        let (clock, feed, connected) = (self.clock.clone(), self.feed.clone(), Connected::begin());
        let messages = events.map(move |event| match event {
            Ok(Event::Opened { store, epoch, newest }) => {
                let _counts_as_long_as_the_stream = &connected;
                Ok(door::opened(store, epoch, newest))
            }
            Ok(Event::Records(records)) => {
                let revision = |record: Option<&Record>| record.map_or(Revision::ZERO, |record| record.link.revision);
                let traces = RECENT.of(&(revision(records.first())..=revision(records.last())));
                Ok(door::records(records, feed.newest(), traces))
            }
            Ok(Event::Progress { newest }) => Ok(door::progress(newest, clock.now())),
            Err(fault) => Err(status(&fault)),
        });
        Ok(Response::new(Box::pin(messages)))
    }
}
