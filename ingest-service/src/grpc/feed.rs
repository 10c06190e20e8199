use std::{pin::Pin, sync::Arc};

use proto::v1::{FollowRequest, FollowResponse, feed_service_server::FeedService};
use shared::{clock::Clock, convert::feed as door, feed::Event, status::status};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::feed::Feed;

/// FeedService.
pub struct FeedHandlers {
    /// The log to follow.
    pub feed: Feed,
    /// For progress marks.
    pub clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl FeedService for FeedHandlers {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let position = door::follow(request.get_ref()).map_err(|fault| status(&fault))?;
        let events = self.feed.follow(position).await.map_err(|fault| status(&fault))?;
        let clock = self.clock.clone();
        let messages = events.map(move |event| match event {
            Ok(Event::Opened { store, epoch, newest }) => Ok(door::opened(store, epoch, newest)),
            Ok(Event::Records(records)) => Ok(door::records(records)),
            Ok(Event::Progress { newest }) => Ok(door::progress(newest, clock.now())),
            Err(fault) => Err(status(&fault)),
        });
        Ok(Response::new(Box::pin(messages)))
    }
}
