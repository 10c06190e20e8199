//! The same questions in this process, without gRPC: the query-service's own follower fills its own index, and its own
//! functions answer. Measured is the way from the request message to the rows.

use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

use query_service::{
    follow::{self, Connection, FollowConfig},
    query,
    view::{Published, View},
};
use shared::{
    convert::query as door,
    model::{fault::Fault, query::KnownAt},
    serve::{self, Stop},
};
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

use super::{latency::Times, question::Question};

/// A follower in this process. It ends with this.
pub struct Inside {
    view: View,
    stop: Stop,
    follower: JoinHandle<()>,
}

impl Inside {
    /// Follows an ingest-service until everything up to that revision is known.
    ///
    /// # Errors
    /// The feed is refused.
    pub async fn follow(ingest: &str, revision: i64) -> Result<Self, Box<dyn Error>> {
        let (view, stop) = (View::default(), Stop::default());
        let (_, health) = serve::standard_routes(&[]).await?;
        let channel = follow::endpoint(Endpoint::from_shared(ingest.to_owned())?).connect_lazy();
        let config = FollowConfig {
            connect: Box::new(move || Ok(Connection { channel: channel.clone(), authorization: None })),
            store: None,
            silence_max: std::time::Duration::from_secs(60),
            jitter: follow::full_jitter,
        };
        let follower = tokio::spawn(follow::run(config, None, view.clone(), health, stop.clone()));
        let inside = Self { view, stop, follower };
        let revision = u64::try_from(revision)?.into();
        inside.view.read(Some(revision), None).await.map_err(|fault| fault.to_string())?;
        Ok(inside)
    }

    /// Times of a question.
    ///
    /// # Errors
    /// The refusal.
    pub async fn times(&self, question: &Question, count: usize) -> Result<Times, Box<dyn Error>> {
        let published = self.view.read(None, None).await.map_err(|fault| fault.to_string())?;
        let (published, question) = (Arc::new(published), question.clone());
        let measured = tokio::task::spawn_blocking(move || {
            let mut times = Times::default();
            for _ in 0..count {
                let start = Instant::now();
                answer(&published, &question).map_err(|fault| fault.to_string())?;
                times.note(start.elapsed());
            }
            Ok::<Times, String>(times)
        });
        Ok(measured.await??)
    }

    /// Ends.
    pub async fn end(self) {
        self.stop.token.cancel();
        let _ = self.follower.await;
    }
}

fn answer(published: &Published, question: &Question) -> Result<(), Fault> {
    let known = published.index.known_at(KnownAt::Now)?;
    match black_box(question) {
        Question::Share(request) => drop(black_box(query::shares(&known, &door::share(request)?.0)?)),
        Question::Series(request) => drop(black_box(query::series::rows(&known, &door::series_question(request)?.0)?)),
        Question::Rank(request) => {
            let now = known.recorded_at().unwrap_or_default();
            drop(black_box(query::rank::rows(&known, &door::rank(request)?.0, now)?));
        }
        Question::Ratio(request) => drop(black_box(query::figures(&known, &door::aggregate(request)?.0)?)),
    }
    Ok(())
}
